import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses, optim

RNG = np.random.default_rng(0)
FEATURES = jnp.asarray(RNG.normal(size=(7, 3)), jnp.float32)
LABELS = jnp.asarray(RNG.integers(2, size=7))
loss_fn = jax.jit(losses.misfit_normalized_loss)


def test_hand_value():
  logits = jnp.log(jnp.array([[0.9, 0.1], [0.4, 0.6]]))
  got = loss_fn(logits, jnp.array([0, 0]))
  # Misfits 0.1 and 0.6, mean 0.35.
  want = [-math.log(0.9) / 0.35, -math.log(0.4) / 0.35]
  np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("size", [0.0, 1.0, 5.0])
def test_gradient_is_that_of_normalised_logistic_regression(size):
  w = size * jnp.array([1.0, -2.0, 0.5])

  def mean(w):
    margin = FEATURES @ w
    logits = jnp.stack([-margin / 2, margin / 2], axis=-1)
    return losses.misfit_normalized_loss(logits, LABELS).mean()

  want = optim.logistic_gradient(w, FEATURES, LABELS, normalized=True)
  np.testing.assert_allclose(jax.jit(jax.grad(mean))(w), want, rtol=1e-4)


def test_rows_left_out_do_not_count():
  logits = jnp.asarray(RNG.normal(size=(7, 4)), jnp.float32)
  labels = jnp.asarray(RNG.integers(4, size=7))
  where = jnp.arange(7) < 5
  hurt = logits.at[5:].set(jnp.nan)
  got = loss_fn(hurt, labels, where=where)
  np.testing.assert_allclose(
    got[:5], loss_fn(logits[:5], labels[:5]), rtol=1e-6
  )
  np.testing.assert_array_equal(got[5:], 0.0)
  grad = jax.grad(
    lambda x: losses.misfit_normalized_loss(x, labels, where=where).sum()
  )(hurt)
  assert jnp.isfinite(grad[:5]).all()
  np.testing.assert_array_equal(grad[5:], 0.0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_extremes_are_finite(sign, dtype):
  logits = (sign * 1e4 * jnp.eye(3)).astype(dtype)
  f = lambda x: losses.misfit_normalized_loss(x, jnp.arange(3)).sum()
  value, grad = jax.jit(jax.value_and_grad(f))(logits)
  assert value.dtype == jnp.float32 and jnp.isfinite(value)
  assert jnp.isfinite(grad.astype(jnp.float32)).all()
  none = loss_fn(logits, jnp.arange(3), where=jnp.zeros(3, bool))
  np.testing.assert_array_equal(none, 0.0)


def test_errors():
  with pytest.raises(TypeError, match="labels must be"):
    losses.misfit_normalized_loss(jnp.zeros((2, 2)), jnp.zeros(2))
