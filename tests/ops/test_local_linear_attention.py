import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from jaxcls import ops

GOLDENS = (
  pathlib.Path(__file__).parents[1] / "goldens/local_linear_attention.npz"
)
lla = ops.local_linear_attention


def example(batch=(2,), t=13, s=11, h=2, d=4, e=3, dtype=np.float64, seed=0):
  """query, key, value, ridge per head, and a cotangent."""
  rng = np.random.default_rng(seed)
  shapes = (*batch, t, h, d), (*batch, s, h, d), (*batch, s, h, e), (h,)
  q, k, v, ridge = (rng.normal(size=n) for n in shapes)
  weights = rng.normal(size=(*batch, t, h, e))
  arrays = [jnp.asarray(a, dtype) for a in (q, k, v)]
  return *arrays, jnp.asarray(np.abs(ridge) + 0.3), weights


def value_and_grads(weights, *arrays, **options):
  """Output and gradients to query, key, value and ridge."""

  def f(q, k, v, ridge):
    out = lla(q, k, v, ridge=ridge, **options)
    return (out * weights).sum(), out

  f = jax.value_and_grad(f, argnums=(0, 1, 2, 3), has_aux=True)
  (_, out), grads = jax.jit(f)(*arrays)
  return out, *grads


def assert_close(got, expected, tolerance):
  for a, b in zip(got, expected, strict=True):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max() + 1e-30)


@pytest.mark.parametrize("setting", ["", "__alt"])
@pytest.mark.parametrize("causal", ["causal", "full"])
@pytest.mark.parametrize("kernel", ["dot", "rbf"])
def test_matches_goldens(kernel, causal, setting):
  with np.load(GOLDENS) as file:
    g = dict(file)
  ridge, h = float(g["hp_lambda_" + setting]), float(g["hp_h" + setting])
  with jax.enable_x64(True):
    arrays = [jnp.asarray(g[f"in_{n}"])[:, None] for n in "qkv"]
    got = value_and_grads(
      g["in_ct"][:, None], *arrays, jnp.asarray(ridge), kernel=kernel,
      ridge_scale="absolute", causal=causal == "causal", scale=1 / h,
      iterations=32,
    )  # fmt: skip
  name = f"_{kernel}_{causal}{setting}"
  expected = [g[f"{n}{name}"] for n in ("out_o", "grad_q", "grad_k", "grad_v")]
  assert_close([a[:, 0] for a in got[:4]], expected, 1e-10)


# Tiles of four queries: 13 is not a multiple. The first keys are hidden in
# one example, so with causal some queries see nothing.
@pytest.mark.parametrize(
  ("options", "masked"),
  [
    (dict(kernel="dot"), False),
    (dict(kernel="rbf", causal=True), True),
    (dict(kernel="dot", ridge_scale="absolute", causal=True), True),
    (dict(kernel="rbf", ridge_scale="absolute"), False),
  ],
  ids=["dot", "rbf-causal", "dot-absolute-causal", "rbf-absolute"],
)
def test_matches_direct_solve(options, masked):
  with jax.enable_x64(True):
    q, k, v, ridge, weights = example()
    where = jnp.ones((2, 11), bool).at[0, :3].set(False).at[1, 7].set(False)
    options = options | dict(where=where if masked else None)
    f = functools.partial(value_and_grads, weights, q, k, v, ridge, **options)
    got = f(iterations=20, block_size=4)
    expected = f(implementation="reference")
  assert_close(got, expected, 1e-10)


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)]
)
def test_precision(dtype, tolerance):
  q, k, v, ridge, weights = example(t=37, s=29, dtype=dtype)
  got = value_and_grads(weights, q, k, v, ridge, iterations=16)
  assert got[0].dtype == dtype
  with jax.enable_x64(True):
    arrays = [jnp.asarray(a, jnp.float64) for a in (q, k, v, ridge)]
    expected = value_and_grads(weights, *arrays, implementation="reference")
  assert_close(got, expected, tolerance)


def test_hand_value():
  # Keys 0 and 2 weigh the same at query 1 (rbf): mean key 1, C = 1. The query
  # is the mean key, so o is the mean value. At query 3 the weights are
  # exp(-9/2) and exp(-1/2).
  k, v = jnp.array([0.0, 2.0]), jnp.array([1.0, 5.0])
  column = lambda a: a.reshape(-1, 1, 1)
  q = jnp.array([1.0, 3.0])
  got = lla(column(q), column(k), column(v), ridge=0.5, kernel="rbf", scale=1.0)
  p = np.exp(-4.5) / (np.exp(-4.5) + np.exp(-0.5))
  mean, variance = 2 * (1 - p), 4 * p * (1 - p)
  x = (3 - mean) / (variance + 0.5)
  weights = [p * (1 - x * mean), (1 - p) * (1 + x * (2 - mean))]
  expected = [3.0, weights[0] + 5 * weights[1]]
  np.testing.assert_allclose(got.ravel(), expected, rtol=1e-5)


def test_large_ridge_is_softmax_attention():
  q, k, v, _, _ = example(dtype=jnp.float32)
  got = lla(q, k, v, ridge=1e8, causal=True)
  expected = ops.attention(q, k, v, causal=True)
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_affine_values_are_met_exactly():
  with jax.enable_x64(True):
    q, k, _, _, _ = example(t=5)
    matrix = np.random.default_rng(1).normal(size=(4, 3))
    got = lla(3 * q, k, k @ matrix + 1, ridge=0.0, iterations=20)
    np.testing.assert_allclose(got, 3 * q @ matrix + 1, rtol=1e-8, atol=1e-8)


def test_flat_weights_are_global_least_squares():
  with jax.enable_x64(True):
    q, k, v, _, _ = example(batch=(), h=1)
    got = lla(q, k, v, ridge=1e-12, scale=0.0, iterations=20)
    design = np.c_[np.ones(11), k[:, 0]]
    line = np.linalg.lstsq(design, v[:, 0])[0]
    expected = np.c_[np.ones(13), q[:, 0]] @ line
    np.testing.assert_allclose(got[:, 0], expected, rtol=1e-8, atol=1e-8)


def test_truncated_gradient_is_close():
  # At 3 of 16 iterations the gradient must still point the same way.
  q, k, v, ridge, weights = example(t=64, s=64, d=16, dtype=jnp.float32)
  f = functools.partial(value_and_grads, weights, q, k, v, 3 * ridge)
  for a, b in zip(f(iterations=3), f(iterations=24), strict=True):
    cosine = (a * b).sum() / jnp.sqrt((a * a).sum() * (b * b).sum())
    assert cosine > 0.98


@pytest.mark.parametrize(
  ("kernel", "ridge_scale"), [("dot", "relative"), ("rbf", "absolute")]
)
def test_empty_masks(kernel, ridge_scale):
  q, k, v, ridge, weights = example(t=5, s=4, dtype=jnp.float32)
  where = jnp.ones((2, 4), bool).at[0].set(False)
  got = value_and_grads(
    weights, q, k, v, ridge, where=where, kernel=kernel,
    ridge_scale=ridge_scale,
  )  # fmt: skip
  for a in got[:4]:
    np.testing.assert_array_equal(a[0], 0.0)
    assert np.isfinite(a[1]).all() and (a[1] != 0).any()
  one = value_and_grads(
    weights[1:], q[1:], k[1:], v[1:], ridge, kernel=kernel,
    ridge_scale=ridge_scale,
  )  # fmt: skip
  np.testing.assert_allclose(got[4], one[4], rtol=1e-5)


@pytest.mark.parametrize("ridge_scale", ["relative", "absolute"])
@pytest.mark.parametrize("kernel", ["dot", "rbf"])
def test_extreme_logits(kernel, ridge_scale):
  q, k, v, ridge, weights = example(dtype=jnp.float32)

  def f(size, q, k, v, ridge):
    out = lla(
      size * q, size * k, v, ridge=ridge, kernel=kernel,
      ridge_scale=ridge_scale,
    )  # fmt: skip
    return (out * weights).sum()

  f = jax.jit(jax.value_and_grad(f, argnums=(1, 2, 3, 4)))
  for size in (1e2, 1e4):  # Logits of 1e4 and 1e8.
    for a in jax.tree.leaves(f(size, q, k, v, ridge)):
      assert np.isfinite(a).all()


def test_vmap_and_leading_axes():
  q, k, v, ridge, _ = example(batch=(2, 3), dtype=jnp.float32)
  where = jnp.asarray(np.random.default_rng(0).random((2, 3, 11)) < 0.7)
  expected = jax.jit(lla)(q, k, v, ridge=ridge, where=where)
  f = lambda q, k, v, w: lla(q, k, v, ridge=ridge, where=w)
  got = jax.jit(jax.vmap(jax.vmap(f)))(q, k, v, where)
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
  assert lla(q[:0], k[:0], v[:0], ridge=1.0).shape == (0, 3, 13, 2, 3)


def test_ridge_per_query():
  q, k, v, ridge, weights = example(dtype=jnp.float32)
  full = jnp.broadcast_to(ridge, (2, 13, 2))
  got = value_and_grads(weights, q, k, v, full)
  expected = value_and_grads(weights, q, k, v, ridge)
  assert_close((*got[:4], got[4].sum((0, 1))), expected, 1e-5)


@pytest.mark.parametrize(
  ("axis", "check_vma"), [("batch", False), ("heads", True), ("queries", True)]
)
def test_shard_map_equals_one_device(axis, check_vma):
  # The ridge is whole everywhere; with "queries" the keys are too.
  q, k, v, _, weights = example(batch=(4,), t=8, h=4, dtype=jnp.float32)
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  at = dict(batch=0, queries=1, heads=2)[axis]
  rows = PartitionSpec(*[None] * at, "data")
  keys = PartitionSpec() if axis == "queries" else rows
  f = lambda q, k, v, r: lla(q, k, v, ridge=r)
  sharded = jax.shard_map(
    f, mesh=mesh, in_specs=(rows, keys, keys, PartitionSpec()),
    out_specs=rows, check_vma=check_vma,
  )  # fmt: skip
  grads = lambda f: jax.jit(
    jax.grad(lambda *a: (f(*a) * weights).sum(), argnums=(0, 1, 2, 3))
  )(q, k, v, jnp.float32(0.7))
  assert_close(grads(sharded), grads(f), 1e-5)


def test_rejects_wrong_arguments():
  q, k, v, _, _ = example(dtype=jnp.float32)
  call = functools.partial(lla, ridge=1.0)
  for error, message, f in (
    (ValueError, "query must have shape", lambda: call(q[0, 0], k, v)),
    (ValueError, "without an empty axis", lambda: call(q, k[:, :0], v)),
    (ValueError, "key must have shape", lambda: call(q, k[..., :3], v)),
    (ValueError, "value must have shape", lambda: call(q, k, v[:, :5])),
    (TypeError, "one dtype", lambda: call(q, k, v.astype(jnp.bfloat16))),
    (TypeError, "floating point", lambda: call(q.astype(int), k, v)),
    (
      TypeError,
      "where must be bool",
      lambda: call(q, k, v, where=k[..., 0, 0]),
    ),
    (
      ValueError,
      "where must have shape",
      lambda: call(q, k, v, where=jnp.ones(11, bool)),
    ),
    (ValueError, "ridge must be >= 0", lambda: lla(q, k, v, ridge=-1.0)),
    (
      ValueError,
      "ridge must have one of",
      lambda: lla(q, k, v, ridge=jnp.ones(3)),
    ),
    (ValueError, "kernel must be", lambda: call(q, k, v, kernel="cosine")),
    (ValueError, "ridge_scale must", lambda: call(q, k, v, ridge_scale="")),
    (ValueError, "implementation", lambda: call(q, k, v, implementation="x")),
    (ValueError, "iterations must", lambda: call(q, k, v, iterations=0)),
    (ValueError, "scale must be", lambda: call(q, k, v, scale=-1.0)),
  ):
    with pytest.raises(error, match=message):
      f()
