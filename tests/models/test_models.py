import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxcls import models

SHAPE = (8, 8, 1)
IMAGES = jax.random.uniform(jax.random.key(0), (4, *SHAPE))
MAKERS = {
  "mlp": lambda **kw: models.mlp(hidden=(16,), **kw),
  "convnet": lambda **kw: models.convnet(widths=(4, 8), hidden=16, **kw),
  "convnet_gap": lambda **kw: models.convnet(widths=(4,), hidden=None, **kw),
  "resnet18": lambda **kw: models.resnet(width=4, norm="group", **kw),
  "resnet50": lambda **kw: models.resnet(
    width=4, depth=50, stem="imagenet", **kw
  ),
  "vit": lambda **kw: models.vit(variant="mu/4", **kw),
  "vit_scan": lambda **kw: models.vit(
    variant="mu/4", depth=2, pool="cls", scan_blocks=True, remat="block", **kw
  ),
  "vit_map": lambda **kw: models.vit(
    variant="mu/4",
    pool="map",
    positions="sincos2d",
    num_prompts=2,
    remat="cheap",
    **kw,
  ),
}


@pytest.fixture(scope="module", params=MAKERS)
def built(request):
  net = MAKERS[request.param](num_classes=3, input_shape=SHAPE)
  return request.param, net, *net.init(jax.random.key(1))


def test_outputs_paths_and_dtypes(built):
  name, net, params, stats = built
  call = jax.jit(lambda p, s, x: net(p, s, x)[0])
  outputs = call(params, stats, IMAGES)
  assert outputs["logits"].shape == (4, 3)
  assert outputs["logits"].dtype == jnp.float32
  assert outputs["features"].shape[0] == 4
  assert ("tokens" in outputs) == name.startswith("vit")
  assert ("maps" in outputs) == name.startswith(("conv", "resnet"))
  assert all(v.dtype == jnp.float32 for v in params.values())
  shapes = {k: v.shape for k, v in params.items()}
  assert shapes == {k: v.shape for k, v in net.param_shapes.items()}
  assert {k: v.shape for k, v in net.stats_shapes.items()} == {
    k: v.shape for k, v in stats.items()
  }


def test_one_step_lowers_the_loss(built):
  _, net, params, stats = built
  labels = jnp.array([0, 1, 2, 1])

  def loss_fn(params, stats):
    out, stats = net(params, stats, IMAGES, train=True, key=jax.random.key(2))
    loss = optax.softmax_cross_entropy_with_integer_labels(
      out["logits"], labels
    )
    return loss.mean(), stats

  @jax.jit
  def step(params, stats):
    grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, stats), grads = grad_fn(params, stats)
    params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
    return loss, params, stats

  losses = []
  for _ in range(4):
    loss, params, stats = step(params, stats)
    losses.append(float(loss))
  np.testing.assert_allclose(losses[0], np.log(3), rtol=1e-5)
  assert losses[-1] < losses[0]


def test_init_is_deterministic_and_needs_no_compile(built):
  _, net, params, _ = built
  again, _ = net.init(jax.random.key(1))
  other, _ = net.init(jax.random.key(2))
  assert all((params[k] == again[k]).all() for k in params)
  assert any((params[k] != other[k]).any() for k in params)


def test_bfloat16_computes_and_keeps_float32_parameters():
  net = MAKERS["vit"](num_classes=3, input_shape=SHAPE, dtype="bfloat16")
  exact = MAKERS["vit"](num_classes=3, input_shape=SHAPE)
  params, stats = net.init(jax.random.key(0))
  params["head/kernel"] = jnp.ones_like(params["head/kernel"])
  out = jax.jit(lambda p: net(p, stats, IMAGES)[0])(params)
  want = jax.jit(lambda p: exact(p, stats, IMAGES)[0])(params)
  assert out["logits"].dtype == jnp.float32
  assert out["tokens"].dtype == jnp.bfloat16
  np.testing.assert_allclose(out["logits"], want["logits"], atol=0.3)


def test_scanned_blocks_equal_the_loop():
  kwargs = dict(variant="mu/4", depth=3, num_classes=3, input_shape=SHAPE)
  loop, scan = models.vit(**kwargs), models.vit(**kwargs, scan_blocks=True)
  params, stats = loop.init(jax.random.key(0))
  params["head/kernel"] += 1.0
  stacked = {k: v for k, v in params.items() if not k.startswith("block")}
  for path in [k for k in params if k.startswith("block0/")]:
    leaves = [params[path.replace("block0", f"block{i}")] for i in range(3)]
    stacked[path.replace("block0", "blocks")] = jnp.stack(leaves)
  want = jax.jit(lambda p: loop(p, stats, IMAGES)[0]["logits"])(params)
  run = lambda tap: jax.jit(
    lambda p: scan(p, stats, IMAGES, tap=tap)[0]["logits"]
  )(stacked)
  np.testing.assert_allclose(run(models.identity), want, rtol=1e-5, atol=1e-6)
  through_taps = run(lambda name, x: x)
  np.testing.assert_allclose(through_taps, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("remat", ["cheap", "block"])
def test_recomputing_changes_no_gradient(remat):
  kwargs = dict(variant="mu/4", depth=2, num_classes=3, input_shape=SHAPE)
  plain, saving = models.vit(**kwargs), models.vit(**kwargs, remat=remat)
  params, stats = plain.init(jax.random.key(0))
  params["head/kernel"] += jnp.arange(3.0)
  loss = lambda net: lambda p: (net(p, stats, IMAGES)[0]["logits"] ** 2).sum()
  want = jax.jit(jax.grad(loss(plain)))(params)
  got = jax.jit(jax.grad(loss(saving)))(params)
  for name in want:
    np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-4)


def test_tap_reads_replaces_and_differentiates():
  net = MAKERS["convnet"](num_classes=3, input_shape=SHAPE)
  params, stats = net.init(jax.random.key(0))
  params["head/kernel"] = jnp.ones_like(params["head/kernel"])
  seen = []

  def tap(name, x):
    seen.append(name)
    return x

  want = net(params, stats, IMAGES, tap=tap)[0]
  assert seen == ["stem", "stage1", "stage2", "head"]
  zeroed = lambda name, x: x * 0 if name == "head" else x
  out = net(params, stats, IMAGES, tap=zeroed)[0]
  np.testing.assert_allclose(out["logits"], 0.0, atol=1e-7)

  def logit(delta):
    add = lambda name, x: x + delta if name == "stage2" else x
    return net(params, stats, IMAGES, tap=add)[0]["logits"][:, 0].sum()

  grad = jax.grad(logit)(jnp.zeros_like(want["maps"]))
  assert grad.shape == want["maps"].shape and (grad != 0).any()


def test_batch_statistics_move_only_in_training():
  net = MAKERS["convnet"](num_classes=3, input_shape=SHAPE)
  params, stats = net.init(jax.random.key(0))
  _, same = net(params, stats, IMAGES)
  _, new = net(params, stats, IMAGES, train=True)
  assert same is stats
  assert (new["norms/0/mean"] != stats["norms/0/mean"]).any()


def test_lora_starts_as_identity_and_trains_alone():
  net = MAKERS["vit"](num_classes=3, input_shape=SHAPE)
  params, stats = net.init(jax.random.key(0))
  params["head/kernel"] += 1.0
  call = jax.jit(lambda p: net(p, stats, IMAGES)[0]["logits"])
  lora = models.add_lora(
    params, pattern="attn/.*kernel", rank=2, key=jax.random.key(1)
  )
  factors = models.select(lora, "lora")
  assert len(factors) == 8
  np.testing.assert_allclose(call(lora), call(params), rtol=1e-6)
  factors = {k: v + 0.1 for k, v in factors.items()}
  moved = {**lora, **factors}
  merged = models.merge_lora(moved)
  assert merged.keys() == params.keys()
  np.testing.assert_allclose(call(moved), call(merged), rtol=1e-6)
  assert not np.allclose(call(moved), call(params), rtol=1e-3)


def test_head_grows_and_keeps_old_logits():
  small = MAKERS["mlp"](num_classes=3, input_shape=SHAPE)
  large = MAKERS["mlp"](num_classes=5, input_shape=SHAPE)
  params, stats = small.init(jax.random.key(0))
  params["head/kernel"] += 0.5
  grown = models.grow_head(params, 5, key=jax.random.key(1))
  old = small(params, stats, IMAGES)[0]["logits"]
  new = large(grown, stats, IMAGES)[0]["logits"]
  np.testing.assert_allclose(new[:, :3], old, rtol=1e-6)
  with pytest.raises(ValueError, match="at least the head's 5, got 3"):
    models.grow_head(grown, 3, key=jax.random.key(1))


def test_masked_logits_take_no_probability_or_gradient():
  logits, mask = jnp.array([[1.0, 5.0, 2.0]]), jnp.array([True, False, True])
  nll = lambda x: -jax.nn.log_softmax(models.mask_logits(x, mask))[0, 0]
  np.testing.assert_allclose(nll(logits), np.log(1 + np.e), rtol=1e-6)
  assert jax.grad(nll)(logits)[0, 1] == 0
  with pytest.raises(ValueError, match=r"class_mask must have shape \(3,\)"):
    models.mask_logits(logits, mask[:2])


def test_network_of_dataset_condensation():
  net = models.convnet(
    num_classes=3, input_shape=(9, 8, 1), widths=(2, 4), hidden=None,
    flatten=True, pool="average", norm="instance",
  )  # fmt: skip
  x = jax.random.normal(jax.random.key(0), (2, 9, 8, 1))
  params, stats = net.init(jax.random.key(1))
  seen = {}

  def tap(name, x):
    seen[name] = x
    return x

  outputs, _ = net(params, stats, x, tap=tap)
  assert outputs["maps"].shape == (2, 2, 2, 4)
  np.testing.assert_array_equal(
    outputs["features"], outputs["maps"].reshape(2, 16)
  )
  conv = jax.lax.conv_general_dilated(
    x, params["convs/0/kernel"], (1, 1), "SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )  # fmt: skip
  moments = dict(axis=(1, 2), keepdims=True)
  norm = (conv - conv.mean(**moments)) * jax.lax.rsqrt(
    conv.var(**moments) + 1e-5
  )
  mean = jax.lax.reduce_window(
    jax.nn.relu(norm), 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
  )
  np.testing.assert_allclose(seen["stage1"], mean / 4, atol=1e-5)
  with pytest.raises(ValueError, match="pool must be 'max' or 'average', got"):
    models.convnet(num_classes=3, input_shape=(8, 8, 1), pool="min")


def test_unfolded_convolutions_are_the_same():
  shape = dict(num_classes=3, input_shape=(7, 6, 2), widths=(2, 4))
  x = jax.random.normal(jax.random.key(0), (3, 7, 6, 2))
  plain, unfolded = (
    models.convnet(**shape),
    models.convnet(**shape, unfold=True),
  )
  params, stats = plain.init(jax.random.key(1))
  chex.assert_trees_all_equal(unfolded.init(jax.random.key(1))[0], params)

  def loss(params, net):
    return jnp.sum(net(params, stats, x)[0]["logits"] ** 2)

  want, got = (jax.value_and_grad(loss)(params, n) for n in (plain, unfolded))
  chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-5)
  with pytest.raises(ValueError, match="unfold must be False with tract_ridge"):
    models.convnet(**shape, unfold=True, kernel_size=2)


def test_pooling_equals_the_window_reduction():
  net = models.convnet(
    num_classes=3, input_shape=(7, 9, 1), widths=(2,), hidden=None
  )
  x = jax.random.normal(jax.random.key(0), (2, 7, 9, 1))
  params, stats = net.init(jax.random.key(1))
  params["norms/0/bias"] += 5.0  # Keeps the ReLU open.
  seen = {}

  def tap(name, x):
    seen[name] = x
    return x

  net(params, stats, x, tap=tap)
  conv = jax.lax.conv_general_dilated(
    x, params["convs/0/kernel"], (1, 1), "SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )  # fmt: skip
  want = nnx.max_pool(conv, (2, 2), (2, 2), padding="VALID") + 5.0
  np.testing.assert_allclose(seen["stage1"], want, rtol=1e-4)


def test_dropout_changes_training_only():
  net = models.mlp(num_classes=2, input_shape=SHAPE, hidden=(64,), dropout=0.5)
  params, stats = net.init(jax.random.key(0))
  features = lambda **kw: net(params, stats, IMAGES, **kw)[0]["features"]
  dropped = features(train=True, key=jax.random.key(3))
  assert (dropped == 0).sum() > (features() == 0).sum()
  with pytest.raises(ValueError, match="key must be given"):
    features(train=True)


@pytest.mark.parametrize(
  ("build", "message"),
  [
    (lambda kw: models.vit(variant="Q/4", **kw), "variant must be"),
    (lambda kw: models.vit(variant="mu/3", **kw), "divisible by the patch 3"),
    (lambda kw: models.vit(variant="mu/4", pool="max", **kw), "pool must be"),
    (lambda kw: models.vit(variant="mu/4", width=30, **kw), "divisible by 4"),
    (lambda kw: models.resnet(depth=20, **kw), "depth must be one of"),
    (lambda kw: models.resnet(norm="x", **kw), "norm must be"),
    (lambda kw: models.convnet(widths=(1,) * 4, **kw), "at least 16 pixels"),
    (lambda kw: models.mlp(dtype="int8", **kw), "dtype must be"),
    (lambda kw: models.mlp(dropout=1.0, **kw), r"must be in \[0, 1\)"),
  ],
)
def test_bad_arguments(build, message):
  with pytest.raises(ValueError, match=message):
    build(dict(num_classes=3, input_shape=SHAPE))


def test_bad_inputs_name_the_fix():
  net = MAKERS["mlp"](num_classes=3, input_shape=SHAPE)
  params, stats = net.init(jax.random.key(0))
  with pytest.raises(ValueError, match=r"input_shape=\(4, 4, 1\)"):
    net(params, stats, jnp.ones((2, 4, 4, 1)))
  del params["head/bias"]
  with pytest.raises(ValueError, match="missing .'head/bias'"):
    net(params, stats, IMAGES)
  with pytest.raises(ValueError, match="pattern must match"):
    models.select(params, "nothing")


def test_vit_local_linear_attention_learns_its_ridge():
  make = lambda **settings: models.vit(
    num_classes=3, input_shape=(8, 8, 1), variant="mu/4", **settings
  )
  net = make(local_linear_ridge=1e4)
  params, stats = net.init(jax.random.key(0))
  x = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
  run = lambda p: net(p, stats, x)[0]["tokens"]
  path = "block0/attn/ridge"
  np.testing.assert_allclose(jax.nn.softplus(params[path]), 1e4, rtol=1e-3)
  grads = jax.jit(jax.grad(lambda p: (run(p) ** 2).mean()))(
    {**params, path: jnp.zeros_like(params[path])}
  )
  assert jnp.abs(grads[path]).max() > 0
  # A ridge this large is softmax attention: more of it changes nothing.
  assert path not in make().param_shapes
  far = run({**params, path: 2 * params[path]})
  np.testing.assert_allclose(jax.jit(run)(params), far, atol=1e-3)
  with pytest.raises(ValueError, match="local_linear_ridge must be above 0"):
    make(local_linear_ridge=0.0)
