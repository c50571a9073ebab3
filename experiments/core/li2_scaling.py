"""How many pairs it takes to find addition out, by the modulus.

Run:  python experiments/core/li2_scaling.py

Moduli 11, 17, 23, 31; shares of the pairs from 0.1 to 0.7, two draws each; 256
hidden units with squares, full batch, Adam with decoupled weight decay 1,
learning rate 0.003, 3,000 steps. The critical number of pairs is where the
mean accuracy on the unseen pairs passes 0.5 (linear between shares); its
growth is fitted as (m log m) ** exponent.
"""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax

from jaxcls import data, losses, models

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = pathlib.Path(__file__).with_suffix(".json")
MODULI = (11, 17, 23, 31)
SHARES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
STEPS, DRAWS = 3000, 2


@functools.cache
def pairs(m):
  """All pairs modulo m: inputs and labels."""
  parts = []
  for split in ("train", "test"):
    source = data.load_source("group_addition", split, moduli=(m,))
    rows = source.fetch(source.ids)
    parts.append((rows["x"], rows["label"]))
  return tuple(jnp.asarray(np.concatenate(p)) for p in zip(*parts, strict=True))


def make_train(m):
  """f(seen [n] bool, key) -> accuracy on the unseen pairs."""
  x, y = pairs(m)
  net = models.mlp(
    num_classes=m, input_shape=(2 * m,), hidden=(256,), activation="square",
    init=0.05,
  )  # fmt: skip
  start, _ = net.init(jax.random.key(0))
  frozen = {k: v for k, v in start.items() if k.endswith("bias")}
  tx = optax.adamw(0.003, weight_decay=1.0)

  def logits(kernels):
    return net({**kernels, **frozen}, {}, x)[0]["logits"]

  def loss(kernels, seen):
    values = losses.squared_error_loss(logits(kernels), y, centred=True)
    return losses.mean_where(values, seen)

  def train(seen, key):
    shapes = {k: v.shape for k, v in start.items() if k not in frozen}
    keys = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True))
    kernels = {
      k: 0.05 * jax.random.normal(keys[k], s) for k, s in shapes.items()
    }

    def step(carry, _):
      kernels, state = carry
      grads = jax.grad(loss)(kernels, seen)
      updates, state = tx.update(grads, state, kernels)
      return (optax.apply_updates(kernels, updates), state), None

    carry = (kernels, tx.init(kernels))
    (kernels, _), _ = jax.lax.scan(step, carry, length=STEPS)
    right = (logits(kernels).argmax(axis=-1) == y).astype(jnp.float32)
    return losses.mean_where(right, ~seen)

  return jax.jit(train)


def main():
  """Prints the table, writes results and plot."""
  found, critical = {}, []
  figure, axis = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
  for m in MODULI:
    train, curve = make_train(m), []
    for share in SHARES:
      scores = []
      for draw in range(DRAWS):
        order = data.random_order(m * m, draw)
        seen = np.zeros(m * m, bool)
        seen[order[: round(share * m * m)]] = True
        scores.append(float(train(jnp.asarray(seen), jax.random.key(draw))))
      curve.append(float(np.mean(scores)))
      if curve[-1] > 0.99:
        break
    shares = SHARES[: len(curve)]
    critical.append(float(np.interp(0.5, curve, shares)) * m * m)
    found[m] = dict(shares=shares, accuracy=curve, critical=critical[-1])
    print(m, np.round(curve, 3).tolist(), round(critical[-1]), flush=True)
    axis.plot(shares, curve, "o-", label=f"modulo {m}")
  scale = np.log([m * np.log(m) for m in MODULI])
  exponent = float(np.polyfit(scale, np.log(critical), 1)[0])
  print("exponent", round(exponent, 3))
  RESULTS.write_text(
    json.dumps(dict(found, exponent=exponent), indent=1) + "\n"
  )
  axis.set(xlabel="share of the pairs seen", ylabel="accuracy on the others")
  axis.legend()
  figure.savefig(RESULTS.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
  main()
