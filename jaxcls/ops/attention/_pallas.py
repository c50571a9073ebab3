"""Local linear attention as TPU kernels: forward and backward.

A program works on one tile of queries of one head. The head's keys and values
stay in VMEM while the grid walks over its tiles, and so do a tile's weights to
all keys: `_tile` runs on them unchanged, its conjugate gradients never touch
HBM. Key and value cotangents are summed in their output blocks.

A vector over queries lies along the lanes, [heads, tiles, 1, rows]: [t, 1]
would be padded to 128 times its size.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from jaxcls.ops.attention import _tile

LANES, SUBLANES = 128, 8
# Of 64 MiB on v5p, 128 MiB on v5e and v6e; a v4 and older have 16 MiB.
VMEM_BYTES, OLD_VMEM_BYTES = 48 << 20, 13 << 20


def problem(q, k, v, block_size) -> str:
  """Why the kernels do not take these arrays; "" where they do."""
  if q.dtype not in (jnp.float32, jnp.bfloat16):
    return f"takes float32 and bfloat16, got {q.dtype}."
  if block_size % SUBLANES:
    return f"takes block sizes that {SUBLANES} divides, got {block_size}."
  need, budget = _vmem(q, k, v, block_size), _budget()
  if need > budget:
    return (
      f"needs {need >> 20} MiB of VMEM for {k.shape[1]} keys, more than "
      f"{budget >> 20} MiB; a smaller block_size needs less."
    )
  return ""


def _budget():
  """Bytes of VMEM that a kernel may take on the device of the mesh, or here.

  A program that is compiled for another device without a mesh in context
  counts as one for a v5e or newer.
  """
  device = jax.sharding.get_abstract_mesh().abstract_device or jax.devices()[0]
  old = device.device_kind.startswith(("TPU v2", "TPU v3", "TPU v4"))
  return OLD_VMEM_BYTES if old else VMEM_BYTES


def _up(n, multiple):
  return -(-n // multiple) * multiple


def _vmem(q, k, v, block_size):
  """Bytes of the backward kernel: keys, values, their sums, and weights."""
  s, rows = _up(k.shape[1], LANES), min(block_size, _up(q.shape[1], SUBLANES))
  width = _up(k.shape[2], LANES) + _up(v.shape[2], LANES)
  # In and out twice (double buffers), float32 copies; ten tiles of weights.
  return s * width * 4 * 6 + rows * (s * 4 * 10 + width * 4 * 12)


def _keep(keep_ref, s, valid):
  """[1 s] bool or None: the mask, or what padding left out."""
  if keep_ref is not None:
    return keep_ref[...] > 0
  if valid == s:
    return None
  return jax.lax.broadcasted_iota(jnp.int32, (1, s), 1) < valid


def _turn(a):
  """[rows 1] from [1 rows], or back, by sums that every TPU can lower."""
  n = max(a.shape)
  row, column = (jax.lax.broadcasted_iota(jnp.int32, (n, n), i) for i in (0, 1))
  return jnp.where(row == column, a, 0.0).sum(
    1 if a.shape[0] == 1 else 0, keepdims=True
  )


def _load(spec, valid, q_ref, k_ref, v_ref, ridge_ref, keep_ref):
  """The arguments of `_tile` after spec."""
  up = lambda ref: ref[...].astype(jnp.float32)
  keep = _keep(keep_ref, k_ref.shape[0], valid)
  first_row = pl.program_id(1) * q_ref.shape[0]
  ridge = _turn(ridge_ref[...])
  return up(q_ref), up(k_ref), up(v_ref), ridge, keep, first_row


def _forward_kernel(*refs, spec, valid, masked):
  # q [rows d], k [s d], v [s e], ridge [1 rows], keep [1 s]; o [rows e],
  # x [rows d].
  inputs = refs[:5] if masked else (*refs[:4], None)
  o_ref, x_ref = refs[-2:]
  o, x = _tile.forward(spec, *_load(spec, valid, *inputs))
  o_ref[...] = o.astype(o_ref.dtype)
  x_ref[...] = x


def _backward_kernel(*refs, spec, valid, masked):
  # As forward, then x [rows d], g [rows e]; d_q, d_k, d_v, d_ridge.
  inputs = refs[:5] if masked else (*refs[:4], None)
  x_ref, g_ref, dq_ref, dk_ref, dv_ref, dr_ref = refs[-6:]

  @pl.when(pl.program_id(1) == 0)
  def _():
    dk_ref[...] = jnp.zeros_like(dk_ref)
    dv_ref[...] = jnp.zeros_like(dv_ref)

  d_q, d_k, d_v, d_ridge = _tile.backward(
    spec, *_load(spec, valid, *inputs), x_ref[...],
    g_ref[...].astype(jnp.float32),
  )  # fmt: skip
  dq_ref[...] = d_q.astype(dq_ref.dtype)
  dk_ref[...] += d_k
  dv_ref[...] += d_v
  dr_ref[...] = _turn(d_ridge)


def _padded(a, size, axis=1):
  widths = [(0, -n % size if i == axis else 0) for i, n in enumerate(a.shape)]
  return jnp.pad(a, widths) if a.shape[axis] % size else a


def _shape(like, dtype, *shape):
  """A shape that varies over the mesh axes that `like` does."""
  varying = getattr(jax.typeof(like), "manual_axis_type", None)
  if varying is None:
    return jax.ShapeDtypeStruct(shape, dtype)
  return jax.ShapeDtypeStruct(shape, dtype, manual_axis_type=varying)


def _call(kernel, spec, arrays, extra, outputs, block_size, interpret):
  """Pads, cuts into tiles and runs.

  extra: further inputs [heads t *]. outputs: (name, dtype) of each output,
  which has the padded shape of the input of that name ("o": values at
  queries).
  """
  q, k, v, ridge, keep = arrays
  valid = k.shape[1]
  rows = min(block_size, _up(q.shape[1], SUBLANES))
  heads, tiles = q.shape[0], -(-q.shape[1] // rows)
  limit = min(max(_vmem(q, k, v, block_size), 32 << 20), 110 << 20)
  q, k, v = _padded(q, rows), _padded(k, LANES), _padded(v, LANES)
  ridge = _padded(ridge, rows).reshape(heads, tiles, 1, rows)
  shapes = dict(q=q.shape, k=k.shape, v=v.shape, ridge=ridge.shape)
  shapes["o"] = (*q.shape[:2], v.shape[2])
  tile = lambda n: pl.BlockSpec((None, rows, n), lambda i, j: (i, j, 0))
  whole = lambda *n: pl.BlockSpec((None, *n), lambda i, j: (i, 0, 0))
  specs = dict(
    q=tile(q.shape[2]),
    k=whole(*k.shape[1:]),
    v=whole(*v.shape[1:]),
    ridge=pl.BlockSpec((None, None, 1, rows), lambda i, j: (i, j, 0, 0)),
    o=tile(v.shape[2]),
  )
  inputs = [q, k, v, ridge]
  in_specs = [specs[name] for name in ("q", "k", "v", "ridge")]
  if keep is not None:
    inputs.append(_padded(keep, LANES).astype(jnp.int32)[:, None])
    in_specs.append(whole(1, k.shape[1]))
  inputs += [_padded(a, rows) for a in extra]
  in_specs += [tile(a.shape[2]) for a in extra]
  return pl.pallas_call(
    functools.partial(kernel, spec=spec, valid=valid, masked=keep is not None),
    grid=(heads, tiles),
    in_specs=in_specs,
    out_specs=[specs[name] for name, _ in outputs],
    out_shape=[_shape(q, dtype, *shapes[name]) for name, dtype in outputs],
    compiler_params=pltpu.CompilerParams(
      dimension_semantics=("parallel", "arbitrary"), vmem_limit_bytes=limit
    ),
    interpret=interpret,
    name="local_linear_attention" + kernel.__name__.removesuffix("_kernel"),
  )(*inputs)


def forward(spec, q, k, v, ridge, keep, *, block_size, interpret=False):
  """(o, x) as `_blockwise.forward`."""
  o, x = _call(
    _forward_kernel, spec, (q, k, v, ridge, keep), (),
    (("o", v.dtype), ("q", jnp.float32)), block_size, interpret,
  )  # fmt: skip
  return o[:, : q.shape[1]], x[:, : q.shape[1]]


def backward(spec, q, k, v, ridge, keep, x, g, *, block_size, interpret=False):
  """Cotangents of q, k, v and ridge as `_blockwise.backward`."""
  f32 = jnp.float32
  d_q, d_k, d_v, d_ridge = _call(
    _backward_kernel, spec, (q, k, v, ridge, keep), (x, g),
    (("q", q.dtype), ("k", f32), ("v", f32), ("ridge", f32)), block_size,
    interpret,
  )  # fmt: skip
  t, s = q.shape[1], k.shape[1]
  d_k, d_v = d_k[:, :s].astype(k.dtype), d_v[:, :s].astype(v.dtype)
  return d_q[:, :t], d_k, d_v, d_ridge.reshape(len(q), -1)[:, :t]
