import functools
import importlib
import importlib.util

import beartype
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxcls import _targets, ops
from jaxcls.ops.attention import _softmax

attention = ops.attention


def example(dtype=np.float64, t=9, s=7, d=4, e=3, batch=(2,)):
  rng = np.random.default_rng(0)
  shapes = (*batch, t, 2, d), (*batch, s, 2, d), (*batch, s, 2, e)
  arrays = [jnp.asarray(rng.normal(size=n), dtype) for n in shapes]
  # The first keys of one example are hidden: with causal, so are its first
  # queries' only keys. Another example sees nothing.
  where = np.ones((*batch, s), bool)
  where.reshape(-1, s)[0, :3] = False
  where.reshape(-1, s)[-1] = False
  return *arrays, jnp.asarray(where)


def reference(q, k, v, where, causal):
  """(outputs, probabilities [b h t s]), softmax as it is printed."""
  logits = jnp.einsum("bthd,bshd->bhts", q, k) / np.sqrt(q.shape[-1])
  keep = where[:, None, None]
  if causal:
    keep = keep & jnp.tri(*logits.shape[-2:], dtype=bool)
  weights = jnp.where(keep, jnp.exp(logits), 0.0)
  probs = weights / jnp.maximum(weights.sum(-1, keepdims=True), 1e-30)
  return jnp.einsum("bhts,bshe->bthe", probs, v), probs


def value_and_grads(f, *arrays):
  shape = jax.eval_shape(f, *arrays).shape
  weights = np.random.default_rng(1).normal(size=shape)

  def loss(*arrays):
    out = f(*arrays)
    return (out * weights).sum(), out

  loss = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
  (_, out), grads = jax.jit(loss)(*arrays)
  return out, *grads


def assert_close(got, expected, tolerance):
  for a, b in zip(got, expected, strict=True):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize("causal", [False, True])
def test_matches_printed_softmax(causal):
  with jax.enable_x64(True):
    q, k, v, where = example(t=6, s=5)
    f = lambda *a: attention(*a, where=where, causal=causal)
    g = lambda *a: reference(*a, where, causal)[0]
    assert_close(value_and_grads(f, q, k, v), value_and_grads(g, q, k, v), 1e-6)
    f = lambda *a: attention(*a, where=where, causal=causal, rows=(3, 0))
    out, probs = jax.jit(f)(q, k, v)
    expected = jax.jit(lambda *a: reference(*a, where, causal))(q, k, v)
    np.testing.assert_allclose(out, expected[0], atol=1e-12)
    np.testing.assert_allclose(probs, expected[1][:, :, [3, 0]], atol=1e-12)


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)]
)
def test_precision(dtype, tolerance):
  q, k, v, where = example(dtype, t=33, s=40, d=16, e=16)
  out, probs = attention(q, k, v, where=where, rows=jnp.array([1]))
  assert out.dtype == dtype and probs.dtype == jnp.float32
  double = lambda a: np.asarray(a, np.float64)
  expected = reference(*map(double, (q, k, v)), where, False)
  assert_close((out, probs[..., 0, :]), (expected[0], expected[1][:, :, 1]),
               tolerance)  # fmt: skip


def test_rows_have_gradients():
  q, k, v, where = example(jnp.float32)
  f = lambda q, k: attention(q, k, v, where=where, rows=(0,))[1][..., 4].sum()
  grads = jax.jit(jax.grad(f, argnums=(0, 1)))(q, k)
  assert all(np.isfinite(g).all() for g in grads)
  assert (grads[0][0, 0] != 0).any() and not grads[0][:, 1:].any()


@pytest.mark.parametrize("causal", [False, True])
def test_empty_masks_and_extremes(causal):
  q, k, v, where = example(jnp.float32)

  def f(size, q, k, v):
    out, probs = attention(
      size * q, size * k, v, where=where, causal=causal, rows=(0, 8)
    )
    return (out**2).sum() + (probs**2).sum(), (out, probs)

  f = jax.jit(jax.value_and_grad(f, argnums=(1, 2, 3), has_aux=True))
  for size in (1.0, 1e2, 1e4):
    (_, (out, probs)), grads = f(size, q, k, v)
    for a in (out, probs, *grads):
      assert np.isfinite(a).all() and not a[1].any()


# The dispatch has no device here: the kernel in interpret mode, and cuDNN's
# preparation of the arguments with xla in its place.
@pytest.mark.parametrize(("causal", "masked"), [(False, True), (True, False)])
def test_splash_matches_xla(causal, masked):
  q, k, v, where = example(jnp.float32, t=140, s=130, d=8, e=5)
  # A query without keys is set to 0 outside of the kernel.
  keep = where.at[1].set(where[0]) if masked else None
  splash = lambda *a: _softmax._splash(causal, 0.3, *a, keep, interpret=True)
  plain = lambda *a: _softmax._xla(causal, 0.3, *a, keep)
  got = value_and_grads(splash, q, k, v)
  assert_close(got, value_and_grads(plain, q, k, v), 1e-5)


@pytest.mark.parametrize(("causal", "masked"), [(False, True), (True, False)])
def test_cudnn_gets_equal_arguments(causal, masked, monkeypatch):
  q, k, v, where = example(jnp.float32, t=9, s=7, d=8, e=8)
  keep = where.at[1, 5].set(True) if masked else None
  expected = _softmax._xla(causal, 0.3, q, k, v, keep)
  original = jax.nn.dot_product_attention

  def stand_in(q, k, *rest, implementation, **options):
    assert implementation == "cudnn" and q.shape[1] == 10 and k.shape[1] == 8
    return original(q, k, *rest, implementation="xla", **options)

  monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)
  got = _softmax._cudnn(causal, 0.3, q, k, v, keep)
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_named_implementations_raise_where_they_cannot_run():
  q = jnp.ones((1, 8, 1, 12))
  where = jnp.ones((1, 8), bool)
  call = lambda q, name, **kw: attention(q, q, q, implementation=name, **kw)
  with pytest.raises(ValueError, match="interpret mode"):
    call(q, "splash")
  with pytest.raises(NotImplementedError, match="got float16"):
    call(q.astype(jnp.float16), "splash")
  with pytest.raises(NotImplementedError, match="takes bfloat16 and float16"):
    call(q, "cudnn")
  with pytest.raises(NotImplementedError, match="a multiple of 8"):
    call(q.astype(jnp.bfloat16), "cudnn")
  with pytest.raises(NotImplementedError, match="causal=True together"):
    half = q[..., :8].astype(jnp.bfloat16)
    call(half, "cudnn", where=where, causal=True)


def test_leading_axes_vmap_and_shard_map():
  q, k, v, where = example(jnp.float32, batch=(2, 4))
  call = lambda q, k, v, w: attention(q, k, v, where=w, rows=(0,))
  expected = jax.jit(call)(q, k, v, where)
  rows = PartitionSpec(None, "data")
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  for f in (
    jax.vmap(jax.vmap(call)),
    jax.shard_map(call, mesh=mesh, in_specs=rows, out_specs=rows),
  ):
    for a, b in zip(jax.jit(f)(q, k, v, where), expected, strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  assert attention(q[:0], k[:0], v[:0]).shape == (0, 4, 9, 2, 3)
  assert attention(q[0, 0], k[0, 0], v[0, 0]).shape == (9, 2, 3)


def test_rejects_wrong_arguments():
  q, k, v, _ = example(jnp.float32)
  for error, message, f in (
    (ValueError, "key must have shape", lambda: attention(q, k[:1], v)),
    (ValueError, "without an empty axis", lambda: attention(q[:, :0], k, v)),
    (ValueError, r"in \[0, 9\)", lambda: attention(q, k, v, rows=(9,))),
    (TypeError, "integers", lambda: attention(q, k, v, rows=(0.5,))),
    (ValueError, r"shape \[r\]", lambda: attention(q, k, v, rows=[[0]])),
    (
      ValueError,
      "implementation must be",
      lambda: attention(q, k, v, implementation="flash"),
    ),
  ):
    with pytest.raises(error, match=message):
      f()


@pytest.fixture
def chips():
  if importlib.util.find_spec("libtpu") is None:
    pytest.skip("needs libtpu, the TPU compiler")
  with _targets.no_compilation_cache():
    yield lambda chip: _targets.open_target(f"{chip}:2x2")[1]


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["v5e", "v6e"])
def test_rule_on_tpu(chips, chip):
  # Long sequences go to splash, on a device's share of an automatic mesh too.
  def count(t, devices=1, **options):
    mesh = Mesh(np.array(chips(chip)[:devices]), ("data",))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    array = jax.ShapeDtypeStruct((4, t, 2, 64), jnp.bfloat16, sharding=sharding)
    f = functools.partial(attention, **options)
    loss = lambda *a: f(*a).astype(jnp.float32).sum()
    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
    with jax.set_mesh(mesh):
      traced = step.trace(*[array] * 3)
      compiled = traced.lower(lowering_platforms=("tpu",)).compile()
    return compiled.as_text().count('custom_call_target="tpu_custom_call"')

  assert not count(197)
  assert count(300, causal=True) == 3
  assert count(300, devices=4, where=jnp.ones((4, 300), bool)) == 3


@pytest.mark.parametrize(
  "f", [attention, ops.local_linear_attention], ids=lambda f: f.__name__
)
def test_annotations_hold(f):
  q, k, v, where = example(jnp.bfloat16)
  options = dict(rows=(0,)) if f is attention else dict(ridge=jnp.ones(2))
  with jax.numpy_dtype_promotion("strict"):
    call = jaxtyping.jaxtyped(f, typechecker=beartype.beartype)
    jax.jit(lambda *a: call(*a, where=where, causal=True, **options))(q, k, v)
