"""How far two gradients of a network point apart."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxcls import _precision
from jaxcls.losses import _checks


def gradient_matching_loss(
  gradients: Mapping[str, jax.Array],
  targets: Mapping[str, jax.Array],
  *,
  eps: float = 1e-6,
) -> jax.Array:
  """Sum over layers and output units of 1 - cosine of the weights' gradients.

  loss = sum_l sum_o (1 - <g_lo, t_lo> / (||g_lo|| ||t_lo|| + eps)), where g_lo
  holds the gradients of all weights into output unit o of layer l. Vectors
  (biases, norms) do not count.

  Args:
    gradients: {path: [... d_out]}, kernels with the output axis last; any
      float type, computed in at least float32.
    targets: likewise, the same paths and shapes.
    eps: > 0, in the denominator.

  Returns:
    [] float32 (float64 for float64 input), no unit.

  Raises:
    ValueError: the paths or shapes differ, or eps <= 0.

  Source: Zhao et al. 2021, arXiv:2006.05929 (dataset condensation).
  Differs: nothing known.

  >>> g = {"kernel": jnp.eye(2), "bias": jnp.ones(2)}
  >>> t = {"kernel": jnp.array([[1.0, 1.0], [0.0, 0.0]]), "bias": jnp.zeros(2)}
  >>> print(f"{gradient_matching_loss(g, t):.4f}")
  1.0000
  """
  _checks.check_number("eps", eps, "above 0", lambda v: v > 0)
  shapes = lambda tree: {path: leaf.shape for path, leaf in tree.items()}
  if shapes(gradients) != shapes(targets):
    raise ValueError(
      "targets must have the gradients' paths and shapes, got "
      f"{shapes(targets)} for {shapes(gradients)}."
    )
  total = jnp.zeros(())
  for path in sorted(gradients):
    g, t = (
      tree[path].astype(_precision.wide(tree[path]))
      for tree in (gradients, targets)
    )
    if g.ndim > 1:
      g, t = g.reshape(-1, g.shape[-1]), t.reshape(-1, t.shape[-1])
      product = _norm(g) * _norm(t) + eps
      total = total + jnp.sum(1 - jnp.sum(g * t, axis=0) / product)
  return total


def _norm(x):
  """Of the columns; its gradient at a zero column is zero, not NaN."""
  square = jnp.sum(x * x, axis=0)
  some = square > 0
  return jnp.where(some, jnp.sqrt(jnp.where(some, square, 1.0)), 0.0)
