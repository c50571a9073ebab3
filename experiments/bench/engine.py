"""What the engine costs: loop, input, start-up, and PyTorch beside it.

Run:  python experiments/bench/engine.py [loop input start torch]
      (the last part needs `pip install "jaxcls[bench]"`)

Ratios are measured within one run: medians of 7 after a warm-up, contenders
interleaved. Ratios of CPU convolutions say nothing about accelerators.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FASHION = str(ROOT / "configs/supervised/fashion_mnist.py")
QUICKSTART = str(ROOT / "configs/quickstart.py")
REPEATS = 7


def median(values):
  """Middle of the sorted values."""
  return sorted(values)[len(values) // 2]


def now():
  """Wall-clock and process CPU seconds."""
  return time.perf_counter(), time.process_time()


def since(begin, steps):
  """Wall-clock and CPU seconds a step since `begin`."""
  return [(b - a) / steps for a, b in zip(begin, now(), strict=True)]


class Watched:
  """An iterator of batches that records how long each was waited for."""

  def __init__(self, batches):
    """Wraps an iterator."""
    self.batches, self.waited = batches, []

  def __next__(self):
    """The next batch."""
    begin = time.perf_counter()
    batch = next(self.batches)
    self.waited.append(time.perf_counter() - begin)
    return batch


def bench_loop(steps=60, warm=10):
  """The whole training loop against its own jitted step on one batch."""
  import jax
  import numpy as np

  from jaxcls import engine
  from jaxcls.engine import _config, _loop

  config = engine.load_config(
    FASHION,
    [f"total_steps={steps}", "total_epochs=None", "schedule.warmup_epochs=0"],
  )
  config["evaluation"]["every_epochs"] = None
  program = engine.build(_config.phase_configs(config)[0])
  stage = next(iter(program.scenario.stages(0)))
  tx, seen, times = program.optimizer(steps), [], []
  open_batches, inner = _loop.StagePlay._open_batches, _loop.StagePlay._steps

  def watched(self, state, start):
    seen.append(Watched(open_batches(self, state, start)))
    return seen[-1]

  def timed(self, state):
    step_fn, begins = self.step_fn, []

    def counted(state, batch):
      # Dispatch runs ahead of the device: wait before the clock starts.
      if len(begins) == warm:
        jax.block_until_ready(state)
      begins.append(now())
      return step_fn(state, batch)

    self.step_fn = counted
    state = jax.block_until_ready(inner(self, state))
    times.append(since(begins[warm], steps - warm))
    return state

  _loop.StagePlay._open_batches, _loop.StagePlay._steps = watched, timed
  bare = []
  with jax.set_mesh(program.mesh):
    batch = _loop.first_batch(program, stage)
    params, stats = program.net.init(jax.random.key(0))
    start = jax.jit(lambda *a: program.start(*a, tx=tx))
    key, step = jax.random.key(0), np.int32(0)
    state = start(params, stats, key, step, {}, batch)
    step_fn = program.compile_step(program.make_step(), state)
    state, _ = jax.block_until_ready(step_fn(state, batch))
    for _ in range(REPEATS):
      begin = now()
      for _ in range(steps - warm):
        state, _ = step_fn(state, batch)
      jax.block_until_ready(state)
      bare.append(since(begin, steps - warm))
      with tempfile.TemporaryDirectory() as folder:
        engine.train(config, folder)
  _loop.StagePlay._open_batches, _loop.StagePlay._steps = open_batches, inner
  waits = [sum(w.waited[warm:]) / (steps - warm) for w in seen]
  ratios = lambda i: [a[i] / b[i] for a, b in zip(times, bare, strict=True)]
  shares = [w / t[0] for w, t in zip(waits, times, strict=True)]
  return {
    "bare_ms_per_step": 1e3 * median([b[0] for b in bare]),
    "engine_ms_per_step": 1e3 * median([t[0] for t in times]),
    "overhead_wall": median(ratios(0)) - 1,
    "overhead_cpu": median(ratios(1)) - 1,
    "input_wait_share": median(shares),
    "batch_size": config["batch_size"],
  }


def bench_input(steps=400):
  """Images a second of the plan-source pipeline on Fashion-MNIST."""
  from jaxcls import data

  source = data.load_source("fashion_mnist")
  rates = []
  for repeat in range(REPEATS + 1):
    plan = data.UniformPlan(source.ids, 256, steps, seed=repeat)
    batches = data.host_batches({"train": plan}, {"train": source.fetch})
    begin = time.perf_counter()
    for _ in batches:
      pass
    rates.append(steps * 256 / (time.perf_counter() - begin))
  return {"images_per_second": median(rates[1:]), "batch_size": 256}


FIRST_STEP = """
import sys, time
from jaxcls import cli
from jaxcls.engine import _program
make = _program.Program.compile_step
def compile_step(self, step, state):
  inner, done = make(self, step, state), []
  def call(state, batch):
    out = inner(state, batch)
    if not done:
      import jax
      jax.block_until_ready(out)
      print("FIRST", time.time(), flush=True)
      done.append(1)
      sys.exit(0)
    return out
  return call
_program.Program.compile_step = compile_step
cli.main(["train", "--config", sys.argv[1], "--workdir", sys.argv[2]])
"""


def bench_start():
  """Seconds from the quickstart's command to the end of its first step."""
  with tempfile.TemporaryDirectory() as folder:
    environment = {**os.environ, "XDG_CACHE_HOME": folder}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    seconds = []
    for i in range(REPEATS + 1):
      begin = time.time()
      out = subprocess.run(
        [sys.executable, "-c", FIRST_STEP, QUICKSTART, f"{folder}/run{i}"],
        env=environment, capture_output=True, text=True, check=True,
      )  # fmt: skip
      first = [x for x in out.stdout.splitlines() if x.startswith("FIRST")]
      seconds.append(float(first[0].split()[1]) - begin)
  return {"cold_seconds": seconds[0], "cached_seconds": median(seconds[1:])}


def bench_torch():
  """Forward, backward and SGD update against the same network in PyTorch."""
  import _torch_models
  import jax
  import jax.numpy as jnp
  import optax
  import torch

  from jaxcls import losses, models

  # One core for both: on a busy machine OpenMP's spinning threads cost PyTorch
  # up to 40 times, and would flatter us.
  os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
  torch.set_num_threads(1)
  cases = {
    "resnet18 width 16, 32x32, batch 64": (
      lambda: models.resnet(num_classes=10, input_shape=(32, 32, 3), width=16),
      lambda: _torch_models.ResNet18(width=16),
      64,
    ),
    "vit Ti/4, 32x32, batch 32": (
      lambda: models.vit(
        num_classes=10, input_shape=(32, 32, 3), variant="Ti/4"
      ),
      lambda: _torch_models.ViT(width=192, depth=12, heads=3, patch=4),
      32,
    ),
  }
  results = {}
  for name, (make, make_torch, batch_size) in cases.items():
    net, tx = make(), optax.sgd(0.1, momentum=0.9)
    images = jax.random.normal(jax.random.key(0), (batch_size, 32, 32, 3))
    labels = jnp.arange(batch_size) % 10
    params, stats = net.init(jax.random.key(1))

    def loss_fn(params, stats, images, labels, net=net):
      out, stats = net(params, stats, images, train=True)
      return losses.cross_entropy_loss(out["logits"], labels).mean(), stats

    @jax.jit
    def step(params, stats, opt_state, tx=tx, loss_fn=loss_fn,
             images=images, labels=labels):  # fmt: skip
      grad_fn = jax.grad(loss_fn, has_aux=True)
      grads, stats = grad_fn(params, stats, images, labels)
      updates, opt_state = tx.update(grads, opt_state)
      return optax.apply_updates(params, updates), stats, opt_state

    state = (params, stats, tx.init(params))
    torch_step = _torch_models.make_step(make_torch(), batch_size)
    ours, theirs = [], []
    for _ in range(REPEATS + 1):
      begin = (time.perf_counter(), time.process_time())
      state = jax.block_until_ready(step(*state))
      middle = (time.perf_counter(), time.process_time())
      torch_step()
      end = (time.perf_counter(), time.process_time())
      ours.append([b - a for a, b in zip(begin, middle, strict=True)])
      theirs.append([b - a for a, b in zip(middle, end, strict=True)])
    wall = [a[0] / b[0] for a, b in zip(ours[1:], theirs[1:], strict=True)]
    cpu = [a[1] / b[1] for a, b in zip(ours[1:], theirs[1:], strict=True)]
    results[name] = {
      "jax_ms": 1e3 * median([x[0] for x in ours[1:]]),
      "torch_ms": 1e3 * median([x[0] for x in theirs[1:]]),
      "jax_over_torch_wall": median(wall),
      "jax_over_torch_cpu": median(cpu),
      "parameters": [
        sum(v.size for v in params.values()),
        torch_step.num_parameters,
      ],
    }
  return results


def main(parts):
  """Runs the named parts, prints them, keeps the others' stored figures."""
  path = HERE / "engine.json"
  results = json.loads(path.read_text()) if path.exists() else {}
  for part in parts or ("loop", "input", "start", "torch"):
    results[part] = globals()[f"bench_{part}"]()
    print(part, json.dumps(results[part], indent=2), flush=True)
    path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
  main(sys.argv[1:])
