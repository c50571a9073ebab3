"""Entropy-regularised optimal transport, in the log domain."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcls.ops import _arrays

# Logarithm of a mass of 0: exp of it is 0, yet no inf - inf can follow.
_NONE = -1e30


def sinkhorn(
  cost: Float[Array, "*b n m"],
  *,
  epsilon: float | Float[Array, ""],
  num_iterations: int,
  row_marginal: Float[Array, "*b n"] | None = None,
  column_marginal: Float[Array, "*b m"] | None = None,
  where: Bool[Array, "*b n"] | None = None,
  axis_name: str | None = None,
) -> Float[Array, "*b n m"]:
  """The plan P that minimises sum_ij P_ij C_ij + epsilon sum_ij P_ij log P_ij.

  subject to P 1 = a and P^T 1 = b. With log P_ij = f_i + g_j - C_ij / epsilon
  and f = 0 at first, num_iterations times:
  g_j = log b_j - logsumexp_i(f_i - C_ij / epsilon),
  f_i = log a_i - logsumexp_j(g_j - C_ij / epsilon).

  The row sums are therefore a to rounding; the column sums approach b, the
  slower the smaller epsilon is against the range of C. As epsilon -> 0 the
  plan of a square uniform problem becomes the best assignment over n. For
  assignments of samples to prototypes (SwAV) pass cost = -scores and multiply
  the plan by the number of rows.

  Gradients are those of the unrolled iterations; backward stores f and g, not
  the [n m] of each.

  Args:
    cost: [*b n m], n and m >= 1, finite, any float type; computed in float32
      (float64 stays).
    epsilon: > 0, in the unit of the cost.
    num_iterations: >= 1.
    row_marginal: a [*b n], >= 0; None: 1 / (number of kept rows).
    column_marginal: b [*b m], >= 0, with the sum of a, not checked; None:
      1 / m.
    where: [*b n], True = keep. Other rows of the plan are 0, have gradient 0,
      and may be nan; a row_marginal should sum without them.
    axis_name: under jax.shard_map, the mesh axis over which the rows are
      split: cost, a and where are one device's, b is the same on all.

  Returns:
    P [*b n m], this device's rows. 0 if no row is kept.

  Raises:
    TypeError: an array is not floating point, or where not bool.
    ValueError: a shape does not match, n or m is 0, epsilon <= 0 or
      num_iterations < 1.

  Source: Cuturi 2013, arXiv:1306.0895, algorithm 1; Caron et al. 2020,
    arXiv:2006.09882, for the use with epsilon 0.05 and 3 iterations.
  Differs: logarithms; columns first, so that rows are met exactly.

  >>> plan = sinkhorn(1.0 - jnp.eye(2), epsilon=0.1, num_iterations=5)
  >>> print(plan.round(3))
  [[0.5 0. ]
   [0.  0.5]]
  """
  cost = _arrays.wide("cost", cost)
  if cost.ndim < 2 or 0 in cost.shape[-2:]:
    raise ValueError(
      f"cost must have shape [*b n m] with n and m >= 1, got {cost.shape}."
    )
  *batch, n, m = cost.shape
  _arrays.check_where(where, *batch, n)
  _arrays.check_number("epsilon", epsilon, "> 0", lambda v: v > 0)
  _arrays.check_number(
    "num_iterations", num_iterations, ">= 1", lambda v: v >= 1
  )
  keep = jnp.ones((*batch, n), bool) if where is None else where
  cost = jnp.where(keep[..., None], cost, 0)
  epsilon = jnp.asarray(epsilon, cost.dtype)
  # A row's own offset only moves its f; taken off, it costs no digits.
  offset = jax.lax.stop_gradient(cost.min(axis=-1))
  logits = (offset[..., None] - cost) / epsilon
  if row_marginal is None:
    count = _arrays.total(keep.sum(axis=-1, dtype=cost.dtype), axis_name)
    row_marginal = jnp.ones((*batch, n), cost.dtype)
    row_marginal = row_marginal / jnp.maximum(count, 1)[..., None]
  if column_marginal is None:
    column_marginal = jnp.full((*batch, m), 1 / m, cost.dtype)
  a = _arrays.wide("row_marginal", row_marginal, *batch, n)
  b = _arrays.wide("column_marginal", column_marginal, *batch, m)
  log_a, log_b = _log(jnp.where(keep, a, 0)), _log(b)

  @jax.checkpoint
  def step(f, _):
    g = log_b - _log_sum(f[..., None] + logits, axis_name)
    f = log_a - jax.nn.logsumexp(g[..., None, :] + logits, axis=-1)
    return jnp.where(log_a <= _NONE, _NONE, f), g

  zero = _arrays.varying_zero(cost.dtype, logits, log_a, log_b)
  f = jnp.where(log_a <= _NONE, _NONE, -offset / epsilon) + zero
  _, g = jax.lax.scan(step, f, length=num_iterations)
  # exp(f + g + logits) with the last f put in: a is met to rounding.
  plan = jax.nn.softmax(g[-1][..., None, :] + logits, axis=-1)
  return jnp.where(keep, a, 0)[..., None] * plan


def _log(mass):
  """log of a mass >= 0; _NONE, with gradient 0, for 0."""
  some = mass > 0
  return jnp.where(some, jnp.log(jnp.where(some, mass, 1)), _NONE)


def _log_sum(logits, axis_name):
  """logsumexp over the rows of all devices: [*b n m] -> [*b m]."""
  if axis_name is None:
    return jax.nn.logsumexp(logits, axis=-2)
  # Any shift will do; pmax has no gradient and needs none.
  top = jax.lax.stop_gradient(logits.max(axis=-2))
  top = jax.lax.pmax(top, axis_name)
  total = jnp.exp(logits - top[..., None, :]).sum(axis=-2)
  return top + jnp.log(jax.lax.psum(total, axis_name))
