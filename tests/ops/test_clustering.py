import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import jaxtyped
from sklearn import cluster, datasets

from jaxcls.ops import clustering

N, D, K = 42, 3, 5
ROWS = PartitionSpec("data")


def blobs(dtype=jnp.float32, shift=0.0):
  x, y = datasets.make_blobs(N, D, centers=K, cluster_std=1.5, random_state=0)
  return jnp.asarray(x + shift, dtype), jnp.asarray(y)


plain = jax.jit(lambda x: clustering.kmeans(x, num_clusters=K, init=x[:K]))


def by_sklearn(x, init, where=slice(None), **options):
  model = cluster.KMeans(len(init), init=np.asarray(init), n_init=1, **options)
  return model.fit(np.asarray(x, np.float64)[where])


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize(
  ("num_steps", "block_size"), [(1, 1), (2, 8), (300, None)]
)
def test_equals_sklearn_from_the_same_centroids(num_steps, block_size):
  with jax.enable_x64(True):
    x, _ = blobs(jnp.float64)
    where = np.arange(N) % 7 != 6
    expected = by_sklearn(x, x[:K], where, max_iter=num_steps)
    got = jax.jit(
      lambda x: clustering.kmeans(
        x, num_clusters=K, init=x[:K], where=jnp.asarray(where),
        num_steps=num_steps, block_size=block_size,
      )
    )(x.at[6].set(jnp.nan))  # fmt: skip
    np.testing.assert_allclose(
      got.centroids, expected.cluster_centers_, rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(got.inertia, expected.inertia_, rtol=1e-10)
    np.testing.assert_array_equal(got.assignments[where], expected.labels_)
    np.testing.assert_array_equal(got.assignments[~where], -1)
    assert got.num_steps == expected.n_iter_


@pytest.mark.parametrize(
  ("dtype", "shift", "tolerance"),
  [(jnp.float32, 0, 1e-5), (jnp.float32, 1e3, 1e-3), (jnp.bfloat16, 0, 1e-5)],
)
def test_narrow_types_and_data_far_from_the_origin(dtype, shift, tolerance):
  x, _ = blobs(dtype, shift)
  expected = by_sklearn(x.astype(jnp.float32), x[:K].astype(jnp.float32))
  got = plain(x)
  assert got.centroids.dtype == jnp.float32
  np.testing.assert_allclose(
    got.centroids, expected.cluster_centers_, rtol=1e-6, atol=tolerance
  )
  np.testing.assert_allclose(got.inertia, expected.inertia_, rtol=tolerance)


def test_gradient_is_that_of_the_means_at_convergence():
  with jax.enable_x64(True):
    x, _ = blobs(jnp.float64)
    weights = jnp.sin(jnp.arange(K * D).reshape(K, D) + 1.0)
    init = x[:K]

    def f(x):
      out = clustering.kmeans(x, num_clusters=K, init=init)
      return (out.centroids * weights).sum() + out.inertia

    direction = jnp.cos(jnp.arange(N * D).reshape(N, D) + 1.0)
    value = jax.jit(f)
    step = 1e-6
    slope = value(x + step * direction) - value(x - step * direction)
    got = (jax.jit(jax.grad(f))(x) * direction).sum()
    np.testing.assert_allclose(got, slope / (2 * step), rtol=1e-6)


def test_hand_value_and_empty_cluster():
  # Rows 0 and 2 share a centroid; nobody is near 100, which stays.
  x = jnp.array([[0.0], [2.0], [10.0]])
  init = jnp.array([[1.0], [9.0], [100.0]])
  got = jax.jit(lambda x: clustering.kmeans(x, num_clusters=3, init=init))(x)
  np.testing.assert_allclose(got.centroids.ravel(), [1, 10, 100], rtol=1e-6)
  np.testing.assert_allclose(got.inertia, 1.0 + 1.0, rtol=1e-6)


def test_spherical_is_kmeans_of_directions():
  x, _ = blobs()
  unit = x / jnp.linalg.norm(x, axis=1, keepdims=True)
  f = jax.jit(
    lambda x: clustering.kmeans(x, num_clusters=K, init=x[:K], spherical=True)
  )
  got = f(x)
  np.testing.assert_allclose(
    jnp.linalg.norm(got.centroids, axis=1), 1.0, rtol=1e-6
  )
  np.testing.assert_array_equal(
    got.assignments, jnp.argmax(unit @ got.centroids.T, axis=1)
  )
  cosines = (unit * got.centroids[got.assignments]).sum(axis=1)
  np.testing.assert_allclose(got.inertia, (2 - 2 * cosines).sum(), rtol=1e-4)
  np.testing.assert_array_equal(f(3 * x).assignments, got.assignments)
  assert np.isfinite(f(jnp.zeros_like(x)).centroids).all()


def test_labelled_rows_stay_and_new_classes_are_found():
  x, y = blobs()
  x = x + 30 * jnp.eye(K)[y][:, :D]
  x = jnp.concatenate([x, 30 * jnp.eye(K)[y][:, D:]], axis=1)
  # Classes 0-2 are known, a third of their rows labelled; one label is wrong.
  labels = jnp.where((y < 3) & (jnp.arange(N) % 3 == 0), y, -1)
  odd = int(jnp.argmax(labels == 1))
  labels = labels.at[odd].set(2)
  f = jax.jit(
    lambda key: clustering.kmeans(x, num_clusters=K, labels=labels, key=key)
  )
  for seed in range(3):
    got = np.array(f(jax.random.key(seed)).assignments)
    assert got[odd] == 2
    got[odd] = 1
    np.testing.assert_array_equal(got[y < 3], y[y < 3])
    pairs = set(zip(got[y >= 3].tolist(), y[y >= 3].tolist(), strict=True))
    assert len(pairs) == 2


def test_best_of_many_inits():
  x, _ = blobs()
  keys = jax.random.split(jax.random.key(1), 6)
  run = lambda key, num: clustering.kmeans(
    x, num_clusters=K, num_inits=num, key=key
  )
  single = jax.jit(jax.vmap(lambda key: run(key, 1)))(keys)
  best = jax.jit(lambda key: run(key, 6))(jax.random.key(1))
  np.testing.assert_allclose(best.inertia, single.inertia.min(), rtol=1e-5)


def test_plus_plus_draws_as_the_formula_says():
  # From 0, then P = (0, 1, 9) / 10; from 1: (1, 0, 4) / 5; from 3: (9, 4) / 13.
  x = jnp.array([[0.0], [1.0], [3.0]])
  keys = jax.random.split(jax.random.key(0), 4000)
  draw = lambda key: clustering.kmeans_plus_plus(
    x, num_clusters=2, num_trials=1, key=key
  )
  centroids, rows = jax.jit(jax.vmap(draw))(keys)
  np.testing.assert_allclose(centroids[..., 0], x[rows, 0], atol=1e-6)
  table = np.zeros((3, 3))
  np.add.at(table, (rows[:, 0], rows[:, 1]), 1 / 4000)
  expected = np.array([[0, 0.1, 0.9], [0.2, 0, 0.8], [9 / 13, 4 / 13, 0]]) / 3
  np.testing.assert_allclose(table, expected, atol=0.03)


def test_greedy_trials_lower_the_potential():
  x, _ = blobs()

  def potential(key, trials):
    centroids, rows = clustering.kmeans_plus_plus(
      x, num_clusters=K, num_trials=trials, key=key
    )
    gap = ((x[:, None] - centroids) ** 2).sum(-1)
    return gap.min(axis=1).sum(), jnp.unique(rows, size=K).max()

  keys = jax.random.split(jax.random.key(0), 64)
  mean = lambda t: jax.jit(jax.vmap(lambda k: potential(k, t)))(keys)[0].mean()
  assert mean(None) < mean(1)


def sharded(f, out_specs, check_vma):
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  return jax.jit(
    jax.shard_map(
      f, mesh=mesh, in_specs=(ROWS, ROWS, ROWS), out_specs=out_specs,
      check_vma=check_vma,
    )
  )  # fmt: skip


@pytest.mark.parametrize(
  ("given", "check_vma"),
  [("init", True), ("key", False), ("labels", True)],
)
def test_rows_over_devices_equal_one_device(given, check_vma):
  x, y = blobs()
  x, y, where = x[:40], y[:40], jnp.arange(40) % 9 != 4
  labels = jnp.where((y < 2) & (jnp.arange(40) < 20), y, -1)

  def f(x, where, labels, axis_name):
    options = {"init": x0} if given == "init" else {"key": jax.random.key(3)}
    if given == "labels":
      options["labels"] = labels
    return clustering.kmeans(
      x, num_clusters=K, where=where, axis_name=axis_name, block_size=4,
      **options,
    )  # fmt: skip

  x0 = x[:K]
  specs = clustering.KMeansResult(
    PartitionSpec(), ROWS, PartitionSpec(), PartitionSpec()
  )
  call = sharded(lambda *a: f(*a, "data"), specs, check_vma)
  got = call(x, where, labels)
  expected = jax.jit(lambda *a: f(*a, None))(x, where, labels)
  for a, b in zip(got, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
  if given == "init":
    loss = lambda f: jax.jit(
      jax.grad(lambda x: (f(x, where, labels).centroids ** 2).sum())
    )
    got, expected = loss(call)(x), loss(lambda *a: f(*a, None))(x)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_plus_plus_over_devices_equals_one_device():
  x, _ = blobs()
  f = lambda x, where, _, axis_name: clustering.kmeans_plus_plus(
    x, num_clusters=K, where=where, axis_name=axis_name, key=jax.random.key(7)
  )
  x, where = x[:40], jnp.arange(40) > 10
  call = sharded(lambda *a: f(*a, "data"), PartitionSpec(), True)
  single = jax.jit(lambda *a: f(*a, None))
  got, expected = (g(x, where, where) for g in (call, single))
  np.testing.assert_allclose(got[0], expected[0], rtol=1e-6, atol=1e-5)
  np.testing.assert_array_equal(got[1], expected[1])
  assert (got[1] > 10).all()


def test_vmap_and_fewer_distinct_rows_than_clusters():
  x, _ = blobs()
  same = jnp.ones_like(x)
  f = lambda x: clustering.kmeans(x, num_clusters=K, key=jax.random.key(0))
  both = jax.jit(jax.vmap(f))(jnp.stack([x, same]))
  # Every centroid is the mean of its own rows.
  for c, centroid in enumerate(both.centroids[0]):
    mean = np.asarray(x)[np.asarray(both.assignments[0]) == c].mean(0)
    np.testing.assert_allclose(centroid, mean, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(both.centroids[1], 1.0, rtol=1e-6)
  np.testing.assert_allclose(both.inertia[1], 0.0, atol=1e-6)


def test_nobody_kept_is_finite():
  x = jnp.full((N, D), jnp.nan)
  where = jnp.zeros(N, bool)
  got = jax.jit(
    lambda x: clustering.kmeans(
      x, num_clusters=2, where=where, key=jax.random.key(0)
    )
  )(x)
  assert np.isfinite(got.centroids).all() and got.inertia == 0
  np.testing.assert_array_equal(got.assignments, -1)


def test_one_row_one_cluster():
  x = jnp.array([[2.0, 3.0]])
  got = jax.jit(
    lambda x: clustering.kmeans(x, num_clusters=1, key=jax.random.key(0))
  )(x)
  np.testing.assert_allclose(got.centroids, x, rtol=1e-6)


def test_wrong_input_is_refused():
  x, key = jnp.ones((4, 2)), jax.random.key(0)
  means = lambda x=x, k=2, **kw: clustering.kmeans(x, num_clusters=k, **kw)
  seeds = lambda x=x, k=2, **kw: clustering.kmeans_plus_plus(
    x, num_clusters=k, key=key, **kw
  )
  for error, message, call in [
    (ValueError, "x must have shape", lambda: means(x[0], key=key)),
    (TypeError, "x must be floating", lambda: means(x > 0, key=key)),
    (ValueError, r"must be in \[1, 4\]", lambda: means(k=5, key=key)),
    (ValueError, r"must be in \[1, 0\]", lambda: means(x[:0], key=key)),
    (ValueError, "got neither", lambda: means()),
    (ValueError, "got both", lambda: means(key=key, init=x[:2])),
    (ValueError, "init must have shape", lambda: means(init=x[:3])),
    (TypeError, "init must be", lambda: means(init=x[:2] > 0)),
    (ValueError, "num_inits", lambda: means(init=x[:2], num_inits=2)),
    (ValueError, "num_inits", lambda: means(key=key, num_inits=0)),
    (ValueError, "num_steps", lambda: means(key=key, num_steps=0)),
    (ValueError, "tolerance", lambda: means(key=key, tolerance=-1.0)),
    (ValueError, "block_size", lambda: means(key=key, block_size=0)),
    (TypeError, "labels must", lambda: means(key=key, labels=x[:, 0])),
    (ValueError, "labels must", lambda: means(key=key, labels=jnp.arange(3))),
    (TypeError, "where must", lambda: means(key=key, where=x[:, 0])),
    (ValueError, "where must", lambda: means(key=key, where=x > 0)),
    (ValueError, "num_clusters", lambda: seeds(k=0)),
    (ValueError, "num_trials", lambda: seeds(num_trials=0)),
    (ValueError, "x must have shape", lambda: seeds(x[None])),
  ]:
    with pytest.raises(error, match=message):
      jax.eval_shape(call)


@pytest.mark.parametrize("name", ["kmeans", "kmeans_plus_plus"])
def test_annotations_hold(name):
  f = getattr(clustering, name)
  x, _ = blobs()
  with jax.numpy_dtype_promotion("strict"):
    typed = jaxtyped(f, typechecker=beartype)
    jax.eval_shape(
      lambda key: typed(x, num_clusters=3, where=x[:, 0] > 0, key=key),
      jax.random.key(0),
    )
