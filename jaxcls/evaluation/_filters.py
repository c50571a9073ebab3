"""How much the filters of a layer repeat one another."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls import ops


def filter_redundancy(kernel: Float[Array, "*w f"]) -> Float[Array, " f"]:
  """Largest |cos| between each filter and another one.

  1: the filter, or its negative, is there twice. 0 for a single filter, and
  for one of zeros.

  Args:
    kernel: [*w f], such as [kh kw c f]; each filter is one vector.

  Returns:
    [f] float32, in [0, 1].

  Raises:
    ValueError: a kernel of fewer than two axes.

  Source: Rodriguez et al. 2017, arXiv:1611.01967 (cosines of filters).
  Differs: the largest for each filter, not all of them.

  >>> print(filter_redundancy(jnp.array([[1.0, -2.0, 0.0], [0.0, 0.0, 3.0]])))
  [1. 1. 0.]
  """
  x = _vectors(kernel)
  x = ops.unit_norm(x, axis=1)
  cosines = jnp.abs(x @ x.T)
  return jnp.where(jnp.eye(len(x), dtype=bool), 0, cosines).max(axis=1)


def effective_rank(kernel: Float[Array, "*w f"]) -> Float[Array, ""]:
  """exp of the entropy of the filters' singular values, as shares of the sum.

  Args:
    kernel: [*w f]; each filter is one vector.

  Returns:
    [] float32, in [1, f]; 1 where all filters are multiples of one, 0 where
    all are zero.

  Raises:
    ValueError: a kernel of fewer than two axes.

  Source: Roy & Vetterli 2007, The effective rank.
  Differs: nothing known.

  >>> print(effective_rank(jnp.eye(3)).round(4))
  3.0
  """
  values = jnp.linalg.svd(_vectors(kernel), compute_uv=False)
  total = values.sum()
  shares = values / jnp.where(total > 0, total, 1.0)
  logs = jnp.log(jnp.where(shares > 0, shares, 1.0))
  return jnp.where(total > 0, jnp.exp(-(shares * logs).sum()), 0.0)


def _vectors(kernel):
  """[f d] float32."""
  if kernel.ndim < 2:
    raise ValueError(f"kernel must have shape [*w f], got {kernel.shape}.")
  return kernel.reshape(-1, kernel.shape[-1]).T.astype(jnp.float32)
