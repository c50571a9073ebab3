"""Pieces of the losses that have one sigmoid per class."""

import jax.numpy as jnp


def nll(logits, targets):
  """-(t log s + (1 - t) log(1 - s)), s = sigmoid(logits), elementwise.

  One exponential and one logarithm instead of two log-sigmoids, and exact to
  rounding on both sides: max(x, 0) - t x is 0, not a difference of two large
  numbers, where a hard target is met.
  """
  softplus = jnp.log1p(jnp.exp(-jnp.abs(logits)))
  return jnp.maximum(logits, 0.0) - logits * targets + softplus


def power(base, exponent):
  """base**exponent for base in [0, 1], whose gradient is finite at 0."""
  if isinstance(exponent, int | float) and exponent == int(exponent):
    return base ** int(exponent)  # products only
  # Far above the smallest float32: denormal products are slow on a CPU.
  return jnp.exp(exponent * jnp.log(jnp.maximum(base, 1e-12)))
