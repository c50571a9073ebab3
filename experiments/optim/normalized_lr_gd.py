"""Logistic regression by gradient descent is a perceptron at large steps.

Run:  python experiments/optim/normalized_lr_gd.py

Float64, from w = 0, until every row is on its side; a column of ones is the
bias. Iris (setosa against the rest), and digits 0 against 1, 2 against 7 and 3
against 8, all of scikit-learn and all separable; three random halves of each.
"""

import json
import pathlib

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import scipy.stats  # noqa: E402
import sklearn.datasets  # noqa: E402

from jaxcls import optim  # noqa: E402

RESULTS = pathlib.Path(__file__).with_suffix(".json")
STEPS = (0.1, 1.0, 10.0, 100.0, 1e4)


def load(name, seed):
  """A random half of the rows, features about 1 in size, with a bias."""
  if name == "iris":
    x, y = sklearn.datasets.load_iris(return_X_y=True)
    y = (y == 0).astype(int)
  else:
    x, digit = sklearn.datasets.load_digits(return_X_y=True)
    pair = [int(d) for d in name.split("-")]
    kept = np.isin(digit, pair)
    x, y = x[kept] / 16, (digit[kept] == pair[1]).astype(int)
  rows = np.random.default_rng(seed).permutation(len(x))[: len(x) // 2]
  return np.hstack([x, np.ones((len(x), 1))])[rows], y[rows]


def descend(x, y, step_size, normalized):
  """Steps until separated, and the mean loss there."""

  def gradient(w, x, y):
    return optim.logistic_gradient(w, x, y, normalized=normalized)

  found = optim.descend_until_separated(
    gradient, jnp.asarray(x), jnp.asarray(y), step_size=step_size,
    max_steps=200_000,
  )  # fmt: skip
  margins = (2 * y - 1) * (x @ found["weights"])
  loss = float(jnp.logaddexp(0.0, -margins).mean())
  return int(found["num_steps"]) if found["separated"] else None, loss


def perceptron_gap(x, y, steps=100, gamma=1e8):
  """Largest |w_t / gamma - v_t| over steps of both."""
  w, v, gap = jnp.zeros(x.shape[1]), jnp.zeros(x.shape[1]), 0.0
  for _ in range(steps):
    w = w - gamma * optim.logistic_gradient(w, x, y)
    v = v - optim.perceptron_gradient(v, x, y)
    gap = max(gap, float(jnp.abs(w / gamma - v).max()))
  return gap


def main():
  """Runs the three parts, prints and writes them."""
  results = dict(real={}, worst_case={})
  for name in ("iris", "0-1", "2-7", "3-8"):
    table = dict(gap=[], plain=[], normalized=[], loss=[], correlation=[])
    for seed in range(3):
      x, y = load(name, seed)
      table["gap"].append(perceptron_gap(jnp.asarray(x), jnp.asarray(y)))
      plain = [descend(x, y, gamma, False) for gamma in STEPS]
      table["plain"].append([steps for steps, _ in plain])
      table["loss"].append([loss for _, loss in plain])
      table["normalized"].append([descend(x, y, g, True)[0] for g in STEPS])
      steps = table["plain"][-1]
      if len(set(steps)) > 1:
        order = scipy.stats.spearmanr(STEPS, steps)
        table["correlation"].append(float(order.statistic))
    results["real"][name] = table
    for key in ("plain", "normalized"):
      print(f"{name:5} {key:10}", np.mean(table[key], axis=0).round(1))
    print(f"{name:5} gap {max(table['gap']):.1e}")
  for n in (50, 100, 200, 400, 800):
    x, y = optim.make_slow_separable(n)
    mu, _ = optim.hard_margin(x, y)
    bound = float((np.linalg.norm(x, axis=1).max() / mu) ** 2)
    row = dict(
      plain=descend(x, y, 1e6, False)[0],
      normalized=descend(x, y, 1e6, True)[0],
      bound=bound,
    )
    results["worst_case"][n] = row
    print(n, row)
  results["step_sizes"] = STEPS
  RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
  main()
