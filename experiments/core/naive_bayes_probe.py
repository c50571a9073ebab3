"""Samples that naive Bayes and logistic regression need; probes on features.

Run:  python experiments/core/naive_bayes_probe.py --workdir DIR

Simulation: two Gaussians with means -1 and 1 in all n features, half of the
variances n, half 1; how many examples until the mean error of 5 draws on
10,000 test points is within 0.01 of the best possible (0 for these n), on a
grid that grows by a tenth. Tied naive Bayes, and logistic regression with l2 1.

Probes: a ConvNet (widths 16, 32, 128 features) learns 10,000 images of
Fashion-MNIST; both classifiers then learn MNIST digits from its frozen
features, 20 to 2,000 of them, 5 draws, 1,000 test images. Features are divided
by their largest value for both.
"""

import argparse
import json
import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from jaxcls import classifiers, data, engine

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = pathlib.Path(__file__).with_suffix(".json")
DRAWS = 5
FITS = {
  "naive_bayes": lambda x, y, w, c: classifiers.fit_naive_bayes(
    x, y, num_classes=c, tied=True, var_smoothing=1e-3, where=w
  ),
  "logistic_regression": lambda x, y, w, c: classifiers.fit_logistic_regression(
    x, y, num_classes=c, l2=1.0, tolerance=1e-4, where=w
  ),
}
PREDICTS = {
  "naive_bayes": classifiers.predict_naive_bayes,
  "logistic_regression": classifiers.predict_logistic_regression,
}


def make_error(name, num_classes):
  """f(x, y, where, test_x, test_y) -> error; padded, so compiled once."""

  def error(x, y, where, test_x, test_y):
    params = FITS[name](x, y, where, num_classes)
    said = PREDICTS[name](params, test_x).argmax(axis=-1)
    return (said != test_y).mean()

  return jax.jit(error)


def gaussians(rng, n, count):
  """Points [count n] of two classes in turn, and their labels."""
  labels = np.arange(count) % 2
  scale = np.where(np.arange(n) < n // 2, np.sqrt(n), 1.0)
  points = (2 * labels - 1)[:, None] + scale * rng.normal(size=(count, n))
  return points.astype(np.float32), labels


def samples_needed(name, n):
  """Least number on the grid whose mean error is below 0.01."""
  error, capacity = make_error(name, 2), 2 * n + 64
  test = gaussians(np.random.default_rng(99), n, 10_000)
  grid = np.unique(np.round(4 * 1.1 ** np.arange(100)).astype(int) // 2 * 2)
  for m in grid[grid <= capacity]:
    errors = []
    for draw in range(DRAWS):
      x, y = gaussians(np.random.default_rng(draw), n, capacity)
      errors.append(float(error(x, y, jnp.arange(capacity) < m, *test)))
    if np.mean(errors) < 0.01:
      return int(m)
  return None


def simulate():
  """Samples needed by number of features, and the slope in logarithms."""
  features = (50, 100, 200, 400)
  found = {}
  for name in FITS:
    needed = [samples_needed(name, n) for n in features]
    slope = np.polyfit(np.log(features), np.log(needed), 1)[0]
    found[name] = dict(needed=needed, slope=float(slope))
    print(f"{name:20} {needed} slope {slope:.2f}", flush=True)
  return dict(features=features, **found)


def frozen_features(workdir):
  """Features and labels of MNIST's training and test images."""
  config = engine.complete(
    dict(
      seed=0, total_epochs=3, batch_size=128,
      scenario=dict(
        name="standard", source="fashion_mnist",
        subset=dict(name="stratified_subset", num_examples=10_000),
        preprocess=(dict(name="normalize", mean=(0.286,), std=(0.353,)),),
      ),
      model=dict(name="convnet", widths=(16, 32), hidden=128),
      learner=dict(name="supervised"),
      optimizer=dict(name="adamw", weight_decay=1e-4),
      schedule=dict(name="cosine", peak_lr=3e-3),
      evaluation=dict(metrics=("accuracy",)),
    )
  )  # fmt: skip
  engine.train(config, str(workdir))
  run = engine.load_run(str(workdir))
  found = {}
  for split in ("train", "test"):
    source = data.load_source("mnist5k", split)
    batch = run.transform(source.fetch(source.ids))
    out, _ = run.net(run.state.params, run.state.stats, batch["image"])
    found[split] = np.asarray(out["features"]), np.asarray(batch["label"])
  top = found["train"][0].max()
  return {split: (x / top, y) for split, (x, y) in found.items()}


def probe(workdir):
  """Errors [draws sizes] of both classifiers."""
  found = frozen_features(workdir)
  (x, y), test = found["train"], found["test"]
  sizes, capacity = (20, 50, 100, 200, 500, 1000, 2000), 2000
  result = dict(sizes=sizes)
  for name in FITS:
    error = make_error(name, 10)
    table = []
    for draw in range(DRAWS):
      order = np.random.default_rng(draw).permutation(len(x))[:capacity]
      table.append(
        [
          float(error(x[order], y[order], jnp.arange(capacity) < m, *test))
          for m in sizes
        ]
      )
    result[name] = table
    mean, std = np.mean(table, 0), np.std(table, 0, ddof=1)
    cells = zip(mean, std, strict=True)
    print(f"{name:20}", "  ".join(f"{m:.3f}+-{s:.3f}" for m, s in cells))
  return result


def plot(results):
  """Needed samples by features, and errors by samples."""
  figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
  simulation, probes = results["simulation"], results["probes"]
  for name in FITS:
    label = name.replace("_", " ")
    needed = simulation[name]["needed"]
    axes[0].loglog(simulation["features"], needed, "o-", label=label)
    mean, std = np.mean(probes[name], 0), np.std(probes[name], 0, ddof=1)
    axes[1].errorbar(probes["sizes"], mean, std, fmt="o-", label=label)
  axes[0].set(xlabel="features", ylabel="examples to the best error + 0.01")
  axes[1].set(xlabel="examples", ylabel="test error", xscale="log")
  axes[0].legend()
  figure.savefig(RESULTS.with_suffix(".png"), dpi=120)


def main():
  """Runs both parts and writes results and plot beside this file."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--workdir", required=True)
  workdir = pathlib.Path(parser.parse_args().workdir)
  results = dict(simulation=simulate(), probes=probe(workdir / "features"))
  RESULTS.write_text(json.dumps(results, indent=1) + "\n")
  plot(results)


if __name__ == "__main__":
  main()
