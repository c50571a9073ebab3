"""One sigmoid: its probability and log-likelihood, for losses of many.

Clamps are `jnp.maximum`, not `jnp.where`: on a CPU a select before a logarithm
made these losses three times slower (experiments/bench/losses.py).
"""

import jax.numpy as jnp


def nll(logits, targets):
  """-(t log s + (1 - t) log(1 - s)), s = sigmoid(logits), elementwise.

  One exponential and one logarithm instead of two log-sigmoids, and exact to
  rounding on both sides: max(x, 0) - t x is 0, not a difference of two large
  numbers, where a hard target is met.
  """
  softplus = jnp.log1p(jnp.exp(-jnp.abs(logits)))
  return jnp.maximum(logits, 0.0) - logits * targets + softplus


def prob(logits):
  """sigmoid(logits) from the exponential that `nll` needs too."""
  small = jnp.exp(-jnp.abs(logits))
  return jnp.where(logits >= 0.0, 1.0, small) / (1.0 + small)


def power(base, exponent):
  """base**exponent for base in [0, 1], whose gradient is finite at 0.

  Both floors are far above the smallest float32: what is multiplied by a
  denormal number costs a CPU several times as much.
  """
  log_power = exponent * jnp.log(jnp.maximum(base, 1e-12))
  return jnp.exp(jnp.maximum(log_power, -60.0))
