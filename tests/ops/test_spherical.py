import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import jaxtyped

from jaxcls import losses, ops
from jaxcls.ops.spherical import _reference

NAMES = {
  "z_loss": dict(a=0.5, b=3.0),
  "spherical_softmax_loss": dict(epsilon=0.1),
  "taylor_softmax_loss": {},
}
Z_LOSS = dict(a=0.1, b=10.0)


def squared_error(logits, labels):
  """The library's computes in float32."""
  targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
  return ((logits - targets) ** 2).mean(axis=-1)


CASES = {
  name: functools.partial(getattr(losses, name), **hyperparameters)
  for name, hyperparameters in NAMES.items()
} | {"squared_error_loss": squared_error}


def example(steps=1, num_classes=24, d=6, m=8, used=6, dtype=jnp.float32):
  """A kernel with a mean, ReLU features, labels with duplicates."""
  rng = np.random.default_rng(0)
  kernel = jnp.asarray(rng.normal(size=(num_classes, d)) + 0.3, dtype)
  features = np.maximum(rng.normal(size=(steps, m, d)), 0.0)
  labels = jnp.asarray(rng.integers(0, used, (steps, m)), jnp.int32)
  return kernel, jnp.asarray(features, dtype), labels


def train(state, features, labels, **kwargs):
  """Scans over the batches: state, losses, gradients to the features."""

  def step(state, batch):
    state, *out = ops.spherical_update(state, *batch, **kwargs)
    return state, out

  run = jax.jit(lambda state, *xs: jax.lax.scan(step, state, xs))
  return run(state, features, labels)


def train_dense(kernel, features, labels, **kwargs):
  def step(kernel, batch):
    kernel, *out = _reference.dense_update(kernel, *batch, **kwargs)
    return kernel, out

  run = jax.jit(lambda kernel, *xs: jax.lax.scan(step, kernel, xs))
  return run(kernel, features, labels)


def error(got, expected):
  got, expected = np.asarray(got, float), np.asarray(expected, float)
  return np.linalg.norm(got - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
  ("learning_rate", "weight_decay"), [(0.1, 0.0), (0.7, 0.01)]
)
def test_equals_dense_update_float64(name, learning_rate, weight_decay):
  step = dict(learning_rate=learning_rate, weight_decay=weight_decay)
  with jax.enable_x64(True):
    kernel, features, labels = example(200, dtype=jnp.float64)
    loss = ops.make_spherical_loss(name, **NAMES.get(name, {}))
    state, got = train(
      ops.init_spherical(kernel), features, labels, loss=loss, **step
    )
    dense, expected = train_dense(
      kernel, features, labels, loss=CASES[name], **step
    )
    assert state["clipped_steps"] == 0
    assert error(ops.spherical_kernel(state), dense) < 1e-12
    for a, b in zip(got, expected, strict=True):
      assert error(a, b) < 1e-11
    centred = dense - dense.mean(axis=0)
    assert error(state["mean"], dense.mean(axis=0)) < 1e-12
    assert error(state["gram"], centred.T @ centred) < 1e-11


@pytest.mark.parametrize("rank", [1, 6])
def test_equals_dense_update_while_guarded(rank):
  # So low a limit that the guard works all the time.
  with jax.enable_x64(True):
    kernel, features, labels = example(200, dtype=jnp.float64)
    loss = ops.make_spherical_loss("z_loss", a=0.5, b=3.0)
    options = dict(learning_rate=1.0, max_condition=1.2, rectify_rank=rank)
    state, _ = train(
      ops.init_spherical(kernel), features, labels, loss=loss, **options
    )
    dense, _ = train_dense(
      kernel, features, labels, loss=CASES["z_loss"], learning_rate=1.0
    )
    assert state["rectified_steps"] + state["refolded_steps"] > 5
    assert jnp.linalg.cond(state["mixer"]) < 1.3
    assert error(ops.spherical_kernel(state), dense) < 1e-12


@pytest.mark.parametrize("scale", [0.15, 0.05])
def test_float32_stays_close_for_1000_steps(scale):
  kernel, features, labels = example(1000, 2000, 32, 32, used=200)
  kernel = kernel * scale
  loss = ops.make_spherical_loss("z_loss", **Z_LOSS)
  state, (values, _) = train(
    ops.init_spherical(kernel), features, labels, loss=loss, learning_rate=10.0
  )
  got = np.asarray(ops.spherical_kernel(state))
  with jax.enable_x64(True):
    wide = (jnp.asarray(x, jnp.float64) for x in (kernel, features))
    dense, _ = train_dense(
      *wide,
      labels,
      loss=functools.partial(losses.z_loss, **Z_LOSS),
      learning_rate=10.0,
    )
  assert np.isfinite(values).all()
  assert state["rectified_steps"] > 0
  assert state["clipped_steps"] == 0
  assert error(got, dense) < 1e-3


def test_forward_and_its_gradient():
  kernel, features, labels = example()
  h, y = features[0], labels[0]
  state = ops.init_spherical(kernel)
  loss = ops.make_spherical_loss("z_loss", **NAMES["z_loss"])
  dense = lambda h: CASES["z_loss"](h @ kernel.T, y)
  got = lambda h: ops.spherical_forward(state, h, y, loss=loss)[0]
  np.testing.assert_allclose(got(h), dense(h), rtol=1e-5)
  grad = jax.jit(jax.grad(lambda h: got(h).mean()))(h)
  expected = jax.grad(lambda h: dense(h).mean())(h)
  np.testing.assert_allclose(grad, expected, rtol=1e-4, atol=1e-6)
  _, stats = ops.spherical_forward(state, h, y, loss=loss)
  logits = h @ kernel.T
  np.testing.assert_allclose(stats.mean, logits.mean(1), rtol=1e-5)
  squares = logits.var(axis=1) * logits.shape[1]
  np.testing.assert_allclose(stats.squares, squares, rtol=1e-5)


def test_annotations_hold_and_jit_donates():
  kernel, features, labels = example()
  loss = ops.make_spherical_loss("z_loss", **Z_LOSS)
  typed = jaxtyped(ops.spherical_update, typechecker=beartype)
  step = lambda state, h, y: typed(state, h, y, loss=loss, learning_rate=0.5)
  state = ops.init_spherical(kernel)
  eager, *_ = step(state, features[0], labels[0])
  donated = jax.tree.map(jnp.copy, state)
  jitted, *_ = jax.jit(step, donate_argnums=0)(donated, features[0], labels[0])
  assert donated["rows"].is_deleted()
  for name, array in jitted.items():
    assert array.dtype == state[name].dtype
    assert array.size > 0
    np.testing.assert_allclose(array, eager[name], rtol=1e-4, atol=1e-5)


def test_sharded_over_classes_equals_one_device():
  kernel, features, labels = example(100)
  loss = ops.make_spherical_loss("z_loss", **NAMES["z_loss"])
  options = dict(loss=loss, learning_rate=1.0, max_condition=1.2)
  options["rectify_rank"] = 6  # all directions: the guard never refolds
  state = ops.init_spherical(kernel)
  expected, values = train(state, features, labels, **options)
  mesh = Mesh(np.array(jax.devices()[:4]), ("model",))
  specs = {name: PartitionSpec() for name in state}
  specs["rows"] = PartitionSpec("model", None)
  sharded = {
    name: jax.device_put(array, NamedSharding(mesh, specs[name]))
    for name, array in state.items()
  }
  got, sharded_values = train(sharded, features, labels, **options)
  assert got["rectified_steps"] == expected["rectified_steps"] > 0
  assert got["rows"].sharding.spec[0] == "model"
  dense = ops.spherical_kernel(expected)
  np.testing.assert_allclose(ops.spherical_kernel(got), dense, atol=1e-5)
  refolded = jax.jit(ops.spherical_refold)(got)
  np.testing.assert_allclose(ops.spherical_kernel(refolded), dense, atol=1e-5)
  for a, b in zip(sharded_values, values, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_too_large_a_step_is_clipped_and_counted():
  kernel, features, labels = example(50)
  loss = ops.make_spherical_loss("squared_error_loss")
  # Sum of squares over 24 classes: diverges in the dense layer at this rate.
  state, (values, _) = train(
    ops.init_spherical(kernel), features, labels, loss=loss, learning_rate=1e3
  )
  assert state["clipped_steps"] > 0
  assert np.isfinite(values).all()
  assert values[-1].mean() < values[0].mean()


def test_refold_keeps_the_kernel():
  kernel, features, labels = example(20)
  loss = ops.make_spherical_loss("z_loss", **Z_LOSS)
  state, _ = train(
    ops.init_spherical(kernel), features, labels, loss=loss, learning_rate=1.0
  )
  refolded = jax.jit(ops.spherical_refold)(state)
  assert refolded["refolded_steps"] == state["refolded_steps"] + 1
  np.testing.assert_allclose(
    ops.spherical_kernel(refolded), ops.spherical_kernel(state), atol=1e-5
  )
  np.testing.assert_allclose(refolded["gram"], state["gram"], rtol=1e-3)


def test_errors():
  kernel, features, labels = example()
  h, y = features[0], labels[0]
  with pytest.raises(ValueError, match="D >= 2 classes"):
    ops.init_spherical(kernel[:1])
  with pytest.raises(TypeError, match="kernel must be float32 or float64"):
    ops.init_spherical(kernel.astype(jnp.bfloat16))
  with pytest.raises(ValueError, match="name must be one of"):
    ops.make_spherical_loss("softmax")
  with pytest.raises(TypeError, match="must get exactly"):
    ops.make_spherical_loss("z_loss", a=1.0)
  with pytest.raises(ValueError, match="a must be more than 0"):
    ops.make_spherical_loss("z_loss", a=0.0, b=1.0)
  state = ops.init_spherical(kernel)
  loss = ops.make_spherical_loss("z_loss", **Z_LOSS)

  def update(h=h, y=y, learning_rate=0.1, **kwargs):
    kwargs = dict(loss=loss, learning_rate=learning_rate) | kwargs
    return ops.spherical_update(state, h, y, **kwargs)

  with pytest.raises(TypeError, match="labels must be integer"):
    update(y=y.astype(jnp.float32))
  with pytest.raises(ValueError, match="labels must have shape"):
    update(y=y[:3])
  with pytest.raises(ValueError, match=r"features must have shape \[m 6\]"):
    update(h=h[:, :5])
  with pytest.raises(ValueError, match="m >= 1"):
    update(h=h[:0], y=y[:0])
  with pytest.raises(ValueError, match="learning_rate must be more than 0"):
    update(learning_rate=0.0)
  with pytest.raises(ValueError, match="weight_decay must be at least 0"):
    update(weight_decay=-1.0)
  with pytest.raises(ValueError, match="weight_decay must be less than 0.1"):
    update(weight_decay=1.0)
  with pytest.raises(ValueError, match="max_condition must be more than 1"):
    update(max_condition=1.0)
  with pytest.raises(ValueError, match="rectify_rank must be at least 1"):
    update(rectify_rank=0)


def test_state_survives_a_checkpoint(tmp_path):
  import orbax.checkpoint as ocp

  kernel, features, labels = example(steps=4)
  kwargs = dict(
    loss=ops.make_spherical_loss("z_loss", **Z_LOSS), learning_rate=1.0
  )
  state, _ = train(ops.init_spherical(kernel), features, labels, **kwargs)
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(tmp_path / "state", state)
    checkpointer.wait_until_finished()
    abstract = jax.eval_shape(ops.init_spherical, kernel)
    restored = checkpointer.restore(tmp_path / "state", abstract)
  for a, b in zip(*map(jax.tree.leaves, (state, restored)), strict=True):
    np.testing.assert_array_equal(a, b)
  after = [train(s, features, labels, **kwargs)[0] for s in (state, restored)]
  for a, b in zip(*map(jax.tree.leaves, after), strict=True):
    np.testing.assert_array_equal(a, b)
