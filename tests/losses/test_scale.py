import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

LOGITS, LABELS = jnp.array([[2.0, 0.0], [0.0, 4.0]]), jnp.array([1, 1])


def close(got, expected, rtol=1e-5, atol=1e-6):
  np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def scaled(temperature):
  return losses.temperature_scaled_loss(LOGITS, LABELS, temperature=temperature)


def test_temperature_scaled_hand_value():
  got = jax.jit(lambda t: scaled(t))(2.0)
  close(got, [math.log(1 + math.e), math.log(1 + math.exp(-2.0))])
  close(scaled(1.0), losses.cross_entropy_loss(LOGITS, LABELS))


def test_gradient_flows_into_the_temperature():
  f = lambda t: scaled(t).sum()
  step = 1e-2
  numeric = (f(2.0 + step) - f(2.0 - step)) / (2 * step)
  close(jax.grad(f)(2.0), numeric, rtol=1e-3)


def test_log_partition_hand_value():
  got = jax.jit(losses.log_partition_loss)(LOGITS)
  expected = [
    math.log(math.exp(2.0) + 1) ** 2,
    math.log(1 + math.exp(4.0)) ** 2,
  ]
  close(got, expected)
  # 0 at normalised logits, with gradient 0.
  log_probs = jax.nn.log_softmax(LOGITS)
  close(losses.log_partition_loss(log_probs), [0.0, 0.0])


def test_wrong_arguments_raise():
  with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
    scaled(0.0)
  f = lambda y: losses.temperature_scaled_loss(LOGITS, y, temperature=1.0)
  with pytest.raises(ValueError, match=r"labels must have shape \(2,\)"):
    f(LABELS[:1])
  with pytest.raises(TypeError, match="labels must be integer class ids"):
    f(LABELS.astype(jnp.float32))
