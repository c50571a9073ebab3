"""Fast and slow features in a two-layer network, gradient descent and SAM.

Run:  python experiments/core/useful_toy.py

Patches of 50 numbers: b_d y v_d, b_e y v_e and noise, b_e = 1, labels y = +-1,
400 examples; f = sum over 20 filters and 3 patches of <w, x>^3, mean logistic
loss, full batch, learning rate 0.05, 4,000 steps, initial weights of standard
deviation 0.05, 5 seeds. Three data sets: v_d with b_d = 0.5 in all examples
and v_e in 90 % of them; v_e in all and v_d in 90 %; as the first with b_d = 0.2
(the first trial: with it the slow feature hardly moves). SAM with radii 0.01,
0.02 and 0.04. Reported: max_j <w_j, v_d> / max_j <w_j, v_e> where the latter
passes a level, linear between two steps; the claim is that SAM's is larger.
"""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from jaxcls import optim

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = pathlib.Path(__file__).with_suffix(".json")
EXAMPLES, WIDTH, FILTERS, STEPS, RATE = 400, 50, 20, 4000, 0.05
# name: size of the slow feature, which feature only 90 % have.
DATA = {
  "fast in 90 %": (0.5, "fast"),
  "slow in 90 %": (0.5, "slow"),
  "fast in 90 %, slow is small": (0.2, "fast"),
}
LEVELS = (0.5, 1.0, 1.5)
RADII = (0.0, 0.01, 0.02, 0.04)


def examples(key, size, rare):
  """Patches [n 3 d] and labels [n] of +-1; v_e and v_d are unit vectors."""
  keys = jax.random.split(key, 3)
  y = jax.random.rademacher(keys[0], (EXAMPLES,), dtype=jnp.float32)
  there = (jax.random.uniform(keys[1], (EXAMPLES,)) < 0.9) * 1.0
  v_e, v_d = jnp.eye(WIDTH)[:2]
  fast = y * (there if rare == "fast" else 1.0)
  slow = size * y * (there if rare == "slow" else 1.0)
  noise = 0.125 * jax.random.normal(keys[2], (EXAMPLES, WIDTH))
  noise = noise.at[:, :2].set(0)  # Orthogonal to both features.
  return jnp.stack([slow[:, None] * v_d, fast[:, None] * v_e, noise], 1), y


@functools.partial(jax.jit, static_argnames="rare")
def run(seed, size, radius, *, rare):
  """Largest alignments (fast [steps], slow [steps])."""
  data_key, key = jax.random.split(jax.random.key(seed))
  x, y = examples(data_key, size, rare)
  w = 0.05 * jax.random.normal(key, (FILTERS, WIDTH))

  def loss(w):
    scores = (jnp.einsum("npd,jd->npj", x, w) ** 3).sum(axis=(1, 2))
    return jax.nn.softplus(-y * scores).mean()

  def step(w, _):
    value_and_grad = jax.value_and_grad(loss)
    _, grads = value_and_grad(w)
    e = optim.sam_perturbation(grads, w, rho=1.0)
    _, grads = value_and_grad(w + radius * e)
    return w - RATE * grads, w[:, :2].max(axis=0)

  return jax.lax.scan(step, w, None, length=STEPS)[1].T


def ratios(fast, slow):
  """Slow / fast where fast first passes each level; None if it never does."""
  found = []
  for level in LEVELS:
    if fast.max() < level:
      found.append(None)
      continue
    i = max(int(np.argmax(fast >= level)), 1)
    part = (level - fast[i - 1]) / (fast[i] - fast[i - 1])
    found.append(float(slow[i - 1] + part * (slow[i] - slow[i - 1])) / level)
  return found


def above(rows, plain):
  """Seeds of each level whose ratio is above the plain one."""
  is_above = lambda a, b: a is not None and b is not None and a > b
  return [
    sum(map(is_above, mine, theirs))
    for mine, theirs in zip(
      zip(*rows, strict=True), zip(*plain, strict=True), strict=True
    )
  ]


def main():
  """Prints the table, writes results and plot."""
  table, figure = {}, plt.figure(figsize=(9, 3), layout="constrained")
  axes = figure.subplots(1, len(DATA))
  for axis, (name, (size, rare)) in zip(axes, DATA.items(), strict=True):
    table[name] = {}
    for radius in RADII:
      curves = [
        np.asarray(run(seed, size, radius, rare=rare)) for seed in range(5)
      ]
      rows = [ratios(*curve) for curve in curves]
      arm = f"SAM {radius}" if radius else "GD"
      plain = table[name]["GD"]["ratios"] if radius else rows
      table[name][arm] = dict(ratios=rows, above_gd=above(rows, plain))
      print(f"{name:28} {arm:9} above GD {above(rows, plain)}", flush=True)
      for row in rows:
        print("   ", [v and round(v, 4) for v in row])
      axis.plot(*curves[0], label=arm)
    axis.set(title=name, xlabel="fast alignment", ylabel="slow alignment")
  axes[0].legend(fontsize=8)
  figure.savefig(RESULTS.with_suffix(".png"), dpi=120)
  results = dict(levels=LEVELS, table=table)
  RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
  main()
