"""Losses that want outputs to change with a little noise."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls import ops
from jaxcls.losses import _checks


def noise_sensitive_loss(
  outputs: Float[Array, "*b c"],
  noised_outputs: Float[Array, "*b c"],
  *,
  angle_degrees: float = 75.0,
) -> Float[Array, "*b"]:
  """Asks for an angle between outputs without and with noise on the input.

  loss = |cos(t, t') - cos(angle)|, t the outputs and t' those of the image
  with noise; cos = t . t' / (||t|| ||t'||), 0 where one of them is 0. At 90
  degrees noise makes the outputs orthogonal.

  Args:
    outputs: t [*b c], any float type; computed in float32.
    noised_outputs: t' [*b c].
    angle_degrees: in [0, 180], degrees.

  Returns:
    [*b] float32, in [0, 2], not reduced.

  Raises:
    ValueError: the shapes differ, or the angle is outside [0, 180].

  Source: Fang et al. 2022, arXiv:2301.01218, the trap loss of the version of
    ICCV 2023, eq. 4.
  Differs: printed without the absolute value, so that the angle would only be
    a constant and cos = -1 the best; the paper's table 4 says it is not.

  >>> t = jnp.array([[1.0, 0.0], [1.0, 0.0]])
  >>> noised = jnp.array([[3.0, 0.0], [0.0, 2.0]])
  >>> print(noise_sensitive_loss(t, noised, angle_degrees=90).round(3))
  [1. 0.]
  """
  _checks.check_same_shape("noised_outputs", noised_outputs, "outputs", outputs)
  _checks.check_number(
    "angle_degrees", angle_degrees, "in [0, 180]", lambda v: 0 <= v <= 180
  )
  cosine = ops.unit_norm(outputs) * ops.unit_norm(noised_outputs)
  target = math.cos(math.radians(angle_degrees))
  return jnp.abs(cosine.sum(axis=-1) - target)
