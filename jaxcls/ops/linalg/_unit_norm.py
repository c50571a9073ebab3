"""Vectors on the unit sphere."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls import _precision


def unit_norm(
  x: Float[Array, "*b d"], *, axis: int = -1
) -> Float[Array, "*b d"]:
  """x / ||x||; a zero vector stays zero and has a finite gradient.

  = x / sqrt(max(sum x^2, 1e-24)).

  Args:
    x: any float type; computed in float32 (float64 stays).
    axis: of the vectors.

  Returns:
    The shape of x, float32 or float64.

  Raises:
    TypeError: x is not floating point.

  Source: no paper.
  Differs: nothing known.

  >>> print(unit_norm(jnp.array([[3.0, 4.0], [0.0, 0.0]])))
  [[0.6 0.8]
   [0.  0. ]]
  """
  if not jnp.issubdtype(x.dtype, jnp.floating):
    raise TypeError(f"x must be floating point, got {x.dtype}.")
  x = x.astype(_precision.wide(x))
  square = jnp.sum(x * x, axis=axis, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))
