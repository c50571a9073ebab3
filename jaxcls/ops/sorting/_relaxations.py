"""Comparator relaxations: the part that is swapped, and its slope."""

import jax
import jax.numpy as jnp

# atan(t) / (pi t) on [0, 1] as a polynomial in t^2: Chebyshev interpolation in
# 10 points, error 8e-10. jnp.arctan is 16 times as slow on XLA's CPU backend.
ATAN = (
  0.31830987334251404,
  -0.10610312968492508,
  0.06365634500980377,
  -0.045396000146865845,
  0.03482373431324959,
  -0.026649106293916702,
  0.01829121820628643,
  -0.009777686558663845,
  0.0033997786231338978,
  -0.0005550372879952192,
)


def _cauchy(v):
  """0.5 - atan(v) / pi, without cancellation for large v."""
  if v.dtype != jnp.float32:
    return 0.5 - jnp.arctan(v) / jnp.pi
  size = jnp.abs(v)
  t = jnp.where(size > 1, 1 / jnp.maximum(size, 1), size)
  square, poly = t * t, jnp.full_like(t, ATAN[-1])
  for coefficient in ATAN[-2::-1]:
    poly = poly * square + coefficient
  part = t * poly
  part = jnp.where(size > 1, part, 0.5 - part)
  return jnp.where(v > 0, part, 1 - part)


def _optimal(v):
  size = jnp.maximum(jnp.abs(v), 0.25)
  part = 1 / (16 * size)
  return jnp.where(jnp.abs(v) > 0.25, jnp.where(v > 0, part, 1 - part), 0.5 - v)


# relaxation: (swapped part 1 - F(v), slope F'(v) from v and the swapped part)
RELAXATIONS = {
  "logistic": (lambda v: jax.nn.sigmoid(-v), lambda v, m: m * (1 - m)),
  "logistic_art": (lambda v: jax.nn.sigmoid(-v), lambda v, m: m * (1 - m)),
  "cauchy": (_cauchy, lambda v, m: (1 / jnp.pi) / (1 + v * v)),
  "optimal": (
    _optimal,
    lambda v, m: 1 / jnp.maximum(16 * v * v, 1),
  ),
}


def stretched(gap, relaxation, art_lambda):
  """The comparator's input and its derivative, before the steepness."""
  if relaxation != "logistic_art":
    return gap, jnp.ones_like(gap)
  size = jnp.abs(gap) + 1e-10
  scale = size**-art_lambda
  return gap * scale, scale * (1 - art_lambda * jnp.abs(gap) / size)
