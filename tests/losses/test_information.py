import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

P = np.array([[0.5, 0.25, 0.25], [0.8, 0.1, 0.1]])
Q = np.array([[0.2, 0.2, 0.6], [0.8, 0.1, 0.1]])
LOGITS, OTHER = jnp.log(jnp.asarray(P)) + 3.0, jnp.log(jnp.asarray(Q)) - 1.0


def close(got, expected, rtol=1e-5, atol=1e-6):
  np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def divergence(p, q):
  return (p * np.log(p / q)).sum(-1)


def entropy(p):
  return -(p * np.log(p)).sum(-1)


def test_soft_kl_divergence_hand_value():
  f = jax.jit(losses.soft_kl_divergence_loss)
  close(f(LOGITS, jnp.asarray(Q)), divergence(Q, P))
  one_hot = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
  close(f(LOGITS, one_hot), [math.log(2.0), -math.log(0.1)])


def test_soft_kl_divergence_is_cross_entropy_less_entropy():
  cross = losses.soft_cross_entropy_loss(LOGITS, jnp.asarray(Q))
  got = losses.soft_kl_divergence_loss(LOGITS, jnp.asarray(Q))
  close(got, cross - entropy(Q))


def test_relative_entropy_hand_value_and_gradients():
  f = jax.jit(losses.relative_entropy)
  close(f(LOGITS, OTHER), divergence(P, Q))
  total = lambda a, b: losses.relative_entropy(a, b).sum()
  first, second = jax.jit(jax.grad(total, argnums=(0, 1)))(LOGITS, OTHER)
  ratio = np.log(P / Q)
  close(first, P * (ratio - divergence(P, Q)[:, None]))
  close(second, Q - P)


def test_relative_entropy_is_the_distillation_loss_at_temperature_one():
  got = losses.relative_entropy(OTHER, LOGITS)
  close(got, losses.kl_divergence_loss(LOGITS, OTHER, temperature=1.0))


def test_jensen_shannon_hand_value_and_symmetry():
  f = jax.jit(losses.jensen_shannon_divergence)
  m = (P + Q) / 2
  close(f(LOGITS, OTHER), (divergence(P, m) + divergence(Q, m)) / 2)
  close(f(LOGITS, OTHER), f(OTHER, LOGITS))
  far = jnp.array([[1e4, 0.0, 0.0]])
  close(f(far, -far), [math.log(2.0)])


def test_mutual_information_hand_value():
  members = jnp.stack([LOGITS, OTHER], axis=1)
  got = jax.jit(losses.mutual_information)(members)
  close(got, entropy((P + Q) / 2) - (entropy(P) + entropy(Q)) / 2)
  # Two equally likely members: the Jensen-Shannon divergence.
  close(got, losses.jensen_shannon_divergence(LOGITS, OTHER))


def test_mutual_information_of_a_batch():
  # Every example sure of another class: log c; all alike: 0.
  sure = 100.0 * jnp.eye(3)
  close(losses.mutual_information(sure), math.log(3.0))
  close(losses.mutual_information(jnp.tile(LOGITS[:1], (4, 1))), 0.0)


def test_mutual_information_leaves_out():
  f = lambda x, keep: losses.mutual_information(x, where=keep)
  rows = jnp.concatenate([LOGITS, jnp.full((1, 3), jnp.nan)])
  keep = jnp.array([True, True, False])
  value, gradient = jax.jit(jax.value_and_grad(f))(rows, keep)
  close(value, losses.mutual_information(LOGITS))
  close(gradient[2], np.zeros(3))
  value, gradient = jax.jit(jax.value_and_grad(f))(rows, jnp.zeros(3, bool))
  close(value, 0.0)
  close(gradient, np.zeros((3, 3)))
  assert losses.mutual_information(jnp.zeros((5, 0, 3))).shape == (5,)


def test_wrong_arguments_raise():
  with pytest.raises(ValueError, match="targets must have the shape of"):
    losses.soft_kl_divergence_loss(LOGITS, jnp.asarray(Q)[:1])
  for f in (losses.relative_entropy, losses.jensen_shannon_divergence):
    with pytest.raises(ValueError, match="other_logits must have the shape"):
      f(LOGITS, OTHER[:1])
  with pytest.raises(TypeError, match="where must be bool, got float32"):
    losses.mutual_information(LOGITS, where=jnp.ones(2))
  with pytest.raises(ValueError, match=r"where must have shape \(2,\)"):
    losses.mutual_information(LOGITS, where=jnp.ones(3, bool))
