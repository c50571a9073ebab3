import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import ops
from jaxcls.ops.clustering import _balanced

KEY = jax.random.key(1)
run = jax.jit(
  lambda x, where, k: ops.balanced_kmeans(
    x, num_clusters=5, num_used=k, where=where, key=KEY
  )
)


def rows(n=23, d=3, seed=0):
  return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def greedy(cost, capacity):
  """The nearest pair first, one by one."""
  n, k = cost.shape
  found, room = np.full(n, -1), np.full(k, capacity)
  for i in np.argsort(cost, axis=None, kind="stable"):
    row, cluster = divmod(i, k)
    if found[row] < 0 and room[cluster]:
      found[row], room[cluster] = cluster, room[cluster] - 1
  return found


@pytest.mark.parametrize("capacity", [1, 4, 9])
def test_rounds_give_the_greedy_pairs(capacity):
  cost = np.random.default_rng(0).random((23, 5)).astype(np.float32)
  got = jax.jit(_balanced._fill)(cost, capacity)
  np.testing.assert_array_equal(got, greedy(cost, capacity))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_sizes_differ_by_one_at_most(k):
  x, keep = rows(), np.arange(23) % 6 > 0
  got = run(jnp.where(keep[:, None], x, jnp.nan), jnp.asarray(keep), k)
  sizes = np.bincount(got.assignments[keep], minlength=5)
  assert sizes[:k].max() - sizes[:k].min() <= 1 and not sizes[k:].any()
  np.testing.assert_array_equal(got.assignments[~keep], -1)
  gap = x[keep] - got.centroids[got.assignments[keep]]
  np.testing.assert_allclose(got.inertia, (gap**2).sum(), rtol=1e-4)
  for c in range(k):
    mean = x[keep][got.assignments[keep] == c].mean(0)
    np.testing.assert_allclose(got.centroids[c], mean, rtol=1e-4, atol=1e-5)


def test_equal_blobs_are_found():
  centers = 10 * np.eye(5, 3, dtype=np.float32) - 10 * np.eye(5, 3, -2)
  x = np.repeat(centers, 4, axis=0) + 0.1 * rows(20)
  got = run(jnp.asarray(x, jnp.float32), jnp.ones(20, bool), 5).assignments
  groups = np.asarray(got).reshape(5, 4)
  assert (groups == groups[:, :1]).all() and len(set(groups[:, 0])) == 5


@pytest.mark.parametrize(
  ("changes", "error", "message"),
  [
    (dict(num_clusters=24), ValueError, "num_clusters must be in"),
    (dict(num_steps=0), ValueError, "num_steps must be >= 1"),
    (dict(x=jnp.ones((4, 2), int)), TypeError, "x must be floating point"),
    (dict(where=jnp.ones(23)), TypeError, "where must be bool"),
  ],
)
def test_wrong_input_raises(changes, error, message):
  given = dict(x=jnp.asarray(rows()), num_clusters=2, key=KEY)
  given |= changes
  with pytest.raises(error, match=message):
    ops.balanced_kmeans(given.pop("x"), **given)
