"""A tile of local linear attention: some queries of a head, all its keys.

With weights p (softmax over the keys), kb = sum p k and e_j = k_j - kb,

  x = (C + r I)^-1 (q - kb),  C = sum_j p_j e_j e_j^T,
  o = sum_j p_j (1 + x . e_j) v_j,

which is the local linear fit exactly, without a division by a difference. C is
never formed: C z = sum_j p_j (e_j . z) k_j, two matrix products with the tile
of weights. Arrays are 2-D [rows ...], a vector over rows is [rows 1], so that
the same functions run in jnp and in a TPU kernel.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# exp(40) is 2e17.
CLIP = 40.0


class Spec(NamedTuple):
  """What is static in local linear attention; see the public function.

  precision: of the matrix products.
  """

  kernel: str
  ridge_scale: str
  causal: bool
  scale: float
  iterations: int
  gradient_iterations: int
  precision: jax.lax.Precision


def _dot(spec, a, b, contract):
  """a . b over one axis of each: contract = (axis of a, axis of b)."""
  axes = (((contract[0],), (contract[1],)), ((), ()))
  return jax.lax.dot_general(
    a, b, axes, precision=spec.precision, preferred_element_type=a.dtype
  )


def _sum(a):
  return a.sum(1, keepdims=True)


def _softmax(spec, q, k, keep, first_row):
  """(p [r s], lse [r 1]); a row without keys has p = 0 and lse = -inf."""
  logits = _dot(spec, q, k, (1, 1))
  if spec.kernel == "rbf":
    ones = jnp.ones((1, k.shape[1]), k.dtype)
    squares = _dot(spec, ones, k * k, (1, 1))  # [1 s], without a transpose.
    logits = logits - 0.5 * (squares + _sum(q * q))
  logits = spec.scale * logits
  if spec.causal:
    row = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 0) + first_row
    column = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 1)
    causal = column <= row
    keep = causal if keep is None else keep & causal
  if keep is not None:
    logits = jnp.where(keep, logits, -jnp.inf)
  top = logits.max(1, keepdims=True)
  # -inf - -inf is nan: a row that keeps nothing subtracts 0.
  top = jnp.where(top == -jnp.inf, 0.0, top)
  weights = jnp.exp(logits - top)
  total = _sum(weights)
  some = total > 0
  total = jnp.where(some, total, 1.0)
  lse = jnp.where(some, top + jnp.log(total), -jnp.inf)
  return weights / total, lse


def _ridge(spec, ridge, lse, kb):
  """(r, dr/dridge, dr/dlse), each [rows 1]; r stays where it can be solved.

  Below the floor x . e_j would be rounding: x grows like 1 / r and e_j is a
  difference of keys. Above the ceiling x is 0.
  """
  eps = float(jnp.finfo(ridge.dtype).eps)
  floor = 2 * eps * _sum(kb * kb) + eps * eps
  unit = jnp.ones_like(ridge)
  if spec.ridge_scale == "absolute":
    # The sum of the weights, exp(lse), may be beyond what a float holds.
    unit = jnp.exp(-jnp.clip(lse, -CLIP, CLIP))
  r = ridge * unit
  inside = (r >= floor) & (r <= eps**-2)
  by_lse = jnp.zeros_like(r)
  if spec.ridge_scale == "absolute":
    by_lse = jnp.where(inside & (jnp.abs(lse) < CLIP), -r, 0.0)
  r = jnp.minimum(jnp.maximum(r, floor), eps**-2)
  return r, jnp.where(inside, unit, 0.0), by_lse


def _solve(spec, p, k, kb, r, b, iterations):
  """(C + r I)^-1 b by conjugate gradients from 0, all rows at once."""

  def step(_, state):
    x, residual, direction, size = state
    u = p * (_dot(spec, direction, k, (1, 1)) - _sum(direction * kb))
    image = _dot(spec, u, k, (1, 0)) + r * direction
    curve = _sum(direction * image)
    # A row that has converged exactly must not divide 0 by 0.
    alpha = jnp.where(curve > 0, size / jnp.where(curve > 0, curve, 1.0), 0.0)
    x = x + alpha * direction
    residual = residual - alpha * image
    new_size = _sum(residual * residual)
    beta = jnp.where(size > 0, new_size / jnp.where(size > 0, size, 1.0), 0.0)
    return x, residual, residual + beta * direction, new_size

  start = (b * 0.0, b, b, _sum(b * b))
  return jax.lax.fori_loop(0, iterations, step, start)[0]


def forward(spec, q, k, v, ridge, keep, first_row):
  """(o [r e], x [r d]) of q [r d], k [s d], v [s e], ridge [r 1].

  keep: bool, broadcasts to [r s], or None. first_row: number of q[0] in the
  sequence.
  """
  p, lse = _softmax(spec, q, k, keep, first_row)
  kb = _dot(spec, p, k, (1, 0))
  r, _, _ = _ridge(spec, ridge, lse, kb)
  x = _solve(spec, p, k, kb, r, q - kb, spec.iterations)
  share = p * (1.0 + _dot(spec, x, k, (1, 1)) - _sum(x * kb))
  return _dot(spec, share, v, (1, 0)), x


def backward(spec, q, k, v, ridge, keep, first_row, x, g):
  """Cotangents (q [r d], k [s d], v [s e], ridge [r 1]) from g [r e].

  y = (C + r I)^-1 sum_j p_j (g . v_j) e_j is the adjoint of x; all else is
  algebra at the x that the forward pass reached.
  """
  p, lse = _softmax(spec, q, k, keep, first_row)
  kb = _dot(spec, p, k, (1, 0))
  r, by_ridge, by_lse = _ridge(spec, ridge, lse, kb)
  gain = _dot(spec, g, v, (1, 1))
  weighted = p * gain
  total = _sum(weighted)
  t = _dot(spec, weighted, k, (1, 0)) - total * kb
  y = _solve(spec, p, k, kb, r, t, spec.gradient_iterations)
  xk, yk = _dot(spec, x, k, (1, 1)), _dot(spec, y, k, (1, 1))
  xe, ye = xk - _sum(x * kb), yk - _sum(y * kb)
  # The mean key kb has the cotangent -(total x + y).
  d_p = gain * (1.0 + xe) - ye * xe - total * xk - yk
  d_r = -_sum(x * y)
  d_s = spec.scale * p * (d_p - _sum(p * d_p) + d_r * by_lse)
  d_q = y + _dot(spec, d_s, k, (1, 0))
  share = p * (1.0 + xe)
  d_k = (
    _dot(spec, d_s, q, (0, 0))
    + _dot(spec, p * (gain - ye - total), x, (0, 0))
    - _dot(spec, share, y, (0, 0))
  )
  if spec.kernel == "rbf":
    ones = jnp.ones((q.shape[0], 1), q.dtype)
    d_q = d_q - _sum(d_s) * q
    d_k = d_k - _dot(spec, d_s, ones, (0, 0)) * k
  return d_q, d_k, _dot(spec, share, g, (0, 0)), d_r * by_ridge
