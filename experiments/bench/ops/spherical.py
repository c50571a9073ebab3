"""The factored output layer against the dense log-softmax: CPU time a step.

Run:  python experiments/bench/ops/spherical.py [num_classes ...]

One SGD step of the output layer alone (kernel update and gradient to the
features), d = 256, batch 128, float32, Z-loss, ReLU features, state donated.
Process CPU milliseconds on one core, medians of 7 after a warm-up, the
contenders interleaved: only ratios within one run mean something. The guard
works now and then, so one of its repeats is the mean of GUARD_STEPS steps.
"""

import json
import os
import pathlib
import sys
import time

os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["JAX_PLATFORMS"] = "cpu"
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from jaxcls import losses, ops  # noqa: E402
from jaxcls.ops.spherical import _reference  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
REPEATS, D_FEATURES, BATCH = 7, 256, 128
GUARD_STEPS = 40


class Contender:
  """A donated carry, a jitted step, and the CPU seconds of its repeats."""

  def __init__(self, step, carry, steps=1):
    self.step = jax.jit(step, donate_argnums=0)
    self.carry, self.steps, self.seconds = carry, steps, []

  def run(self, batches):
    """Takes `steps` steps; notes the seconds of one."""
    begin = time.process_time()
    for i in range(self.steps):
      self.carry, out = self.step(self.carry, *batches[i % len(batches)])
      jax.block_until_ready(out)
    jax.block_until_ready(self.carry)
    self.seconds.append((time.process_time() - begin) / self.steps)

  def median_ms(self):
    """Without the first, which compiles."""
    return 1e3 * float(np.median(self.seconds[1:]))


def factored(learning_rate, max_condition):
  """(state, features, labels) -> (state, what a learner needs)."""
  loss = ops.make_spherical_loss("z_loss", a=0.1, b=10.0)

  def step(state, features, labels):
    state, per_example, d_features = ops.spherical_update(
      state,
      features,
      labels,
      loss=loss,
      learning_rate=learning_rate,
      max_condition=max_condition,
    )
    return state, (per_example, d_features)

  return step


def dense(kernel, features, labels):
  """The same for the full log-softmax."""
  kernel, *out = _reference.dense_update(
    kernel,
    features,
    labels,
    loss=losses.cross_entropy_loss,
    learning_rate=0.1,
  )
  return kernel, out


def bench(num_classes):
  """Milliseconds a step, ratios to the softmax, and what the guard did."""
  rng = np.random.default_rng(0)
  kernel = rng.standard_normal((num_classes, D_FEATURES), np.float32) / 16.0
  draw = lambda: np.maximum(rng.normal(size=(BATCH, D_FEATURES)), 0.0)
  batches = [
    (jnp.asarray(draw(), jnp.float32), rng.integers(0, num_classes, BATCH))
    for _ in range(20)
  ]
  state = lambda: ops.init_spherical(jnp.asarray(kernel))
  contenders = {"unguarded": Contender(factored(1.0, None), state(), 3)}
  # The mean gradient is of size 1 / D: at rate D / 1000 the guard works as hard
  # for every D, at rate 10 hardly at all for the larger ones.
  for name, rate in (("lr 10", 10.0), ("lr D/1000", num_classes / 1000)):
    contenders[f"guarded, {name}"] = Contender(
      factored(rate, 1000.0), state(), GUARD_STEPS
    )
  contenders["log_softmax"] = Contender(dense, jnp.array(kernel))
  for _ in range(REPEATS + 1):
    for contender in contenders.values():
      contender.run(batches)
  out = {f"{n} ms": round(c.median_ms(), 3) for n, c in contenders.items()}
  softmax = contenders.pop("log_softmax").median_ms()
  for name, contender in contenders.items():
    out[f"{name} ratio"] = round(softmax / contender.median_ms(), 2)
    mean = 1e3 * float(np.mean(contender.seconds[1:]))
    out[f"{name} mean ms"] = round(mean, 3)
    finite = bool(jnp.isfinite(contender.carry["gram"]).all())
    counts = {k: int(v) for k, v in contender.carry.items() if "_steps" in k}
    taken = contender.steps * (REPEATS + 1)
    out[f"{name} state"] = counts | {"steps": taken, "finite": finite}
  return out


def main():
  """Runs the given numbers of classes and rewrites their results."""
  path = HERE / "spherical.json"
  results = json.loads(path.read_text()) if path.exists() else {}
  for num_classes in map(int, sys.argv[1:] or (10**3, 10**4, 10**5, 10**6)):
    results[str(num_classes)] = bench(num_classes)
    for key, value in results[str(num_classes)].items():
      print(f"{num_classes:8} {key:28} {value}", flush=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
  main()
