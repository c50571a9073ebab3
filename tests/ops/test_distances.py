import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import jaxtyped
from sklearn import metrics, neighbors

from jaxcls.ops import distances

Q, N, D, K = 5, 12, 3, 4
METRICS = ("euclidean", "squared_euclidean", "cosine")
SKLEARN = {"squared_euclidean": "sqeuclidean"}
ROWS = PartitionSpec("data")


def example(dtype=jnp.float32, shift=0.0):
  """queries [q d], bank [n d], where [n]."""
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(Q, D)) + shift, rng.normal(size=(N, D)) + shift
  where = jnp.asarray(np.arange(N) % 5 != 3)
  return jnp.asarray(x, dtype), jnp.asarray(y, dtype), where


def assert_same(got, expected, rtol, atol):
  got, expected = jax.tree.leaves(got), jax.tree.leaves(expected)
  for x, y in zip(got, expected, strict=True):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def definition(x, y, metric):
  if metric == "cosine":
    unit = lambda v: v / jnp.linalg.norm(v, axis=-1, keepdims=True)
    return 1 - unit(x) @ unit(y).T
  squares = ((x[:, None] - y[None]) ** 2).sum(-1)
  return jnp.sqrt(squares) if metric == "euclidean" else squares


def value_and_grads(f, *arrays):
  def loss(*a):
    out = f(*a)
    weights = jnp.sin(jnp.arange(out.size).reshape(out.shape) + 1.0)
    return (out * weights.astype(out.dtype)).sum(), out

  grad = jax.grad(loss, argnums=tuple(range(len(arrays))), has_aux=True)
  return jax.jit(grad)(*arrays)


@pytest.mark.parametrize("metric", METRICS)
def test_pairwise_equals_the_definition(metric):
  f = lambda x, y: distances.pairwise_distances(x, y, metric=metric)
  g = lambda x, y: definition(x, y, metric)
  with jax.enable_x64(True):
    x, y, _ = example(jnp.float64, 3.0)
    got = value_and_grads(f, x, y)
    assert_same(got, value_and_grads(g, x, y), 1e-9, 1e-12)
    expected = metrics.pairwise_distances(
      x, y, metric=SKLEARN.get(metric, metric)
    )
    assert_same(got[1], expected, 1e-9, 1e-12)
  for dtype, grad_tolerance in ((jnp.float32, 1e-4), (jnp.bfloat16, 1e-2)):
    x, y, _ = example(dtype)
    got = value_and_grads(f, x, y)
    assert got[1].dtype == jnp.float32
    assert all(a.dtype == dtype for a in got[0])
    wide = x.astype(jnp.float32), y.astype(jnp.float32)
    expected = value_and_grads(g, *wide)
    assert_same(got[1], expected[1], 1e-5, 1e-5)
    assert_same(got[0], expected[0], grad_tolerance, grad_tolerance)


def test_pairwise_far_from_the_origin():
  x, y, _ = example(jnp.float32, 1e4)
  got = jax.jit(distances.pairwise_distances)(x, y)
  expected = metrics.pairwise_distances(
    np.asarray(x, np.float64), np.asarray(y, np.float64)
  )
  np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_pairwise_finite_at_coinciding_and_zero_rows(metric):
  x = jnp.array([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0], [1e4, -1e4]])
  f = lambda x: distances.pairwise_distances(x, metric=metric)
  grads, value = value_and_grads(f, x)
  np.testing.assert_array_equal(jnp.diag(value), 0.0)
  assert np.isfinite(value).all() and np.isfinite(grads[0]).all()
  if metric == "cosine":
    np.testing.assert_allclose(value[2, :2], 1.0)
  grads, _ = value_and_grads(f, jnp.zeros((3, 2)))
  np.testing.assert_array_equal(grads[0], 0.0)


def test_pairwise_batches_and_empty_sets():
  x, y, _ = example()
  f = jax.jit(distances.pairwise_distances)
  batch = jnp.stack([x, 2 * x]), jnp.stack([y, y + 1])
  got = f(*batch)
  assert_same(got, jax.vmap(f)(*batch), 1e-6, 1e-6)
  assert_same(got[0], f(x, y), 1e-5, 1e-5)
  assert f(x[:0], y).shape == (0, N) and f(x, y[:0]).shape == (Q, 0)
  assert f(x[:0]).shape == (0, 0)


@pytest.mark.parametrize(
  ("metric", "block_size"), zip(METRICS, (5, 1, 64), strict=True)
)
def test_neighbors_equal_sklearn(metric, block_size):
  x, y, where = example(shift=2.0)
  got = jax.jit(
    lambda x, y: distances.nearest_neighbors(
      x, y, k=K, metric=metric, where=where, block_size=block_size
    )
  )(x, jnp.where(where[:, None], y, jnp.nan))
  model = neighbors.NearestNeighbors(
    n_neighbors=K, metric=SKLEARN.get(metric, metric), algorithm="brute"
  )
  far, index = model.fit(np.asarray(y[where], np.float64)).kneighbors(x)
  np.testing.assert_array_equal(got.indices, np.flatnonzero(where)[index])
  np.testing.assert_allclose(got.distances, far, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_neighbors_gradient_equals_that_of_all_distances(metric):
  with jax.enable_x64(True):
    x, y, _ = example(jnp.float64)
    f = lambda x, y: (
      distances.nearest_neighbors(
        x, y, k=K, metric=metric, block_size=5
      ).distances
    )
    g = lambda x, y: jnp.sort(definition(x, y, metric), axis=1)[:, :K]
    got, expected = value_and_grads(f, x, y), value_and_grads(g, x, y)
    assert_same(got, expected, 1e-9, 1e-12)


def test_neighbors_without_self_with_ties_and_too_few():
  x = jnp.array([[0.0], [0.0], [1.0], [9.0]])
  f = jax.jit(
    lambda x, where: distances.nearest_neighbors(
      x, x, k=2, where=where, exclude_self=True, block_size=3
    )
  )
  everyone = f(x, jnp.ones(4, bool))
  np.testing.assert_array_equal(
    everyone.indices, [[1, 2], [0, 2], [0, 1], [2, 0]]
  )
  few = f(x, jnp.arange(4) == 2)
  np.testing.assert_array_equal(
    few.indices, [[2, -1], [2, -1], [-1, -1], [2, -1]]
  )
  np.testing.assert_array_equal(np.isinf(few.distances), few.indices < 0)
  g = lambda x: f(x, jnp.ones(4, bool)).distances.sum()
  assert np.isfinite(jax.jit(jax.grad(g))(x)).all()


@pytest.mark.parametrize("exclude_self", [False, True])
def test_bank_over_devices_equals_one_device(exclude_self):
  x, y, where = example()
  x = y if exclude_self else x
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))

  def f(x, y, where, axis_name=None):
    # More neighbours than a device has rows.
    return distances.nearest_neighbors(
      x, y, k=K, where=where, exclude_self=exclude_self, block_size=2,
      axis_name=axis_name,
    )  # fmt: skip

  # all_gather does not tell JAX that its result is the same everywhere.
  sharded = jax.shard_map(
    lambda *a: f(*a, "data"), mesh=mesh, check_vma=False,
    in_specs=(PartitionSpec(), ROWS, ROWS), out_specs=PartitionSpec(),
  )  # fmt: skip
  got, expected = jax.jit(sharded)(x, y, where), jax.jit(f)(x, y, where)
  np.testing.assert_array_equal(got.indices, expected.indices)
  np.testing.assert_allclose(got.distances, expected.distances, rtol=1e-5)
  if exclude_self:
    mutual = lambda y, where, axis_name=None: distances.reciprocal_neighbors(
      y, k=K, where=where, axis_name=axis_name
    )
    over_devices = jax.shard_map(
      lambda *a: mutual(*a, "data"), mesh=mesh, check_vma=False,
      in_specs=(ROWS, ROWS), out_specs=PartitionSpec(),
    )  # fmt: skip
    a, b = jax.jit(over_devices)(y, where), jax.jit(mutual)(y, where)
    assert_same(a, b, 1e-5, 1e-5)
    return
  grads = lambda f: jax.jit(
    jax.grad(lambda x, y: (f(x, y, where).distances ** 2).mean(), (0, 1))
  )(x, y)  # fmt: skip
  assert_same(grads(sharded), grads(f), 1e-5, 1e-5)
  checked = jax.shard_map(
    lambda *a: jax.tree.map(lambda v: v[None], f(*a, "data")),
    mesh=mesh,
    in_specs=(PartitionSpec(), ROWS, ROWS),
    out_specs=ROWS,
  )
  everywhere = jax.jit(checked)(x, y, where).indices
  np.testing.assert_array_equal(everywhere, jnp.stack([expected.indices] * 4))


@pytest.mark.parametrize("metric", METRICS)
def test_reciprocal_neighbors_equal_a_loop(metric):
  _, x, where = example()
  bad = jnp.where(where[:, None], x, jnp.nan)
  got = jax.jit(
    lambda x: distances.reciprocal_neighbors(
      x, k=K, metric=metric, where=where, block_size=5
    )
  )(bad)
  far = np.array(definition(x, x, metric))
  np.fill_diagonal(far, np.inf)
  far[:, ~np.asarray(where)] = np.inf
  order = np.argsort(far, axis=1)[:, :K]
  for i in range(N):
    if not where[i]:
      assert (got.indices[i] == -1).all() and not got.reciprocal[i].any()
      continue
    np.testing.assert_array_equal(got.indices[i], order[i])
    expected = [i in order[j] for j in order[i]]
    np.testing.assert_array_equal(got.reciprocal[i], expected)


def test_neighbors_under_vmap():
  x, y, _ = example()
  f = lambda x, y: distances.nearest_neighbors(x, y, k=K, block_size=5)
  assert jax.jit(f)(x[:0], y).indices.shape == (0, K)
  got = jax.jit(jax.vmap(f))(jnp.stack([x, 2 * x]), jnp.stack([y, y]))
  np.testing.assert_array_equal(got.indices[1], jax.jit(f)(2 * x, y).indices)
  g = lambda x: distances.reciprocal_neighbors(x, k=K)
  both = jax.jit(jax.vmap(g))(jnp.stack([x, 3 * x]))
  np.testing.assert_array_equal(both.reciprocal[0], both.reciprocal[1])


def test_wrong_input_is_refused():
  x, y, where = example()
  pairs = distances.pairwise_distances
  near = lambda x=x, y=y, k=2, **kw: distances.nearest_neighbors(
    x, y, k=k, **kw
  )
  mutual = lambda x=x, k=2, **kw: distances.reciprocal_neighbors(x, k=k, **kw)
  for error, message, call in [
    (ValueError, "x must have shape", lambda: pairs(x[0])),
    (ValueError, "y must have shape", lambda: pairs(x, y[:, :2])),
    (ValueError, "y must have shape", lambda: pairs(x, y[None])),
    (TypeError, "x must be floating", lambda: pairs(x > 0)),
    (ValueError, "metric must", lambda: pairs(x, metric="l2")),
    (ValueError, "bank must have shape", lambda: near(y=y[0])),
    (TypeError, "queries must be", lambda: near(x=x > 0)),
    (ValueError, "queries must have", lambda: near(x=x[:, :2])),
    (ValueError, r"k must be in \[1, 12\]", lambda: near(k=13)),
    (ValueError, r"k must be in \[1, 0\]", lambda: near(y=y[:0])),
    (ValueError, "k must be in", lambda: near(k=0)),
    (ValueError, "block_size", lambda: near(block_size=0)),
    (ValueError, "metric must", lambda: near(metric="l2")),
    (TypeError, "where must be", lambda: near(where=y[:, 0])),
    (ValueError, "where must have", lambda: near(where=where[:2])),
    (ValueError, "queries must be the 12", lambda: near(exclude_self=True)),
    (ValueError, r"k must be in \[1, 0\]", lambda: mutual(x[:1], k=1)),
    (ValueError, "where must have", lambda: mutual(where=where)),
    (ValueError, "x must have", lambda: mutual(x[None])),
  ]:
    with pytest.raises(error, match=message):
      jax.eval_shape(call)


def test_annotations_hold():
  x, y, where = example()
  calls = {
    "pairwise_distances": lambda f: f(x, y),
    "nearest_neighbors": lambda f: f(x, y, k=2, where=where),
    "reciprocal_neighbors": lambda f: f(y, k=2, where=where),
  }
  for name, call in calls.items():
    f = getattr(distances, name)
    with jax.numpy_dtype_promotion("strict"):
      jax.eval_shape(
        lambda call=call, f=f: call(jaxtyped(f, typechecker=beartype))
      )
