import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses, ops


def test_steps_reproduce_the_marginals():
  # z_t = a u + b z_(t-1) + sqrt(c) eps has the mean and variance of q(z_t).
  alpha_bar = np.asarray(ops.reversed_cosine_alpha_bar(10), np.float64)
  a, b, c = map(np.asarray, ops.denoising_coefficients(alpha_bar))
  mean, variance = np.sqrt(alpha_bar[0]), 1 - alpha_bar[0]
  for t in range(10):
    mean = a[t] + b[t] * mean
    variance = b[t] ** 2 * variance + c[t]
    np.testing.assert_allclose(mean, np.sqrt(alpha_bar[t + 1]), rtol=1e-5)
    np.testing.assert_allclose(variance, 1 - alpha_bar[t + 1], rtol=1e-4)


def test_coefficients_are_those_of_the_posterior():
  # q(z_t | z_(t-1), y) by conditioning the joint normal of (z_t, z_(t-1)):
  # z_(t-1) = sqrt(alpha) z_t + sqrt(1 - alpha) noise.
  before, after = 0.3, 0.6
  a, b, c = ops.denoising_coefficients(jnp.array([before, after]))
  alpha = before / after
  covariance = np.sqrt(alpha) * (1 - after)
  gain = covariance / (1 - before)
  np.testing.assert_allclose(b[0], gain, rtol=1e-6)
  np.testing.assert_allclose(
    a[0], np.sqrt(after) - gain * np.sqrt(before), rtol=1e-6
  )
  np.testing.assert_allclose(c[0], (1 - after) - gain * covariance, rtol=1e-6)


def test_moments_by_sampling():
  alpha_bar = ops.reversed_cosine_alpha_bar(4)
  a, b, c = ops.denoising_coefficients(alpha_bar)
  keys = jax.random.split(jax.random.key(0), 3)
  u = jnp.array([1.0, -2.0])
  normal = lambda key: jax.random.normal(key, (200_000, 2))
  before = ops.noise_embeddings(u, alpha_bar[2], normal(keys[0]))
  after = a[2] * u + b[2] * before + jnp.sqrt(c[2]) * normal(keys[1])
  direct = ops.noise_embeddings(u, alpha_bar[3], normal(keys[2]))
  np.testing.assert_allclose(after.mean(0), direct.mean(0), atol=0.01)
  np.testing.assert_allclose(after.std(0), direct.std(0), atol=0.01)


def test_losses_match_hand_values():
  u = jnp.array([[1.0, 2.0]])
  got = losses.standard_normal_kl(u, jnp.array(0.5))
  # 1/2 (0.5 * 5 + 2 * 0.5 - 2 - 2 log 0.5)
  expected = 0.5 * (0.5 * 5 + 2 * 0.5 - 2 - 2 * np.log(0.5))
  np.testing.assert_allclose(got, [expected], rtol=1e-6)
  got = losses.label_denoising_loss(u, 0 * u, jnp.array(4.0))
  np.testing.assert_allclose(got, [4.0 / 2 * 5.0], rtol=1e-6)
  got = losses.forward_forward_loss(jnp.array([3.0]), jnp.array([0.0]))
  np.testing.assert_allclose(got, [np.log(1 + np.exp(1.0))], rtol=1e-6)


def test_denoising_loss_is_the_divergence_between_the_steps():
  # KL between N(a u + b z, c) and N(a u_hat + b z, c) = a^2 |u - u_hat|^2 / 2c.
  alpha_bar = ops.reversed_cosine_alpha_bar(6)
  a, _, c = ops.denoising_coefficients(alpha_bar)
  snr = ops.signal_to_noise(alpha_bar)
  u, found = jnp.array([1.0, 0.0]), jnp.array([0.3, 0.7])
  for t in range(6):
    expected = a[t] ** 2 * jnp.sum((u - found) ** 2) / (2 * c[t])
    got = losses.label_denoising_loss(found, u, snr[t + 1] - snr[t])
    np.testing.assert_allclose(got, expected, rtol=1e-3)


@pytest.mark.parametrize(
  "call",
  [
    lambda: ops.reversed_cosine_alpha_bar(0),
    lambda: ops.reversed_cosine_alpha_bar(3, offset=-1.0),
    lambda: ops.reversed_cosine_alpha_bar(3, largest=1.0),
    lambda: ops.denoising_coefficients(jnp.ones(1)),
    lambda: losses.label_denoising_loss(
      jnp.ones((2, 3)), jnp.ones((2, 2)), jnp.array(1.0)
    ),
    lambda: losses.forward_forward_loss(jnp.ones(2), jnp.ones(3)),
  ],
)
def test_bad_input(call):
  with pytest.raises(ValueError, match="must"):
    call()
