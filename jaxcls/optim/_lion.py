"""Lion: the sign of an interpolated momentum."""

from collections.abc import Callable
from typing import Any

import optax


def lion(
  learning_rate: optax.ScalarOrSchedule,
  *,
  b1: float = 0.9,
  b2: float = 0.99,
  weight_decay: float = 0.0,
  mask: Any | Callable[[Any], Any] | None = None,
  mu_dtype: Any = "float32",
) -> optax.GradientTransformation:
  """Sign of the interpolated momentum, decoupled weight decay.

  u_t = sign(b1 m_{t-1} + (1 - b1) g_t)
  w_t = w_{t-1} - lr (u_t + weight_decay w_{t-1})
  m_t = b2 m_{t-1} + (1 - b2) g_t, after the step.

  One slot of memory; every undecayed entry moves by lr, or not at all where
  the interpolation is 0.

  Args:
    learning_rate: number or schedule; 3 to 10 times smaller than AdamW's.
    b1: weight of the momentum in the direction, in [0, 1).
    b2: weight of the old momentum, in [0, 1).
    weight_decay: >= 0, times the learning rate; 3 to 10 times AdamW's.
    mask: bool pytree, or a function of the parameters that returns one (see
      `path_mask`): what is decayed; None decays everything.
    mu_dtype: of the momentum; None takes the parameters'.

  Returns:
    A plain optax transformation; `update` needs the parameters.

  Raises:
    ValueError: b1 or b2 outside [0, 1), or weight_decay < 0.

  Source: Chen et al. 2023, arXiv:2302.06675 (Symbolic Discovery of
    Optimization Algorithms); `optax.lion` does the work.
  Differs: optax decays by 1e-3 and keeps the momentum in the parameters'
    type unless told otherwise.

  >>> import jax.numpy as jnp
  >>> tx, w = lion(0.1, weight_decay=0.5), jnp.array([1.0, -2.0])
  >>> print(tx.update(jnp.array([3.0, 0.0]), tx.init(w), w)[0])
  [-0.15  0.1 ]
  """
  for name, value in (("b1", b1), ("b2", b2)):
    if not 0 <= value < 1:
      raise ValueError(f"{name} must be in [0, 1), got {value}.")
  if not weight_decay >= 0:
    raise ValueError(f"weight_decay must be >= 0, got {weight_decay}.")
  return optax.lion(learning_rate, b1, b2, mu_dtype, weight_decay, mask)
