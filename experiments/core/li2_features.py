"""What a lone unit learns from addition modulo m: a wave.

Run:  python experiments/core/li2_features.py

Gradient ascent on the unit sphere of the energy of one unit with a square, for
all pairs modulo 23, from 200 random starts, 2,000 steps. The share of the
power of its weights (of the first and the second element, averaged) that one
frequency holds, and the energies that it ends at.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from jaxcls import evaluation, losses, ops

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = pathlib.Path(__file__).with_suffix(".json")
MODULUS, STARTS, STEPS = 23, 200, 2000


def main():
  """Prints the shares, writes results and plot."""
  m = MODULUS
  first, second = np.divmod(np.arange(m * m), m)
  x = jnp.asarray(np.hstack([np.eye(m)[first], np.eye(m)[second]]), jnp.float32)
  targets = jnp.asarray(np.eye(m)[(first + second) % m], jnp.float32)
  energies = lambda w: losses.feature_energy((x @ w) ** 2, targets)

  def step(w, _):
    climb = jax.grad(lambda w: energies(w).sum())(w)
    # The size of the gradient says nothing on the sphere.
    return ops.unit_norm((w + 0.1 * ops.unit_norm(climb.T).T).T).T, None

  start = ops.unit_norm(jax.random.normal(jax.random.key(0), (STARTS, 2 * m))).T
  ascend = jax.jit(lambda w: jax.lax.scan(step, w, length=STEPS)[0])
  w = ascend(start)
  halves = np.asarray(w.T).reshape(STARTS, 2, m)
  shares = evaluation.frequency_concentration(jnp.asarray(halves)).mean(axis=1)
  before = evaluation.frequency_concentration(
    jnp.asarray(np.asarray(start.T).reshape(STARTS, 2, m))
  ).mean(axis=1)
  power = np.abs(np.fft.rfft(halves, axis=-1)) ** 2
  frequency = power[..., 1:].sum(axis=1).argmax(axis=-1) + 1
  found = dict(
    share_above_90_percent=float((shares > 0.9).mean()),
    mean_share=float(shares.mean()),
    mean_share_at_start=float(before.mean()),
    frequencies=np.bincount(frequency, minlength=m // 2 + 1).tolist(),
    energies=np.sort(np.asarray(energies(w))).tolist(),
  )
  print({k: v for k, v in found.items() if k != "energies"})
  levels, counts = np.unique(np.round(found["energies"], 4), return_counts=True)
  print(dict(zip(levels.tolist(), counts.tolist(), strict=True)))
  RESULTS.write_text(json.dumps(found, indent=1) + "\n")
  figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
  axes[0].hist(
    [np.asarray(before), np.asarray(shares)], bins=20, label=["start", "end"]
  )
  axes[0].set(xlabel="share of the power in one frequency", ylabel="units")
  axes[0].legend()
  axes[1].plot(halves[0].T)
  axes[1].set(xlabel="element", ylabel="weight of one unit")
  figure.savefig(RESULTS.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
  main()
