"""Attention as regression at test time: local linear, softmax, global linear.

Run:  python experiments/core/local_linear_attention.py

Sequences of 256 keys and values in 8 or 16 dimensions. Every 64 steps the
data change: keys lie about a new centre (N(0, 1), spread 0.7) and values are a
new random linear map of them plus noise of 0.05. Each key is a query for its
own value, predicted from the pairs before it. The error is squared, over the
variance of the values. Scales and ridges of every rule are the best of a grid
on 16 sequences of seed 100; then 5 seeds of 16 sequences.
"""

import functools
import itertools
import json
import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from jaxcls import ops

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = pathlib.Path(__file__).with_suffix(".json")
LENGTH, SEGMENT, COUNT = 256, 64, 16
SCALES, RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0), (1e-3, 1e-2, 0.1, 1.0)


def sequences(seed, d):
  """Keys and values [count length 1 d]."""
  rng = np.random.default_rng(seed)
  shape = (COUNT, LENGTH // SEGMENT)
  centre = rng.normal(size=(*shape, 1, d))
  keys = centre + 0.7 * rng.normal(size=(*shape, SEGMENT, d))
  maps = rng.normal(size=(*shape, d, d)) / np.sqrt(d)
  values = keys @ maps + 0.05 * rng.normal(size=keys.shape)
  join = lambda x: jnp.asarray(x.reshape(COUNT, LENGTH, 1, d), jnp.float32)
  return join(keys), join(values)


def local_linear(query, key, value, *, scale, ridge):
  """Weighted least squares about the query."""
  return ops.local_linear_attention(
    query, key, value, ridge=ridge, scale=scale, causal=True,
    iterations=key.shape[-1] + 8, implementation="jnp",
  )  # fmt: skip


def global_linear(query, key, value, *, ridge):
  """One line through all pairs before, at the query: no weights."""
  return local_linear(query, key, value, scale=0.0, ridge=ridge)


def softmax(query, key, value, *, scale):
  """A weighted mean of the values."""
  return ops.attention(query, key, value, scale=scale, causal=True)


def linear(query, key, value, *, scale):
  """Linear attention: mean over pairs of (query . key) value."""
  scores = jnp.einsum("bthd,bshd->bhts", query, key)
  past = jnp.tril(scores) / jnp.arange(1, LENGTH)[:, None]
  return scale * jnp.einsum("bhts,bshe->bthe", past, value)


RULES = {
  "local linear": (local_linear, dict(scale=SCALES, ridge=RIDGES)),
  "softmax": (softmax, dict(scale=SCALES)),
  "global linear": (global_linear, dict(ridge=RIDGES)),
  "linear attention": (linear, dict(scale=SCALES)),
}


@functools.cache
def make_error(name, **settings):
  """f(keys, values) -> error by position, [length - 1]."""
  rule = functools.partial(RULES[name][0], **settings)

  def error(keys, values):
    said = rule(keys[:, 1:], keys[:, :-1], values[:, :-1])
    square = (said - values[:, 1:]) ** 2
    return square.mean(axis=(0, 2, 3)) / values.var()

  return jax.jit(error)


def main():
  """Prints the table, writes results and plot."""
  results = {}
  figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
  for axis, d in zip(axes, (8, 16), strict=True):
    found = {}
    for name, (_, grid) in RULES.items():
      choices = [
        dict(zip(grid, v, strict=True))
        for v in itertools.product(*grid.values())
      ]
      val = sequences(100, d)
      mean = lambda s, n=name, v=val: float(make_error(n, **s)(*v).mean())
      chosen = min(choices, key=mean)
      curves = [
        np.asarray(make_error(name, **chosen)(*sequences(seed, d)))
        for seed in range(5)
      ]
      errors = [float(c.mean()) for c in curves]
      found[name] = dict(chosen=chosen, errors=errors)
      axis.plot(np.mean(curves, axis=0), label=name)
      print(
        f"d {d:2} {name:17} {np.mean(errors):.4f} +- "
        f"{np.std(errors, ddof=1):.4f} {chosen}",
        flush=True,
      )
    results[d] = found
    axis.set(xlabel="position", ylabel="squared error / variance", yscale="log")
    axis.set_title(f"{d} dimensions")
  axes[0].legend(fontsize=8)
  RESULTS.write_text(json.dumps(results, indent=1) + "\n")
  figure.savefig(RESULTS.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
  main()
