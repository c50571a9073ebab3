"""k-means++: starting centroids far from one another."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from jaxcls.ops import _arrays


def kmeans_plus_plus(
  x: Float[Array, "n d"],
  *,
  num_clusters: int,
  where: Bool[Array, " n"] | None = None,
  num_trials: int | None = None,
  axis_name: str | None = None,
  key: PRNGKeyArray | UInt32[Array, "2"],
) -> tuple[Float[Array, "k d"], Int[Array, " k"]]:
  """Rows drawn one by one, far from those drawn before.

  The first is uniform. For each next one, num_trials rows are drawn with
  P(i) = D_i^2 / sum_j D_j^2, D_i the distance of row i to the nearest row
  drawn so far, and the one that leaves the smallest sum of D^2 is kept. Not
  differentiable: the gradient to x is that of x[indices].

  Args:
    x: [n d], any float type, n >= 1; computed in float32 (float64 stays).
    num_clusters: k, in [1, n].
    where: [n], True = keep; other rows may be nan. If fewer than k rows
      differ, rows repeat; if none is kept, the centroids are finite and mean
      nothing.
    num_trials: >= 1, or None for 2 + floor(log k); 1 is plain k-means++.
    axis_name: under jax.shard_map, the mesh axis over which the rows are
      split; the draws are those of all rows on one device.
    key: the same on every device.

  Returns:
    Centroids [k d], and the rows (of all devices) they are, [k] int32.

  Raises:
    TypeError: x is not floating point or where not bool.
    ValueError: a shape does not match, num_clusters is outside [1, n], or
      num_trials < 1.

  Source: Arthur & Vassilvitskii 2007, k-means++: the advantages of careful
    seeding; sklearn.cluster.kmeans_plusplus for the greedy trials.
  Differs: other random numbers than scikit-learn, the same distribution.

  >>> x = jnp.array([[0.0], [0.1], [9.0]])
  >>> f = lambda seed: kmeans_plus_plus(x, num_clusters=2, key=seed)[1]
  >>> print((f(jax.random.key(0)) == 2).sum())
  1
  """
  x = _arrays.wide("x", x, "n", "d")
  check_clusters(x, num_clusters, axis_name)
  _arrays.check_where(where, x.shape[0])
  if num_trials is not None:
    _arrays.check_number("num_trials", num_trials, ">= 1", lambda v: v >= 1)
  keep = jnp.ones(x.shape[0], bool) if where is None else where
  rows, center = centered(jnp.where(keep[:, None], x, 0), keep, axis_name)
  _, indices = draw(
    jax.lax.stop_gradient(rows),
    keep,
    num_clusters,
    num_trials=num_trials,
    axis_name=axis_name,
    key=key,
  )
  local, mine = _own(indices, x.shape[0], axis_name)
  picked = jnp.where(mine[:, None], rows[local], 0)
  return _arrays.total(picked, axis_name) + center, indices


def check_clusters(x, num_clusters, axis_name):
  """Raises unless 1 <= num_clusters <= rows of all devices."""
  n = x.shape[0] * _arrays.num_devices(axis_name)
  if not 1 <= num_clusters <= n:
    raise ValueError(
      f"num_clusters must be in [1, {n}], the number of rows, got "
      f"{num_clusters}."
    )


def centered(x, keep, axis_name):
  """(x less the mean of the kept rows, 0 elsewhere; that mean).

  Squares of numbers far from the origin would eat up float32's digits.
  """
  sums = _arrays.total((x.sum(axis=0), keep.sum(dtype=x.dtype)), axis_name)
  center = jax.lax.stop_gradient(sums[0] / jnp.maximum(sums[1], 1))
  return jnp.where(keep[:, None], x - center, 0), center


def _own(indices, n, axis_name):
  """Positions on this device, in [0, n), and whether they are here at all."""
  if axis_name is not None:
    indices = indices - n * jax.lax.axis_index(axis_name)
  return indices.clip(0, n - 1), (indices >= 0) & (indices < n)


def _inverse_cdf(weights, targets):
  """(positions [l] with cumulative weight just above targets; that sum)."""
  cumulative = jnp.cumsum(weights)
  # Rounding must not run past the last row that may be drawn.
  last = weights.shape[0] - 1 - jnp.argmax(weights[::-1] > 0)
  found = jnp.searchsorted(cumulative, targets, side="right")
  return jnp.minimum(found, last), cumulative


def _sample(weights, uniforms, axis_name):
  """Rows [l] of all devices, drawn with P proportional to the weights [n]."""
  n = weights.shape[0]
  sums = _arrays.gather(weights.sum()[None], axis_name)
  targets = uniforms * sums.sum()
  owner, cumulative = _inverse_cdf(sums, targets)
  targets = targets - (cumulative - sums)[owner]
  local, _ = _inverse_cdf(weights, targets)
  if axis_name is None:
    return local.astype(jnp.int32)
  device = jax.lax.axis_index(axis_name)
  mine = jnp.where(owner == device, local + n * device, 0)
  return jax.lax.psum(mine, axis_name).astype(jnp.int32)


def squared_distances(x, centroids):
  """|x_i - c_j|^2 [n k], never below 0."""
  squares = (x**2).sum(axis=1)[:, None] + (centroids**2).sum(axis=1)
  return jnp.maximum(squares - 2 * _arrays.matmul(x, centroids.T), 0)


def draw(
  x, candidates, num_clusters, known=None, present=None, block_size=None, *,
  num_trials, axis_name, key,
):  # fmt: skip
  """(centroids [k d], rows [k]): slots that are `present` keep `known`.

  x: [n d] centred, not nan; candidates: [n], the rows that may be drawn;
  known: [k d] and present: [k], slots that are not drawn, their row is -1.
  """
  trials = num_trials or 2 + int(math.log(num_clusters))
  distance = jnp.full(x.shape[0], jnp.inf, x.dtype)
  distance = distance + _arrays.varying_zero(x.dtype, x)
  zero = _arrays.total(_arrays.varying_zero(x.dtype, x), axis_name)
  centroids = jnp.zeros((num_clusters, x.shape[1]), x.dtype) + zero
  rows = jnp.full(num_clusters, -1, jnp.int32) + zero.astype(jnp.int32)
  order, num_drawn = jnp.arange(num_clusters), num_clusters
  if known is not None:
    centroids = jnp.where(present[:, None], known, 0)
    order, num_drawn = jnp.argsort(present), (~present).sum()

    def nearest_known(block):
      far = jnp.where(present, squared_distances(block, known), jnp.inf)
      return far.min(axis=1)

    blocks = _arrays.split(x, block_size or x.shape[0])
    distance = jax.lax.map(nearest_known, blocks).ravel()[: x.shape[0]]

  def step(i, state):
    centroids, rows, distance = state
    # Before there is any centroid the distances are inf: a uniform draw.
    none_yet = jnp.isinf(distance)
    weights = jnp.where(candidates, jnp.where(none_yet, 1, distance), 0)
    lost = _arrays.total(weights.sum(), axis_name) == 0
    weights = jnp.where(lost, candidates.astype(x.dtype), weights)
    uniforms = jax.random.uniform(jax.random.fold_in(key, i), trials, x.dtype)
    picks = _sample(weights, uniforms, axis_name)
    local, mine = _own(picks, x.shape[0], axis_name)
    tried = jnp.where(mine[:, None], x[local], 0)
    tried = _arrays.total(tried, axis_name)
    after = jnp.minimum(distance[:, None], squared_distances(x, tried))
    potential = jnp.where(candidates[:, None], after, 0).sum(axis=0)
    # scikit-learn draws the first centroid once, without trials.
    once = none_yet.any() & (jnp.arange(trials) > 0)
    potential = jnp.where(once, jnp.inf, potential)
    best = jnp.argmin(_arrays.total(potential, axis_name))
    slot = order[i]
    centroids = centroids.at[slot].set(tried[best])
    rows = rows.at[slot].set(picks[best])
    return centroids, rows, after[:, best]

  state = jax.lax.fori_loop(0, num_drawn, step, (centroids, rows, distance))
  return state[:2]
