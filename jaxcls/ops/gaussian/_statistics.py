"""Class-conditional Gaussians from one pass, many batches or many devices."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.ops import _arrays

# Rows whose outer products are held at once: 4 MiB of float32.
_TILE = 2**20


class GaussianStatistics(NamedTuple):
  """Sums over the rows x of each class, about the class mean; they add up.

  counts: n_c. means: m_c. scatter: sum (x - m)(x - m)^T, [c d d], or [d d]
  summed over classes. cubic: sum |x - m|^2 (x - m) and quartic: sum
  |x - m|^4, for the Ledoit-Wolf shrinkage; None for a summed scatter.
  """

  counts: Float[Array, " c"]
  means: Float[Array, "c d"]
  scatter: Float[Array, "c d d"] | Float[Array, "d d"]
  cubic: Float[Array, "c d"] | None
  quartic: Float[Array, " c"] | None


def gaussian_statistics(
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  num_classes: int,
  where: Bool[Array, " n"] | None = None,
  tied: bool = False,
  axis_name: str | None = None,
) -> GaussianStatistics:
  """Counts, means and scatter matrices of the classes.

  m_c = sum_{i in c} x_i / n_c;  S_c = sum_{i in c} (x_i - m_c)(x_i - m_c)^T,
  in two passes, so that a large mean costs no digits.

  Args:
    features: [n d], any float type; computed in float32 (float64 stays). n =
      0 gives zeros.
    labels: [n], class ids in [0, c); a row with any other counts for nothing.
    num_classes: c, >= 1.
    where: [n], True = keep; other rows may be nan.
    tied: keep one scatter [d d], the sum over classes, instead of [c d d]:
      for many classes of wide features.
    axis_name: under jax.shard_map, the mesh axis over which the rows are
      split; the result is that of all rows.

  Returns:
    GaussianStatistics, for `merge_gaussian_statistics` and
    `gaussian_covariance`. A class without rows has mean and scatter 0.

  Raises:
    TypeError: features are not floating point, labels not integers, or where
      not bool.
    ValueError: a shape does not match, or num_classes < 1.

  Source: Ledoit & Wolf 2004, A well-conditioned estimator for
    large-dimensional covariance matrices, for what is summed.
  Differs: nothing known.

  >>> x, y = jnp.array([[1.0], [3.0], [9.0]]), jnp.array([0, 0, 1])
  >>> stats = gaussian_statistics(x, y, num_classes=2)
  >>> print(stats.means.ravel(), stats.scatter.ravel())
  [2. 9.] [2. 0.]
  """
  x = _arrays.wide("features", features, "n", "d")
  n, d = x.shape
  _arrays.check_labels(labels, n)
  _arrays.check_where(where, n)
  _arrays.check_number("num_classes", num_classes, ">= 1", lambda v: v >= 1)
  keep = (labels >= 0) & (labels < num_classes)
  keep = keep if where is None else keep & where
  x = jnp.where(keep[:, None], x, 0)
  # One past the end is dropped; a negative index would wrap around.
  index = jnp.where(keep, labels, num_classes)
  by_class = lambda v: _arrays.total(_sum_by(index, v, num_classes), axis_name)
  counts = by_class(keep.astype(x.dtype))
  total = jnp.maximum(counts.sum(), 1)
  center = _arrays.total(x.sum(axis=0), axis_name) / total
  center = jax.lax.stop_gradient(center)
  x = jnp.where(keep[:, None], x - center, 0)
  means = by_class(x) / jnp.maximum(counts, 1)[:, None]
  x = jnp.where(keep[:, None], x - means[index.clip(0, num_classes - 1)], 0)
  shift = jnp.where((counts > 0)[:, None], means + center, 0)
  if tied:
    scatter = _arrays.total(_arrays.matmul(x.T, x), axis_name)
    return GaussianStatistics(counts, shift, scatter, None, None)
  squares = (x**2).sum(axis=1)
  scatter = _arrays.total(_scatter(index, x, num_classes), axis_name)
  cubic, quartic = by_class(squares[:, None] * x), by_class(squares**2)
  return GaussianStatistics(counts, shift, scatter, cubic, quartic)


def _sum_by(index, values, num_classes):
  """Sums [c ...] of values [n ...]; an index outside [0, c) is dropped."""
  zeros = jnp.zeros((num_classes, *values.shape[1:]), values.dtype)
  return zeros.at[index].add(values, mode="drop")


def _scatter(index, x, num_classes):
  """Sums [c d d] of outer products, a block of rows at a time."""
  d = x.shape[1]
  zero = _arrays.varying_zero(x.dtype, x)
  start = jnp.zeros((num_classes, d, d), x.dtype) + zero
  if x.size == 0:
    return start
  size = max(1, _TILE // d**2)
  blocks = _arrays.split(index, size, num_classes), _arrays.split(x, size)

  @jax.checkpoint
  def add(total, block):
    index, x = block
    outer = x[:, :, None] * x[:, None, :]
    return total.at[index].add(outer, mode="drop"), None

  return jax.lax.scan(add, start, blocks)[0]


def merge_gaussian_statistics(
  a: GaussianStatistics, b: GaussianStatistics
) -> GaussianStatistics:
  """Statistics of the rows of both, equal to those of one pass over all.

  With delta = m_b - m_a and n = n_a + n_b, the mean is m_a + delta * n_b / n
  and the scatter S_a + S_b + delta delta^T * n_a * n_b / n.

  Args:
    a, b: of `gaussian_statistics`, with the same classes, d and `tied`. A
      stream starts from the statistics of no rows.

  Returns:
    GaussianStatistics.

  Raises:
    ValueError: the two do not have the same shapes.

  Source: Chan, Golub & LeVeque 1983, Algorithms for computing the sample
    variance; the third and fourth moments are expanded in the same way.
  Differs: nothing known.

  >>> x, y = jnp.array([[1.0], [3.0]]), jnp.array([0, 0])
  >>> one = lambda i: gaussian_statistics(x[i : i + 1], y[:1], num_classes=1)
  >>> print(merge_gaussian_statistics(one(0), one(1)).scatter.ravel())
  [2.]
  """
  shapes = lambda s: jax.tree.map(jnp.shape, s)
  if shapes(a) != shapes(b):
    raise ValueError(
      f"a and b must have the same shapes, got {shapes(a)} and {shapes(b)}."
    )
  counts = a.counts + b.counts
  share = b.counts / jnp.maximum(counts, 1)
  empty_a, empty_b = a.counts == 0, b.counts == 0
  # An empty class has mean 0, which is no place to measure from.
  delta = jnp.where((empty_a | empty_b)[:, None], 0, b.means - a.means)
  means = jnp.where(empty_a[:, None], b.means, a.means + delta * share[:, None])
  if a.scatter.ndim == 2:
    weight = (a.counts * share)[:, None]
    between = _arrays.matmul((weight * delta).T, delta)
    scatter = a.scatter + b.scatter + between
    return GaussianStatistics(counts, means, scatter, None, None)
  part_a = _moved(a, delta * share[:, None])
  part_b = _moved(b, -delta * (1 - share)[:, None])
  sums = jax.tree.map(jnp.add, part_a, part_b)
  return GaussianStatistics(counts, means, *sums)


def _moved(s, back):
  """(scatter, cubic, quartic) about means + back, where rows y = x - mean.

  With e = -back: sums over rows of (y + e)(y + e)^T, |y + e|^2 (y + e) and
  |y + e|^4, written out with sum y = 0.
  """
  e, n = -back, s.counts
  length = (e**2).sum(axis=1)
  trace = jnp.trace(s.scatter, axis1=1, axis2=2)
  pulled = jnp.einsum("cde,ce->cd", s.scatter, e, precision="highest")
  scatter = s.scatter + n[:, None, None] * e[:, :, None] * e[:, None, :]
  cubic = s.cubic + 2 * pulled + (trace + n * length)[:, None] * e
  quartic = (
    s.quartic
    + 4 * (s.cubic * e).sum(axis=1)
    + 4 * (pulled * e).sum(axis=1)
    + 2 * trace * length
    + n * length**2
  )
  return scatter, cubic, quartic
