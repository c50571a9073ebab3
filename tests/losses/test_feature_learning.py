import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("units", [4, 30])
def test_ridge_signal_is_minus_the_gradient(units):
  with jax.enable_x64(True):
    f = jnp.asarray(RNG.normal(size=(12, units)))
    y = jnp.asarray(RNG.normal(size=(12, 3)))
    l2 = 0.3
    v = jnp.linalg.solve(f.T @ f + l2 * jnp.eye(units), f.T @ y)
    want = -jax.grad(lambda f: 0.5 * ((y - f @ v) ** 2).sum())(f)
    got = jax.jit(lambda f, y: losses.ridge_signal(f, y, l2=l2))(f, y)
    np.testing.assert_allclose(got, want, atol=1e-10)
    # And the closed form, l2 A Y Y^T A F with A = (F F^T + l2 I)^-1.
    a = jnp.linalg.inv(f @ f.T + l2 * jnp.eye(12))
    np.testing.assert_allclose(got, l2 * a @ y @ y.T @ a @ f, atol=1e-10)


def test_small_features_learn_alone():
  f = jnp.asarray(1e-3 * RNG.normal(size=(10, 3)), jnp.float32)
  y = jnp.asarray(RNG.normal(size=(10, 2)), jnp.float32)
  y = y - y.mean(axis=0)
  got = losses.ridge_signal(f, y, l2=1.0)
  # There it is the gradient of the energy of a linear unit.
  want = jax.grad(lambda f: losses.feature_energy(f, y).sum())(f)
  np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-8)


def test_energy_by_hand():
  responses = jnp.array([[1.0, 0.0], [3.0, 0.0]])
  # Y = +-0.5: Y^T f = (-1, 1), energy 0.5 * 2.
  got = losses.feature_energy(responses, jnp.eye(2))
  np.testing.assert_allclose(got, [1.0, 0.0], rtol=1e-6)
  assert (
    losses.feature_energy(responses.astype(jnp.bfloat16), jnp.eye(2)).dtype
    == jnp.float32
  )


def test_centred_squared_error():
  logits, labels = jnp.array([[0.0, 0.0]]), jnp.array([1])
  got = losses.squared_error_loss(logits, labels, centred=True)
  np.testing.assert_allclose(got, [0.25], rtol=1e-6)
  met = jnp.array([[-0.5, 0.5]])
  got = losses.squared_error_loss(met, labels, centred=True)
  np.testing.assert_allclose(got, [0.0], atol=1e-7)


def test_errors():
  with pytest.raises(ValueError, match="must have shapes"):
    losses.feature_energy(jnp.zeros((3, 2)), jnp.zeros((2, 2)))
  with pytest.raises(ValueError, match="l2 must be above 0, got 0.0"):
    losses.ridge_signal(jnp.zeros((3, 2)), jnp.zeros((3, 2)), l2=0.0)
