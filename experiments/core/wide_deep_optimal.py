"""The infinitely deep classifier: singular kernels by exponent, in 2-d.

Run:  python experiments/core/wide_deep_optimal.py

Two classes with P(class 1 | x) = 0.8 in the right half of a disc and 0.2 in
the left one: the best possible error is 0.2. 100 to 20,000 training points,
4,000 test points (their true error, by the class probabilities), 5 seeds.
Singular kernels of exponents 1, 2 (the dimension: optimal) and 8, the nearest
neighbour and the majority.

Before it, networks of finite depth and infinite width, in float64: the slope of
their kernels in the distance, in logarithms, at 80 layers; and how often their
kernel regression agrees with the rule that it should become, on scikit-learn's
digits 3 against 8 projected on 3 principal components, 178 of each half.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import sklearn.datasets
import sklearn.decomposition

from jaxcls import classifiers

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = pathlib.Path(__file__).with_suffix(".json")
SIZES = (100, 300, 1000, 3000, 10_000, 20_000)
EXPONENTS = (1.0, 2.0, 8.0)


# Hermite coefficients; the exponents of the first three are 2, 4 and 1.65.
ACTIVATIONS = {
  "optimal in 2-d": classifiers.optimal_coefficients(2.0),
  "optimal in 4-d": classifiers.optimal_coefficients(4.0, degree=5),
  "0.8 h1 + 0.6 h3": (0.0, 0.8, 0.0, 0.6),
}


def slopes(coefficients, depth=80):
  """Slopes of log kernel over log distance near 0: NNGP, and NTK by depth."""
  with jax.enable_x64(True):
    gap = jnp.logspace(-8, -4, 9)
    scale = coefficients[1] ** 2

    def kernel(name, depth):
      found = classifiers.deep_kernel(
        1 - gap, coefficients=coefficients, depth=depth, kernel=name
      )
      return np.asarray(found) / scale**depth

    # The tangent kernel grows linearly in the depth: its increments.
    grown = kernel("ntk", depth + 1) - kernel("ntk", depth)
    distance = np.log(np.sqrt(2 * np.asarray(gap)))
    slope = lambda k: float(np.polyfit(distance, np.log(k), 1)[0])
    return slope(kernel("nngp", depth)), slope(grown)


def agreement():
  """Share of test points on which the deep network and its rule agree."""
  x, y = sklearn.datasets.load_digits(return_X_y=True)
  x, y = x[np.isin(y, (3, 8))], (y[np.isin(y, (3, 8))] == 8).astype(np.int32)
  x = sklearn.decomposition.PCA(3).fit_transform(x)
  x = x / np.linalg.norm(x, axis=1, keepdims=True)
  half = len(x) // 2
  (x, test), y = (x[:half], x[half:]), y[:half]
  signs, found = 2 * y - 1, {}

  def regression(coefficients, depth):
    """Scores of ridgeless regression on the NNGP kernel, and the kernel."""
    with jax.enable_x64(True):

      def gram(a, b):
        xi = jnp.where(a @ b.T > 1 - 1e-14, 1.0, a @ b.T)
        return classifiers.deep_kernel(
          xi, coefficients=coefficients, depth=depth, kernel="nngp"
        )

      across = gram(test, x)
      weights = jnp.linalg.solve(gram(x, x), jnp.asarray(signs, jnp.float64))
      return np.asarray(across @ weights), np.asarray(across)

  deep, _ = regression((0.2**0.5, 0.3**0.5, 0.0, 0.5**0.5), 40)
  majority = np.sign(signs.mean())
  found["majority"] = float((np.sign(deep) == majority).mean())
  deep, _ = regression((0.0, 0.0, 0.6, 0.8), 8)
  nearest = signs[(test @ x.T).argmax(axis=1)]
  found["nearest neighbour"] = float((np.sign(deep) == nearest).mean())
  deep, kernel = regression(classifiers.optimal_coefficients(2.0), 80)
  limit = np.sign(kernel @ signs)
  found["singular kernel"] = float((np.sign(deep) == limit).mean())
  distance = np.linalg.norm(test[:, None] - x[None], axis=-1)
  pole = np.sign((signs / np.maximum(distance, 1e-12) ** 2).sum(axis=1))
  found["1 / distance^2"] = float((np.sign(deep) == pole).mean())
  return found


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
  exponents = {
    name: dict(
      exponent=classifiers.singular_exponent(a),
      **dict(zip(("nngp", "ntk"), slopes(a), strict=True)),
    )
    for name, a in ACTIVATIONS.items()
  }
  agreed = agreement()
  print(exponents, agreed, sep="\n", flush=True)
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
  results = dict(
    slopes=exponents, agreement=agreed, errors=table, best=0.2,
    exponent_of_activation=exponent,
  )  # fmt: skip
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
