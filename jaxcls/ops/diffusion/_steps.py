"""Diffusion that runs from noise at time 0 to the clean vector at time T."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def reversed_cosine_alpha_bar(
  num_steps: int, *, offset: float = 0.008, largest: float = 0.999
) -> Float[Array, " steps"]:
  """How much of the label embedding is left: from none at 0 to all at T.

  abar_t = min(largest, cos^2((1 - t / T + offset) / (1 + offset) * pi / 2)),
  t = 0, ..., T: the cosine schedule with time running towards the label.

  Args:
    num_steps: T, at least 1.
    offset: >= 0, keeps the last steps from being too small.
    largest: in (0, 1); 1 would give an infinite signal-to-noise ratio.

  Returns:
    [T + 1] float32, growing from 0.

  Raises:
    ValueError: num_steps < 1, offset < 0 or largest outside (0, 1).

  Source: Nichol & Dhariwal 2021, arXiv:2102.09672; reversed: Li et al. 2025,
    arXiv:2503.24322.
  Differs: the bound `largest`.

  >>> print(reversed_cosine_alpha_bar(2, offset=0.0))
  [0.    0.5   0.999]
  """
  if num_steps < 1:
    raise ValueError(f"num_steps must be at least 1, got {num_steps}.")
  if offset < 0:
    raise ValueError(f"offset must be at least 0, got {offset}.")
  if not 0 < largest < 1:
    raise ValueError(f"largest must be in (0, 1), got {largest}.")
  time = 1 - jnp.arange(num_steps + 1, dtype=jnp.float32) / num_steps
  angle = (time + offset) / (1 + offset) * (jnp.pi / 2)
  # cos(pi / 2) is -4e-8 in float32: its square is 0 for every purpose.
  return jnp.minimum(jnp.cos(angle) ** 2, largest)


def signal_to_noise(alpha_bar: Float[Array, "*b"]) -> Float[Array, "*b"]:
  """abar / (1 - abar) in float32, alpha_bar in [0, 1).

  Source: Kingma et al. 2021, arXiv:2107.00630.
  Differs: nothing known.

  >>> print(signal_to_noise(jnp.array([0.0, 0.5])))
  [0. 1.]
  """
  alpha_bar = alpha_bar.astype(jnp.float32)
  return alpha_bar / (1 - alpha_bar)


def denoising_coefficients(
  alpha_bar: Float[Array, " steps"],
) -> tuple[Float[Array, " less"], Float[Array, " less"], Float[Array, " less"]]:
  """Weights (a, b, c) of a step z_t = a u + b z_(t-1) + sqrt(c) eps.

  They make z_t ~ N(sqrt(abar_t) u, 1 - abar_t) if z_(t-1) ~
  N(sqrt(abar_(t-1)) u, 1 - abar_(t-1)): with alpha = abar_(t-1) / abar_t,
  a = sqrt(abar_t) (1 - alpha) / (1 - abar_(t-1)),
  b = sqrt(alpha) (1 - abar_t) / (1 - abar_(t-1)),
  c = (1 - abar_t) (1 - alpha) / (1 - abar_(t-1)).

  Args:
    alpha_bar: [T + 1], growing, in [0, 1).

  Returns:
    Three of [T] float32; entry t - 1 is the step from t - 1 to t.

  Raises:
    ValueError: alpha_bar is not a vector of at least two entries.

  Source: Li et al. 2025, arXiv:2503.24322.
  Differs: nothing known.

  >>> a, b, c = denoising_coefficients(jnp.array([0.0, 0.5]))
  >>> print(a, b, c)
  [0.70710677] [0.] [0.5]
  """
  if alpha_bar.ndim != 1 or alpha_bar.shape[0] < 2:
    raise ValueError(
      "alpha_bar must be a vector of at least two entries, got shape "
      f"{alpha_bar.shape}."
    )
  alpha_bar = alpha_bar.astype(jnp.float32)
  before, after = alpha_bar[:-1], alpha_bar[1:]
  alpha = before / after
  rest = 1 - before
  a = jnp.sqrt(after) * (1 - alpha) / rest
  b = jnp.sqrt(alpha) * (1 - after) / rest
  c = (1 - after) * (1 - alpha) / rest
  return a, b, c


def noise_embeddings(
  embeddings: Float[Array, "*b d"],
  alpha_bar: Float[Array, "..."],
  noise: Float[Array, "*b d"],
) -> Float[Array, "*b d"]:
  """sqrt(abar) u + sqrt(1 - abar) eps: a draw of q(z_t | y), float32.

  Args:
    embeddings: [*b d], u.
    alpha_bar: scalar or [*b], in [0, 1].
    noise: [*b d], standard normal.

  Source: Ho et al. 2020, arXiv:2006.11239.
  Differs: nothing known.

  >>> print(noise_embeddings(jnp.ones(2), jnp.array(0.25), jnp.zeros(2)))
  [0.5 0.5]
  """
  alpha_bar = jnp.asarray(alpha_bar, jnp.float32)[..., None]
  signal = jnp.sqrt(alpha_bar) * embeddings.astype(jnp.float32)
  return signal + jnp.sqrt(1 - alpha_bar) * noise.astype(jnp.float32)
