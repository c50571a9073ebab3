import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import ops


def test_alpha_bars_match_the_papers():
  betas = np.linspace(1e-4, 0.02, 1000)
  np.testing.assert_allclose(
    ops.linear_alpha_bar(1000), np.cumprod(1 - betas), rtol=1e-5
  )
  f = lambda t: np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
  expected = f(np.arange(1, 991)) / f(0)  # Before the clip of beta.
  np.testing.assert_allclose(
    ops.cosine_alpha_bar(1000)[:990], expected, rtol=1e-4
  )
  assert ops.cosine_alpha_bar(1000)[-1] > 0


@pytest.mark.parametrize("schedule", ["linear", "cosine", "rectified_flow"])
def test_levels_go_from_signal_to_noise(schedule):
  signal, noise = jax.jit(lambda: tuple(ops.noise_levels(schedule, 100)))()
  assert (jnp.diff(signal) < 0).all() and (jnp.diff(noise) > 0).all()
  total = signal + noise if schedule == "rectified_flow" else (
    signal**2 + noise**2
  )  # fmt: skip
  np.testing.assert_allclose(total, np.ones(100), rtol=1e-5)
  x, eps = jnp.array([2.0]), jnp.array([0.5])
  target = ops.noise_target(schedule, x, eps)
  assert float(target[0]) == (-1.5 if schedule == "rectified_flow" else 0.5)


def test_velocity_is_the_slope_of_the_path():
  levels = ops.noise_levels("rectified_flow", 4)
  x, eps = jnp.array(0.3), jnp.array(-1.2)
  path = levels.signal * x + levels.noise * eps
  slope = jnp.diff(path) / jnp.diff(levels.noise)
  expected = ops.noise_target("rectified_flow", x, eps)
  np.testing.assert_allclose(slope, np.full(3, expected), rtol=1e-5)


def test_bad_arguments_are_named():
  with pytest.raises(ValueError, match="schedule must be one of"):
    ops.noise_levels("square", 3)
  with pytest.raises(ValueError, match="schedule must be one of"):
    ops.noise_target("square", jnp.ones(1), jnp.ones(1))
  with pytest.raises(ValueError, match="num_steps must be at least 1"):
    ops.linear_alpha_bar(0)
  with pytest.raises(ValueError, match="beta_start"):
    ops.linear_alpha_bar(3, beta_start=0.0)
  with pytest.raises(ValueError, match="max_beta"):
    ops.cosine_alpha_bar(3, max_beta=1.0)
