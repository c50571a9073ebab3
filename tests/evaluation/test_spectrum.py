import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import evaluation


@pytest.mark.parametrize("m", [7, 8])
def test_waves_sums_and_constants(m):
  t = 2 * np.pi * np.arange(m) / m
  waves = np.stack(
    [
      np.cos(2 * t + 0.3) + 5,
      np.cos(t) + np.cos(2 * t),
      2 + 0 * t,
    ]
  )
  got = evaluation.frequency_concentration(jnp.asarray(waves, jnp.float32))
  np.testing.assert_allclose(got, [1.0, 0.5, 0.0], atol=1e-4)


def test_power_is_that_of_the_vector():
  # Parseval: the shares of all frequencies sum to the variance.
  alternating = np.array([1.0, -1, 1, -1, 1, -1])
  t = 2 * np.pi * np.arange(6) / 6
  mix = alternating + np.sqrt(2) * 2 * np.cos(t)
  got = evaluation.frequency_concentration(jnp.asarray(mix, jnp.float32))
  np.testing.assert_allclose(got, 4 / 5, rtol=1e-5)
  with pytest.raises(ValueError, match="at least 3 elements, got 2"):
    evaluation.frequency_concentration(jnp.zeros(2))
