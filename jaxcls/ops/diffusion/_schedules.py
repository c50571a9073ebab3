"""How much signal and how much noise each step has, and what is predicted."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SCHEDULES = ("linear", "cosine", "rectified_flow")


class NoiseLevels(NamedTuple):
  """x_t = signal[t] * x + noise[t] * eps; both [T] float32."""

  signal: Array
  noise: Array


def linear_alpha_bar(
  num_steps: int, *, beta_start: float = 1e-4, beta_end: float = 0.02
) -> Float[Array, " t"]:
  """Products of 1 - beta for betas that rise linearly.

  abar_t = prod_{s <= t} (1 - beta_s).

  Args:
    num_steps: T, at least 1; the defaults of beta are for 1,000.
    beta_start: first beta, in (0, 1); beta_end: the last one.
    beta_end: see beta_start.

  Returns:
    [T] float32, falling, in (0, 1).

  Raises:
    ValueError: no steps, or a beta outside (0, 1).

  Source: Ho et al. 2020, arXiv:2006.11239, sec. 4.
  Differs: nothing known.

  >>> print(linear_alpha_bar(2, beta_start=0.5, beta_end=0.5))
  [0.5  0.25]
  """
  _check_steps(num_steps)
  if not (0 < beta_start < 1 and 0 < beta_end < 1):
    raise ValueError(
      "beta_start and beta_end must be in (0, 1), got "
      f"{beta_start} and {beta_end}."
    )
  betas = np.linspace(beta_start, beta_end, num_steps)
  return jnp.asarray(np.cumprod(1 - betas), jnp.float32)


def cosine_alpha_bar(
  num_steps: int, *, offset: float = 0.008, max_beta: float = 0.999
) -> Float[Array, " t"]:
  """A squared cosine, betas clipped.

  f(t) = cos((t / T + s) / (1 + s) * pi / 2)^2, beta_t = min(1 - f(t) / f(t -
  1), max_beta), abar_t = prod_{s <= t} (1 - beta_s).

  Args:
    num_steps: T, at least 1.
    offset: s, >= 0.
    max_beta: largest beta, in (0, 1).

  Returns:
    [T] float32, falling, in (0, 1).

  Raises:
    ValueError: no steps, a negative offset or max_beta outside (0, 1).

  Source: Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17.
  Differs: nothing known.

  >>> print(cosine_alpha_bar(2, offset=0.0)[0].round(3))
  0.5
  """
  _check_steps(num_steps)
  if offset < 0 or not 0 < max_beta < 1:
    raise ValueError(
      "offset must be at least 0 and max_beta in (0, 1), got "
      f"{offset} and {max_beta}."
    )
  t = np.arange(num_steps + 1) / num_steps
  f = np.cos((t + offset) / (1 + offset) * np.pi / 2) ** 2
  betas = np.minimum(1 - f[1:] / f[:-1], max_beta)
  return jnp.asarray(np.cumprod(1 - betas), jnp.float32)


def noise_levels(schedule: str, num_steps: int) -> NoiseLevels:
  """Signal and noise of every step of a named schedule.

  "linear", "cosine": sqrt(abar_t) and sqrt(1 - abar_t). "rectified_flow": 1 - u
  and u at u = (t + 1/2) / T.

  Args:
    schedule: one of the three.
    num_steps: T, at least 1.

  Returns:
    NoiseLevels of two [T] float32.

  Raises:
    ValueError: unknown schedule, or no steps.

  Source: as `linear_alpha_bar` and `cosine_alpha_bar`; Liu et al. 2022,
    arXiv:2209.03003.
  Differs: flow times are the middles of T equal parts.

  >>> print(noise_levels("rectified_flow", 2).noise)
  [0.25 0.75]
  """
  if schedule not in SCHEDULES:
    raise ValueError(f"schedule must be one of {SCHEDULES}, got {schedule!r}.")
  if schedule == "rectified_flow":
    _check_steps(num_steps)
    u = (jnp.arange(num_steps, dtype=jnp.float32) + 0.5) / num_steps
    return NoiseLevels(1 - u, u)
  make = {"linear": linear_alpha_bar, "cosine": cosine_alpha_bar}[schedule]
  alpha_bar = make(num_steps)
  return NoiseLevels(jnp.sqrt(alpha_bar), jnp.sqrt(1 - alpha_bar))


def noise_target(
  schedule: str, x: Float[Array, "*b"], noise: Float[Array, "*b"]
) -> Float[Array, "*b"]:
  """What a denoiser predicts: the noise, or the flow's velocity noise - x.

  Args:
    schedule: as of `noise_levels`.
    x: clean inputs.
    noise: unit normal noise of that shape.

  Returns:
    The target, in the shape of x.

  Raises:
    ValueError: unknown schedule.

  Source: Ho et al. 2020, arXiv:2006.11239; Liu et al. 2022,
    arXiv:2209.03003.
  Differs: nothing known.

  >>> print(noise_target("rectified_flow", jnp.ones(1), jnp.zeros(1)))
  [-1.]
  """
  if schedule not in SCHEDULES:
    raise ValueError(f"schedule must be one of {SCHEDULES}, got {schedule!r}.")
  return noise - x if schedule == "rectified_flow" else noise


def _check_steps(num_steps: int) -> None:
  if num_steps < 1:
    raise ValueError(f"num_steps must be at least 1, got {num_steps}.")
