"""The infinitely deep classifier: singular kernels by exponent, in 2-d.

Run:  python experiments/core/wide_deep_optimal.py

Two classes with P(class 1 | x) = 0.8 in the right half of a disc and 0.2 in
the left one: the best possible error is 0.2. 100 to 20,000 training points,
4,000 test points (their true error, by the class probabilities), 5 seeds.
Singular kernels of exponents 1, 2 (the dimension: optimal) and 8, the nearest
neighbour and the majority.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from jaxcls import classifiers

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = pathlib.Path(__file__).with_suffix(".json")
SIZES = (100, 300, 1000, 3000, 10_000, 20_000)
EXPONENTS = (1.0, 2.0, 8.0)


def points(rng, count):
  """Uniform points of the unit disc, and P(class 1)."""
  radius, angle = np.sqrt(rng.random(count)), 2 * np.pi * rng.random(count)
  x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
  return x.astype(np.float32), np.where(x[:, 0] > 0, 0.8, 0.2)


def errors(size, seed):
  """{rule: error} of rules fitted to `size` points."""
  rng = np.random.default_rng(seed)
  (x, p), (test, q) = points(rng, size), points(rng, 4000)
  y = (rng.random(size) < p).astype(np.int32)
  wrong = lambda said: float(np.where(np.asarray(said) == 1, 1 - q, q).mean())
  fitted = classifiers.fit_singular_kernel(x, y, num_classes=2)
  predict = jax.jit(
    classifiers.predict_singular_kernel,
    static_argnames=("exponent", "block_size"),
  )
  found = {}
  for exponent in EXPONENTS:
    logits = predict(fitted, test, exponent=exponent, block_size=500)
    found[f"exponent {exponent:g}"] = wrong(logits.argmax(axis=-1))
  near = classifiers.predict_knn(
    classifiers.fit_knn(x, y, num_classes=2), jnp.asarray(test), k=1,
    metric="euclidean", weights="uniform",
  )  # fmt: skip
  found["nearest neighbour"] = wrong(near.argmax(axis=-1))
  found["majority"] = wrong(np.full(len(test), int(y.mean() > 0.5)))
  return found


def main():
  """Prints the table, writes results and plot."""
  table = {}
  for size in SIZES:
    found = [errors(size, seed) for seed in range(5)]
    table[size] = {k: [f[k] for f in found] for k in found[0]}
    cells = "  ".join(
      f"{k} {np.mean(v):.3f}+-{np.std(v, ddof=1):.3f}"
      for k, v in table[size].items()
    )
    print(f"{size:6}  {cells}", flush=True)
  exponent = classifiers.singular_exponent(
    classifiers.optimal_coefficients(2.0)
  )
  results = dict(errors=table, best=0.2, exponent_of_activation=exponent)
  RESULTS.write_text(json.dumps(results, indent=1) + "\n")
  figure, axis = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
  for rule in table[SIZES[0]]:
    runs = np.array([table[size][rule] for size in SIZES])
    axis.errorbar(
      SIZES, runs.mean(1), runs.std(1, ddof=1), fmt="o-", label=rule
    )
  axis.axhline(0.2, color="gray", linestyle=":")
  axis.set(xscale="log", xlabel="examples", ylabel="test error")
  axis.legend(fontsize=8)
  figure.savefig(RESULTS.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
  main()
