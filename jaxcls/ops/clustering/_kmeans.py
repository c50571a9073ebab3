"""Lloyd's k-means: plain, spherical, semi-supervised, on sharded rows."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from jaxcls.ops import _arrays
from jaxcls.ops.clustering import _plus_plus

# Distances of a tile when block_size is None: 4 MiB of float32.
_TILE = 2**20


class KMeansResult(NamedTuple):
  """What `kmeans` found; its docstring has the fields."""

  centroids: Float[Array, "k d"]
  assignments: Int[Array, " n"]
  inertia: Float[Array, ""]
  num_steps: Int[Array, ""]


def kmeans(
  x: Float[Array, "n d"],
  *,
  num_clusters: int,
  init: Float[Array, "k d"] | None = None,
  labels: Int[Array, " n"] | None = None,
  where: Bool[Array, " n"] | None = None,
  spherical: bool = False,
  num_inits: int = 1,
  num_steps: int = 300,
  tolerance: float = 1e-4,
  block_size: int | None = None,
  axis_name: str | None = None,
  key: PRNGKeyArray | UInt32[Array, "2"] | None = None,
) -> KMeansResult:
  """Lloyd's algorithm, from k-means++ or from given centroids.

  a_i = argmin_j |x_i - c_j|^2;  c_j = mean of the x_i with a_i = j; repeated
  until no a_i changes or sum_j |c_j' - c_j|^2 <= tolerance * (mean variance
  of the columns of x). A cluster left empty keeps its centroid.

  Semi-supervised: a row with label >= 0 stays in the cluster of that number.
  Those clusters start from the means of their labelled rows, the others from
  k-means++ on the unlabelled rows.

  Gradients: through the means and the inertia with the assignments fixed,
  which at convergence is exact wherever no row is on a border.

  Args:
    x: [n d], any float type, n >= 1; computed in float32 (float64 stays).
    num_clusters: k, in [1, n].
    init: [k d] starting centroids, taken as they are, or None: then key.
    labels: [n], in [-1, k), -1 = unlabelled; not checked.
    where: [n], True = keep; other rows count for nothing and may be nan.
    spherical: cosine k-means: rows and centroids are scaled to unit norm.
    num_inits: runs from k-means++; the one with the least inertia is kept.
    num_steps: at most, >= 1.
    tolerance: >= 0, no unit.
    block_size: rows compared with the centroids at once, [block_size k]
      floats; None: a tile of about 4 MiB.
    axis_name: under jax.shard_map, the mesh axis over which the rows are
      split; init and key are the same on every device.
    key: for k-means++.

  Returns:
    centroids [k d]; assignments [n] int32, -1 where not kept; inertia [],
    the sum of squared distances to the assigned centroids (spherical: of unit
    vectors, 2 - 2 cos); num_steps [] int32, the steps taken. centroids,
    inertia and num_steps are of all devices. With no row kept the inertia is
    0 and the centroids are where they started.

  Raises:
    TypeError: x or init are not floating point, labels not integers, or where
      not bool.
    ValueError: a shape does not match; num_clusters is outside [1, n]; not
      exactly one of init and key; init with num_inits > 1; a number out of
      its range.

  Source: Lloyd 1982, Least squares quantization in PCM; Vaze et al. 2022,
    arXiv:2201.02609, semi-supervised k-means.
  Differs: from sklearn.cluster.KMeans: an empty cluster is not moved.

  >>> x = jnp.array([[0.0], [2.0], [10.0]])
  >>> found = kmeans(x, num_clusters=2, init=jnp.array([[0.0], [9.0]]))
  >>> print(found.centroids.ravel(), found.assignments, found.inertia)
  [ 1. 10.] [0 0 1] 2.0
  """
  x = _arrays.wide("x", x, "n", "d")
  _plus_plus.check_clusters(x, num_clusters, axis_name)
  _check(x, init, labels, where, num_clusters, num_inits, key)
  _arrays.check_number("num_steps", num_steps, ">= 1", lambda v: v >= 1)
  _arrays.check_number("tolerance", tolerance, ">= 0", lambda v: v >= 0)
  if block_size is None:
    block_size = max(128, _TILE // num_clusters)
  _arrays.check_number("block_size", block_size, ">= 1", lambda v: v >= 1)
  keep = jnp.ones(x.shape[0], bool) if where is None else where
  x = jnp.where(keep[:, None], x, 0)
  center = jnp.zeros((), x.dtype)
  if spherical:
    x = _arrays.unit(x)
  else:
    x, center = _plus_plus.centered(x, keep, axis_name)
  rows = _Rows(x, keep, labels, num_clusters, spherical, block_size, axis_name)
  fixed = rows._replace(x=jax.lax.stop_gradient(x))
  lloyd = lambda start: _lloyd(fixed, start, num_steps, tolerance)
  if init is not None:
    start = init.astype(x.dtype) - center
    start = jax.lax.stop_gradient(_arrays.unit(start) if spherical else start)
    # Of the type that the sums over the devices have.
    zero = _arrays.varying_zero(x.dtype, fixed.x)
    best = lloyd(start + _arrays.total(zero, axis_name))
  elif num_inits == 1:
    best = lloyd(_start(fixed, key))
  else:
    runs = jax.lax.map(
      lambda key: lloyd(_start(fixed, key)), jax.random.split(key, num_inits)
    )
    best = jax.tree.map(lambda a: a[jnp.argmin(runs.inertia)], runs)
  centroids = _means(rows, best.assignments, best.centroids)
  assignments = _assign(fixed, jax.lax.stop_gradient(centroids))
  inertia = _inertia(rows, centroids, assignments)
  return KMeansResult(centroids + center, assignments, inertia, best.num_steps)


def _check(x, init, labels, where, num_clusters, num_inits, key):
  """Raises for what would broadcast, or be wrong, in silence."""
  n, d = x.shape
  _arrays.check_where(where, n)
  if labels is not None:
    _arrays.check_labels(labels, n)
  if (init is None) == (key is None):
    raise ValueError(
      "kmeans must get exactly one of init and key, got "
      f"{'neither' if init is None else 'both'}."
    )
  if init is not None:
    _arrays.wide("init", init, num_clusters, d)
  if num_inits < 1 or (init is not None and num_inits > 1):
    raise ValueError(
      f"num_inits must be >= 1, and 1 with a given init, got {num_inits}."
    )


class _Rows(NamedTuple):
  """The data of a run and what is fixed when it is traced.

  x: [n d], centred or of unit norm, 0 where not kept; keep: [n]; labels: [n]
  or None.
  """

  x: Array
  keep: Array
  labels: Array | None
  num_clusters: int
  spherical: bool
  block_size: int
  axis_name: str | None


def _start(rows, key):
  """Centroids [k d] of k-means++, of labelled rows where there are some."""
  candidates, known, present = rows.keep, None, None
  if rows.labels is not None:
    labelled = rows.keep & (rows.labels >= 0)
    candidates = rows.keep & ~labelled
    classes = jnp.where(labelled, rows.labels, -1)
    nothing = jnp.zeros((rows.num_clusters, rows.x.shape[1]), rows.x.dtype)
    known = _means(rows, classes, nothing)
    _, counts = _sums(rows, classes)
    present = counts > 0
  centroids, _ = _plus_plus.draw(
    rows.x, candidates, rows.num_clusters, known, present, rows.block_size,
    num_trials=None, axis_name=rows.axis_name, key=key,
  )  # fmt: skip
  return centroids


def _nearest(rows, x, centroids, labels):
  """Nearest centroid [s] of a block, or the one that the label says."""
  # |x|^2 does not change which one is nearest.
  scores = (centroids**2).sum(axis=1) - 2 * _arrays.matmul(x, centroids.T)
  nearest = jnp.argmin(scores, axis=1).astype(jnp.int32)
  if rows.labels is None:
    return nearest
  return jnp.where(labels >= 0, labels.astype(jnp.int32), nearest)


def _blocks(rows):
  """(x, keep, labels) in blocks; padding is not kept."""
  labels = rows.keep if rows.labels is None else rows.labels
  parts = rows.x, rows.keep, labels
  return tuple(_arrays.split(a, rows.block_size) for a in parts)


def _assign(rows, centroids):
  """Clusters [n] of the rows, -1 where not kept."""

  def visit(block):
    x, keep, labels = block
    return jnp.where(keep, _nearest(rows, x, centroids, labels), -1)

  return jax.lax.map(visit, _blocks(rows)).ravel()[: rows.x.shape[0]]


def _finish(rows, sums, counts, old):
  """Means from sums and counts of all devices; empty clusters keep `old`."""
  means = sums / jnp.maximum(counts, 1)[:, None]
  if rows.spherical:
    means = _arrays.unit(means)
  return jnp.where((counts > 0)[:, None], means, old)


def _sums(rows, assignments):
  """Sum [k d] and count [k] of each cluster's rows; gradient by gather."""
  # A negative index would wrap around; one past the end is dropped.
  index = jnp.where(assignments >= 0, assignments, rows.num_clusters)
  zeros = jnp.zeros((rows.num_clusters, rows.x.shape[1]), rows.x.dtype)
  sums = zeros.at[index].add(rows.x, mode="drop")
  counts = zeros[:, 0].at[index].add(1, mode="drop")
  return _arrays.total((sums, counts), rows.axis_name)


def _means(rows, assignments, old):
  """Centroids [k d] of assignments [n]."""
  return _finish(rows, *_sums(rows, assignments), old)


def _inertia(rows, centroids, assignments):
  """Sum of squared distances to the assigned centroids, over all devices."""
  gap = jnp.where(rows.keep[:, None], rows.x - centroids[assignments], 0)
  return _arrays.total((gap**2).sum(), rows.axis_name)


def _step(rows, centroids):
  """(assignments [n], their means [k d]) in one pass over the rows."""
  zero = _arrays.varying_zero(rows.x.dtype, rows.x)

  def visit(carry, block):
    x, keep, labels = block
    nearest = jnp.where(keep, _nearest(rows, x, centroids, labels), -1)
    # A product, not a scatter: the same bits in every run on a GPU.
    members = jax.nn.one_hot(nearest, rows.num_clusters, dtype=x.dtype)
    sums = carry[0] + _arrays.matmul(members.T, x)
    return (sums, carry[1] + members.sum(axis=0)), nearest

  start = (
    jnp.zeros_like(centroids) + zero,
    jnp.zeros_like(centroids[:, 0]) + zero,
  )
  (sums, counts), nearest = jax.lax.scan(visit, start, _blocks(rows))
  sums, counts = _arrays.total((sums, counts), rows.axis_name)
  assignments = nearest.ravel()[: rows.x.shape[0]]
  return assignments, _finish(rows, sums, counts, centroids)


def _lloyd(rows, centroids, num_steps, tolerance):
  """KMeansResult whose centroids are the means of its assignments."""
  axis_name = rows.axis_name
  count = _arrays.total(rows.keep.sum(dtype=rows.x.dtype), axis_name)
  count = jnp.maximum(count, 1)
  mean = _arrays.total(rows.x.sum(axis=0), axis_name) / count
  gap = jnp.where(rows.keep[:, None], rows.x - mean, 0)
  spread = _arrays.total((gap**2).sum(), axis_name) / (count * gap.shape[1])
  limit = tolerance * spread

  def body(state):
    old, old_assignments, step, _ = state
    assignments, centroids = _step(rows, old)
    changed = (assignments != old_assignments).sum()
    changed = _arrays.total(changed, axis_name) > 0
    going = changed & (((centroids - old) ** 2).sum() > limit)
    return centroids, assignments, step + 1, going

  nobody = jnp.full(rows.x.shape[0], -2, jnp.int32)
  nobody = nobody + _arrays.varying_zero(jnp.int32, rows.x)
  zero = _arrays.varying_zero(jnp.int32, centroids)
  centroids, assignments, step, _ = jax.lax.while_loop(
    lambda state: state[3] & (state[2] < num_steps),
    body,
    (centroids, nobody, zero, zero == 0),
  )
  inertia = _inertia(rows, centroids, assignments)
  return KMeansResult(centroids, assignments, inertia, step)
