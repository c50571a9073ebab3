import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import jaxtyped
from sklearn import covariance

from jaxcls.ops import gaussian

N, D, C = 40, 3, 4
ROWS = PartitionSpec("data")
SHRINKAGES = {
  0.0: covariance.EmpiricalCovariance,
  0.3: lambda: covariance.ShrunkCovariance(shrinkage=0.3),
  "ledoit_wolf": covariance.LedoitWolf,
  "oas": covariance.OAS,
}


def example(dtype=jnp.float32, shift=0.0):
  """features [n d], labels [n] with no row of class 3, where [n]."""
  rng = np.random.default_rng(0)
  labels = rng.integers(0, C - 1, N)
  x = rng.normal(size=(N, D)) @ rng.normal(size=(D, D)) + labels[:, None]
  where = np.arange(N) % 7 != 2
  return jnp.asarray(x + shift, dtype), jnp.asarray(labels), jnp.asarray(where)


def fit(x, y, where=None, **options):
  return gaussian.gaussian_statistics(
    x, y, num_classes=C, where=where, **options
  )


def assert_same(got, expected, rtol, atol):
  got, expected = jax.tree.leaves(got), jax.tree.leaves(expected)
  for x, y in zip(got, expected, strict=True):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
def test_equals_sklearn_class_by_class(shrinkage):
  with jax.enable_x64(True):
    x, y, where = example(jnp.float64, 5.0)
    f = lambda x: gaussian.gaussian_covariance(
      fit(x, y, where), shrinkage=shrinkage
    )
    got = jax.jit(f)(jnp.where(where[:, None], x, jnp.nan))
    for c in range(C - 1):
      rows = np.asarray(x[(y == c) & where])
      expected = SHRINKAGES[shrinkage]().fit(rows).covariance_
      np.testing.assert_allclose(got[c], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(got[C - 1], 0.0)


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
def test_tied_equals_sklearn_on_centred_rows(shrinkage):
  with jax.enable_x64(True):
    x, y, _ = example(jnp.float64)
    means = np.stack([np.asarray(x)[y == c].mean(0) for c in range(C - 1)])
    model = SHRINKAGES[shrinkage]().set_params(assume_centered=True)
    expected = model.fit(np.asarray(x) - means[y]).covariance_
    for tied in (True, False):
      if tied and shrinkage == "ledoit_wolf":
        continue
      got = jax.jit(
        lambda x, tied=tied: gaussian.gaussian_covariance(
          fit(x, y, tied=tied), shrinkage=shrinkage, tied=True
        )
      )(x)
      np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
  ("dtype", "shift", "tolerance"),
  [(jnp.float32, 0.0, 1e-5), (jnp.float32, 1e3, 1e-3), (jnp.bfloat16, 0, 1e-5)],
)
def test_narrow_types_and_features_with_a_large_mean(dtype, shift, tolerance):
  x, y, where = example(dtype, shift)
  f = lambda x: gaussian.gaussian_covariance(fit(x, y, where))
  got = jax.jit(f)(x)
  assert got.dtype == jnp.float32
  y, where = np.asarray(y), np.asarray(where)
  for c in range(C - 1):
    rows = np.asarray(x, np.float64)[(y == c) & where]
    expected = np.cov(rows.T, bias=True)
    np.testing.assert_allclose(got[c], expected, rtol=1e-4, atol=tolerance)


@pytest.mark.parametrize("tied", [False, True])
def test_a_stream_equals_one_pass(tied):
  with jax.enable_x64(True):
    x, y, where = example(jnp.float64, 50.0)
    one = jax.jit(lambda *a: fit(*a, tied=tied))
    merge = jax.jit(gaussian.merge_gaussian_statistics)
    total = one(x[:0], y[:0], where[:0])
    for i in range(0, N, 10):
      # Classes that are new, classes that are absent, and an empty batch.
      part = where[i : i + 10] & (i != 20) & ((y[i : i + 10] > 0) | (i > 0))
      total = merge(total, one(x[i : i + 10], y[i : i + 10], part))
    seen = where & (jnp.arange(N) // 10 != 2) & ((y > 0) | (jnp.arange(N) > 9))
    expected = one(x, y, seen)
    assert_same(total, expected, 1e-9, 1e-9)


def test_gradients_equal_those_of_the_definition():
  with jax.enable_x64(True):
    x, y, _ = example(jnp.float64)
    weights = jnp.sin(jnp.arange(D * D).reshape(D, D) + 1.0)

    def f(x):
      covariances = gaussian.gaussian_covariance(
        fit(x, y), shrinkage="ledoit_wolf"
      )
      return (covariances * weights).sum() + (fit(x, y).means ** 2).sum()

    members = [np.flatnonzero(y == c) for c in range(C - 1)]

    def g(x):
      total = 0.0
      for c in range(C - 1):
        rows = x[members[c]]
        n, mean = len(rows), rows.mean(0)
        s = jnp.cov(rows.T, bias=True)
        mu = jnp.trace(s) / D
        gap = ((s - mu * jnp.eye(D)) ** 2).sum() / D
        noise = (((rows - mean) ** 2).sum(1) ** 2).sum() / n - (s**2).sum()
        t = jnp.minimum(noise / (n * D) / gap, 1)
        s = (1 - t) * s + t * mu * jnp.eye(D)
        total += (s * weights).sum() + (mean**2).sum()
      return total

    got, expected = (jax.jit(jax.value_and_grad(h))(x) for h in (f, g))
    assert_same(got, expected, 1e-8, 1e-10)


@pytest.mark.parametrize("check_vma", [False, True])
def test_rows_over_devices_equal_one_device(check_vma):
  x, y, where = example()
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))

  def f(x, y, where, axis_name=None):
    separate = fit(x, y, where, axis_name=axis_name)
    tied = fit(x, y, where, axis_name=axis_name, tied=True)
    return separate, tied.scatter

  sharded = jax.shard_map(
    lambda *a: f(*a, "data"), mesh=mesh, in_specs=(ROWS, ROWS, ROWS),
    out_specs=PartitionSpec(), check_vma=check_vma,
  )  # fmt: skip
  loss = lambda f: lambda x: (f(x, y, where)[0].scatter ** 2).sum()
  both = lambda f: jax.jit(
    lambda x: (f(x, y, where), jax.grad(loss(f))(x))
  )(x)  # fmt: skip
  assert_same(both(sharded), both(f), 1e-4, 1e-4)


@pytest.mark.parametrize(
  ("kind", "tied"),
  [("covariance", False), ("covariance", True), ("precision", False),
   ("cholesky", True)],
)  # fmt: skip
def test_mahalanobis_equals_sklearn(kind, tied):
  with jax.enable_x64(True):
    x, y, _ = example(jnp.float64, 100.0)
    stats = jax.jit(fit)(x, y)
    means = stats.means[:3]
    matrices = gaussian.gaussian_covariance(stats, tied=tied)
    matrices = matrices if tied else matrices[:3]
    change = {"precision": jnp.linalg.inv, "cholesky": jnp.linalg.cholesky}
    given = change.get(kind, lambda m: m)(matrices)
    got = jax.jit(
      lambda x: gaussian.mahalanobis(x, means, given, kind=kind)
    )(x)  # fmt: skip
    for c in range(3):
      model = covariance.EmpiricalCovariance()
      matrix = np.asarray(matrices if tied else matrices[c])
      model.location_ = np.asarray(means[c])
      model.precision_ = np.linalg.inv(matrix)
      expected = model.mahalanobis(np.asarray(x))
      np.testing.assert_allclose(got[:, c], expected, rtol=1e-8, atol=1e-10)


def test_mahalanobis_gradient_shapes_and_narrow_types():
  x, y, _ = example()
  stats = jax.jit(fit)(x, y)
  covariances = jax.jit(
    lambda stats: gaussian.gaussian_covariance(stats, ridge=0.1)
  )(stats)
  f = jax.jit(gaussian.mahalanobis)
  got = f(x, stats.means, covariances)
  shape = lambda x: jax.eval_shape(f, x, stats.means, covariances).shape
  assert shape(x[0]) == (C,) and shape(x[:0]) == (0, C)
  folded = f(x.reshape(2, 5, 4, D), stats.means, covariances)
  assert_same(folded.reshape(N, C), got, 1e-5, 1e-5)
  vmapped = jax.vmap(lambda x: f(x, stats.means, covariances))(x)
  assert_same(vmapped, got, 1e-5, 1e-5)
  half = f(x.astype(jnp.bfloat16), stats.means, covariances)
  assert half.dtype == jnp.float32
  assert_same(half, got, 5e-2, 5e-1)
  # d/dx (x - m)^T P (x - m) = 2 P (x - m), and 0 at x = m.
  precision = jnp.linalg.inv(covariances[0])
  grad = jax.jit(jax.grad(lambda v: f(v, stats.means, covariances)[0]))
  expected = 2 * precision @ (x[0] - stats.means[0])
  assert_same(grad(x[0]), expected, 1e-4, 1e-4)
  assert_same(grad(stats.means[0]), jnp.zeros(D), 1e-6, 1e-6)


def test_one_row_no_row_and_labels_out_of_range():
  x, _, _ = example()
  one = jax.jit(fit)
  got = one(x[:1], jnp.array([2]))
  np.testing.assert_allclose(got.means[2], x[0], rtol=1e-6)
  np.testing.assert_array_equal(got.scatter, 0.0)
  covariances = jax.jit(
    lambda stats: [
      gaussian.gaussian_covariance(stats, shrinkage=shrinkage, ridge=2.0)
      for shrinkage in SHRINKAGES
    ]
  )
  for stats in (got, one(x[:0], jnp.zeros(0, int))):
    for out in covariances(stats):
      np.testing.assert_allclose(out, jnp.tile(2 * jnp.eye(D), (C, 1, 1)))
  outside = one(x[:2], jnp.array([-1, C]))
  np.testing.assert_array_equal(outside.counts, 0.0)


def test_wrong_input_is_refused():
  x, y, where = example()
  stats = jax.jit(fit)(x, y)
  cov = gaussian.gaussian_covariance
  eye = jnp.eye(D)
  far = lambda x=x, m=stats.means, s=eye, **kw: gaussian.mahalanobis(
    x, m, s, **kw
  )
  merge = gaussian.merge_gaussian_statistics
  for error, message, call in [
    (ValueError, "features must have", lambda: fit(x[0], y)),
    (TypeError, "features must be", lambda: fit(x > 0, y)),
    (TypeError, "labels must be", lambda: fit(x, x[:, 0])),
    (ValueError, "labels must have", lambda: fit(x, y[:3])),
    (TypeError, "where must be", lambda: fit(x, y, y)),
    (ValueError, "where must have", lambda: fit(x, y, where[:3])),
    (ValueError, "num_classes must", lambda: gaussian.gaussian_statistics(
      x, y, num_classes=0)),
    (ValueError, "shrinkage must be one of", lambda: cov(
      stats, shrinkage="lw")),
    (ValueError, "shrinkage must be in", lambda: cov(stats, shrinkage=1.5)),
    (ValueError, "ridge must", lambda: cov(stats, ridge=-1.0)),
    (ValueError, "shrinkage must not", lambda: cov(
      fit(x, y, tied=True), shrinkage="ledoit_wolf")),
    (ValueError, "a and b must", lambda: merge(stats, fit(x, y, tied=True))),
    (ValueError, "x must have", lambda: far(x[:, :2])),
    (ValueError, "means must have", lambda: far(m=stats.means[0])),
    (ValueError, "matrices must have", lambda: far(s=jnp.eye(2))),
    (ValueError, "matrices must have", lambda: far(s=jnp.ones((2, D, D)))),
    (TypeError, "matrices must be", lambda: far(s=jnp.eye(D) > 0)),
    (ValueError, "kind must", lambda: far(kind="scale")),
  ]:  # fmt: skip
    with pytest.raises(error, match=message):
      jax.eval_shape(call)


def test_annotations_hold():
  x, y, where = example()
  stats = jax.jit(fit)(x, y)
  calls = {
    "gaussian_statistics": lambda f: f(x, y, num_classes=C, where=where),
    "merge_gaussian_statistics": lambda f: f(stats, stats),
    "gaussian_covariance": lambda f: f(stats, shrinkage="oas"),
    "mahalanobis": lambda f: f(x, stats.means, jnp.eye(D)),
  }
  for name, call in calls.items():
    f = getattr(gaussian, name)
    with jax.numpy_dtype_promotion("strict"):
      typed = jaxtyped(f, typechecker=beartype)
      jax.eval_shape(lambda call=call, typed=typed: call(typed))
