"""The float type of sums and losses."""

import jax.numpy as jnp


def wide(*arrays):
  """Float64 if an array is, else float32: no bf16 sum, no promotion rule."""
  double = any(x.dtype == jnp.float64 for x in arrays)
  return jnp.dtype(jnp.float64 if double else jnp.float32)
