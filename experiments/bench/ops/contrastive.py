"""Contrastive and linear cross-entropy: CPU time, and compiled peak memory.

Run:  python experiments/bench/ops/contrastive.py [supcon linear memory]
      (needs `pip install "jaxcls[bench,tpu]" --no-deps pytorch-metric-learning`
      and, for the H100 rows, jax-cuda13-plugin and jax-cuda13-pjrt)

Times are process CPU seconds on one core, medians of 7 after a warm-up, the
contenders interleaved: only ratios within one run mean something. Memory is
what the compiler says, no device was used. `peak` counts a TPU's VMEM too;
`hbm` is arguments + outputs + temporaries, VMEM left out.
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

from jaxcls import _targets, ops  # noqa: E402
from jaxcls.ops.contrastive import _reference  # noqa: E402
from jaxcls.ops.cross_entropy import _reference as _linear  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
REPEATS, TEMPERATURE = 7, 0.1
MIB = 2**20


def interleave(contenders):
  """Median CPU seconds of each {name: function without arguments}."""
  for f in contenders.values():
    f()
  times = {name: [] for name in contenders}
  for _ in range(REPEATS):
    for name, f in contenders.items():
      begin = time.process_time()
      f()
      times[name].append(time.process_time() - begin)
  return {name: sorted(t)[REPEATS // 2] for name, t in times.items()}


def jitted(f, *arrays, grads=None):
  """A call of jit(f), or of its value and gradients, that waits."""
  if grads is not None:
    f = jax.value_and_grad(lambda *a, g=f: g(*a).mean(), argnums=grads)
  f = jax.jit(f)
  return lambda: jax.block_until_ready(f(*arrays))


def embeddings(n, d):
  """[n d] float32 with unit norm."""
  z = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
  return z / np.linalg.norm(z, axis=1, keepdims=True)


def fused(z, y, axis_name=None, block_size=512):
  """Ours."""
  return ops.supcon_loss(
    z, y, temperature=TEMPERATURE, axis_name=axis_name, block_size=block_size
  )


def naive(z, y):
  """All similarities stored."""
  return _reference.supcon(z, y, TEMPERATURE, jnp.ones(len(z), bool))


def bench_supcon(n=4096, d=256, num_classes=100):
  """SupCon forward and backward against jnp and pytorch-metric-learning."""
  import torch
  from pytorch_metric_learning import losses

  torch.set_num_threads(1)
  z = embeddings(n, d)
  y = np.random.default_rng(1).integers(0, num_classes, n)
  theirs = losses.SupConLoss(temperature=TEMPERATURE)
  z_torch = torch.tensor(z, requires_grad=True)
  y_torch = torch.tensor(y)

  def forward():
    with torch.no_grad():
      theirs(z_torch, y_torch)

  def backward():
    z_torch.grad = None
    theirs(z_torch, y_torch).backward()

  z, y = jnp.asarray(z), jnp.asarray(y)
  half = z[: n // 2], z[n // 2 :]
  clip = lambda f: lambda x, y: f(x, y, temperature=TEMPERATURE)
  keep = jnp.ones(n // 2, bool)
  naive_clip = lambda x, y: _reference.clip(x, y, TEMPERATURE, keep)
  return interleave(
    {
      "fused forward": jitted(fused, z, y),
      "naive forward": jitted(naive, z, y),
      "pml forward": forward,
      "fused both": jitted(fused, z, y, grads=0),
      "naive both": jitted(naive, z, y, grads=0),
      "pml both": backward,
      "fused clip both, n/2": jitted(clip(ops.clip_loss), *half, grads=(0, 1)),
      "naive clip both, n/2": jitted(naive_clip, *half, grads=(0, 1)),
    }
  )


def bench_linear(n=1024, d=256, c=100_000):
  """Linear cross-entropy, gradients to features and kernel."""
  x = jnp.asarray(embeddings(n, d))
  kernel = jnp.asarray(embeddings(c, d).T)
  y = jnp.arange(n) * (c // n)
  ours = ops.linear_cross_entropy
  theirs = _linear.linear_cross_entropy
  gather = lambda x, k, y: (
    -jnp.take_along_axis(jax.nn.log_softmax(x @ k), y[:, None], 1)
  )
  times = interleave(
    {
      "fused forward": jitted(ours, x, kernel, y),
      "naive forward": jitted(gather, x, kernel, y),
      "fused both": jitted(ours, x, kernel, y, grads=(0, 1)),
      "naive both": jitted(gather, x, kernel, y, grads=(0, 1)),
    }
  )
  shapes = [(n, d), (d, c), (n,)]
  memory = {
    f"{target} {name}": peak(target, f, shapes, 1, grads=(0, 1))
    for target in ("v5e:2x2", "h100:1")
    for name, f in (("fused", ours), ("one-hot", theirs), ("naive", gather))
  }
  return times | memory


def peak(target, f, shapes, devices, grads=0):
  """{peak, hbm} MiB of one device; a message where it does not compile."""
  arrays = [
    jax.ShapeDtypeStruct(s, jnp.float32 if len(s) > 1 else jnp.int32)
    for s in shapes
  ]
  # Under shard_map every device differentiates the mean of its own rows.
  step = jax.grad(lambda *a: f(*a).mean(), argnums=grads)
  try:
    compiled = _targets.compile_for(
      target, step, *arrays, num_devices=devices, effort=0.0
    )
  except Exception as error:  # noqa: BLE001
    return {"error": str(error)[:200]}
  memory = _targets.read_memory(compiled)
  return {
    "peak": round(memory.peak / MIB, 1),
    "hbm": round(memory.hbm / MIB, 1),
  }


def bench_memory(d=256):
  """SupCon's gradient: one device at 32k, a ring of 16 at 262k."""
  out = {}
  for target in ("v5e:2x2", "h100:1"):
    for name, f in (("fused", fused), ("naive", naive)):
      shapes = [(32768, d), (32768,)]
      out[f"{target} 32k {name}"] = peak(target, f, shapes, 1)
  ring = lambda z, y: fused(z, y, axis_name="data")
  shapes = [(262144, d), (262144,)]
  out["v5e:4x4 262k ring, per device"] = peak("v5e:4x4", ring, shapes, 16)
  return out


def main():
  """Runs the named parts, or all, and rewrites their part of the results."""
  path = HERE / "contrastive.json"
  results = json.loads(path.read_text()) if path.exists() else {}
  for name in sys.argv[1:] or ["supcon", "linear", "memory"]:
    results[name] = globals()[f"bench_{name}"]()
    for key, value in results[name].items():
      print(f"{name:8} {key:32} {value}", flush=True)
  path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
  main()
