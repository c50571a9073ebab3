"""Covariances with shrinkage, and distances measured by them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls.ops import _arrays
from jaxcls.ops.distances import pairwise_distances
from jaxcls.ops.gaussian._statistics import GaussianStatistics

SHRINKAGES = ("ledoit_wolf", "oas")
KINDS = ("covariance", "precision", "cholesky")


def gaussian_covariance(
  statistics: GaussianStatistics,
  *,
  shrinkage: str | float | Float[Array, "..."] = 0.0,
  ridge: float = 0.0,
  tied: bool = False,
) -> Float[Array, "c d d"] | Float[Array, "d d"]:
  """Covariances (1 - s) S / n + s tr(S / n) / d * 1 + ridge * 1.

  "ledoit_wolf": s = min(b, g) / g with g = |S / n|^2 / d - mu^2, mu = tr(S /
  n) / d, b = (sum |x - m|^4 / n - |S / n|^2) / (n d).
  "oas": s = min(1, (p + mu^2) / ((n + 1) (p - mu^2 / d))), p = |S / n|^2 /
  d^2.

  Args:
    statistics: of `gaussian_statistics`, possibly merged.
    shrinkage: s in [0, 1], one or [c]; "ledoit_wolf" or "oas".
    ridge: added to the diagonal, >= 0, in squared units of the features.
    tied: one matrix [d d] from the scatter of all classes about their own
      means; always so for statistics that were made tied.

  Returns:
    [c d d], or [d d] if tied. The divisor is n, not n - 1. A class with no
    row or one has covariance ridge * 1.

  Raises:
    ValueError: the shrinkage is unknown or outside [0, 1], ridge < 0, or
      "ledoit_wolf" for statistics that were made tied, which lack the fourth
      moments.

  Source: Ledoit & Wolf 2004, A well-conditioned estimator for
    large-dimensional covariance matrices; Chen et al. 2010, arXiv:0907.4698,
    oracle approximating shrinkage, as in sklearn.covariance.OAS.
  Differs: oas as scikit-learn has it, where 2 / d is left out.

  >>> one, moments = jnp.ones((1, 1)), (jnp.ones((1, 1)), jnp.ones(1))
  >>> stats = GaussianStatistics(2 * one[0], one, 2 * one[None], *moments)
  >>> print(gaussian_covariance(stats, ridge=0.5))
  [[[1.5]]]
  """
  if isinstance(shrinkage, str):
    _arrays.check_choice("shrinkage", shrinkage, SHRINKAGES)
  _arrays.check_number(
    "shrinkage", shrinkage, "in [0, 1]", lambda v: 0 <= v <= 1
  )
  _arrays.check_number("ridge", ridge, ">= 0", lambda v: v >= 0)
  count, scatter, quartic = (
    statistics.counts, statistics.scatter, statistics.quartic
  )  # fmt: skip
  if quartic is None and shrinkage == "ledoit_wolf":
    raise ValueError(
      'shrinkage must not be "ledoit_wolf" for statistics made with '
      "tied=True, got it: use tied=False there and tied=True here."
    )
  if scatter.ndim == 2 or tied:
    count = count.sum()
    scatter = scatter if scatter.ndim == 2 else scatter.sum(axis=0)
    quartic = None if quartic is None else quartic.sum()
  d = scatter.shape[-1]
  count = jnp.maximum(count, 1)
  covariance = scatter / count[..., None, None]
  mu = jnp.trace(covariance, axis1=-2, axis2=-1) / d
  if isinstance(shrinkage, str):
    mean_square = (covariance**2).sum(axis=(-2, -1))
    if shrinkage == "oas":
      shrinkage = _oas(mean_square / d**2, mu, count, d)
    else:
      shrinkage = _ledoit_wolf(mean_square, quartic, mu, count, d)
  shrinkage = jnp.asarray(shrinkage, covariance.dtype)[..., None, None]
  eye = jnp.eye(d, dtype=covariance.dtype)
  target = mu[..., None, None] * eye
  return covariance + shrinkage * (target - covariance) + ridge * eye


def _ratio(top, bottom):
  """min(1, top / bottom), 0 where bottom is 0."""
  some = bottom > 0
  return jnp.where(some, jnp.minimum(top / jnp.where(some, bottom, 1), 1), 0)


def _ledoit_wolf(mean_square, quartic, mu, count, d):
  noise = (quartic / count - mean_square) / (count * d)
  return _ratio(jnp.maximum(noise, 0), mean_square / d - mu**2)


def _oas(mean_square, mu, count, d):
  return _ratio(mean_square + mu**2, (count + 1) * (mean_square - mu**2 / d))


def mahalanobis(
  x: Float[Array, "*b d"],
  means: Float[Array, "c d"],
  matrices: Float[Array, "c d d"] | Float[Array, "d d"],
  *,
  kind: str = "covariance",
) -> Float[Array, "*b c"]:
  """Squared distances (x - m_c)^T C_c^-1 (x - m_c).

  Args:
    x: [*b d], any float type; computed in float32 (float64 stays).
    means: [c d].
    matrices: [c d d], or [d d] for one that all classes share; symmetric and
      positive definite, not checked: otherwise the result is nan.
    kind: what the matrices are: "covariance" C; "precision" C^-1;
      "cholesky", the lower triangular L with C = L L^T.

  Returns:
    [*b c], squared, no unit. Gradients are finite at x = m.

  Raises:
    TypeError: an array is not floating point.
    ValueError: a shape does not match, or the kind is unknown.

  Source: Mahalanobis 1936, On the generalised distance in statistics.
  Differs: squared, as sklearn.covariance.EmpiricalCovariance.mahalanobis.

  >>> x, means = jnp.array([3.0, 0.0]), jnp.array([[0.0, 0.0], [3.0, 1.0]])
  >>> print(mahalanobis(x, means, jnp.diag(jnp.array([9.0, 0.25]))))
  [1. 4.]
  """
  x, means = _arrays.wide("x", x), _arrays.wide("means", means, "c", "d")
  c, d = means.shape
  if x.ndim == 0 or x.shape[-1] != d:
    raise ValueError(f"x must have shape [*b {d}], got {x.shape}.")
  _arrays.check_choice("kind", kind, KINDS)
  shape = (d, d) if matrices.ndim == 2 else (c, d, d)
  matrices = _arrays.wide("matrices", matrices, *shape)
  rows = x.reshape(-1, d)
  if kind == "covariance":
    matrices = jnp.linalg.cholesky(matrices)
  if matrices.ndim == 2:
    out = _shared(rows, means, matrices, kind)
  else:
    one = lambda class_: _own(rows, *class_, kind)
    out = jax.lax.map(one, (means, matrices)).T
  return out.reshape(*x.shape[:-1], c)


def _whiten(gap, matrix, kind):
  """Rows v of gap -> L^-1 v, or R v with R^T R the precision."""
  if kind == "precision":
    return _arrays.matmul(gap, jnp.linalg.cholesky(matrix))
  solve = jax.scipy.linalg.solve_triangular
  with jax.default_matmul_precision("highest"):
    return solve(matrix, gap.T, lower=True).T


def _own(rows, mean, matrix, kind):
  """Squared distances [n] of the rows to one class with its own matrix."""
  return (_whiten(rows - mean, matrix, kind) ** 2).sum(axis=1)


def _shared(rows, means, matrix, kind):
  """[n c]: one whitening for all classes."""
  center = jax.lax.stop_gradient(means.mean(axis=0))
  rows, means = rows - center, means - center
  rows, means = _whiten(rows, matrix, kind), _whiten(means, matrix, kind)
  return pairwise_distances(rows, means, metric="squared_euclidean")
