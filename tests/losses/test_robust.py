import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxcls import losses

LOGITS = jnp.array([[-0.5, 0.1, 2.0], [0.1, 1.5, -5.0], [4.0, -3.0, -6.0]])
SOFT = jnp.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.2, 0.8, 0.0]])
LABELS = jnp.array([1, 0, 2])


def close(got, expected, rtol=1e-5, atol=1e-6):
  np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def hard(t1, t2):
  return jax.jit(lambda x, y: losses.bi_tempered_loss(x, y, t1=t1, t2=t2))


def soft(t1, t2):
  return jax.jit(lambda x, t: losses.soft_bi_tempered_loss(x, t, t1=t1, t2=t2))


def tempered_softmax(row, t):
  """By bisection in double precision, t > 1."""
  p = lambda shift: (1 + (t - 1) * (shift - row)) ** (-1 / (t - 1))
  low, high = row.max(), row.max() + (len(row) ** (t - 1) - 1) / (t - 1) + 1e-9
  for _ in range(200):
    middle = (low + high) / 2
    low, high = (middle, high) if p(middle).sum() > 1 else (low, middle)
  return p(low)


def by_hand(row, target, t1, t2):
  """The paper's formula."""
  p = tempered_softmax(np.asarray(row, np.float64), t2)
  t = np.asarray(target, np.float64)
  log_t = lambda u: (u ** (1 - t1) - 1) / (1 - t1)
  powers = (t ** (2 - t1) - p ** (2 - t1)) / (2 - t1)
  return (t * (log_t(t) - log_t(p)) - powers).sum()


@pytest.mark.parametrize(("t1", "t2"), [(0.5, 1.5), (0.0, 4.0), (0.9, 1.01)])
def test_hand_value(t1, t2):
  rows = zip(LOGITS, SOFT, strict=True)
  expected = [by_hand(row, target, t1, t2) for row, target in rows]
  close(soft(t1, t2)(LOGITS, SOFT), expected, rtol=2e-5, atol=2e-6)
  targets = jax.nn.one_hot(LABELS, 3)
  rows = zip(LOGITS, targets, strict=True)
  expected = [by_hand(row, target, t1, t2) for row, target in rows]
  close(hard(t1, t2)(LOGITS, LABELS), expected, rtol=2e-5, atol=2e-6)


def test_matches_the_values_of_the_released_tests():
  # t1 = 0.5, t2 = 1.5; their normaliser is approximate, hence 1e-4.
  expected = [0.02301914, 0.18972909, 0.93874922]
  close(soft(0.5, 1.5)(LOGITS, SOFT), expected, rtol=0, atol=1e-4)


def test_temperatures_of_one_are_cross_entropy_and_divergence():
  close(
    hard(1.0, 1.0)(LOGITS, LABELS), losses.cross_entropy_loss(LOGITS, LABELS)
  )
  divergence = losses.soft_kl_divergence_loss(LOGITS, SOFT)
  close(soft(1.0, 1.0)(LOGITS, SOFT), divergence)


def test_hard_and_soft_agree():
  targets = jax.nn.one_hot(LABELS, 3)
  close(hard(0.8, 1.2)(LOGITS, LABELS), soft(0.8, 1.2)(LOGITS, targets))


def test_is_bounded_and_does_not_see_a_shift():
  x = jnp.array([[1e4, 0.0, -1e4]])
  labels = jnp.array([2])
  # -log_t1(0) - (1 - 1) / (2 - t1) = 1 / (1 - t1), nearly, as p_2 is 7e-22.
  close(hard(0.5, 1.2)(x, labels), [1 / (1 - 0.5)], rtol=1e-3)
  shifted = hard(0.5, 1.2)(LOGITS + 7.0, LABELS)
  close(shifted, hard(0.5, 1.2)(LOGITS, LABELS), rtol=1e-4, atol=1e-5)


def test_is_zero_with_zero_gradient_at_the_targets():
  # At logits whose tempered softmax is the target distribution.
  target = np.array([[0.2, 0.3, 0.5]])
  t2 = 1.5
  logits = jnp.asarray((target ** (1 - t2) - 1) / (1 - t2), jnp.float32)
  f = lambda x: losses.soft_bi_tempered_loss(
    x, jnp.asarray(target, jnp.float32), t1=0.5, t2=t2
  ).sum()
  value, gradient = jax.value_and_grad(f)(logits)
  close(value, 0.0)
  close(gradient, np.zeros((1, 3)))


def test_normaliser_has_converged_for_many_classes():
  x = np.random.default_rng(0).normal(size=(4, 1000)).astype(np.float32) * 5
  labels = np.arange(4)
  expected = [
    by_hand(row, np.eye(1000)[y], 0.5, 1.5)
    for row, y in zip(x, labels, strict=True)
  ]
  got = hard(0.5, 1.5)(jnp.asarray(x), jnp.asarray(labels))
  close(got, expected, rtol=2e-5)


def test_derivatives_of_both_orders_and_of_the_temperature():
  f = lambda x, t2: losses.bi_tempered_loss(x, LABELS, t1=0.6, t2=t2).sum()
  order = dict(modes=["rev"], atol=1e-2, rtol=1e-2)
  check_grads(jax.jit(f), (LOGITS, jnp.float32(1.4)), order=2, **order)


def test_traced_temperatures_are_allowed():
  f = jax.vmap(
    lambda t1, t2: losses.bi_tempered_loss(LOGITS, LABELS, t1=t1, t2=t2)
  )
  got = jax.jit(f)(jnp.array([1.0, 0.8]), jnp.array([1.0, 1.2]))
  close(got[0], losses.cross_entropy_loss(LOGITS, LABELS))
  close(got[1], hard(0.8, 1.2)(LOGITS, LABELS))


def test_wrong_arguments_raise():
  with pytest.raises(ValueError, match=r"labels must have shape \(3,\)"):
    hard(0.5, 1.5)(LOGITS, LABELS[:1])
  with pytest.raises(TypeError, match="labels must be integer class ids"):
    hard(0.5, 1.5)(LOGITS, LABELS.astype(jnp.float32))
  with pytest.raises(ValueError, match="targets must have the shape of"):
    soft(0.5, 1.5)(LOGITS, SOFT[:1])
  for f, y in ((hard, LABELS), (soft, SOFT)):
    with pytest.raises(ValueError, match=r"t1 must be in \[0, 1\], got 1.5"):
      f(1.5, 2.0)(LOGITS, y)
    with pytest.raises(ValueError, match="t2 must be at least 1, got 0.5"):
      f(0.5, 0.5)(LOGITS, y)
