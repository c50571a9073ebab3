"""Compiles every op, forward and backward, for devices that are not here.

Run:  python -m jaxcls.ops.preflight [--target v5e:2x2] [--op sorting]

Needs libtpu for the TPU targets and JAX's CUDA plugin for H100; a target whose
compiler is not installed is named and passed over. Ends with 1 if an op does
not compile. The column "path" says what was lowered: a Pallas kernel, cuDNN or
plain XLA.
"""

import argparse
import dataclasses
import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcls import _targets, ops

TARGETS = ("v5e:2x2", "v6e:2x2", "h100:1")
DTYPES = {"f32": jnp.float32, "bf16": jnp.bfloat16}
_MIB = 2**20
# Names of compiled kernels in the text of a program.
_PATHS = {
  "pallas": ("tpu_custom_call", "__gpu$xla.gpu.triton", "mosaic_gpu"),
  "cudnn": ("__cudnn$",),
}


@dataclasses.dataclass(frozen=True)
class Case:
  """One op at one shape.

  Attributes:
    op: the folder in `jaxcls/ops`.
    name: which function, and how it is called.
    shape: for the reader.
    f: the function of `arrays`.
    arrays: one `jax.ShapeDtypeStruct` (or a pytree of them) an argument.
    differentiate: which arguments get a gradient; empty for none.
  """

  op: str
  name: str
  shape: str
  f: Callable
  arrays: tuple[Any, ...]
  differentiate: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Result:
  """What the compiler says of a case on a target.

  Attributes:
    op, name, shape, target: as asked for.
    part: "forward" or "gradient" (value and gradient).
    path: "pallas", "cudnn" or "xla".
    peak_mib, hbm_mib: of one device; `hbm_mib` leaves a TPU's VMEM out.
    seconds: tracing, lowering and compiling.
    error: the compiler's message; "" where it compiled.
  """

  op: str
  name: str
  shape: str
  target: str
  part: str
  path: str = ""
  peak_mib: float = 0.0
  hbm_mib: float = 0.0
  seconds: float = 0.0
  error: str = ""


def _array(*shape, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(shape, dtype)


def _sorting() -> Iterator[Case]:
  soft_sort = functools.partial(ops.soft_sort, steepness=4.0)
  for network, n in (("odd_even", 11), ("odd_even", 64), ("bitonic", 64)):
    sort = functools.partial(soft_sort, network=network)
    for dtype, kind in DTYPES.items():
      x = (_array(256, n, dtype=kind),)
      shape = f"{network} 256x{n} {dtype}"
      yield Case(
        "sorting", "soft_sort().matrix()", shape,
        lambda x, sort=sort: sort(x).matrix(), x, (0,),
      )  # fmt: skip
    yield Case(
      "sorting", "soft_sort().apply(v)", f"{network} 1024x{n} f32",
      lambda x, v, sort=sort: sort(x).apply(v),
      (_array(1024, n), _array(n)), (0,),
    )  # fmt: skip
  yield Case(
    "sorting", "soft_rank", "odd_even 256x64 f32",
    functools.partial(ops.soft_rank, steepness=4.0), (_array(256, 64),), (0,),
  )  # fmt: skip


def _contrastive() -> Iterator[Case]:
  n, d = 8192, 128
  for dtype, kind in DTYPES.items():
    z, y = _array(n, d, dtype=kind), _array(n, dtype=jnp.int32)
    shape = f"{n}x{d} {dtype}"
    call = lambda f, **kw: functools.partial(f, temperature=0.1, **kw)
    yield Case(
      "contrastive", "supcon_loss", shape, call(ops.supcon_loss), (z, y), (0,)
    )
    yield Case(
      "contrastive", "clip_loss", shape, call(ops.clip_loss), (z, z), (0, 1)
    )
  views = _array(n // 2, 2, d)
  yield Case(
    "contrastive", "nt_xent_loss", f"{n // 2}x2x{d} f32",
    call(ops.nt_xent_loss), (views,), (0,),
  )  # fmt: skip
  yield Case(
    "contrastive", "sigmoid_pair_loss", shape.replace("bf16", "f32"),
    call(ops.sigmoid_pair_loss, bias=-10.0), (_array(n, d), _array(n, d)),
    (0, 1),
  )  # fmt: skip


def _cross_entropy() -> Iterator[Case]:
  n, d, c = 1024, 256, 100_000
  for dtype, kind in DTYPES.items():
    arrays = (
      _array(n, d, dtype=kind),
      _array(d, c, dtype=kind),
      _array(n, dtype=jnp.int32),
    )
    yield Case(
      "cross_entropy", "linear_cross_entropy", f"{n}x{d}x{c} {dtype}",
      ops.linear_cross_entropy, arrays, (0, 1),
    )  # fmt: skip


def _spherical() -> Iterator[Case]:
  m, d, c = 128, 256, 100_000
  state = jax.eval_shape(ops.init_spherical, _array(c, d))
  loss = ops.make_spherical_loss("z_loss", a=0.1, b=9.0)
  update = functools.partial(ops.spherical_update, loss=loss, learning_rate=1.0)
  arrays = (state, _array(m, d), _array(m, dtype=jnp.int32))
  yield Case(
    "spherical", "spherical_update", f"{m}x{d}x{c} f32", update, arrays
  )


def _small() -> Iterator[Case]:
  """The ops without kernels: they must lower, callbacks and all."""
  n, d, k = 4096, 64, 100
  x, y = _array(n, d), _array(n, dtype=jnp.int32)
  kmeans = lambda x, init: ops.kmeans(x, num_clusters=k, init=init)
  yield Case("clustering", "kmeans", f"{n}x{d}, k={k} f32", kmeans,
             (x, _array(k, d)))  # fmt: skip
  near = lambda x: ops.nearest_neighbors(x, x, k=10, exclude_self=True)
  yield Case("distances", "nearest_neighbors", f"{n}x{d}, k=10 f32", near, (x,))
  distances = functools.partial(
    ops.pairwise_distances, metric="squared_euclidean"
  )
  yield Case("distances", "pairwise_distances", f"{n}x{k}x{d} f32", distances,
             (x, _array(k, d)), (0, 1))  # fmt: skip

  def gaussian(x, y):
    found = ops.gaussian_statistics(x, y, num_classes=10)
    covariances = ops.gaussian_covariance(found, shrinkage="oas", ridge=1e-3)
    return ops.mahalanobis(x, found.means, covariances)

  yield Case("gaussian", "mahalanobis", f"{n}x{d}, c=10 f32", gaussian, (x, y),
             (0,))  # fmt: skip
  yield Case("diffusion", "noise_embeddings", f"{n}x{d} f32",
             ops.noise_embeddings, (x, _array(n), x), (0,))  # fmt: skip
  solve = lambda a, b: ops.conjugate_gradient(
    lambda v: a @ v, b, num_iterations=16
  )
  yield Case("linalg", "conjugate_gradient", f"{d}x{d} f32", solve,
             (_array(d, d), _array(d)), (0, 1))  # fmt: skip
  yield Case("transport", "linear_assignment", f"{k}x{k} f32",
             ops.linear_assignment, (_array(k, k),))  # fmt: skip
  sinkhorn = functools.partial(ops.sinkhorn, epsilon=0.05, num_iterations=3)
  yield Case("transport", "sinkhorn", f"{n}x{k} f32", sinkhorn,
             (_array(n, k),), (0,))  # fmt: skip


def _attention() -> Iterator[Case]:
  attention, all_three = ops.attention, (0, 1, 2)
  shape = lambda b, t, h, d, kind: (
    f"{b}x{t}x{h}x{d} {kind}",
    (_array(b, t, h, d, dtype=DTYPES[kind]),) * 3,
  )
  sizes = ((64, 197, 12, 64), (16, 577, 12, 64))
  for size, kind in itertools.product(sizes, DTYPES):
    text, arrays = shape(*size, kind)
    yield Case("attention", "attention", text, attention, arrays, all_three)
  text, arrays = shape(4, 2048, 12, 64, "bf16")
  causal = functools.partial(attention, causal=True)
  yield Case("attention", "attention(causal)", text, causal, arrays, all_three)
  text, arrays = shape(4, 640, 12, 64, "bf16")
  masked = lambda q, k, v, w: attention(q, k, v, where=w)
  keep = _array(4, 640, dtype=jnp.bool_)
  yield Case("attention", "attention(where)", text, masked, (*arrays, keep),
             all_three)  # fmt: skip
  text, arrays = shape(64, 197, 12, 64, "bf16")
  rows = lambda q, k, v: attention(q, k, v, rows=(0,))[1]
  yield Case("attention", "attention(rows)", text, rows, arrays, (0, 1))
  linear = functools.partial(ops.local_linear_attention, ridge=1.0)
  sizes = ((16, 197, 12, 64), (1, 2048, 16, 64))
  for size, kind in itertools.product(sizes, DTYPES):
    text, arrays = shape(*size, kind)
    yield Case("attention", "local_linear_attention", text, linear, arrays,
               all_three)  # fmt: skip
  text, arrays = shape(1, 2048, 16, 64, "f32")
  rbf = functools.partial(
    linear, causal=True, kernel="rbf", ridge_scale="absolute"
  )
  yield Case("attention", "local_linear(causal rbf)", text, rbf, arrays,
             all_three)  # fmt: skip
  text, arrays = shape(1, 8192, 4, 64, "bf16")
  yield Case("attention", "local_linear_attention", text, linear, arrays,
             all_three)  # fmt: skip


CASES = (_attention, _sorting, _contrastive, _cross_entropy, _spherical, _small)


def cases(op: str | None = None) -> list[Case]:
  """Every case, or those of one folder of `jaxcls/ops`.

  Raises:
    ValueError: there is no such op.
  """
  found = [case for make in CASES for case in make()]
  known = sorted({case.op for case in found})
  if op is not None and op not in known:
    raise ValueError(f"op must be one of {', '.join(known)}, got {op!r}.")
  return [case for case in found if op in (None, case.op)]


def compile_case(
  case: Case, *, target: str, parts: Sequence[str] = ("forward", "gradient")
) -> list[Result]:
  """Compiles the forward pass and, where it has one, the gradient.

  A gradient's program holds the forward pass too.
  """
  programs = {"forward": case.f}
  if case.differentiate:
    total = lambda *a: jnp.sum(case.f(*a).astype(jnp.float32) ** 2)
    programs["gradient"] = jax.value_and_grad(total, case.differentiate)
  about = dict(op=case.op, name=case.name, shape=case.shape, target=target)
  results = []
  for part in parts:
    if part not in programs:
      continue
    begin = time.perf_counter()
    try:
      compiled = _targets.compile_for(target, programs[part], *case.arrays)
    except Exception as error:  # noqa: BLE001 - the compiler's own kinds
      results.append(Result(**about, part=part, error=str(error)[:400]))
      continue
    memory = _targets.read_memory(compiled)
    text = compiled.as_text()
    found = (p for p, marks in _PATHS.items() if any(m in text for m in marks))
    results.append(
      Result(
        **about,
        part=part,
        path=next(found, "xla"),
        peak_mib=memory.peak / _MIB,
        hbm_mib=memory.hbm / _MIB,
        seconds=time.perf_counter() - begin,
      )
    )
  return results


def _line(r: Result) -> str:
  name = f"{r.target:8} {r.name:24} {r.shape:26} {r.part:9}"
  if r.error:
    return f"{name} FAILED {r.error}"
  memory = f"{r.peak_mib:9.1f} {r.hbm_mib:9.1f} MiB"
  return f"{name} {r.path:7} {memory} {r.seconds:6.1f} s"


def main(arguments: list[str] | None = None) -> int:
  """The command; 1 if an op does not compile."""
  parser = argparse.ArgumentParser(prog="python -m jaxcls.ops.preflight")
  parser.add_argument("--target", action="append", help="default: all three")
  parser.add_argument("--op", help="a folder of jaxcls/ops; default: all")
  options = parser.parse_args(arguments)
  jax.config.update("jax_platforms", "cpu")
  chosen, failed = cases(options.op), 0
  for target in options.target or TARGETS:
    try:
      _targets.open_target(target)
    except ValueError as error:
      if options.target:
        raise
      print(f"{target}: passed over. {error}", flush=True)
      continue
    for case in chosen:
      for r in compile_case(case, target=target):
        failed += bool(r.error)
        print(_line(r), flush=True)
  return int(failed > 0)


if __name__ == "__main__":
  sys.exit(main())
