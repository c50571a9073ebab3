import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses


def at(degrees):
  angle = math.radians(degrees)
  return jnp.array([math.cos(angle), math.sin(angle)])


@pytest.mark.parametrize("wanted", [0, 45, 75, 90, 180])
def test_matches_the_angle_between_two_vectors(wanted):
  call = jax.jit(
    lambda a, b: losses.noise_sensitive_loss(a, b, angle_degrees=wanted)
  )
  degrees = np.array([0, 30, 75, 90, 160])
  # Lengths do not matter.
  noised = jnp.stack([2.0 * at(d) for d in degrees])
  got = call(jnp.broadcast_to(3 * at(0), (5, 2)), noised)
  want = np.abs(np.cos(np.radians(degrees)) - math.cos(math.radians(wanted)))
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_descent_turns_the_outputs_to_the_angle():
  loss = lambda t: losses.noise_sensitive_loss(at(0), t, angle_degrees=75)
  step = jax.jit(lambda t: t - 0.02 * jax.grad(loss)(t))
  t = at(10)
  for _ in range(200):
    t = step(t)
  degrees = math.degrees(math.atan2(t[1], t[0]))
  assert abs(degrees - 75) < 3


def test_zeros_have_no_direction_and_a_finite_gradient():
  zeros = jnp.zeros((2, 3))
  value, grad = jax.jit(
    jax.value_and_grad(lambda t: losses.noise_sensitive_loss(t, zeros).sum())
  )(zeros)
  assert value == pytest.approx(2 * math.cos(math.radians(75)), rel=1e-5)
  np.testing.assert_array_equal(grad, 0.0)


def test_errors():
  x = jnp.ones((2, 3))
  with pytest.raises(ValueError, match="noised_outputs must have the shape"):
    losses.noise_sensitive_loss(x, x[:, :2])
  with pytest.raises(ValueError, match=r"angle_degrees must be in \[0, 180\]"):
    losses.noise_sensitive_loss(x, x, angle_degrees=200.0)
