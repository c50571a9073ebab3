"""Attacks on the copies of adversarial_tracing.py, and who is found out.

Run:  python experiments/core/adversarial_tracing_attacks.py --runs DIR
      (DIR: the workdir of adversarial_tracing.py)

Each of the five copies is attacked, with its gradients, on the first test
images that all copies know (100; 200 with PGD 8/255, 20 with DeepFool and
Carlini-Wagner). Success: share that fools the attacked copy. Only these count
below. Transfer: share of them that fools another copy. Traced: share whose
source has the largest score, of 2 to 5 copies (the source and others at
random), "blind" by eq. 6 of the paper, or with the label, or with label and
image known; "fools all": of the examples that fool all five copies.
"retrained": the classifiers of the three seeds as copies, by their own logits;
chance is 1 / 3.
"""

import argparse
import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import attacks, engine, evaluation

RESULTS = pathlib.Path(__file__).with_suffix(".json")
ARMS, SEEDS = ("noise", "labels_noise", "labels"), (0, 1, 2)
# name: images a copy, attack.
ATTACKS = {
  "PGD 8/255": (
    200,
    functools.partial(
      attacks.pgd, epsilon=8 / 255, step_size=2 / 255, steps=40
    ),
  ),
  "PGD 0.1": (
    100,
    functools.partial(attacks.pgd, epsilon=0.1, step_size=0.01, steps=40),
  ),
  "FGSM 0.1": (100, functools.partial(attacks.fgsm, epsilon=0.1)),
  "DeepFool": (20, functools.partial(attacks.deepfool, max_steps=20)),
  "Carlini-Wagner": (
    20,
    functools.partial(
      attacks.carlini_wagner, steps=50, learning_rate=0.05, search_steps=3,
      initial_weight=4.0,
    ),
  ),
}  # fmt: skip


def load(folder, split):
  """A run, and its split's images [n h w 1] and labels [n]."""
  run = engine.load_run(str(folder))
  source = run.stage.evals[split]
  batch = source.fetch(source.ids)
  return run, run.transform(batch)["image"], jnp.asarray(batch["label"])


def attack_copies(run, method, images, labels):
  """Adversarial examples [n b h w 1] made with each of the n copies."""
  net, state = run.net, run.state

  @jax.jit
  def one(params, stats, i):
    copy, *weights = net.one_copy(params, stats, i)
    scores = lambda x: copy(*weights, x)[0]["copy_scores"][:, 0]
    return method(scores, images, labels)

  return jnp.stack(
    [one(state.params, state.stats, i) for i in range(net.copies)]
  )


def trace(scores, outputs, labels, clean_outputs):
  """Figures of examples made with copy i = 0, 1, ...: scores [n b n c]."""
  n, b = scores.shape[:2]
  predictions = scores.argmax(axis=-1)
  rates = np.asarray(evaluation.transfer_rates(predictions, labels))
  flat = lambda x: x.reshape(n * b, *x.shape[2:])
  all_labels = jnp.tile(labels, n)
  wrong = flat(predictions) != all_labels[:, None]
  sources = jnp.repeat(jnp.arange(n), b)
  fooled = jnp.take_along_axis(wrong, sources[:, None], axis=1)[:, 0]
  figures = {
    "success": fooled.mean(),
    "transfer": np.nanmean(rates[~np.eye(n, dtype=bool)]),
  }
  known = {
    "blind": (),
    "label": (all_labels,),
    "image": (all_labels, jnp.tile(clean_outputs, (n, 1, 1))),
  }
  for kind, given in known.items():
    found = evaluation.tracing_scores(flat(scores), flat(outputs), *given)
    accuracy = functools.partial(evaluation.tracing_accuracy, found, sources)
    for count in range(2, n + 1):
      value = accuracy(candidates=count, where=fooled)
      figures[f"traced, {kind}, {count} copies"] = value
    figures[f"traced, {kind}, fools all"] = accuracy(where=wrong.all(axis=1))
  return {name: float(value) for name, value in figures.items()}


def measure(folder, split):
  """{attack: figures} of one run."""
  run, images, labels = load(folder, split)
  state = run.state
  call = jax.jit(lambda x: run.net(state.params, state.stats, x)[0])
  clean = call(images)
  right = clean["copy_scores"].argmax(axis=-1) == labels[:, None]
  main = (clean["logits"].argmax(axis=-1) == labels).mean()
  accuracy = right.mean(axis=0)
  figures = {
    "clean": {
      "classifier's accuracy": float(main),
      "copies' accuracy": float(accuracy.mean()),
      "worst copy's loss": float((main - accuracy).max()),
    }
  }
  known = np.flatnonzero(right.all(axis=1))
  for name, (count, method) in ATTACKS.items():
    x, y = images[known[:count]], labels[known[:count]]
    made = attack_copies(run, method, x, y)
    out = [call(x) for x in made]
    stack = lambda key: jnp.stack([o[key] for o in out])  # noqa: B023
    figures[name] = trace(
      stack("copy_scores"), stack("tracer_outputs"), y,
      call(x)["tracer_outputs"],
    )  # fmt: skip
  return figures


def measure_retrained(folders, split):
  """{attack: figures} of whole classifiers, trained with different seeds."""
  runs = [load(folder, split) for folder in folders]
  images, labels = runs[0][1:]

  def logits(run, x):
    return run.net(run.state.params, run.state.stats, x)[0]["logits"]

  every = jax.jit(
    lambda x: jnp.stack([logits(run, x) for run, *_ in runs], axis=1)
  )
  right = every(images).argmax(axis=-1) == labels[:, None]
  known, figures = np.flatnonzero(right.all(axis=1)), {}
  for name in ("PGD 8/255", "PGD 0.1", "FGSM 0.1"):
    count, method = ATTACKS[name]
    x, y = images[known[:count]], labels[known[:count]]
    made = [
      jax.jit(lambda x, y: method(functools.partial(logits, run), x, y))(x, y)  # noqa: B023
      for run, *_ in runs
    ]
    scores = jnp.stack([every(x) for x in made])
    figures[name] = trace(scores, scores, y, every(x))
  return figures


def main():
  """Measures every run; prints and writes the table beside this file."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--runs", required=True)
  parser.add_argument("--split", default="test")
  given = parser.parse_args()
  root, table = pathlib.Path(given.runs), {}
  for arm in ARMS:
    rows = [measure(root / arm / f"seed{s}", given.split) for s in SEEDS]
    for name in rows[0]:
      for key in rows[0][name]:
        values = [row[name][key] for row in rows]
        entry = dict(values=values, mean=float(np.nanmean(values)))
        entry["std"] = float(np.nanstd(values, ddof=1))
        table.setdefault(arm, {}).setdefault(name, {})[key] = entry
        print(
          f"{arm:13} {name:15} {key:26} {entry['mean']:.4f} {entry['std']:.4f}",
          flush=True,
        )
  folders = [root / "labels" / f"seed{seed}" for seed in SEEDS]
  table["retrained"] = measure_retrained(folders, given.split)
  print("retrained", json.dumps(table["retrained"], indent=1))
  RESULTS.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
  main()
