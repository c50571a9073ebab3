"""Whether weights over a cyclic group are waves."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def frequency_concentration(
  weights: Float[Array, "*b m"],
) -> Float[Array, "*b"]:
  """Largest share of a vector's power that one frequency holds.

  power_k = |FFT(w - mean w)_k|**2 for k = 1 ... m // 2; the share is max_k
  power_k / sum_k power_k.

  Args:
    weights: [*b m], a value for each element of the cyclic group Z_m, m >= 3.

  Returns:
    [*b] float32, in [0, 1]; 1 for a wave, 0 where the vector is constant.

  Raises:
    ValueError: m < 3.

  Source: Provable Scaling Laws of Feature Emergence from Learning Dynamics of
    Grokking, 2025 (units are Fourier features).
  Differs: nothing known.

  >>> wave = jnp.cos(2 * jnp.pi * 2 * jnp.arange(7) / 7)
  >>> print(frequency_concentration(wave).round(3))
  1.0
  """
  m = weights.shape[-1]
  if m < 3:
    raise ValueError(f"weights must have at least 3 elements, got {m}.")
  x = weights.astype(jnp.float32)
  x = x - x.mean(axis=-1, keepdims=True)
  power = jnp.abs(jnp.fft.rfft(x)[..., 1:]) ** 2
  # The highest of an even m stands alone, the others for two.
  if m % 2 == 0:
    power = power.at[..., -1].divide(2)
  total = power.sum(axis=-1)
  share = power.max(axis=-1) / jnp.where(total > 0, total, 1.0)
  return jnp.where(total > 0, share, 0.0)
