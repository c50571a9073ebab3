"""What the networks of a decoupled mixup experiment say of mixed images.

Run:  python experiments/core/decoupled_mixup_pairs.py --runs DIR
      (DIR: the workdir of decoupled_mixup.py or decoupled_mixup_digits.py; the
      results are written to <name of DIR>_pairs.json beside this file)

Test images are mixed half and half with the next one of another class; the
measures are the probability of both classes together, and how often they are
the two largest. Means and standard deviations over the seeds.
"""

import argparse
import json
import pathlib

import jax
import numpy as np

from jaxcls import engine

HERE = pathlib.Path(__file__).resolve().parent


def mixed_pairs(workdir: pathlib.Path) -> dict[str, float]:
  """Probability and top-2 rate of both classes, for one run."""
  run = engine.load_run(str(workdir))
  source = run.stage.evals["test"]
  batch = run.transform(source.fetch(source.ids))
  images, labels = np.asarray(batch["image"]), np.asarray(batch["label"])
  kept = labels != np.roll(labels, 1)
  mixed = 0.5 * (images + np.roll(images, 1, axis=0))
  out = jax.jit(lambda x: run.net(run.state.params, run.state.stats, x)[0])
  probs = np.asarray(jax.nn.softmax(out(mixed)["logits"]))[kept]
  pair = np.stack([labels, np.roll(labels, 1)], axis=1)[kept]
  both = np.take_along_axis(probs, pair, axis=1)
  top = np.sort(np.argsort(probs, axis=1)[:, -2:], axis=1)
  return {
    "mass": float(both.sum(1).mean()),
    "top_2": float((top == np.sort(pair, axis=1)).all(1).mean()),
  }


def main() -> None:
  """Measures every run and writes the table beside this file."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--runs", required=True)
  table = {}
  runs = pathlib.Path(parser.parse_args().runs)
  for arm in sorted(path for path in runs.iterdir() if path.is_dir()):
    rows = [mixed_pairs(run) for run in sorted(arm.glob("seed*"))]
    for name in rows[0] if rows else ():
      values = [row[name] for row in rows]
      entry = {"values": values, "mean": float(np.mean(values))}
      entry["std"] = float(np.std(values, ddof=1))
      table.setdefault(arm.name, {})[name] = entry
      print(f"{arm.name:20} {name:6} {entry['mean']:.4f} {entry['std']:.4f}")
  results = HERE / f"{runs.name}_pairs.json"
  results.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
  main()
