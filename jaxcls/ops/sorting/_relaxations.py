"""Comparator relaxations: what is kept and swapped, and the slope."""

import jax
import jax.numpy as jnp

# atan(t) / (pi t) on [0, 1] is N(t^2) / D(t^2) to 2e-8: a minimax fit by
# reweighted least squares. jnp.arctan takes 16 times as long on XLA's CPU
# backend.
ATAN_N = (0.31830987334251404, 0.28596699237823486, 0.04380292445421219)
ATAN_D = (1.0, 1.2317230701446533, 0.3482186198234558, 0.012377521023154259)


def _cauchy(size):
  """0.5 - atan(size) / pi, without cancellation for a large size."""
  if size.dtype != jnp.float32:
    return jnp.arctan2(jnp.ones_like(size), size) / jnp.pi
  large = size > 1
  t = jnp.where(large, 1 / jnp.maximum(size, 1), size)
  above, below = _polynomial(t * t, ATAN_N) * t, _polynomial(t * t, ATAN_D)
  # The division comes last: XLA's CPU backend computes cheap operations
  # again for every use, and stores what it thinks expensive.
  return jnp.where(large, above, 0.5 * below - above) / below


def _polynomial(x, coefficients):
  result = jnp.full_like(x, coefficients[-1])
  for coefficient in coefficients[-2::-1]:
    result = result * x + coefficient
  return result


def _optimal(size):
  return jnp.where(size > 0.25, 1 / (16 * jnp.maximum(size, 0.25)), 0.5 - size)


_logistic = (lambda size: jax.nn.sigmoid(-size), lambda size, p: p * (1 - p))

# relaxation: F(-size) for size >= 0, and the slope F' from size and F(-size)
RELAXATIONS = {
  "logistic": _logistic,
  "logistic_art": _logistic,
  "cauchy": (_cauchy, lambda size, p: (1 / jnp.pi) / (1 + size * size)),
  "optimal": (_optimal, lambda size, p: 1 / jnp.maximum(16 * size * size, 1)),
}


def split(v, small):
  """(kept share F(v), swapped share F(-v)) from v and F(-|v|)."""
  return jnp.where(v >= 0, 1 - small, small), jnp.where(
    v >= 0, small, 1 - small
  )


def encode(v, small):
  """Both shares as one number, exact for tiny ones of either kind.

  +F(-v) where a comparator mostly keeps (v >= 0), else -F(v): the smaller of
  what it swaps and what it keeps, the sign saying which.
  """
  return jnp.where(v >= 0, small, -jnp.maximum(small, 1e-37))


def decode(coded):
  """(kept share F(v), swapped share F(-v)), both >= 0, of a coded one."""
  rest = 1 - jnp.abs(coded)
  keeps = coded >= 0
  return jnp.where(keeps, rest, -coded), jnp.where(keeps, coded, rest)


def stretched(gap, relaxation, art_lambda):
  """The comparator's input and its derivative, before the steepness."""
  if relaxation != "logistic_art":
    return gap, jnp.ones_like(gap)
  size = jnp.abs(gap) + 1e-10
  scale = size**-art_lambda
  return gap * scale, scale * (1 - art_lambda * jnp.abs(gap) / size)
