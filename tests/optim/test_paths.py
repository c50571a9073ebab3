import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from jaxcls import models, optim

FLAT = {
  "stem/kernel": jnp.ones(2),
  "block0/mlp/kernel": jnp.ones(2),
  "block0/mlp/bias": jnp.ones(2),
  "block10/mlp/kernel": jnp.ones(2),
  "block2/mlp/kernel": jnp.ones(2),
  "norm/scale": jnp.ones(2),
  "head/kernel": jnp.ones(2),
}
NESTED = traverse_util.unflatten_dict(FLAT, sep="/")
SCALES = {
  "stem/kernel": 0.5**4,
  "block0/mlp/kernel": 0.5**3,
  "block0/mlp/bias": 0.5**3,
  "block2/mlp/kernel": 0.5**2,  # Numbers, not strings: 2 comes before 10.
  "block10/mlp/kernel": 0.5,
  "norm/scale": 1.0,
  "head/kernel": 1.0,
}


def updates(tx, params):
  call = jax.jit(lambda p: tx.update(p, tx.init(p), p)[0])
  return call(params)


def test_scales_by_hand():
  assert optim.layer_scales(FLAT, decay=0.5) == SCALES
  assert set(optim.layer_scales(FLAT, decay=1.0).values()) == {1.0}


@pytest.mark.parametrize(
  ("make", "number_of_layers", "first"),
  [
    (lambda **k: models.vit(variant="mu/4", depth=3, **k), 3, "stem/kernel"),
    (lambda **k: models.resnet(depth=18, width=2, **k), 8, "stem_norm/scale"),
    (lambda **k: models.convnet(widths=(2, 2), **k), 2, None),
    (lambda **k: models.mlp(hidden=(2, 2, 2), **k), 3, None),
  ],
  ids=["vit", "resnet", "convnet", "mlp"],
)
def test_our_models_have_layers(make, number_of_layers, first):
  net = make(num_classes=3, input_shape=(8, 8, 1))
  scales = optim.layer_scales(net.param_shapes, decay=0.5)
  assert scales["head/kernel"] == 1.0
  depths = {round(-np.log2(s)) for s in scales.values()}
  assert set(range(1, number_of_layers + 1)) <= depths
  if first:
    assert (
      scales[first] == 0.5 ** (number_of_layers + 1) == min(scales.values())
    )


@pytest.mark.parametrize("tree", ["flat", "nested"])
@pytest.mark.parametrize("name", ["adam", "lion"])
def test_after_the_optimiser_it_scales_the_learning_rate(tree, name):
  make = {"adam": optax.adam, "lion": optim.lion}[name]
  tx = optax.chain(make(0.1), optim.scale_by_layer(decay=0.5))
  got = updates(tx, FLAT if tree == "flat" else NESTED)
  plain = updates(make(0.1), FLAT)
  if tree == "nested":
    got = traverse_util.flatten_dict(got, sep="/")
  for path, scale in SCALES.items():
    np.testing.assert_allclose(got[path], scale * plain[path], rtol=1e-6)


def test_a_config_reaches_it_beside_groups():
  tx = optim.make_optimizer(
    name="adamw", learning_rate=0.1, weight_decay=0.5,
    groups=[dict(pattern="^head", lr_scale=10.0)],
    update_transforms=[dict(name="scale_by_layer", decay=0.5)],
  )  # fmt: skip
  got = updates(tx, FLAT)
  for path, scale in SCALES.items():
    decay = 0.5 if "kernel" in path else 0.0
    group = 10.0 if path.startswith("head") else 1.0
    expected = -0.1 * (1.0 + decay) * scale * group
    np.testing.assert_allclose(got[path], expected, rtol=1e-4)


def test_bfloat16_updates_keep_their_type():
  narrow = jax.tree.map(lambda p: p.astype(jnp.bfloat16), FLAT)
  got = updates(optim.scale_by_layer(decay=0.5), narrow)
  assert all(u.dtype == jnp.bfloat16 for u in got.values())
  np.testing.assert_allclose(got["stem/kernel"].astype(float), 0.5**4)


@pytest.mark.parametrize("tree", [FLAT, NESTED], ids=["flat", "nested"])
def test_mask_goes_by_name(tree):
  tx = optax.add_decayed_weights(1.0, optim.path_mask("kernel"))
  zeros = jax.tree.map(jnp.zeros_like, tree)
  got, _ = tx.update(zeros, tx.init(tree), tree)
  got = got if tree is FLAT else traverse_util.flatten_dict(got, sep="/")
  for path in FLAT:
    np.testing.assert_allclose(got[path], float("kernel" in path))


def test_nested_parameters_through_a_config():
  tx = optim.make_optimizer(name="sgd", learning_rate=1.0, weight_decay=0.5)
  got = updates(tx, NESTED)
  np.testing.assert_allclose(got["head"]["kernel"], -1.5, rtol=1e-6)
  np.testing.assert_allclose(got["norm"]["scale"], -1.0, rtol=1e-6)


def test_bad_input_is_named():
  for f in (optim.scale_by_layer, lambda **k: optim.layer_scales(FLAT, **k)):
    for decay in (0.0, 1.1, float("nan")):
      with pytest.raises(ValueError, match="decay must be in"):
        f(decay=decay)
  with pytest.raises(ValueError, match="layer_pattern must match some path"):
    optim.layer_scales(["a/kernel"], decay=0.5)
  with pytest.raises(ValueError, match=r"update_transforms\[0\].decay"):
    optim.make_optimizer(
      name="sgd", learning_rate=1.0,
      update_transforms=[dict(name="scale_by_layer")],
    )  # fmt: skip
