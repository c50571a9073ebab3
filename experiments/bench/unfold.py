"""Convolutions as matrix products inside loops and conditionals, on CPU.

Run:  python experiments/bench/unfold.py

The two halves of a step of dataset condensation (learners.Condense) on images
of 8 x 8, ConvNet of widths 16, 16: one update of 100 images against 640 real
ones, all classes at once (DCC) or class by class (DC), inside a conditional;
and 50 SGD steps of the network, a loop. With models.convnet(unfold=True) and
without, in turn, median of 7 after a warm-up; prints the ratio and writes
unfold.json.
"""

import json
import pathlib
import statistics
import time

import jax
import jax.numpy as jnp
import optax

from jaxcls import learners, losses, models

SHAPE = (8, 8, 1)
CLASSES = 10


def make_cases(unfold):
  """{name: compiled function of the synthetic images}."""
  net = models.convnet(
    num_classes=CLASSES, input_shape=SHAPE, widths=(16, 16), hidden=None,
    flatten=True, pool="average", norm="instance", unfold=unfold,
  )  # fmt: skip
  params, _ = net.init(jax.random.key(0))
  real = jax.random.normal(jax.random.key(1), (CLASSES, 64, *SHAPE))
  labels = jnp.repeat(jnp.arange(CLASSES), 10)
  optimizer = optax.sgd(0.01)

  def matching(images, real, at_once):
    return jax.grad(
      lambda s: learners.matching_loss(net, params, s, real, at_once)
    )(images)

  def training(images):
    flat = images.reshape(-1, *SHAPE)

    def loss(params):
      out, _ = net(params, {}, flat)
      return losses.cross_entropy_loss(out["logits"], labels).mean()

    def step(_, carry):
      params, state = carry
      updates, state = optimizer.update(jax.grad(loss)(params), state, params)
      return optax.apply_updates(params, updates), state

    start = params, optimizer.init(params)
    return jax.lax.fori_loop(0, 50, step, start)[0]

  matching, training = jax.jit(matching), jax.jit(training)
  return {
    "images, all classes at once": lambda s: matching(s, real, jnp.bool_(True)),
    "images, class by class": lambda s: matching(s, real, jnp.bool_(False)),
    "network, 50 steps": training,
  }


def main():
  """Prints and writes milliseconds and ratios."""
  images = jax.random.normal(jax.random.key(2), (CLASSES, 10, *SHAPE))
  contenders = {"convolution": make_cases(False), "unfold": make_cases(True)}
  results = {}
  for case in contenders["unfold"]:
    times = {name: [] for name in contenders}
    for turn in range(8):
      for name, cases in contenders.items():
        start = time.perf_counter()
        jax.block_until_ready(cases[case](images))
        if turn:
          times[name].append((time.perf_counter() - start) * 1e3)
    row = {name: round(statistics.median(t), 2) for name, t in times.items()}
    row["ratio"] = round(row["convolution"] / row["unfold"], 2)
    results[case] = row
    print(
      f"{case:28} convolution {row['convolution']:8.2f} ms, unfold "
      f"{row['unfold']:8.2f} ms, {row['ratio']:.2f} times",
      flush=True,
    )
  path = pathlib.Path(__file__).with_suffix(".json")
  path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
  main()
