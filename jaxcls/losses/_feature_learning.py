"""What hidden units are taught when the layer above is fitted to them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls import _precision

_matmul = jax.lax.Precision.HIGHEST


def feature_energy(
  responses: Float[Array, "n m"], targets: Float[Array, "n c"]
) -> Float[Array, " m"]:
  """How much of the centred targets each unit's response explains.

  energy_j = 0.5 ||Y^T f_j||**2, Y = targets minus their mean over the rows.
  Early in training, with the top layer at its ridge solution and small
  weights, every unit climbs its own energy, independently of the others.

  Args:
    responses: [n m], f_j = activation of unit j on all n rows, any float type;
      computed in float32 (float64 stays).
    targets: [n c], one-hot labels, say.

  Returns:
    [m] float32 (float64 for float64 responses), not reduced, no unit.

  Raises:
    ValueError: shapes that do not match.

  Source: Provable Scaling Laws of Feature Emergence from Learning Dynamics of
    Grokking, 2025, the energy E.
  Differs: nothing known.

  >>> print(feature_energy(jnp.array([[1.0], [-1.0]]), jnp.eye(2)))
  [1.]
  """
  _check(responses, targets)
  wide = _precision.wide(responses)
  centred = targets.astype(wide) - targets.astype(wide).mean(axis=0)
  seen = jnp.matmul(centred.T, responses.astype(wide), precision=_matmul)
  return 0.5 * (seen**2).sum(axis=0)


def ridge_signal(
  features: Float[Array, "n m"], targets: Float[Array, "n c"], *, l2: float
) -> Float[Array, "n m"]:
  """Minus the loss's gradient at features whose top layer is fitted to them.

  With V = (F^T F + l2 I)^-1 F^T Y, the ridge solution,
  G = (Y - F V) V^T = l2 A Y Y^T A F, A = (F F^T + l2 I)^-1:
  for small F it is Y Y^T F / l2, each unit alone; later A keeps a unit from
  learning what others explain already.

  Args:
    features: [n m], any float type; computed in float32 (float64 stays).
    targets: [n c], centred if the top layer has no bias.
    l2: > 0, of the top layer: 0.5 ||Y - F V||**2 + 0.5 l2 ||V||**2.

  Returns:
    [n m] float32 (float64 for float64 features).

  Raises:
    ValueError: shapes that do not match, or l2 <= 0.

  Source: Provable Scaling Laws of Feature Emergence from Learning Dynamics of
    Grokking, 2025, the backpropagated signal G_F.
  Differs: nothing known.

  >>> print(ridge_signal(jnp.ones((1, 1)), jnp.ones((1, 1)), l2=1.0))
  [[0.25]]
  """
  _check(features, targets)
  if not l2 > 0:
    raise ValueError(f"l2 must be above 0, got {l2}.")
  wide = _precision.wide(features)
  f, y = features.astype(wide), targets.astype(wide)
  product = lambda a, b: jnp.matmul(a, b, precision=_matmul)
  n, m = f.shape
  # The smaller of the two systems: V is the same.
  if m <= n:
    v = jnp.linalg.solve(product(f.T, f) + l2 * jnp.eye(m), product(f.T, y))
  else:
    v = product(f.T, jnp.linalg.solve(product(f, f.T) + l2 * jnp.eye(n), y))
  return product(y - product(f, v), v.T)


def _check(features, targets):
  if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets):
    raise ValueError(
      "features and targets must have shapes [n m] and [n c], got "
      f"{features.shape} and {targets.shape}."
    )
