import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import explain, models

GOLDEN = pathlib.Path(__file__).parents[1] / "goldens" / "normgrad.npz"
NUM_CLASSES = 4


def make(hidden=None):
  net = models.convnet(
    num_classes=NUM_CLASSES, input_shape=(8, 8, 2), widths=(5, 6), hidden=hidden
  )
  params, stats = net.init(jax.random.key(0))
  # Head weights are not 0, norms not the identity.
  keys = jax.random.split(jax.random.key(1), len(params))
  noisy = {
    k: v + 0.3 * jax.random.normal(key, v.shape)
    for key, (k, v) in zip(keys, sorted(params.items()), strict=True)
  }
  return net, noisy, stats


NET, PARAMS, STATS = make()
IMAGES = jax.random.normal(jax.random.key(2), (3, 8, 8, 2))
CLASSES = jnp.array([0, 3, 1])


def call(saliency, **options):
  f = lambda p, s, x, y: saliency(NET, p, s, x, y, **options)
  return jax.jit(f)(PARAMS, STATS, IMAGES, CLASSES)


METHODS = {
  "grad_cam": dict(layer="stage2"),
  "cam": dict(layer="stage2"),
  "gradient_saliency": {},
  "linear_approximation": dict(layer="stage1"),
  "norm_grad": dict(layer="stage1"),
  "random_saliency": {},
  "guided_backprop": {},
  "guided_grad_cam": dict(layer="stage2"),
  "combine_layers": dict(method="norm_grad", layers=("stage1", "stage2")),
  "meta_saliency": dict(method=dict(name="grad_cam", layer="stage2")),
}


@pytest.mark.parametrize("name", METHODS)
def test_maps_are_finite_float32_one_an_image(name):
  maps = call(getattr(explain, name), **METHODS[name])
  assert maps.ndim == 3 and maps.shape[0] == 3
  assert maps.dtype == jnp.float32
  assert np.isfinite(maps).all()
  # No example touches another.
  f = lambda x, y: getattr(explain, name)(
    NET, PARAMS, STATS, x, y, **METHODS[name]
  )
  alone = jax.jit(f)(IMAGES[1:2], CLASSES[1:2])
  np.testing.assert_allclose(alone[0], maps[1], rtol=1e-4, atol=1e-5)


def test_activation_gradients_match_finite_differences():
  pair = jax.jit(
    lambda x: explain.activation_gradients(
      NET, PARAMS, STATS, x, CLASSES, layers=("stage1", "input")
    )
  )(IMAGES)
  np.testing.assert_allclose(pair["input"][0], IMAGES)
  direction = jax.random.normal(jax.random.key(3), pair["stage1"][1].shape)

  @jax.jit
  def total(step):
    tap = lambda name, x: x + step * direction if name == "stage1" else x
    out, _ = NET(PARAMS, STATS, IMAGES, tap=tap)
    return explain.class_logit(out["logits"], CLASSES).sum()

  expected = (total(1e-3) - total(-1e-3)) / 2e-3
  got = (pair["stage1"][1] * direction).sum()
  np.testing.assert_allclose(got, expected, rtol=1e-2, atol=1e-2)


def test_grad_cam_is_cam_on_a_pooled_linear_head():
  gradients = call(explain.grad_cam, layer="stage2", relu=False)
  weights = call(explain.cam, layer="stage2")
  np.testing.assert_allclose(gradients * 4, weights, rtol=1e-4, atol=1e-5)
  cut = call(explain.cam, layer="stage2", relu=True)
  np.testing.assert_allclose(
    4 * call(explain.grad_cam, layer="stage2"), cut, rtol=1e-4, atol=1e-5
  )


def test_grad_cam_matches_a_loop_and_counterfactual_negates():
  pair = explain.activation_gradients(
    NET, PARAMS, STATS, IMAGES, CLASSES, layers=("stage1",)
  )
  a, g = (np.array(x) for x in pair["stage1"])
  expected = np.zeros(a.shape[:3])
  for k in range(a.shape[-1]):
    alpha = g[..., k].mean(axis=(1, 2))
    expected += alpha[:, None, None] * a[..., k]
  got = call(explain.grad_cam, layer="stage1")
  np.testing.assert_allclose(got, expected.clip(0), rtol=1e-4, atol=1e-5)
  other = call(explain.grad_cam, layer="stage1", counterfactual=True)
  np.testing.assert_allclose(other, (-expected).clip(0), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
    call(explain.linear_approximation, layer="stage1"), (a * g).sum(-1),
    rtol=1e-4, atol=1e-5,
  )  # fmt: skip
  np.testing.assert_allclose(
    call(explain.gradient_saliency, layer="stage1"), np.abs(g).max(-1),
    rtol=1e-4, atol=1e-5,
  )  # fmt: skip


@pytest.mark.parametrize("aggregation", explain.AGGREGATIONS)
@pytest.mark.parametrize("virtual", explain.VIRTUAL_LAYERS)
def test_norm_grad_matches_the_official_code(virtual, aggregation):
  found = np.load(GOLDEN)
  x = found["in_act"].transpose(0, 2, 3, 1)
  g = -found["in_grad"].transpose(0, 2, 3, 1)
  got = explain.spatial_contributions(
    jnp.asarray(x, jnp.float32), jnp.asarray(g, jnp.float32),
    virtual=virtual, aggregation=aggregation,
  )  # fmt: skip
  stored = "conv3x3_depthwise" if virtual == "depthwise" else virtual
  expected = found[f"out_{stored}_{aggregation}"]
  np.testing.assert_allclose(got[0], expected, rtol=2e-4, atol=1e-4)
  if aggregation == "norm":
    np.testing.assert_allclose(
      explain.normalize_map(got)[0], found[f"out_{stored}_norm_scaled"],
      rtol=2e-4, atol=1e-5,
    )  # fmt: skip


def test_contributions_sum_to_the_weight_gradient_of_a_real_convolution():
  keys = jax.random.split(jax.random.key(5), 3)
  x = jax.random.normal(keys[0], (1, 5, 6, 3))
  kernel = jax.random.normal(keys[1], (3, 3, 3, 4))
  g = jax.random.normal(keys[2], (1, 5, 6, 4))
  conv = lambda w: jax.lax.conv_general_dilated(
    x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
  )
  expected = jax.grad(lambda w: (conv(w) * g).sum())(kernel)
  # The sum of each place's entries, summed over places, is the gradient's.
  got = explain.spatial_contributions(
    x, g, virtual="conv3x3", aggregation="sum"
  )
  np.testing.assert_allclose(got.sum(), expected.sum(), rtol=1e-5, atol=1e-4)
  # And entry by entry, one input and one output channel at a time.
  for i, j in ((0, 0), (2, 3)):
    one = explain.spatial_contributions(
      x[..., i : i + 1], g[..., j : j + 1],
      virtual="conv3x3", aggregation="sum",
    )  # fmt: skip
    np.testing.assert_allclose(
      one.sum(), expected[:, :, i, j].sum(), rtol=1e-5, atol=1e-5
    )


def test_guided_backprop_matches_a_hand_written_backward_pass():
  rng = np.random.default_rng(0)
  w1, w2 = rng.normal(size=(4, 6)), rng.normal(size=(6, 6))
  w3, x = rng.normal(size=(6, 2)), rng.normal(size=(2, 2, 2, 1))

  def net(params, stats, x, tap=lambda name, x: x):
    h = jax.nn.relu(x.reshape(len(x), -1) @ params["w1"])
    h = jax.jit(lambda h: jax.nn.relu(h @ params["w2"]))(h)
    return {"logits": h @ params["w3"]}, stats

  params = {k: jnp.asarray(v) for k, v in dict(w1=w1, w2=w2, w3=w3).items()}
  got = explain.guided_backprop(
    net, params, {}, jnp.asarray(x), jnp.array([1, 0])
  )
  flat = x.reshape(2, -1)
  a1 = (flat @ w1).clip(0)
  a2 = (a1 @ w2).clip(0)
  g = w3.T[[1, 0]]
  g = g.clip(0) * (a2 > 0)
  g = (g @ w2.T).clip(0) * (a1 > 0)
  expected = np.abs(g @ w1.T).reshape(2, 2, 2)
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_guided_backprop_says_that_there_is_no_relu():
  net = lambda p, s, x, tap=None: ({"logits": x.reshape(3, -1) @ p}, s)
  with pytest.raises(ValueError, match="must call jax.nn.relu"):
    explain.guided_backprop(net, jnp.ones((128, 4)), {}, IMAGES, CLASSES)


def test_meta_saliency_is_the_method_at_the_moved_weights():
  options = dict(name="norm_grad", layer="stage2")
  same = call(explain.meta_saliency, method=options, epsilon=0.0)
  plain = call(explain.norm_grad, layer="stage2")
  np.testing.assert_allclose(same, plain, rtol=1e-4, atol=1e-5)

  def loss(params):
    out, _ = NET(params, STATS, IMAGES[:1])
    return -jax.nn.log_softmax(out["logits"])[0, CLASSES[0]]

  gradient = jax.jit(jax.grad(loss))(PARAMS)
  moved = {k: PARAMS[k] - 0.1 * gradient[k] for k in PARAMS}
  expected = explain.norm_grad(
    NET, moved, STATS, IMAGES[:1], CLASSES[:1], layer="stage2"
  )
  got = call(explain.meta_saliency, method=options, epsilon=0.1)
  np.testing.assert_allclose(got[:1], expected, rtol=1e-4, atol=1e-5)


def test_combined_layers_are_a_product_of_scaled_maps():
  maps = call(
    explain.combine_layers, method="norm_grad", layers=("stage1", "stage2"),
    weights=(1.0, 2.0),
  )  # fmt: skip
  scaled = [
    explain.normalize_map(
      explain.upsample(call(explain.norm_grad, layer=layer), (8, 8))
    )
    for layer in ("stage1", "stage2")
  ]
  np.testing.assert_allclose(maps, scaled[0] * scaled[1] ** 2, atol=1e-5)


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("grad_cam", dict(layer="stage3"), "tap of the model, got 'stage3'"),
    ("grad_cam", dict(layer="head"), r"maps \[b h w d\], got 'head'"),
    ("cam", dict(layer="stage1"), "kernel must be the path"),
    ("cam", dict(layer="stage2", kernel="x"), "got nothing at 'x'"),
    ("norm_grad", dict(layer="stage1", virtual="conv"), "virtual must be one"),
    ("norm_grad", dict(layer="stage1", aggregation="l2"), "aggregation must"),
    ("meta_saliency", dict(method="gradcam"), "Did you mean 'grad_cam'"),
    (
      "combine_layers",
      dict(method="norm_grad", layers=("stage1",), weights=(1.0, 1.0)),
      "weights must be one for each",
    ),
  ],
)
def test_wrong_settings_are_named(name, options, message):
  method = getattr(explain, name)
  with pytest.raises(ValueError, match=message):
    method(NET, PARAMS, STATS, IMAGES, CLASSES, **options)
