import functools
import importlib
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import jaxtyped

from jaxcls import _targets
from jaxcls.ops import contrastive
from jaxcls.ops.contrastive import _reference

N, D, TEMPERATURE = 22, 5, 0.3
BLOCK = 4  # 22 rows: 6 blocks of 4, the last one half empty.
NAMES = [n for n, _ in inspect.getmembers(contrastive, inspect.isfunction)]
# The others are one of these inside.
DISTINCT = ["supcon_loss", "clip_loss", "sigmoid_pair_loss", "info_nce_loss"]
ROWS = PartitionSpec("data")


def example(dtype, n=N):
  """(x, y, labels, where, targets): two sets of vectors, unit norm."""
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(2, n, D))
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  y /= np.linalg.norm(y, axis=1, keepdims=True)
  targets = rng.dirichlet(np.ones(n), size=n)
  where = np.arange(n) % 5 != 3
  labels = jnp.asarray(rng.integers(0, 4, n))
  x, y, targets = (jnp.asarray(a, dtype) for a in (x, y, targets))
  return x, y, labels, jnp.asarray(where), targets


def fast(name, x, y, labels, where, targets, t, **kwargs):
  """The public function on the example; t: the temperature."""
  f = functools.partial(
    getattr(contrastive, name), temperature=t, block_size=BLOCK, **kwargs
  )
  if name == "supcon_loss":
    return f(x, labels, where=where)
  if name == "nt_xent_loss":
    views = x.reshape(-1, 2, x.shape[-1])
    where = None if where is None else where.reshape(-1, 2)
    return f(views, where=where).reshape(-1)
  if name == "clip_loss":
    return f(x, y, where=where)
  if name == "sigmoid_pair_loss":
    return f(x, y, bias=10 * t - 4, where=where)
  if name == "info_nce_loss":
    return f(x, y, labels, labels % 3, where=where, key_where=where)
  return f(x, y, targets, where=where, key_where=where)


def slow(name, x, y, labels, where, targets, t):
  """The definition on the example."""
  if where is None:
    where = jnp.ones(len(x), bool)
  if name == "supcon_loss":
    return _reference.supcon(x, labels, t, where)
  if name == "nt_xent_loss":
    views = x.reshape(-1, 2, x.shape[-1])
    return _reference.nt_xent(views, t, where.reshape(-1, 2)).reshape(-1)
  if name == "clip_loss":
    return _reference.clip(x, y, t, where)
  if name == "sigmoid_pair_loss":
    return _reference.sigmoid_pair(x, y, t, 10 * t - 4, where)
  if name == "info_nce_loss":
    positives = labels[:, None] == labels % 3
    return _reference.info_nce(x, y, positives, t, where, where)
  return _reference.soft_info_nce(x, y, targets, t, where, where)


def value_and_grads(f, x, y, t):
  """Values, and gradients of a weighted sum to x, y and temperature."""
  weights = jnp.sin(jnp.arange(len(x))).astype(t.dtype)
  loss = lambda x, y, t: (f(x, y, t) * weights).sum()
  return jax.jit(lambda *a: (f(*a), jax.grad(loss, argnums=(0, 1, 2))(*a)))(
    x, y, t
  )


def assert_same(got, expected, rtol, atol):
  got, expected = jax.tree.leaves(got), jax.tree.leaves(expected)
  for a, b in zip(got, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("n", "masked"), [(1, False), (20, False), (N, True)])
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_definition_in_float64(name, n, masked):
  if name == "nt_xent_loss":
    n += n % 2
  with jax.enable_x64(True):
    x, y, labels, where, targets = example(jnp.float64, n)
    where = where if masked else None
    t = jnp.asarray(TEMPERATURE, jnp.float64)
    run = lambda f: value_and_grads(
      lambda x, y, t: f(name, x, y, labels, where, targets, t), x, y, t
    )
    got = run(fast)
    assert got[0].dtype == jnp.float64
    assert_same(got, run(slow), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", DISTINCT)
def test_bfloat16_sums_in_float32(name):
  x, y, labels, where, targets = example(jnp.bfloat16)
  t = jnp.float32(TEMPERATURE)
  f = lambda x, y, t: fast(name, x, y, labels, where, targets, t)
  value, (dx, dy, _) = value_and_grads(f, x, y, t)
  assert value.dtype == jnp.float32
  assert dx.dtype == dy.dtype == jnp.bfloat16
  wide = [a.astype(jnp.float32) for a in (x, y)]
  f = lambda x, y, t: slow(name, x, y, labels, where, targets, t)
  expected, (dx_expected, dy_expected, _) = value_and_grads(f, *wide, t)
  # The inputs are the same numbers: only gradients are rounded to bfloat16.
  np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
  wide = [a.astype(jnp.float32) for a in (dx, dy)]
  assert_same(wide, (dx_expected, dy_expected), 2e-2, 2e-2)


@pytest.mark.parametrize("name", DISTINCT)
def test_vmap_equals_a_loop(name):
  x, y, labels, where, targets = example(jnp.float32, 10)
  t = jnp.float32(TEMPERATURE)
  f = lambda x, y: fast(name, x, y, labels, where, targets, t)
  loss = lambda x, y: jax.value_and_grad(lambda x: f(x, y).sum())(x)
  xs, ys = jnp.stack([x, 2 * x]), jnp.stack([y, y[::-1]])
  got = jax.jit(jax.vmap(loss))(xs, ys)
  loss = jax.jit(loss)
  for i in range(2):
    one = jax.tree.map(lambda a, i=i: a[i], got)
    assert_same(one, loss(xs[i], ys[i]), 1e-5, 1e-6)


@pytest.mark.parametrize(("scale", "keep"), [(100.0, True), (1.0, False)])
@pytest.mark.parametrize("name", DISTINCT)
def test_extreme_and_empty_rows_stay_finite(name, scale, keep):
  # scale 100: similarities of 1e4 at temperature 1.
  x, y, labels, where, targets = example(jnp.float32)
  x, y = scale * x, scale * y
  where = where & keep
  f = lambda x, y, t: fast(name, x, y, labels, where, targets, t)
  out = value_and_grads(f, x, y, jnp.float32(1.0))
  assert all(np.isfinite(a).all() for a in jax.tree.leaves(out))
  if not keep:
    assert_same(out, jax.tree.map(jnp.zeros_like, out), 0, 0)


@pytest.mark.parametrize("name", DISTINCT)
def test_rows_that_are_not_kept_may_be_nan(name):
  x, y, labels, where, targets = example(jnp.float32)
  t = jnp.float32(TEMPERATURE)
  f = lambda x, y, t: fast(name, x, y, labels, where, targets, t)
  hole = lambda a: jnp.where(where[:, None], a, jnp.nan)
  got = value_and_grads(f, hole(x), hole(y), t)
  assert_same(got, value_and_grads(f, x, y, t), 1e-6, 1e-7)
  # A nan that is kept shows.
  assert np.isnan(jax.jit(f)(x.at[0, 0].set(jnp.nan), y, t)[0])


@pytest.mark.parametrize("name", NAMES)
def test_empty_batch(name):
  x, y, labels, where, targets = example(jnp.float32)
  out = fast(name, x[:0], y[:0], labels[:0], where[:0], targets[:0, :0], 0.1)
  assert out.shape == (0,)
  assert out.dtype == jnp.float32


def mesh():
  return Mesh(np.array(jax.devices()[:4]), ("data",))


@pytest.mark.parametrize(
  ("masked", "check_vma"), [(False, False), (True, True)]
)
@pytest.mark.parametrize("name", NAMES)
def test_global_batch_equals_one_device(name, masked, check_vma):
  x, y, labels, where, targets = example(jnp.float32, 24)
  t = jnp.float32(TEMPERATURE)
  ring = lambda x, y, labels, where, targets, t: fast(
    name, x, y, labels, where if masked else None, targets, t,
    axis_name="data",
  )  # fmt: skip
  ring = jax.shard_map(
    ring,
    mesh=mesh(),
    in_specs=(*[ROWS] * 5, PartitionSpec()),
    out_specs=ROWS,
    check_vma=check_vma,
  )
  on_ring = lambda x, y, t: ring(x, y, labels, where, targets, t)
  f = lambda x, y, t: fast(
    name, x, y, labels, where if masked else None, targets, t
  )
  got = value_and_grads(on_ring, x, y, t)
  assert_same(got, value_and_grads(f, x, y, t), 1e-5, 1e-5)


@pytest.mark.parametrize("name", ["supcon_loss", "clip_loss"])
def test_mean_inside_shard_map(name):
  # The way a training step does it: psum of sums inside, grad outside.
  x, y, labels, where, targets = example(jnp.float32, 24)
  t = jnp.float32(TEMPERATURE)

  def mean(x, y, labels, where, targets, t):
    out = fast(name, x, y, labels, where, targets, t, axis_name="data")
    return jax.lax.pmean(out.mean(), "data")

  sharded = jax.shard_map(
    mean,
    mesh=mesh(),
    in_specs=(*[ROWS] * 5, PartitionSpec()),
    out_specs=PartitionSpec(),
  )
  got = jax.jit(jax.value_and_grad(sharded, argnums=(0, 1, 5)))(
    x, y, labels, where, targets, t
  )
  f = lambda x, y, t: fast(name, x, y, labels, where, targets, t).mean()
  expected = jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2)))(x, y, t)
  assert_same(got, expected, 1e-5, 1e-6)


@pytest.mark.parametrize("name", DISTINCT)
def test_local_batch_inside_shard_map(name):
  # Without axis_name every device has its own batch.
  x, y, labels, _, targets = example(jnp.float32, 8)
  targets = targets[:, :2]
  t = jnp.float32(TEMPERATURE)
  local = lambda x, y, labels, targets: fast(
    name, x, y, labels, None, targets, t
  )
  sharded = jax.shard_map(
    local, mesh=mesh(), in_specs=(ROWS,) * 4, out_specs=ROWS
  )
  got = jax.jit(jax.grad(lambda x: sharded(x, y, labels, targets).sum()))(x)
  one = lambda x, i: local(x, y[i], labels[i], targets[i]).sum()
  one = jax.jit(jax.grad(one))
  expected = [one(x[i : i + 2], np.arange(i, i + 2)) for i in range(0, 8, 2)]
  assert_same(got, jnp.concatenate(expected), 1e-5, 1e-6)


@pytest.mark.parametrize("name", DISTINCT)
def test_sharded_arrays_under_jit(name):
  x, y, labels, where, targets = example(jnp.float32, 24)
  t = jnp.float32(TEMPERATURE)
  f = lambda x, y, t: fast(name, x, y, labels, where, targets, t)
  expected = value_and_grads(f, x, y, t)
  sharding = NamedSharding(mesh(), ROWS)
  x, y = jax.device_put((x, y), sharding)
  assert_same(value_and_grads(f, x, y, t), expected, 1e-5, 1e-6)


def test_hand_value_nt_xent():
  # Unit vectors at right angles: each view sees one 1 and two 0.
  z = jnp.array([[[1.0, 0], [1, 0]], [[0, 1], [0, 1]]])
  got = jax.jit(contrastive.nt_xent_loss)(z, temperature=0.5)
  expected = math.log(math.exp(2) + 2) - 2
  np.testing.assert_allclose(got, np.full((2, 2), expected), rtol=1e-6)


def test_hand_value_supcon_two_positives():
  z = jnp.array([[1.0, 0], [1, 0], [0, 1], [-1, 0]])
  labels = jnp.array([7, 7, 7, 1])
  got = jax.jit(contrastive.supcon_loss)(z, labels, temperature=1.0)
  lse = math.log(math.e + 1 + math.exp(-1))
  np.testing.assert_allclose(got[0], lse - 0.5 * (1 + 0), rtol=1e-6)
  np.testing.assert_allclose(got[3], 0.0, atol=0)


def test_hand_value_sigmoid_pair():
  x = jnp.array([[1.0, 0], [0, 1]])
  f = jax.jit(contrastive.sigmoid_pair_loss)
  got = f(x, x, temperature=0.1, bias=-10.0)
  # The pair has s = 0, the other text s = -10.
  expected = math.log(2) + math.log1p(math.exp(-10))
  np.testing.assert_allclose(got, [expected] * 2, rtol=1e-6)


def test_nt_xent_is_supcon_with_one_label_per_item():
  z = jax.random.normal(jax.random.key(0), (5, 2, 3))
  got = contrastive.nt_xent_loss(z, temperature=0.5)
  labels = jnp.repeat(jnp.array([9, 4, 7, 1, 3]), 2)
  flat = contrastive.supcon_loss(z.reshape(10, 3), labels, temperature=0.5)
  np.testing.assert_allclose(got.reshape(-1), flat, rtol=1e-6)


def test_clip_is_symmetric_and_is_two_info_nce():
  x, y, *_ = example(jnp.float32)
  clip = jax.jit(functools.partial(contrastive.clip_loss, temperature=0.2))
  one = jax.jit(functools.partial(contrastive.info_nce_loss, temperature=0.2))
  np.testing.assert_allclose(clip(x, y), clip(y, x), rtol=1e-5)
  both = (one(x, y) + one(y, x)) / 2
  np.testing.assert_allclose(clip(x, y), both, rtol=1e-5)


def test_large_temperature_counts_candidates():
  x, y, *_ = example(jnp.float32)
  views = contrastive.nt_xent_loss(x.reshape(-1, 2, D), temperature=1e6)
  np.testing.assert_allclose(views, math.log(N - 1), rtol=1e-5)
  pairs = contrastive.clip_loss(x, y, temperature=1e6)
  np.testing.assert_allclose(pairs, math.log(N), rtol=1e-5)


def test_info_nce_forms_of_positives_agree():
  x, y, *_ = example(jnp.float32)
  f = functools.partial(contrastive.info_nce_loss, temperature=0.2)
  queue = f(x[:6], y)
  by_id = f(x[:6], y, jnp.arange(6), jnp.arange(N))
  soft = contrastive.soft_info_nce_loss(
    x[:6], y, jnp.eye(6, N), temperature=0.2
  )
  np.testing.assert_allclose(queue, by_id, rtol=1e-5)
  np.testing.assert_allclose(queue, soft, rtol=1e-5)


@pytest.mark.parametrize("block_size", [1, 8, 512])
def test_block_size_changes_nothing(block_size):
  x, _, labels, where, _ = example(jnp.float32)
  f = lambda x, y, t: contrastive.supcon_loss(
    x, labels, temperature=t, where=where, block_size=block_size
  )
  g = lambda x, y, t: _reference.supcon(x, labels, t, where)
  t = jnp.float32(TEMPERATURE)
  got, expected = value_and_grads(f, x, x, t), value_and_grads(g, x, x, t)
  assert_same(got, expected, 1e-5, 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_annotations_hold(name, monkeypatch):
  typed = jaxtyped(getattr(contrastive, name), typechecker=beartype)
  monkeypatch.setattr(contrastive, name, typed)
  x, y, labels, where, targets = example(jnp.float32)
  with jax.numpy_dtype_promotion("strict"):
    fast(name, x, y, labels, where, targets, jnp.float32(0.1))


def test_wrong_input_is_refused():
  z, labels = jnp.ones((4, 2)), jnp.arange(4)
  supcon = functools.partial(contrastive.supcon_loss, temperature=0.1)
  clip = functools.partial(contrastive.clip_loss, temperature=0.1)
  info = functools.partial(contrastive.info_nce_loss, temperature=0.1)
  soft = functools.partial(contrastive.soft_info_nce_loss, temperature=0.1)
  for error, message, call in [
    (ValueError, "embeddings must have shape", lambda: supcon(z[0], labels)),
    (ValueError, "with d >= 1", lambda: supcon(z[:, :0], labels)),
    (ValueError, "labels must have shape", lambda: supcon(z, labels[:3])),
    (TypeError, "labels must be integers", lambda: supcon(z, z[:, 0])),
    (TypeError, "floating point", lambda: supcon(labels[:, None], labels)),
    (TypeError, "where must be bool", lambda: supcon(z, labels, where=labels)),
    (
      ValueError,
      "where must have shape",
      lambda: supcon(z, labels, where=labels[:2] < 1),
    ),
    (
      ValueError,
      "temperature must be > 0",
      lambda: supcon(z, labels, temperature=0),
    ),
    (
      ValueError,
      "temperature must be a scalar",
      lambda: supcon(z, labels, temperature=jnp.ones(2)),
    ),
    (
      ValueError,
      "block_size must be",
      lambda: supcon(z, labels, block_size=0),
    ),
    (
      ValueError,
      r"shape \[b k d\]",
      lambda: contrastive.nt_xent_loss(z, temperature=0.1),
    ),
    (ValueError, "must have the shape of", lambda: clip(z, z[:3])),
    (ValueError, "as many columns", lambda: info(z, z[:, :1])),
    (ValueError, "at least as many rows", lambda: info(z, z[:3])),
    (ValueError, "got only one", lambda: info(z, z, labels)),
    (ValueError, "targets must have shape", lambda: soft(z, z, z)),
  ]:
    with pytest.raises(error, match=message):
      jax.eval_shape(call)


def test_equals_pytorch_metric_learning():
  torch = pytest.importorskip("torch")
  pml = pytest.importorskip("pytorch_metric_learning.losses")
  x, _, labels, _, _ = example(jnp.float32)
  t = jnp.float32(0.1)
  f = lambda x, y, t: contrastive.supcon_loss(x, labels, temperature=t)
  value, grad = jax.jit(jax.value_and_grad(lambda x: f(x, x, t).mean()))(x)
  x = torch.tensor(np.asarray(x), requires_grad=True)
  labels = torch.tensor(np.asarray(labels))
  # On unit vectors its normalisation changes the gradient: leave it out.
  distance = importlib.import_module("pytorch_metric_learning.distances")
  plain = distance.DotProductSimilarity(normalize_embeddings=False)
  theirs = pml.SupConLoss(temperature=0.1, distance=plain)(x, labels)
  theirs.backward()
  np.testing.assert_allclose(value, theirs.item(), rtol=1e-5)
  np.testing.assert_allclose(grad, x.grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("num_devices", [1, 4])
@pytest.mark.parametrize("name", ["supcon_loss", "clip_loss"])
def test_compiles_for_tpu_without_the_similarities(name, num_devices):
  pytest.importorskip("libtpu", reason="libtpu compiles for TPU without one")
  n, d = 8192, 128
  z = jax.ShapeDtypeStruct((n, d), jnp.float32)
  y = jax.ShapeDtypeStruct((n,), jnp.int32)
  loss = functools.partial(
    getattr(contrastive, name),
    temperature=0.1,
    axis_name="data" if num_devices > 1 else None,
  )
  arrays = (z, y) if name == "supcon_loss" else (z, z)
  compiled = _targets.compile_for(
    "v5e:2x2",
    jax.grad(lambda *a: loss(*a).mean()),
    *arrays,
    num_devices=num_devices,
  )
  stored = n * n * 4 / num_devices
  assert _targets.read_memory(compiled).temporaries < stored / 8
