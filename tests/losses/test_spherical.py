import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens/z_loss.npz"
SETTINGS = {"": dict(a=1.0, b=3.0), "__alt": dict(a=0.1, b=10.0)}


@pytest.mark.parametrize("alt", SETTINGS)
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_z_loss_matches_golden(alt, dtype):
  golden = np.load(GOLDENS, allow_pickle=False)

  def f(o, y):
    per_example = losses.z_loss(o, y, **SETTINGS[alt])
    return per_example.mean(), per_example

  with jax.enable_x64(dtype == jnp.float64):
    o = jnp.asarray(golden["in_o"], dtype)
    y = jnp.asarray(golden["in_target"], jnp.int32)
    (value, rows), grad = jax.jit(jax.value_and_grad(f, has_aux=True))(o, y)
  expected = golden[f"grad_o{alt}"]
  if dtype == jnp.float64:
    tolerance = dict(rtol=1e-8, atol=1e-10), dict(rtol=1e-6, atol=1e-9)
  else:
    scale = 1e-5 * np.abs(expected).max()
    tolerance = dict(rtol=2e-4, atol=1e-5), dict(rtol=2e-4, atol=scale)
  np.testing.assert_allclose(value, golden[f"out_loss{alt}"], **tolerance[0])
  np.testing.assert_allclose(
    rows, golden[f"out_per_sample{alt}"], **tolerance[0]
  )
  np.testing.assert_allclose(grad, expected, **tolerance[1])


def test_z_loss_matches_hand_value():
  # mean 1, variance (4 + 1 + 1) / 3 = 2, z = 2 / sqrt(2).
  got = losses.z_loss(jnp.array([[3.0, 0, 0]]), jnp.array([0]), a=2.0, b=1.0)
  expected = math.log1p(math.exp(2.0 * (1.0 - 2.0 / math.sqrt(2.0)))) / 2.0
  np.testing.assert_allclose(got, [expected], rtol=1e-6)


def test_z_loss_ignores_shift_and_scale():
  o = jnp.asarray(np.random.default_rng(0).normal(size=(5, 7)), jnp.float32)
  y = jnp.arange(5)
  f = jax.jit(lambda o: losses.z_loss(o, y, a=0.5, b=3.0))
  np.testing.assert_allclose(f(3.0 * o + 2.0), f(o), rtol=1e-5)
  np.testing.assert_allclose(f(1e-30 * o), f(o), rtol=1e-5)


@pytest.mark.parametrize("level", [0.0, 1e-40, 0.1, 1e4, 1e37])
def test_z_loss_at_equal_logits(level):
  o = jnp.full((1, 7), level, jnp.float32)
  f = lambda o: losses.z_loss(o, jnp.array([3]), a=0.5, b=3.0)[0]
  value, grad = jax.jit(jax.value_and_grad(f))(o)
  np.testing.assert_allclose(value, math.log1p(math.exp(1.5)) / 0.5, rtol=1e-6)
  np.testing.assert_allclose(grad, np.zeros((1, 7)), atol=0)


def test_spherical_softmax_matches_hand_value():
  logits = jnp.array([[1.0, -2.0, 0.0]])
  got = losses.spherical_softmax_loss(logits, jnp.array([1]), epsilon=0.5)
  np.testing.assert_allclose(got, [-math.log(4.5 / (1.5 + 4.5 + 0.5))], 1e-6)


def test_taylor_softmax_matches_hand_value():
  logits = jnp.array([[1.0, -2.0, 0.0]])
  got = losses.taylor_softmax_loss(logits, jnp.array([0]))
  np.testing.assert_allclose(got, [-math.log(2.5 / (2.5 + 1.0 + 1.0))], 1e-6)


def test_log_softmaxes_are_distributions_that_the_losses_pick_from():
  o = 3 * jnp.asarray(np.random.default_rng(0).normal(size=(5, 7)), jnp.float32)
  y = jnp.arange(5)
  pick = lambda log_probs: -log_probs[jnp.arange(5), y]
  spherical = losses.spherical_log_softmax(o, epsilon=0.1)
  want = losses.spherical_softmax_loss(o, y, epsilon=0.1)
  np.testing.assert_allclose(pick(spherical), want, rtol=1e-6)
  np.testing.assert_array_equal(spherical.argmax(-1), jnp.abs(o).argmax(-1))
  taylor = losses.taylor_log_softmax(o)
  want = losses.taylor_softmax_loss(o, y)
  np.testing.assert_allclose(pick(taylor), want, rtol=1e-6)
  for log_probs in (spherical, taylor):
    np.testing.assert_allclose(jnp.exp(log_probs).sum(-1), 1, rtol=1e-6)
    assert log_probs.dtype == jnp.float32
  grads = jax.grad(lambda o: losses.taylor_log_softmax(o)[0, 0])(1e4 * o)
  assert jnp.isfinite(grads).all()


def test_taylor_softmax_is_softmax_for_small_logits():
  o = 0.01 * jnp.asarray(np.random.default_rng(0).normal(size=(5, 7)))
  y = jnp.arange(5)
  got = losses.taylor_softmax_loss(o, y)
  np.testing.assert_allclose(got, losses.cross_entropy_loss(o, y), atol=1e-5)


@pytest.mark.parametrize("size", [1e4, 1e15, 1e30])
@pytest.mark.parametrize(
  "f",
  [
    lambda o, y: losses.z_loss(o, y, a=0.1, b=10.0),
    lambda o, y: losses.spherical_softmax_loss(o, y, epsilon=1e-3),
    losses.taylor_softmax_loss,
  ],
)
def test_finite_for_huge_logits(f, size):
  o = size * jnp.array([[0.0, 1, -1], [0, 0, 1], [1, 1, 1]])
  grad = jax.jit(jax.grad(lambda o: f(o, jnp.zeros(3, int)).sum()))(o)
  assert np.isfinite(f(o, jnp.zeros(3, int))).all()
  assert np.isfinite(grad).all()


def test_errors():
  o, y = jnp.zeros((2, 3)), jnp.zeros(2, int)
  with pytest.raises(ValueError, match="a must be more than 0, got 0"):
    losses.z_loss(o, y, a=0.0, b=1.0)
  with pytest.raises(ValueError, match="epsilon must be more than 0"):
    losses.spherical_softmax_loss(o, y, epsilon=0.0)
  for f in (
    lambda y: losses.z_loss(o, y, a=1.0, b=1.0),
    lambda y: losses.spherical_softmax_loss(o, y, epsilon=1.0),
    lambda y: losses.taylor_softmax_loss(o, y),
  ):
    with pytest.raises(TypeError, match="labels must be integer"):
      f(jnp.zeros(2))
    with pytest.raises(ValueError, match="labels must have shape"):
      f(jnp.zeros(3, int))
