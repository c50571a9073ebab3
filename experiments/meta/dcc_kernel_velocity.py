"""How fast the tangent kernel moves while a network learns a condensed set.

Run:  python experiments/meta/dcc_kernel_velocity.py --runs DIR --plain DIR
      (the workdirs of dcc_background.py and dcc_background_plain.py)

The images that each run ended with, 10 a class, train the
same fresh network (two layers of 128 units, SGD at 0.01, momentum 0.9, weight
decay 5e-4, all images in a step), and ||K_{t+1} - K_t|| / ||K_t|| is measured
for its tangent kernel K_t on the first 40 test images: the mean over steps 0 to
9, and over ten steps each from 100 and from 290 on. 3 seeds; the network's
start is the same for all arms of a seed.

Beside it, of the images themselves: the mean distance of a class's mean image
from that of all classes, on the 14 x 14 pixels of the digit and around them,
where real images differ by class by chance alone. No unit: normalised pixels.
"""

import argparse
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcls import engine, evaluation, losses

RESULTS = pathlib.Path(__file__).with_suffix(".json")
STARTS, SPAN, PROBES = (0, 100, 290), 10, 40
ARMS = ("random_10", "dc_10", "dcc_10")


def measure(folder: pathlib.Path, seed: int) -> dict[str, float]:
  """{"from_t": mean velocity of the steps from t on, "apart_...": ...}."""
  run = engine.load_run(str(folder))
  images = run.state.memory["images"]
  labels = jnp.repeat(jnp.arange(images.shape[0]), images.shape[1])
  flat = images.reshape(-1, *images.shape[2:])
  source = run.stage.evals["test"]
  probes = run.transform(source.fetch(source.ids[:PROBES]))["image"]
  apply = lambda params, x: run.net(params, {}, x)[0]["logits"]
  kernel = jax.jit(lambda p: evaluation.tangent_kernel(apply, p, probes))
  optimizer = optax.chain(
    optax.add_decayed_weights(5e-4), optax.sgd(0.01, momentum=0.9)
  )

  @jax.jit
  def step(params, opt_state):
    loss = lambda p: losses.cross_entropy_loss(apply(p, flat), labels).mean()
    updates, opt_state = optimizer.update(
      jax.grad(loss)(params), opt_state, params
    )
    return optax.apply_updates(params, updates), opt_state

  params, _ = run.net.init(jax.random.key(1000 + seed))
  opt_state = optimizer.init(params)
  found = {}
  for t in range(STARTS[-1] + SPAN):
    inside = any(s <= t < s + SPAN for s in STARTS)
    old = kernel(params) if inside else None
    params, opt_state = step(params, opt_state)
    if inside:
      start = max(s for s in STARTS if s <= t)
      velocity = evaluation.kernel_velocity(old, kernel(params))
      found.setdefault(f"from_{start}", []).append(float(velocity))
  means = np.asarray(images)[..., 0].mean(axis=1)
  apart = (means - means.mean(axis=0)) ** 2
  digit = np.zeros(apart.shape[1:], bool)
  digit[7:21, 7:21] = True
  found["apart_on_digit"] = np.sqrt(apart[:, digit].sum(axis=1))
  found["apart_around"] = np.sqrt(apart[:, ~digit].sum(axis=1))
  return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
  """Measures every run and writes the table beside this file."""
  parser = argparse.ArgumentParser()
  for name in ("--runs", "--plain"):
    parser.add_argument(name, required=True)
  given, table = parser.parse_args(), {}
  folders = {arm: pathlib.Path(given.runs) / arm for arm in ARMS}
  folders |= {f"{arm}_plain": pathlib.Path(given.plain) / arm for arm in ARMS}
  for arm, folder in folders.items():
    rows = [measure(folder / f"seed{seed}", seed) for seed in range(3)]
    for name in rows[0]:
      values = [row[name] for row in rows]
      entry = {"values": values, "mean": float(np.mean(values))}
      entry["std"] = float(np.std(values, ddof=1))
      table.setdefault(arm, {})[name] = entry
      print(f"{arm:16} {name:14} {entry['mean']:.5f} {entry['std']:.5f}")
  RESULTS.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
  main()
