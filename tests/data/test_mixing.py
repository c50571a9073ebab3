import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import data

KEY = jax.random.key(0)
B, H, W = 16, 8, 6
IMAGES = jax.random.uniform(jax.random.key(1), (B, H, W, 3))
TARGETS = jax.nn.one_hot(jnp.arange(B) % 5, 5)
# Each image holds its row number, so that pixels can be told apart.
ROWS = jnp.broadcast_to(
  jnp.arange(B, dtype=jnp.float32)[:, None, None, None], (B, H, W, 1)
)


@functools.cache
def jitted(name, *settings):
  return jax.jit(functools.partial(getattr(data, name), **dict(settings)))


def call(name, images=IMAGES, key=KEY, **settings):
  settings = sorted((dict(per_example=False) | settings).items())
  return jax.tree.map(np.asarray, jitted(name, *settings)(images, TARGETS, key))


CASES = {
  "mixup": dict(alpha=1.0),
  "cutmix": dict(alpha=1.0),
  "mixup_or_cutmix": dict(mixup_alpha=1.0, cutmix_alpha=1.0),
}


@pytest.mark.parametrize("per_example", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_targets_follow_weight_and_partner(name, per_example):
  mixed = call(name, per_example=per_example, **CASES[name])
  assert isinstance(mixed, data.Mixed)
  assert mixed.inputs.shape == IMAGES.shape
  assert mixed.weight.dtype == np.float32 and mixed.partner.dtype == np.int32
  assert ((mixed.weight >= 0) & (mixed.weight <= 1)).all()
  w = mixed.weight[:, None]
  want = w * TARGETS + (1 - w) * TARGETS[mixed.partner]
  np.testing.assert_allclose(mixed.targets, want, atol=1e-6)
  np.testing.assert_allclose(mixed.targets.sum(1), 1.0, atol=1e-6)
  np.testing.assert_array_equal(mixed.partner, (np.arange(B) - 1) % B)
  if name != "mixup_or_cutmix" or not per_example:
    assert (np.ptp(mixed.weight) > 0) == per_example
  again = call(name, per_example=per_example, **CASES[name])
  np.testing.assert_array_equal(again.inputs, mixed.inputs)
  other = call(
    name, key=jax.random.key(5), per_example=per_example, **CASES[name]
  )
  assert (other.inputs != mixed.inputs).any()


def test_mixup_value():
  mixed = call("mixup", alpha=1.0, per_example=True)
  w = mixed.weight[:, None, None, None]
  want = w * IMAGES + (1 - w) * IMAGES[mixed.partner]
  np.testing.assert_allclose(mixed.inputs, want, atol=1e-6)
  features = call("mixup", IMAGES[:, 0, 0], alpha=1.0)
  assert features.inputs.shape == (B, 3)


def test_mixup_weight_is_beta():
  draw = jax.jit(
    lambda key: (
      data.mixup(
        jnp.zeros((4000, 1)),
        jnp.zeros((4000, 1)),
        key,
        alpha=0.5,
        per_example=True,
      ).weight
    )
  )
  weight = np.asarray(draw(KEY))
  # Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)).
  np.testing.assert_allclose(weight.mean(), 0.5, atol=0.02)
  np.testing.assert_allclose(weight.var(), 1 / 8, atol=0.01)


@pytest.mark.parametrize("per_example", [False, True])
def test_cutmix_weight_is_the_pixel_share(per_example):
  shares = set()
  for seed in range(20):
    mixed = call(
      "cutmix", ROWS, jax.random.key(seed), alpha=1.0, per_example=per_example
    )
    image, own = mixed.inputs[..., 0], np.arange(B)[:, None, None]
    pasted = image != own
    partner = np.broadcast_to(mixed.partner[:, None, None], image.shape)
    np.testing.assert_array_equal(image[pasted], partner[pasted])
    moved = mixed.partner != np.arange(B)
    np.testing.assert_allclose(
      1 - pasted.mean((1, 2))[moved], mixed.weight[moved], atol=1e-6
    )
    rows, columns = pasted.any(2), pasted.any(1)
    np.testing.assert_array_equal(pasted, rows[:, :, None] & columns[:, None])
    shares |= set(np.round(mixed.weight, 5))
  assert len(shares) > 4


@pytest.mark.parametrize("name", CASES)
def test_alpha_zero_is_identity(name):
  mixed = call(name, **{k: 0.0 for k in CASES[name]})
  np.testing.assert_array_equal(mixed.inputs, IMAGES)
  np.testing.assert_array_equal(mixed.targets, TARGETS)
  np.testing.assert_array_equal(mixed.partner, np.arange(B))
  np.testing.assert_array_equal(mixed.weight, np.ones(B, np.float32))


def test_switch_probability_limits():
  _, key_mixup, key_cutmix = jax.random.split(KEY, 3)
  both = dict(mixup_alpha=1.0, cutmix_alpha=1.0)
  never = call("mixup_or_cutmix", switch_probability=0.0, **both)
  always = call("mixup_or_cutmix", switch_probability=1.0, **both)
  wants = [
    call("mixup", key=key_mixup, alpha=1.0),
    call("cutmix", key=key_cutmix, alpha=1.0),
  ]
  for got, want in zip((never, always), wants, strict=True):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got, want
    )


def test_mixes_per_example_choices():
  mixed = call(
    "mixup_or_cutmix",
    ROWS,
    mixup_alpha=1.0,
    cutmix_alpha=1.0,
    per_example=True,
  )
  whole = (mixed.inputs % 1 == 0).all((1, 2, 3))
  assert 0 < whole.sum() < B


@pytest.mark.parametrize("name", CASES)
def test_errors(name):
  function = functools.partial(getattr(data, name), **CASES[name])
  with pytest.raises(ValueError, match=r"targets must have shape \[16 c\]"):
    function(IMAGES, TARGETS[:3], KEY)
  with pytest.raises(ValueError, match="targets must be floating"):
    function(IMAGES, TARGETS.astype(int), KEY)
  with pytest.raises(ValueError, match="inputs must be floating"):
    function(IMAGES.astype(jnp.uint8), TARGETS, KEY)
  first = next(iter(CASES[name]))
  with pytest.raises(ValueError, match=f"{first} must be >= 0, got -1"):
    function(IMAGES, TARGETS, KEY, **{first: -1.0})
  if name != "mixup":
    with pytest.raises(ValueError, match=r"\[b h w c\]"):
      function(IMAGES[:, 0], TARGETS, KEY)
  if name == "mixup_or_cutmix":
    with pytest.raises(ValueError, match="switch_probability must"):
      function(IMAGES, TARGETS, KEY, switch_probability=2.0)
