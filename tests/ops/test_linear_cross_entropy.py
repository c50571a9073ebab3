import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import jaxtyped

from jaxcls.ops import linear_cross_entropy
from jaxcls.ops.cross_entropy import _reference

N, D, C = 6, 4, 20
CLASSES = PartitionSpec(None, "model"), PartitionSpec("model")


def example(dtype=jnp.float32, c=C):
  """(features, kernel, bias), labels, where."""
  rng = np.random.default_rng(0)
  arrays = rng.normal(size=(N, D)), rng.normal(size=(D, c)), rng.normal(size=c)
  labels = jnp.asarray(rng.integers(0, c, N))
  where = jnp.asarray(np.arange(N) != 2)
  return tuple(jnp.asarray(a, dtype) for a in arrays), labels, where


def value_and_grads(f, arrays):
  weights = jnp.sin(jnp.arange(N) + 1.0)
  loss = lambda *a: (f(*a) * weights.astype(f(*a).dtype)).sum()
  both = lambda *a: (f(*a), jax.grad(loss, argnums=(0, 1, 2))(*a))
  return jax.jit(both)(*arrays)


def assert_same(got, expected, rtol, atol):
  got, expected = jax.tree.leaves(got), jax.tree.leaves(expected)
  for a, b in zip(got, expected, strict=True):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize("block_size", [1, 7, 10, 64, None])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_the_definition_in_float64(smoothing, block_size):
  with jax.enable_x64(True):
    arrays, labels, where = example(jnp.float64)
    f = lambda x, k, b: linear_cross_entropy(
      x, k, labels, bias=b, label_smoothing=smoothing, where=where,
      block_size=block_size,
    )  # fmt: skip
    g = lambda x, k, b: _reference.linear_cross_entropy(
      x, k, labels, b, smoothing, where
    )
    got = value_and_grads(f, arrays)
    assert got[0].dtype == jnp.float64
    assert_same(got, value_and_grads(g, arrays), 1e-10, 1e-12)


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)]
)
def test_narrow_types_sum_in_float32(dtype, tolerance):
  arrays, labels, _ = example(dtype)
  f = lambda x, k, b: linear_cross_entropy(x, k, labels, bias=b, block_size=8)
  g = lambda x, k, b: _reference.linear_cross_entropy(x, k, labels, b)
  value, grads = value_and_grads(f, arrays)
  wide = tuple(a.astype(jnp.float32) for a in arrays)
  expected, expected_grads = value_and_grads(g, wide)
  assert value.dtype == jnp.float32
  assert all(a.dtype == dtype for a in grads)
  assert_same(value, expected, 1e-5, 1e-5)
  assert_same(grads, expected_grads, tolerance, tolerance)


def test_hand_value_and_no_bias():
  features, kernel = jnp.array([[1.0, 2.0]]), jnp.eye(2)
  f = jax.jit(linear_cross_entropy)
  got = f(features, kernel, jnp.array([0]))
  np.testing.assert_allclose(got, [math.log1p(math.e)], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e2, 0.0])
def test_extreme_logits_and_masked_nan_stay_finite(scale):
  (x, kernel, bias), labels, where = example()
  x = jnp.where(where[:, None], scale * x, jnp.nan)
  f = lambda x, k, b: linear_cross_entropy(
    x, k, labels, bias=b, where=where, block_size=7
  )
  out = value_and_grads(f, (x, scale * kernel, bias))
  assert all(np.isfinite(a).all() for a in jax.tree.leaves(out))
  np.testing.assert_array_equal(out[0][2], 0.0)
  x = x.at[0, 0].set(jnp.nan)
  value = f(x, kernel, bias)
  np.testing.assert_array_equal(np.isnan(value), np.arange(N) == 0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("check_vma", [False, True])
def test_classes_over_devices_equal_one_device(check_vma, smoothing):
  arrays, labels, where = example()
  mesh = Mesh(np.array(jax.devices()[:4]), ("model",))
  call = lambda x, k, b, labels, axis_name: linear_cross_entropy(
    x, k, labels, bias=b, where=where, label_smoothing=smoothing,
    axis_name=axis_name, block_size=3,
  )  # fmt: skip
  sharded = jax.shard_map(
    lambda *a: call(*a, "model"),
    mesh=mesh,
    in_specs=(PartitionSpec(), *CLASSES, PartitionSpec()),
    out_specs=PartitionSpec(),
    check_vma=check_vma,
  )
  got = value_and_grads(lambda *a: sharded(*a, labels), arrays)
  f = lambda *a: call(*a, labels, None)
  assert_same(got, value_and_grads(f, arrays), 1e-5, 1e-6)


def test_rows_and_classes_over_devices():
  arrays, labels, _ = example()
  mesh = Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("data", "model"))
  rows = PartitionSpec("data")
  sharded = jax.shard_map(
    lambda x, k, b, y: linear_cross_entropy(
      x, k, y, bias=b, axis_name="model", block_size=3
    ),
    mesh=mesh,
    in_specs=(rows, *CLASSES, rows),
    out_specs=rows,
  )
  got = value_and_grads(lambda *a: sharded(*a, labels), arrays)
  f = lambda x, k, b: linear_cross_entropy(x, k, labels, bias=b)
  assert_same(got, value_and_grads(f, arrays), 1e-5, 1e-6)


def test_sharded_arrays_under_jit_and_vmap():
  arrays, labels, _ = example()
  f = lambda x, k, b: linear_cross_entropy(x, k, labels, bias=b, block_size=8)
  expected = value_and_grads(f, arrays)
  mesh = Mesh(np.array(jax.devices()[:4]), ("model",))
  kernel = jax.device_put(arrays[1], NamedSharding(mesh, CLASSES[0]))
  replicated = NamedSharding(mesh, PartitionSpec())
  x, bias = jax.device_put((arrays[0], arrays[2]), replicated)
  assert_same(value_and_grads(f, (x, kernel, bias)), expected, 1e-5, 1e-6)
  stacked = jax.jit(jax.vmap(f))(*(jnp.stack([a, a]) for a in arrays))
  assert_same(stacked[1], expected[0], 1e-5, 1e-6)


def test_wrong_input_is_refused():
  x, k, y = jnp.ones((3, 2)), jnp.ones((2, 5)), jnp.arange(3)
  f = linear_cross_entropy
  for error, message, call in [
    (ValueError, "features and kernel must", lambda: f(x[0], k, y)),
    (ValueError, "kernel must have shape", lambda: f(x, k.T, y)),
    (ValueError, "kernel must have shape", lambda: f(x, k[:, :0], y)),
    (TypeError, "features must be floating", lambda: f(x < 1, k, y)),
    (TypeError, "labels must be integer", lambda: f(x, k, x[:, 0])),
    (ValueError, "labels must have shape", lambda: f(x, k, y[:2])),
    (ValueError, "bias must have shape", lambda: f(x, k, y, bias=k[0, :1])),
    (TypeError, "where must be bool", lambda: f(x, k, y, where=y)),
    (ValueError, "where must have", lambda: f(x, k, y, where=y[:1] < 1)),
    (ValueError, "label_smoothing", lambda: f(x, k, y, label_smoothing=2.0)),
    (ValueError, "block_size must", lambda: f(x, k, y, block_size=0)),
  ]:
    with pytest.raises(error, match=message):
      jax.eval_shape(call)
  assert f(x[:0], k, y[:0]).shape == (0,)


def test_annotations_hold():
  f = linear_cross_entropy
  (x, k, b), labels, where = example()
  with jax.numpy_dtype_promotion("strict"):
    jaxtyped(f, typechecker=beartype)(x, k, labels, bias=b, where=where)
