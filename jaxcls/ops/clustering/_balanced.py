"""k-means with clusters of equal size."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from jaxcls.ops import _arrays
from jaxcls.ops.clustering import _kmeans, _plus_plus


def balanced_kmeans(
  x: Float[Array, "n d"],
  *,
  num_clusters: int,
  num_used: Int[Array, ""] | int | None = None,
  where: Bool[Array, " n"] | None = None,
  num_steps: int = 25,
  key: PRNGKeyArray | UInt32[Array, "2"],
) -> _kmeans.KMeansResult:
  """k-means whose clusters have floor(n / k) or ceil(n / k) rows.

  From k-means++, repeated until no row changes its cluster: of all pairs of a
  row and a centroid the nearest is joined first, then the next whose row is
  free and whose cluster has less than floor(n / k) rows; the rows left over
  are joined in the same way, at most one a cluster; the centroids become the
  means. Each join happens in rounds: a free row asks the nearest centroid
  that has not sent it away, which keeps the nearest of those that asked. As
  both sides rank by the one distance, this gives the same pairs.

  Args:
    x: [n d], any float type, n >= 1; computed in float32 (float64 stays).
    num_clusters: k, in [1, n].
    num_used: clusters that are used, in [1, num_clusters], maybe traced: one
      compiled program then serves several k. None for all.
    where: [n], True = keep; n above is the number of kept rows, which must be
      at least that of the clusters used.
    num_steps: at most, >= 1.
    key: for k-means++.

  Returns:
    centroids [k d], 0 where not used; assignments [n] int32, -1 where not
    kept; inertia [], the sum of squared distances to the assigned centroids;
    num_steps [] int32, the steps taken. Nothing has a gradient.

  Raises:
    TypeError: x is not floating point or where not bool.
    ValueError: a shape does not match, num_clusters is outside [1, n], or
      num_steps < 1.

  Source: Hou et al. 2023, arXiv:2306.15925, released code (balanced_kmean).
  Differs: Euclidean distances; there similarities divided by their sum over a
    centroid's rows. Centroids stop when no assignment changes.

  >>> x = jnp.array([[0.0], [1.0], [2.0], [9.0]])
  >>> found = balanced_kmeans(x, num_clusters=2, key=jax.random.key(0))
  >>> print(jnp.bincount(found.assignments))
  [2 2]
  """
  x = _arrays.wide("x", x, "n", "d")
  _plus_plus.check_clusters(x, num_clusters, None)
  _arrays.check_where(where, x.shape[0])
  _arrays.check_number("num_steps", num_steps, ">= 1", lambda v: v >= 1)
  keep = jnp.ones(x.shape[0], bool) if where is None else where
  x = jax.lax.stop_gradient(jnp.where(keep[:, None], x, 0))
  x, center = _plus_plus.centered(x, keep, None)
  used = jnp.arange(num_clusters) < (
    num_clusters if num_used is None else num_used
  )
  start, _ = _plus_plus.draw(
    x, keep, num_clusters, num_trials=None, axis_name=None, key=key
  )
  means = functools.partial(_means, x, num_clusters)

  def body(state):
    old, centroids, step, _ = state
    new = _fill_evenly(x, centroids, keep, used)
    return new, means(new), step + 1, (new != old).any()

  nobody = jnp.full(x.shape[0], -1, jnp.int32)
  assignments, centroids, steps, _ = jax.lax.while_loop(
    lambda state: state[3] & (state[2] < num_steps),
    body,
    (nobody, start, jnp.int32(0), jnp.array(True)),
  )
  gap = jnp.where(keep[:, None], x - centroids[assignments], 0)
  return _kmeans.KMeansResult(
    jnp.where(used[:, None], centroids + center, 0),
    assignments, (gap**2).sum(), steps,
  )  # fmt: skip


def _means(x, num_clusters, assignments):
  """Centroids [k d]; rows assigned to -1 count nowhere."""
  members = jax.nn.one_hot(assignments, num_clusters, dtype=x.dtype)
  counts = members.sum(axis=0)
  return _arrays.matmul(members.T, x) / jnp.maximum(counts, 1)[:, None]


def _fill_evenly(x, centroids, keep, used):
  """Assignments [n]: floor(n / k) rows each, then at most one more each."""
  cost = jnp.where(used, _plus_plus.squared_distances(x, centroids), jnp.inf)
  size = keep.sum() // used.sum()
  first = _fill(jnp.where(keep[:, None], cost, jnp.inf), size)
  left = keep & (first < 0)
  rest = _fill(jnp.where(left[:, None], cost, jnp.inf), 1)
  return jnp.where(left, rest, first)


def _fill(cost, capacity):
  """Clusters [n] by the nearest pair first, -1 where none has room."""
  n, k = cost.shape

  def body(state):
    open_cost, _, _ = state
    wanted = jnp.argmin(open_cost, axis=1)
    price = jnp.take_along_axis(open_cost, wanted[:, None], axis=1)[:, 0]
    asks = jnp.isfinite(price)
    group = jnp.where(asks, wanted, k)
    order = jnp.lexsort((price, group))
    in_order = group[order]
    # Place of each asker in its cluster's queue.
    place = jnp.arange(n) - jnp.searchsorted(in_order, in_order, side="left")
    rank = jnp.zeros(n, place.dtype).at[order].set(place)
    refused = asks & (rank >= capacity)
    asked = jnp.arange(k) == wanted[:, None]
    open_cost = jnp.where(refused[:, None] & asked, jnp.inf, open_cost)
    taken = jnp.where(asks & ~refused, wanted, -1).astype(jnp.int32)
    return open_cost, taken, refused.any()

  start = (cost, jnp.full(n, -1, jnp.int32), jnp.array(True))
  return jax.lax.while_loop(lambda state: state[2], body, start)[1]
