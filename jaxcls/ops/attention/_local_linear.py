"""Local linear attention: the public function, and its gradient."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxcls import _precision
from jaxcls.ops.attention import (
  _blockwise,
  _checks,
  _devices,
  _pallas,
  _reference,
  _tile,
)

KERNELS = ("dot", "rbf")
RIDGE_SCALES = ("relative", "absolute")
IMPLEMENTATIONS = (None, "jnp", "pallas", "reference")
# Weights that are held at once: on a CPU they should stay in a core's own
# cache; elsewhere they should fill the device.
CPU_TILE_BYTES = 512 << 10
TILE_BYTES = 16 << 20


def local_linear_attention(
  query: Float[Array, "*b t h d"],
  key: Float[Array, "*b s h d"],
  value: Float[Array, "*b s h e"],
  *,
  ridge: float | Float[Array, "..."],
  kernel: str = "dot",
  ridge_scale: str = "relative",
  causal: bool = False,
  where: Bool[Array, "*b s"] | None = None,
  scale: float | None = None,
  iterations: int = 8,
  gradient_iterations: int | None = None,
  block_size: int = 128,
  implementation: str | None = None,
  interpret: bool = False,
) -> Float[Array, "*b t h e"]:
  """Attention that fits a line to the values, not a constant.

  o_i = b of min_{b, M} sum_j w_ij |v_j - b - M (k_j - q_i)|^2 + lambda |M|^2,
  with w_ij = exp(scale q_i . k_j) (dot) or exp(-scale |k_j - q_i|^2 / 2)
  (rbf) and lambda = ridge sum_j w_ij (relative) or ridge (absolute). With
  p_ij = w_ij / sum_j w_ij, kb_i = sum_j p_ij k_j and e_ij = k_j - kb_i that is

    x_i = (sum_j p_ij e_ij e_ij^T + r_i I)^-1 (q_i - kb_i),
    o_i = sum_j p_ij (1 + x_i . e_ij) v_j,    r_i = lambda / sum_j w_ij:

  softmax attention for ridge -> inf, a global least-squares line at q_i for
  scale -> 0 and ridge -> 0. x_i comes from conjugate gradients without any
  [d d] matrix; memory is linear in t and s. The gradient solves the adjoint
  system the same way, so it is exact where both have converged: take about
  8 iterations for a relative ridge of 10, 16 for 1 and 32 for 0.1 (with keys
  of unit variance), or d + a few.

  Args:
    query: [*b t h d], any float type; float32 inside (float64 stays).
    key: [*b s h d], of query's type.
    value: [*b s h e], of query's type.
    ridge: scalar, [h] or [*b t h], >= 0, differentiable. Below about
      2e-7 |kb_i|^2 (float32) r_i is raised to that, and with an absolute ridge
      sum_j w_ij is clipped to [e^-40, e^40].
    kernel: "dot" or "rbf".
    ridge_scale: "relative" or "absolute"; only the former does not depend on
      the number of keys and on the size of the logits.
    causal: query i sees keys j <= i.
    where: [*b s], False hides a key from all queries.
    scale: >= 0; None for 1 / sqrt(d). A bandwidth h is scale = 1 / h.
    iterations: of conjugate gradients, >= 1.
    gradient_iterations: of the adjoint solve; None for `iterations`.
    block_size: queries in a tile; a multiple of 8 for Pallas.
    implementation: "jnp", "pallas" (TPU), "reference" (dense, for tests), or
      None, which picks: see the package. "pallas" where it cannot run raises.
    interpret: runs the Pallas kernels in interpret mode; for tests.

  Returns:
    [*b t h e] in value's type. A query that sees no key gives 0, and no
    gradient to anything.

  Raises:
    TypeError: arrays not floating point or not of one type, where not bool.
    ValueError: shapes that do not fit, an empty axis, a negative ridge that
      is not traced, an unknown name, another number out of its range.
    NotImplementedError: implementation="pallas" for float64 or lengths whose
      tile does not fit in VMEM.

  Source: "Local Linear Attention: An Optimal Interpolation of Linear and
    Softmax Attention For Test-Time Regression", 2025; the estimator.
  Differs: centred keys (equal in exact arithmetic, no division by a
    difference); fixed iterations without a preconditioner; the gradient has
    the term through lambda's dependence on the weights, which the released
    kernels leave out.

  >>> k = jnp.array([0.0, 1.0, 2.0]).reshape(3, 1, 1)
  >>> out = local_linear_attention(2 * k, k, 3 * k + 1, ridge=0.0, scale=0.1)
  >>> print(out.ravel().round(2))  # A line is met and continued.
  [ 1.  7. 13.]
  """
  _checks.check_arrays(query, key, value, where)
  _check_options(locals())
  *batch, t, heads, width = query.shape
  dtype = _precision.wide(query)
  ridge = _ridge_rows(ridge, query, dtype)
  if scale is None:
    scale = 1 / math.sqrt(width)
  if implementation == "reference":
    out = _reference.local_linear_attention(
      *(a.astype(dtype) for a in (query, key, value, ridge)), where,
      kernel=kernel, ridge_scale=ridge_scale, causal=causal, scale=scale,
    )  # fmt: skip
    return out.astype(value.dtype)
  half = query.dtype in (jnp.bfloat16, jnp.float16)
  spec = _tile.Spec(
    kernel=kernel,
    ridge_scale=ridge_scale,
    causal=causal,
    scale=float(scale),
    iterations=iterations,
    gradient_iterations=gradient_iterations or iterations,
    # Products of 16-bit inputs gain nothing from more passes.
    precision=jax.lax.Precision("default" if half else "highest"),
  )
  examples = math.prod(batch)
  if not examples:
    return jnp.zeros((*query.shape[:-1], value.shape[-1]), value.dtype)
  q, k, v, ridge = (
    _heads_first(a.reshape(examples, *a.shape[len(batch) :]))
    for a in (query, key, value, ridge)
  )
  if where is not None:
    where = jnp.repeat(where.reshape(examples, -1), heads, axis=0)
  if implementation == "pallas":
    problem = _pallas.problem(q, k, v, block_size)
    if problem:
      raise NotImplementedError(f"implementation pallas {problem}")
  out = _attend(
    spec, implementation, interpret, block_size,
    *_same_mesh_axes(q, k, v, ridge, where),
  )  # fmt: skip
  return out.reshape(*batch, heads, t, -1).swapaxes(-2, -3)


def _check_options(given):
  _checks.check_name("kernel", given["kernel"], KERNELS)
  _checks.check_name("ridge_scale", given["ridge_scale"], RIDGE_SCALES)
  _checks.check_name("implementation", given["implementation"], IMPLEMENTATIONS)
  if given["gradient_iterations"] is None:
    given["gradient_iterations"] = given["iterations"]
  for name in ("iterations", "gradient_iterations", "block_size"):
    if given[name] < 1:
      raise ValueError(f"{name} must be >= 1, got {given[name]}.")
  if given["scale"] is not None and not given["scale"] >= 0:
    raise ValueError(f"scale must be >= 0, got {given['scale']}.")


def _ridge_rows(ridge, query, dtype):
  """ridge as [*b t h]."""
  *batch, t, heads, _ = query.shape
  shapes = (), (heads,), (*batch, t, heads)
  known = not isinstance(ridge, jax.core.Tracer)
  if known and not (np.asarray(ridge) >= 0).all():
    raise ValueError(f"ridge must be >= 0, got {ridge}.")
  ridge = jnp.asarray(ridge, dtype)
  if ridge.shape not in shapes:
    raise ValueError(
      f"ridge must have one of the shapes {shapes}, got {ridge.shape}."
    )
  return jnp.broadcast_to(ridge, shapes[-1])


def _heads_first(a):
  """[*b t h *] -> [b h, t, *], the leading axes in one."""
  a = jnp.moveaxis(a, 2, 1)
  return a.reshape(-1, *a.shape[2:])


def _same_mesh_axes(*arrays):
  """Inside shard_map: arrays that all vary over the same mesh axes.

  A cotangent must vary as its primal does, and here each one depends on all
  the arrays.
  """
  if not jax.sharding.get_abstract_mesh().manual_axes:
    return arrays
  zero = sum(
    jnp.zeros_like(a.ravel()[0]).astype(jnp.float32)
    for a in arrays
    if a is not None
  )
  return [
    a if a is None else (a + zero.astype(a.dtype)).astype(a.dtype)
    for a in arrays
  ]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _attend(spec, implementation, interpret, block_size, *arrays):
  """[heads t e] from q, k, v, ridge, keep; see `_blockwise.forward`."""
  return _run("forward", spec, implementation, interpret, block_size, arrays)[0]


def _attend_fwd(spec, implementation, interpret, block_size, *arrays):
  out, x = _run("forward", spec, implementation, interpret, block_size, arrays)
  return out, (arrays, x)


def _attend_bwd(spec, implementation, interpret, block_size, residuals, g):
  arrays, x = residuals
  arrays = (*arrays, x, g)
  grads = _run("backward", spec, implementation, interpret, block_size, arrays)
  return *grads, None


_attend.defvjp(_attend_fwd, _attend_bwd)


def _run(direction, spec, implementation, interpret, block_size, arrays):
  """The one place that decides: by name, else by platform, sizes and dtype."""
  plain = functools.partial(
    getattr(_blockwise, direction), spec, block_size=block_size
  )
  kernel = functools.partial(
    getattr(_pallas, direction), spec, block_size=block_size
  )
  if implementation == "pallas":
    return kernel(*arrays, interpret=interpret)
  platforms = dict(
    cpu=functools.partial(plain, tile_bytes=CPU_TILE_BYTES),
    default=functools.partial(plain, tile_bytes=TILE_BYTES),
  )
  q, k, v = arrays[:3]
  kernel = _devices.per_device(kernel, q.shape[0])
  serves = implementation is None and not _pallas.problem(q, k, v, block_size)
  if kernel and serves:
    platforms["tpu"] = kernel
  return jax.lax.platform_dependent(*arrays, **platforms)
