"""Softmax attention: one entry, kernels of well-kept libraries behind it."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxcls import _precision
from jaxcls.ops.attention import _checks, _devices

IMPLEMENTATIONS = (None, "xla", "cudnn", "splash")
LANES = 128
# Rows and columns that a splash tile holds at most.
SPLASH_BLOCK = 512
# Up to so many keys xla needs no more memory on a TPU, and nothing is padded.
SPLASH_ABOVE = 256


def attention(
  query: Float[Array, "*b t h d"],
  key: Float[Array, "*b s h d"],
  value: Float[Array, "*b s h e"],
  *,
  where: Bool[Array, "*b s"] | None = None,
  causal: bool = False,
  scale: float | None = None,
  rows: Sequence[int] | Int[Array, " r"] | None = None,
  implementation: str | None = None,
) -> (
  Float[Array, "*b t h e"]
  | tuple[Float[Array, "*b t h e"], Float[Array, "*b h r s"]]
):
  """Softmax attention: o_i = sum_j softmax_j(scale q_i . k_j) v_j.

  The kernel is chosen when the program is lowered, for its target: see the
  package for the rule. Sums and the softmax are in float32 (float64
  stays); the matrix products of 16-bit inputs are 16-bit, those of float32 as
  the platform does.

  Args:
    query: [*b t h d], any float type.
    key: [*b s h d], of query's type.
    value: [*b s h e], of query's type.
    where: [*b s], False hides a key from all queries.
    causal: query i sees keys j <= i.
    scale: None for 1 / sqrt(d).
    rows: numbers of queries whose attention probabilities are wanted, such
      as (0,) for the class token; an array's entries must lie in [0, t).
    implementation: "xla", "cudnn" (GPU, 16-bit), "splash" (TPU), or None,
      which picks. A name that cannot run raises.

  Returns:
    [*b t h e] in value's type; with rows a pair of that and of the
    probabilities [*b h r s], float32 (float64 stays). A query that sees no
    key gives 0, probabilities 0, and no gradient to anything.

  Raises:
    TypeError: arrays not floating point or not of one type, where not bool,
      rows not integers.
    ValueError: shapes that do not fit, an empty axis, an unknown name, a row
      outside [0, t).
    NotImplementedError: a named implementation does not take these arrays.
    RuntimeError: implementation="cudnn" without cuDNN.

  Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
  Differs: queries without keys give 0, not the mean of all values.

  >>> q = jnp.array([[1.0], [0.0]]).reshape(2, 1, 1)
  >>> out, probs = attention(q, q, q, scale=1.0, rows=(1,))
  >>> print(out.ravel().round(3), probs)
  [0.731 0.5  ] [[[0.5 0.5]]]
  """
  _checks.check_arrays(query, key, value, where)
  _checks.check_name("implementation", implementation, IMPLEMENTATIONS)
  *batch, t, heads, width = query.shape
  s = key.shape[-3]
  if rows is not None:
    rows = _checked_rows(rows, t)
  scale = 1 / math.sqrt(width) if scale is None else scale
  examples = math.prod(batch)
  arrays = [
    a.reshape(examples, *a.shape[len(batch) :]) for a in (query, key, value)
  ]
  keep = None if where is None else where.reshape(examples, s)
  if examples:
    out = _choose(implementation, causal, float(scale), *arrays, keep)
    if keep is not None:
      # All keys hidden: the kernels give the mean of all values.
      some = _sees(keep, t, causal)
      out = jnp.where(some[:, :, None, None], out, 0.0)
  else:
    out = jnp.zeros((0, t, heads, value.shape[-1]), value.dtype)
  out = out.reshape(*batch, *out.shape[1:])
  if rows is None:
    return out
  return out, _probabilities(query, key, where, causal, scale, rows)


def _checked_rows(rows, t):
  if not isinstance(rows, jax.Array):
    rows = np.asarray(rows)
    if rows.size and not (rows.min() >= 0 and rows.max() < t):
      raise ValueError(f"rows must be in [0, {t}), got {rows.tolist()}.")
  if not jnp.issubdtype(rows.dtype, jnp.integer):
    raise TypeError(f"rows must be integers, got {rows.dtype}.")
  if rows.ndim != 1:
    raise ValueError(f"rows must have shape [r], got {rows.shape}.")
  return jnp.asarray(rows)


def _sees(keep, t, causal):
  """[b t], or [b 1]: whether a query sees any key."""
  if not causal:
    return keep.any(1, keepdims=True)
  seen = jnp.cumsum(keep, axis=1) > 0
  return seen[:, jnp.minimum(jnp.arange(t), keep.shape[1] - 1)]


def _probabilities(query, key, where, causal, scale, rows):
  """softmax(scale q k^T) of some queries, [*b h r s]."""
  dtype = _precision.wide(query)
  query = jnp.take(query, rows, axis=-3).astype(dtype) * scale
  logits = jnp.einsum("...rhd,...shd->...hrs", query, key.astype(dtype))
  keep = jnp.ones(logits.shape[-2:], bool)
  if causal:
    keep = jnp.arange(logits.shape[-1]) <= rows[:, None]
  if where is not None:
    keep = keep & where[..., None, None, :]
  # softmax with `where` gives 0, not nan, where nothing is kept.
  keep = jnp.broadcast_to(keep, logits.shape)
  some = keep.any(-1, keepdims=True)
  logits = jnp.where(keep | ~some, logits, -jnp.inf)
  return jnp.where(some, jax.nn.softmax(logits, axis=-1), 0.0)


def _choose(implementation, causal, scale, q, k, v, keep):
  """The one place that decides: by name, else by platform and arrays."""
  plain = functools.partial(_xla, causal, scale)
  if implementation is not None:
    reason = dict(xla=_never, cudnn=_not_cudnn, splash=_not_splash)
    problem = reason[implementation](q, k, v, keep, causal)
    if problem:
      raise NotImplementedError(f"implementation {implementation} {problem}")
    named = dict(xla=_xla, cudnn=_cudnn, splash=_splash)[implementation]
    return named(causal, scale, q, k, v, keep)
  platforms = dict(default=plain)
  if not _not_cudnn(q, k, v, keep, causal) and _finds_cudnn():
    platforms["cuda"] = functools.partial(_cudnn, causal, scale)
  splash = _devices.per_device(
    functools.partial(_splash, causal, scale), q.shape[0]
  )
  long = k.shape[1] > SPLASH_ABOVE
  if long and splash and not _not_splash(q, k, v, keep, causal):
    platforms["tpu"] = splash
  return jax.lax.platform_dependent(q, k, v, keep, **platforms)


def _never(q, k, v, keep, causal):
  return ""


def _not_cudnn(q, k, v, keep, causal):
  if q.dtype not in (jnp.bfloat16, jnp.float16):
    return f"takes bfloat16 and float16, got {q.dtype}."
  width = q.shape[-1]
  if v.shape[-1] != width or width % 8 or width > 128:
    return (
      "takes values as wide as keys, a multiple of 8 and at most 128, got "
      f"{v.shape[-1]} and {width}."
    )
  if keep is not None and causal:
    return "does not take causal=True together with where."
  return ""


def _not_splash(q, k, v, keep, causal):
  if q.dtype not in (jnp.bfloat16, jnp.float32):
    return f"takes bfloat16 and float32, got {q.dtype}."
  if any(
    jax.typeof(a).manual_axis_type.varying for a in (q, k, v, keep)
    if a is not None
  ):  # fmt: skip
    return "runs in shard_map with check_vma=False only."
  return ""


@functools.cache
def _finds_cudnn():
  """Whether JAX can build a cuDNN call here."""
  a = jax.ShapeDtypeStruct((1, 2, 1, 8), jnp.bfloat16)
  call = functools.partial(jax.nn.dot_product_attention, implementation="cudnn")
  try:
    jax.eval_shape(call, a, a, a)
  except RuntimeError:
    return False
  return True


def _padded(a, length):
  """[b n ...] with n raised to `length`."""
  widths = [(0, 0)] * a.ndim
  widths[1] = (0, length - a.shape[1])
  return jnp.pad(a, widths) if length > a.shape[1] else a


def _library(*arrays, **options):
  # It mixes types, which a caller may have forbidden.
  with jax.numpy_dtype_promotion("standard"):
    return jax.nn.dot_product_attention(*arrays, **options)


def _xla(causal, scale, q, k, v, keep):
  if q.dtype == jnp.float64:
    # The library's softmax is float32 whatever comes in.
    rows = jnp.arange(q.shape[1])
    probs = _probabilities(q, k, keep, causal, scale, rows)
    return jnp.einsum("bhts,bshe->bthe", probs, v)
  width = v.shape[-1]
  wide = max(width, q.shape[-1])
  # One width for all: columns of zeros change neither products nor values.
  fill = lambda a: jnp.pad(a, [(0, 0)] * 3 + [(0, wide - a.shape[-1])])
  mask = None if keep is None else keep[:, None, None, :]
  out = _library(
    *map(fill, (q, k, v)), mask=mask, is_causal=causal, scale=scale,
    implementation="xla",
  )  # fmt: skip
  return out[..., :width]


def _cudnn(causal, scale, q, k, v, keep):
  examples, t, s = q.shape[0], q.shape[1], k.shape[1]
  queries = keys = None
  if keep is not None:
    # Without a causal order keys may move: the kept ones first, then a count
    # says as much as a mask, whose [t s] cuDNN would read from memory.
    first = jnp.argsort(~keep, axis=1, stable=True)[:, :, None, None]
    k, v = (jnp.take_along_axis(a, first, axis=1) for a in (k, v))
    keys = jnp.maximum(keep.sum(1), 1).astype(jnp.int32)
  if t % 2 or s % 2:
    # The backward pass wants even lengths.
    queries = jnp.full(examples, t, jnp.int32)
    keys = jnp.full(examples, s, jnp.int32) if keys is None else keys
    q, k, v = (_padded(a, a.shape[1] + a.shape[1] % 2) for a in (q, k, v))
  out = _library(
    q, k, v, is_causal=causal, scale=scale, implementation="cudnn",
    query_seq_lengths=queries, key_value_seq_lengths=keys,
  )  # fmt: skip
  return out[:, :t]


def _splash(causal, scale, q, k, v, keep, interpret=False):
  from jax.experimental.pallas.ops.tpu import splash_attention

  t, s, heads = q.shape[1], k.shape[1], q.shape[2]
  padded = [-(-n // LANES) * LANES for n in (t, s)]
  block_q, block_kv = (
    max(b for b in range(LANES, SPLASH_BLOCK + 1, LANES) if n % b == 0)
    for n in padded
  )
  sizes = splash_attention.BlockSizes(
    block_q=block_q, block_kv=block_kv, block_kv_compute=block_kv,
    block_q_dkv=block_q, block_kv_dkv=block_kv,
    block_kv_dkv_compute=block_kv, block_q_dq=block_q, block_kv_dq=block_kv,
  )  # fmt: skip
  kind = splash_attention.CausalMask if causal else splash_attention.FullMask
  mask = splash_attention.MultiHeadMask([kind(tuple(padded))] * heads)
  kernel = splash_attention.make_splash_mha_single_device(
    mask, block_sizes=sizes, interpret=interpret
  )
  if keep is None and padded[1] > s:
    keep = jnp.ones(k.shape[:2], bool)
  # In float32: the scale must not round 16-bit queries twice.
  q = (q.astype(jnp.float32) * scale).astype(q.dtype)
  q, k, v = (
    _padded(a, n).swapaxes(1, 2)
    for a, n in ((q, padded[0]), (k, padded[1]), (v, padded[1]))
  )
  if keep is None:
    out = jax.vmap(kernel)(q, k, v)
  else:
    keep = _padded(keep, padded[1]).astype(jnp.int32)
    ids = splash_attention.SegmentIds(
      q=jnp.ones((q.shape[0], padded[0]), jnp.int32), kv=keep
    )
    out = jax.vmap(kernel)(q, k, v, ids)
  return out.swapaxes(1, 2)[:, :t]
