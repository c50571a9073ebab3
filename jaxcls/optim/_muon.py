"""Muon: momentum whose singular values are all made about one."""

import optax


def muon(
  learning_rate: optax.ScalarOrSchedule,
  *,
  beta: float = 0.95,
  weight_decay: float = 0.0,
  newton_schulz_steps: int = 5,
  nesterov: bool = True,
) -> optax.GradientTransformation:
  """Orthogonalised momentum for matrices, Adam for everything else.

  m_t = beta m_{t-1} + (1 - beta) g_t; the update is lr * U V^T of the singular
  value decomposition U S V^T of m_t (with Nesterov's look-ahead), by a few
  Newton-Schulz iterations, times sqrt(max(1, rows / columns)).

  Args:
    learning_rate: number or schedule.
    beta: weight of the old momentum, in [0, 1).
    weight_decay: >= 0, times the learning rate.
    newton_schulz_steps: at least 1.
    nesterov: look ahead.

  Returns:
    A plain optax transformation; `update` needs the parameters.

  Raises:
    ValueError: a number out of its range.

  Source: Jordan et al. 2024, Muon; `optax.contrib.muon` does the work.
  Differs: see optax.

  >>> import jax.numpy as jnp
  >>> tx, w = muon(1.0), {"kernel": jnp.eye(2)}
  >>> step, _ = tx.update(
  ...   {"kernel": jnp.diag(jnp.array([5.0, 0.5]))}, tx.init(w), w
  ... )
  >>> bool((jnp.abs(step["kernel"].diagonal() + 1) < 0.4).all())
  True
  """
  if not 0 <= beta < 1:
    raise ValueError(f"beta must be in [0, 1), got {beta}.")
  if not weight_decay >= 0 or newton_schulz_steps < 1:
    raise ValueError(
      "weight_decay must be >= 0 and newton_schulz_steps at least 1, got "
      f"{weight_decay} and {newton_schulz_steps}."
    )
  return optax.contrib.muon(
    learning_rate, beta=beta, weight_decay=weight_decay,
    ns_steps=newton_schulz_steps, nesterov=nesterov,
  )  # fmt: skip
