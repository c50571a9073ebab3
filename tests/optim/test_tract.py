import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxcls import models, optim

GOLDEN = pathlib.Path(__file__).parents[1] / "goldens/tract.npz"
SIDES = (("", 0.1), ("__alt", 0.02))
NUMBERS = (((1,), (0,)), ((), ()))


def random(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture
def golden():
  with jax.enable_x64(), np.load(GOLDEN, allow_pickle=False) as data:
    yield dict(data)


@pytest.mark.parametrize(("suffix", "ridge"), SIDES)
@pytest.mark.parametrize("layer", ["lin0", "lin1"])
def test_dense_matches_the_official_code(golden, layer, suffix, ridge):
  x, w, bias, g = (golden[f"in_{layer}_{k}"] for k in ("x", "W", "b", "gy"))
  dense = optim.tract_dot_general(ridge=ridge)
  f = lambda x, w, b: dense(x, w.T, NUMBERS) + b
  y, pull = jax.vjp(jax.jit(f), x, w, bias)
  np.testing.assert_allclose(y, golden[f"out_{layer}_y"], rtol=1e-10)
  for name, got in zip("xWb", pull(jnp.asarray(g)), strict=True):
    expected = golden[f"grad_{layer}_{name}{suffix}"]
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("suffix", "ridge"), SIDES)
@pytest.mark.parametrize(
  ("layer", "stride", "padding"), [("conv0", 1, 0), ("conv1", 2, 1)]
)
def test_conv_matches_the_official_code(
  golden, layer, stride, padding, suffix, ridge
):
  x, w, g = (golden[f"in_{layer}_{k}"] for k in ("x", "W", "gy"))
  conv = optim.tract_conv(ridge=ridge)
  f = lambda x, w: conv(x, w, (stride,) * 2, [(padding,) * 2] * 2)
  _, pull = jax.vjp(jax.jit(f), x, w)
  for name, got in zip("xW", pull(jnp.asarray(g)), strict=True):
    expected = golden[f"grad_{layer}_{name}{suffix}"]
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-10)


def test_conv_of_flax_is_the_dense_rule_on_patches():
  x, g = random(2, 5, 5, 3), random(2, 5, 5, 4, seed=1)
  kernel = random(3, 3, 3, 4, seed=2)
  with jax.enable_x64():
    numbers = ("NHWC", "HWIO", "NHWC")
    conv = optim.tract_conv(ridge=0.3)
    f = lambda w: conv(x, w, (1, 1), "SAME", dimension_numbers=numbers)
    (got,) = jax.vjp(f, jnp.asarray(kernel))[1](jnp.asarray(g))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = np.array(
      [
        padded[b, i : i + 3, j : j + 3].ravel()
        for b in range(2)
        for i in range(5)
        for j in range(5)
      ]
    )
    gram = rows.T @ rows / len(rows) + 0.3 * np.eye(27)
    expected = np.linalg.solve(gram, rows.T @ g.reshape(-1, 4))
  np.testing.assert_allclose(got.reshape(27, 4), expected, rtol=1e-9)


def test_primal_equals_dual():
  x, g = random(9, 9), random(9, 3, seed=1)
  tall, wide = x[:, :5], x[:5]
  with jax.enable_x64():
    for rows in (tall, wide):
      n, b = rows.shape[1], len(rows)
      gram = rows.T @ rows / b + 0.2 * np.eye(n)
      got = optim.tract_gradient(jnp.asarray(g[:n]), rows, ridge=0.2)
      # The dual form needs a gradient in the span of the rows.
      plain = rows.T @ g[:b]
      got = optim.tract_gradient(jnp.asarray(plain), rows, ridge=0.2)
      np.testing.assert_allclose(got, np.linalg.solve(gram, plain), rtol=1e-9)


def test_is_the_projection_of_a_step_on_the_activations():
  x, g = random(8, 4), random(8, 3, seed=1)
  ridge, b = 0.3, 8

  def distance(d):
    fit = jnp.linalg.norm(x @ d - b * g) ** 2
    return fit + b * ridge * jnp.linalg.norm(d) ** 2

  with jax.enable_x64():
    d = optim.tract_gradient(jnp.asarray(x.T @ g), x, ridge=ridge)
    np.testing.assert_allclose(jax.grad(distance)(d), 0, atol=1e-10)


def test_large_ridge_is_the_plain_gradient():
  x, g = jnp.asarray(random(8, 4)), jnp.asarray(random(4, 3, seed=1))
  got = optim.tract_gradient(g, x, ridge=1e5)
  np.testing.assert_allclose(1e5 * got, g, rtol=1e-3)


def test_contrast_of_half_a_batch_hardly_matters():
  x, g = np.float32(random(256, 4)), np.float32(random(256, 3, seed=1))
  bright = np.where(np.arange(256)[:, None] < 128, 10.0, 1.0) * x
  bright = np.float32(bright)
  cosine = lambda a, b: (a * b).sum() / jnp.linalg.norm(a) / jnp.linalg.norm(b)

  def change(direction):
    """Of the other half's pre-activations, cosine before and after."""
    moves = [x[128:] @ direction(rows) for rows in (x, bright)]
    sizes = [jnp.linalg.norm(m) for m in moves]
    return sizes[1] / sizes[0], cosine(*moves)

  plain = change(lambda rows: rows.T @ g)
  tract = change(
    lambda rows: optim.tract_gradient(jnp.asarray(rows.T @ g), rows, ridge=1e-3)
  )
  assert plain[0] > 4
  assert tract[0] < 1


@pytest.mark.parametrize("ridge", [0.0, -1.0, float("nan")])
def test_ridge_must_be_positive(ridge):
  with pytest.raises(ValueError, match="ridge must be > 0"):
    optim.tract_gradient(jnp.ones((2, 2)), jnp.ones((3, 2)), ridge=ridge)


def test_bad_shapes_are_named():
  with pytest.raises(ValueError, match=r"\(2, 2\) and \(3, 4\)"):
    optim.tract_gradient(jnp.ones((2, 2)), jnp.ones((3, 4)), ridge=1.0)
  with pytest.raises(ValueError, match="feature_group_count 1, got 2"):
    nnx.Conv(
      2, 2, (1,), feature_group_count=2, rngs=nnx.Rngs(0),
      conv_general_dilated=optim.tract_conv(ridge=1.0),
    )(jnp.ones((1, 3, 2)))  # fmt: skip


@pytest.mark.parametrize(
  "make",
  [
    lambda **kw: models.mlp(hidden=(4,), **kw),
    lambda **kw: models.convnet(widths=(4,), hidden=None, **kw),
    lambda **kw: models.vit(variant="mu/4", depth=1, **kw),
    lambda **kw: models.resnet(depth=10, width=2, **kw),
  ],
  ids=["mlp", "convnet", "vit", "resnet"],
)
def test_models_change_only_the_first_kernel(make):
  kwargs = dict(num_classes=3, input_shape=(8, 8, 1))
  x = jnp.asarray(random(4, 8, 8, 1), jnp.float32)

  def gradient(**options):
    net = make(**kwargs, **options)
    params, stats = net.init(jax.random.key(0))
    params = {
      k: v + 0.1 * jnp.sin(jnp.arange(v.size).reshape(v.shape))
      for k, v in params.items()
    }
    f = lambda p: jnp.sum(net(p, stats, x, train=True)[0]["logits"] ** 2)
    return jax.jit(jax.value_and_grad(f))(params)

  (plain, before), (tract, after) = gradient(), gradient(tract_ridge=0.1)
  np.testing.assert_allclose(plain, tract, rtol=1e-5)
  close = lambda a, b: np.allclose(a, b, rtol=1e-3, atol=1e-4)
  changed = [k for k in before if not close(before[k], after[k])]
  assert len(changed) == 1
  assert changed[0].endswith("kernel")
