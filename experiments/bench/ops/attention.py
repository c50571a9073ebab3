"""Local linear and softmax attention: CPU time, and compiled peak memory.

Run:  python experiments/bench/ops/attention.py [cpu linear softmax]
      (needs `pip install "jaxcls[tpu]"` and, for the H100 rows,
      jax-cuda13-plugin, jax-cuda13-pjrt and nvidia-cudnn-cu13 on the library
      path)

Times are process CPU seconds on one core, medians of 7 after a warm-up, the
contenders interleaved: only ratios within one run mean something. Memory is
what the compiler says, no device was used. `peak` counts a TPU's VMEM too;
`hbm` is arguments + outputs + temporaries, VMEM left out.
"""

import functools
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

HERE = pathlib.Path(__file__).resolve().parent
REPEATS = 7
MIB = 2**20
TARGETS = ("v5e:2x2", "v6e:2x2", "h100:1")


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


def both(f):
  """Value and gradients of a sum of squares."""
  loss = lambda *a: (f(*a).astype(jnp.float32) ** 2).sum()
  return jax.value_and_grad(loss, argnums=(0, 1, 2))


def linear(q, k, v, iterations=8, **options):
  """Ours."""
  return ops.local_linear_attention(
    q, k, v, ridge=1.0, iterations=iterations, **options
  )


def conjugate_gradients(f, b, iterations):
  """f^-1 b from 0, every row on its own."""
  dot = lambda a, b: (a * b).sum(-1, keepdims=True)

  def step(_, state):
    x, r, p = state
    image = f(p)
    alpha = dot(r, r) / dot(p, image)
    new = r - alpha * image
    return x + alpha * p, new, new + dot(new, new) / dot(r, r) * p

  return jax.lax.fori_loop(0, iterations, step, (b * 0, b, b))[0]


def plain(q, k, v, iterations=8):
  """Conjugate gradients with all weights stored, differentiated by JAX."""
  logits = jnp.einsum("bthd,bshd->bhts", q, k) / q.shape[-1] ** 0.5
  p = jax.nn.softmax(logits, axis=-1)
  mean = lambda u, a: jnp.einsum("bhts,bshd->bthd", u, a)
  dots = lambda a: jnp.einsum("bthd,bshd->bhts", a, k)
  kb = mean(p, k)
  at = lambda a: (a * kb).sum(-1).swapaxes(1, 2)[..., None]
  image = lambda a: mean(p * (dots(a) - at(a)), k) + a
  solve = lambda f, b: conjugate_gradients(f, b, iterations)
  x = jax.lax.custom_linear_solve(image, q - kb, solve, symmetric=True)
  return mean(p * (1 + dots(x) - at(x)), v)


def bench_cpu(n=1024, heads=4, d=64):
  """Forward, and value and gradient; float32."""
  rng = np.random.default_rng(0)
  shape = (1, n, heads, d)
  arrays = [jnp.asarray(rng.normal(size=shape), jnp.float32) for _ in "qkv"]
  contenders = {"softmax": ops.attention}
  for i in (8, 16):
    contenders[f"linear, {i} iterations"] = functools.partial(
      linear, iterations=i
    )
  contenders["linear causal, 8 iterations"] = functools.partial(
    linear, causal=True
  )
  calls = {}
  for name, f in contenders.items():
    for part, g in (("forward", f), ("both", both(f))):
      call = jax.jit(g)
      calls[f"{name} {part}"] = lambda call=call: jax.block_until_ready(
        call(*arrays)
      )
  return interleave(calls)


def peaks(contenders, shape, dtype):
  """{target name part: {peak, hbm} MiB}; a message where it fails."""
  out = {}
  arrays = [jax.ShapeDtypeStruct(shape, dtype)] * 3
  for target in TARGETS:
    for name, f in contenders.items():
      for part, g in (("forward", f), ("both", both(f))):
        try:
          compiled = _targets.compile_for(target, g, *arrays, effort=0.0)
        except Exception as error:  # noqa: BLE001
          out[f"{target} {name} {part}"] = {"error": str(error)[:200]}
          continue
        memory = _targets.read_memory(compiled)
        out[f"{target} {name} {part}"] = {
          "peak": round(memory.peak / MIB, 1),
          "hbm": round(memory.hbm / MIB, 1),
        }
  return out


def bench_linear(n=2048, heads=16, d=64):
  """The chosen path, the blocked jnp path, and all weights stored."""
  contenders = {
    "chosen": linear,
    "jnp": functools.partial(linear, implementation="jnp"),
    "all weights": plain,
  }
  shape = (1, n, heads, d)
  bfloat16 = peaks({"bf16 chosen": linear}, shape, jnp.bfloat16)
  return peaks(contenders, shape, jnp.float32) | bfloat16


def bench_softmax(batch=64, heads=12, d=64):
  """ViT lengths in bfloat16: 197 and 577 tokens."""
  out = {}
  for t in (197, 577):
    contenders = {
      f"t={t} chosen": ops.attention,
      f"t={t} xla": functools.partial(ops.attention, implementation="xla"),
    }
    out |= peaks(contenders, (batch, t, heads, d), jnp.bfloat16)
  return out


def main():
  """Runs the named parts, or all, and rewrites their part of the results."""
  path = HERE / "attention.json"
  results = json.loads(path.read_text()) if path.exists() else {}
  for name in sys.argv[1:] or ["cpu", "linear", "softmax"]:
    results[name] = globals()[f"bench_{name}"]()
    for key, value in results[name].items():
      print(f"{name:8} {key:40} {value}", flush=True)
  path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
  main()
