"""k nearest neighbours, block by block over the bank."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.ops import _arrays
from jaxcls.ops.distances import _pairwise


class Neighbors(NamedTuple):
  """Distances and rows of the bank, nearest first; inf and -1 for none."""

  distances: Float[Array, "q k"]
  indices: Int[Array, "q k"]


def nearest_neighbors(
  queries: Float[Array, "q d"],
  bank: Float[Array, "n d"],
  *,
  k: int,
  metric: str = "euclidean",
  where: Bool[Array, " n"] | None = None,
  exclude_self: bool = False,
  block_size: int = 4096,
  axis_name: str | None = None,
) -> Neighbors:
  """The k rows of the bank that are nearest to each query.

  [q, block_size + k] floats are stored, never [q n]. The search compares
  squares by |x|^2 + |y|^2 - 2 x . y about the mean of the bank; the distances
  that are returned are then taken from the differences themselves.

  Args:
    queries: [q d], any float type; computed in float32 (float64 stays).
    bank: [n d].
    k: in [1, n], or [1, n - 1] with exclude_self.
    metric: "euclidean", "squared_euclidean" or "cosine" (1 - cos), as in
      `pairwise_distances`.
    where: [n], True = keep; other rows of the bank are nobody's neighbour and
      may be nan.
    exclude_self: query i is row i of the bank and no neighbour of itself.
    block_size: rows of the bank compared at once, >= 1.
    axis_name: under jax.shard_map, the mesh axis over which the rows of the
      bank are split; the queries are the same on every device.

  Returns:
    Neighbors: distances [q k] and indices [q k] int32 into the bank of all
    devices, nearest first, of equally near rows the first in the bank. Where
    fewer than k rows are kept, inf and -1. The distances have gradients to
    queries and bank, 0 at a Euclidean distance of 0.

  Raises:
    TypeError: queries or bank are not floating point, or where not bool.
    ValueError: a shape does not match, k or block_size is out of range, the
      metric is unknown, or exclude_self with q != n.

  Source: no paper; sklearn.neighbors.NearestNeighbors.
  Differs: nothing known.

  >>> bank = jnp.array([[0.0], [1.0], [5.0]])
  >>> print(nearest_neighbors(jnp.array([[4.0]]), bank, k=2).indices)
  [[2 1]]
  """
  bank = _arrays.wide("bank", bank, "n", "d")
  queries = _arrays.wide("queries", queries, "q", bank.shape[1])
  devices, n = _arrays.num_devices(axis_name), bank.shape[0]
  _check(queries, n * devices, k, metric, exclude_self, block_size)
  _arrays.check_where(where, n)
  first = 0 if axis_name is None else n * jax.lax.axis_index(axis_name)
  keep = jnp.ones(n, bool) if where is None else where
  bank = jnp.where(keep[:, None], bank, 0)
  center = _center(bank, keep, axis_name)
  queries = _pairwise.prepare(queries, metric, center)
  bank = _pairwise.prepare(bank, metric, center)
  own = jnp.arange(queries.shape[0]) - first if exclude_self else None
  local = _search(
    *jax.lax.stop_gradient((queries, bank)), keep, own, min(k, n), metric,
    block_size,
  )  # fmt: skip
  distances = _distances(queries, bank, local, metric)
  indices = jnp.where(local >= 0, local + first, -1)
  if axis_name is not None:
    gather = lambda a: jax.lax.all_gather(a, axis_name, axis=1, tiled=True)
    distances, indices = gather(distances), gather(indices)
  # Exact distances may differ in order from those of the search by rounding.
  order = jnp.argsort(jax.lax.stop_gradient(distances), axis=1)[:, :k]
  take = lambda a: jnp.take_along_axis(a, order, axis=1)
  return Neighbors(take(distances), take(indices).astype(jnp.int32))


def _check(queries, n, k, metric, exclude_self, block_size):
  """Raises ValueError for options that do not fit the shapes."""
  _pairwise.check_metric(metric)
  most = n - 1 if exclude_self else n
  if not 1 <= k <= most:
    raise ValueError(f"k must be in [1, {most}], got {k}.")
  if block_size < 1:
    raise ValueError(f"block_size must be >= 1, got {block_size}.")
  if exclude_self and queries.shape[0] != n:
    raise ValueError(
      f"queries must be the {n} rows of the bank with exclude_self, got "
      f"{queries.shape[0]} rows."
    )


def _center(bank, keep, axis_name):
  """Mean [d] of the kept rows of all devices."""
  sums = bank.sum(axis=0), keep.sum(dtype=bank.dtype)
  total, count = jax.lax.stop_gradient(_arrays.total(sums, axis_name))
  return total / jnp.maximum(count, 1)


def _search(queries, bank, keep, own, k, metric, block_size):
  """Rows [q k] of the bank, nearest first by `compare`, -1 for none."""
  q = queries.shape[0]
  ids = jnp.where(keep, jnp.arange(bank.shape[0], dtype=jnp.int32), -1)
  blocks = _arrays.split(bank, block_size), _arrays.split(ids, block_size, -1)

  def visit(best, block):
    rows, ids = block
    far = _pairwise.compare(queries, rows, metric)
    gone = ids < 0
    if own is not None:
      gone = gone | (ids == own[:, None])
    far = jnp.where(gone, jnp.inf, far)
    ids = jnp.broadcast_to(ids, far.shape)
    near = jnp.concatenate([-best[0], -far], axis=1)
    ids = jnp.concatenate([best[1], ids], axis=1)
    near, index = jax.lax.top_k(near, k)
    ids = jnp.take_along_axis(ids, index, axis=1)
    return (-near, jnp.where(jnp.isinf(near), -1, ids)), None

  zero = _arrays.varying_zero(jnp.float32, queries, bank, keep, own)
  start = (
    jnp.full((q, k), jnp.inf, queries.dtype) + zero.astype(queries.dtype),
    jnp.full((q, k), -1, jnp.int32) + zero.astype(jnp.int32),
  )
  return jax.lax.scan(visit, start, blocks)[0][1]


def _distances(queries, bank, indices, metric):
  """Distances [q k] to the rows of the bank, inf for -1; [q d] at a time."""

  @jax.checkpoint
  def one(index):
    rows = bank[index.clip(0)]
    if metric == "cosine":
      return jnp.maximum(1 - (queries * rows).sum(axis=1), 0)
    squares = ((queries - rows) ** 2).sum(axis=1)
    return _pairwise.root(squares) if metric == "euclidean" else squares

  out = jax.lax.map(one, indices.T).T
  return jnp.where(indices >= 0, out, jnp.inf)


class ReciprocalNeighbors(NamedTuple):
  """As Neighbors, and whether i is a neighbour of its neighbour as well."""

  distances: Float[Array, "n k"]
  indices: Int[Array, "n k"]
  reciprocal: Bool[Array, "n k"]


def reciprocal_neighbors(
  x: Float[Array, "n d"],
  *,
  k: int,
  metric: str = "euclidean",
  where: Bool[Array, " n"] | None = None,
  block_size: int = 4096,
  axis_name: str | None = None,
) -> ReciprocalNeighbors:
  """The k nearest neighbours of each row, and which of them are mutual.

  reciprocal_ia = [i in kNN(j)] for j = indices_ia in kNN(i); no row is its
  own neighbour.

  Args:
    x: [n d], any float type, n >= 2; computed in float32 (float64 stays).
    k: in [1, n - 1].
    metric: as in `nearest_neighbors`.
    where: [n], True = keep; other rows are nobody's neighbour, have none, and
      may be nan.
    block_size: rows compared at once, >= 1; [n, block_size + k] floats.
    axis_name: under jax.shard_map, the mesh axis over which the rows are
      split; the result is that of all n rows, on every device, which each
      compares with its own.

  Returns:
    ReciprocalNeighbors: distances [n k], indices [n k] int32 and reciprocal
    [n k] bool; inf, -1 and False for none.

  Raises:
    TypeError: x is not floating point, or where not bool.
    ValueError: a shape does not match, k or block_size is out of range, or
      the metric is unknown.

  Source: Qin et al. 2011, Hello neighbor: accurate object retrieval with
    k-reciprocal nearest neighbors; Zhong et al. 2017, arXiv:1701.08398.
  Differs: a row is not counted among its own k neighbours.

  >>> x = jnp.array([[0.0], [1.0], [3.0]])
  >>> found = reciprocal_neighbors(x, k=1)
  >>> print(found.indices.ravel(), found.reciprocal.ravel())
  [1 0 1] [ True  True False]
  """
  x = _arrays.wide("x", x, "n", "d")
  _arrays.check_where(where, x.shape[0])
  if where is not None:
    x = jnp.where(where[:, None], x, 0)
  distances, indices = nearest_neighbors(
    _arrays.gather(x, axis_name), x, k=k, metric=metric, where=where,
    exclude_self=True, block_size=block_size, axis_name=axis_name,
  )  # fmt: skip
  if where is not None:
    keep = _arrays.gather(where, axis_name)[:, None]
    distances = jnp.where(keep, distances, jnp.inf)
    indices = jnp.where(keep, indices, -1)
  rows = jnp.arange(indices.shape[0], dtype=indices.dtype)[:, None]
  mutual = lambda column: (indices[column.clip(0)] == rows).any(axis=1)
  reciprocal = jax.lax.map(mutual, indices.T).T & (indices >= 0)
  return ReciprocalNeighbors(distances, indices, reciprocal)
