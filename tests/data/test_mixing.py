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
  "resizemix": dict(scope=(0.2, 0.8)),
}
OFF = {"resizemix": dict(scope=(0.0, 0.0))}


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
@pytest.mark.parametrize("name", ["cutmix", "resizemix"])
def test_pasted_weight_is_the_pixel_share(name, per_example):
  shares = set()
  for seed in range(20):
    mixed = call(
      name, ROWS, jax.random.key(seed), per_example=per_example, **CASES[name]
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
  mixed = call(name, **OFF.get(name, {k: 0.0 for k in CASES[name]}))
  np.testing.assert_array_equal(mixed.inputs, IMAGES)
  np.testing.assert_array_equal(mixed.targets, TARGETS)
  if name not in OFF:
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


@pytest.mark.parametrize("per_example", [False, True])
def test_resizemix_pastes_the_whole_partner(per_example):
  # Each pixel of an image says where it was.
  y, x = np.mgrid[:12, :10].astype(np.float32)
  images = np.tile(np.stack([y, x], -1)[None], (B, 1, 1, 1))
  sign = np.where(np.arange(B) % 2, 1.0, -1.0)[:, None, None, None]
  images = (images + 1) * sign.astype(np.float32)
  for seed in range(5):
    mixed = call(
      "resizemix", images, jax.random.key(seed), per_example=per_example,
      scope=(0.4, 0.8),
    )  # fmt: skip
    for row in range(B):
      pasted = (
        np.sign(mixed.inputs[row, ..., 0]) != np.sign(images[row, 0, 0])[0]
      )
      if not pasted.any():
        continue
      box = np.ix_(pasted.any(1), pasted.any(0))
      inside = np.abs(mixed.inputs[row][box]) - 1
      for axis, size in enumerate((12, 10)):
        side = inside.shape[axis]
        centres = (np.arange(side) + 0.5) * size / side
        got = inside.take(0, 1 - axis)[:, axis]
        # The pixel that holds the centre of the box's pixel.
        np.testing.assert_array_equal(got, np.floor(centres))


def test_smmix_windows_equal_brute_force():
  grid, patch, sizes = 7, 2, set()
  side = grid * patch
  rows = jnp.broadcast_to(
    jnp.arange(B, dtype=jnp.float32)[:, None, None, None], (B, side, side, 1)
  )
  # A second channel says where a pixel was.
  where = jnp.arange(float(side * side)).reshape(1, side, side, 1)
  images = np.concatenate([rows, jnp.tile(where, (B, 1, 1, 1))], axis=-1)
  mix = jax.jit(data.smmix)
  for seed in range(6):
    attention = jax.random.uniform(jax.random.key(seed), (B, grid, grid))
    mixed, pasted = mix(images, TARGETS, attention, jax.random.key(seed))
    size = int(np.sqrt(pasted[0].sum()))
    sizes.add(size)
    sums = np.lib.stride_tricks.sliding_window_view(
      np.asarray(attention), (size, size), (1, 2)
    ).sum((-1, -2))
    place = functools.partial(np.unravel_index, shape=sums.shape[1:])
    for i in range(B):
      to, source = place(sums[i].argmin()), place(sums[i - 1].argmax())
      want, window = np.array(images[i]), size * patch
      y, x = (a * patch for a in to)
      v, u = (a * patch for a in source)
      want[y : y + window, x : x + window] = images[
        i - 1, v : v + window, u : u + window
      ]
      np.testing.assert_array_equal(mixed.inputs[i], want)
      tokens = np.zeros((grid, grid), bool)
      tokens[to[0] : to[0] + size, to[1] : to[1] + size] = True
      np.testing.assert_array_equal(pasted[i], tokens)
    share = 1 - np.asarray(mixed.inputs[..., 0] != rows[..., 0]).mean((1, 2))
    np.testing.assert_allclose(mixed.weight, share, rtol=1e-6)
    w = mixed.weight[:, None]
    want = w * TARGETS + (1 - w) * TARGETS[mixed.partner]
    np.testing.assert_allclose(mixed.targets, want, atol=1e-6)
  assert sizes <= set(range(1, 6)) and len(sizes) > 1


def test_smmix_errors():
  attention = jnp.ones((B, 4, 3))
  with pytest.raises(ValueError, match="attention must have shape"):
    data.smmix(IMAGES, TARGETS, jnp.ones((B, 3, 3)), KEY)
  with pytest.raises(ValueError, match="scope must be"):
    data.smmix(IMAGES, TARGETS, attention, KEY, scope=(0.0, 0.5))


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
  if name == "resizemix":
    with pytest.raises(ValueError, match=r"scope must be \(a, b\)"):
      function(IMAGES, TARGETS, KEY, scope=(0.5, 1.2))
  else:
    first = next(iter(CASES[name]))
    with pytest.raises(ValueError, match=f"{first} must be >= 0, got -1"):
      function(IMAGES, TARGETS, KEY, **{first: -1.0})
  if name != "mixup":
    with pytest.raises(ValueError, match=r"\[b h w c\]"):
      function(IMAGES[:, 0], TARGETS, KEY)
  if name == "mixup_or_cutmix":
    with pytest.raises(ValueError, match="switch_probability must"):
      function(IMAGES, TARGETS, KEY, switch_probability=2.0)
