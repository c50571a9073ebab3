import functools

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from jaxcls import data

KEY = jax.random.key(0)
# [b h w c] values on the grid k / 255, as from uint8.
COLOR = data.to_float(
  jnp.asarray(
    np.random.default_rng(0).integers(0, 256, (6, 12, 10, 3)), "uint8"
  )
)
GRAY = COLOR[..., :1]

# One setting of each augmentation that changes something.
STRONG = {
  "center_crop": dict(size=(12, 8)),
  "color_jitter": dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
  "cutout": dict(size=6),
  "gaussian_blur": dict(probability=1.0),
  "normalize": dict(mean=(0.5,), std=(0.25,)),
  "rand_augment": dict(),
  "random_crop": dict(padding=3),
  "random_erasing": dict(probability=1.0),
  "random_flip": dict(),
  "random_grayscale": dict(probability=0.5),
  "random_resized_crop": dict(),
  "resize": dict(size=8),
  "solarize": dict(threshold=0.5),
}
# Settings at which the image must come back as it was.
IDENTITY = [
  ("center_crop", dict(size=(12, 10))),
  ("color_jitter", dict()),
  ("color_jitter", dict(brightness=1.0, hue=0.5, probability=0.0)),
  ("cutout", dict(size=0)),
  ("gaussian_blur", dict(probability=0.0)),
  ("gaussian_blur", dict(kernel_size=1, probability=1.0)),
  ("normalize", dict(mean=(0.0,), std=(1.0,))),
  ("rand_augment", dict(num_ops=0)),
  ("random_crop", dict(padding=0)),
  ("random_erasing", dict(probability=0.0)),
  ("random_flip", dict(probability=0.0)),
  ("random_grayscale", dict(probability=0.0)),
  ("resize", dict(size=(12, 10))),
  ("solarize", dict(threshold=1.1)),
  ("solarize", dict(probability=0.0)),
]
MAGNITUDE_OPS = (
  "identity posterize solarize brightness contrast color sharpness rotate "
  "shear_x shear_y translate_x translate_y"
).split()


@functools.cache
def jitted(name, *settings):
  return jax.jit(functools.partial(getattr(data, name), **dict(settings)))


def call(name, images, key=KEY, **settings):
  settings = {
    k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()
  }
  return np.asarray(jitted(name, *settings.items())(images, key))


def test_cases_cover_all_names():
  from jaxcls.data import _policy

  assert set(STRONG) == set(_policy.OPS)


@pytest.mark.parametrize("images", [COLOR, GRAY], ids=["color", "gray"])
@pytest.mark.parametrize("name", STRONG)
def test_shape_dtype_range_and_key(name, images):
  got = call(name, images, **STRONG[name])
  height, width = dict(center_crop=(12, 8), resize=(8, 8)).get(name, (12, 10))
  assert got.shape == (6, height, width, images.shape[-1])
  assert got.dtype == np.float32
  if name != "normalize":
    assert -1e-6 <= got.min() and got.max() <= 1 + 1e-6
  np.testing.assert_array_equal(got, call(name, images, **STRONG[name]))
  if name in ("center_crop", "normalize", "resize", "solarize"):
    return
  other = call(name, images, jax.random.key(1), **STRONG[name])
  if name == "random_grayscale" and images.shape[-1] == 1:
    np.testing.assert_array_equal(other, images)
  else:
    assert (other != got).any()
    # Rows draw apart: equal rows do not stay equal.
    same = call(name, images[:1].repeat(6, 0), **STRONG[name])
    assert np.abs(same - same[:1]).max() > 1e-4


@pytest.mark.parametrize(("name", "settings"), IDENTITY)
def test_identity(name, settings):
  got = call(name, COLOR, **settings)
  np.testing.assert_allclose(got, COLOR, atol=1e-6)


@pytest.mark.parametrize("name", ["random_flip", "cutout"])
def test_eager_equals_jit(name):
  got = getattr(data, name)(COLOR, KEY, **STRONG[name])
  np.testing.assert_array_equal(got, call(name, COLOR, **STRONG[name]))


def test_identity_of_a_whole_square_crop():
  square = COLOR[:, :10]
  one = (1.0, 1.0)
  got = call("random_resized_crop", square, scale=one, ratio=one)
  np.testing.assert_allclose(got, square, atol=1e-5)


def test_rand_augment_without_magnitude():
  got = call("rand_augment", COLOR, num_ops=3, magnitude=0.0, ops=MAGNITUDE_OPS)
  np.testing.assert_allclose(got, COLOR, atol=1e-5)


def test_does_not_depend_on_the_number_of_devices():
  augment = data.make_augment(
    [dict(name=n, **STRONG[n]) for n in ("random_crop", "color_jitter")]
  )
  images = COLOR[:4]
  auto = (jax.sharding.AxisType.Auto,)
  mesh = jax.make_mesh((4,), ("data",), axis_types=auto)
  spread = jax.NamedSharding(mesh, jax.P("data"))
  got = jax.jit(augment)(jax.device_put(images, spread), KEY)
  np.testing.assert_allclose(got, jax.jit(augment)(images, KEY), atol=1e-6)


# Values.


def test_to_float():
  images = jnp.array([0, 51, 255], jnp.uint8)
  np.testing.assert_allclose(data.to_float(images), [0.0, 0.2, 1.0], rtol=1e-6)
  assert data.to_float(COLOR) is not None
  with pytest.raises(TypeError, match="uint8 or floating point, got int32"):
    data.to_float(jnp.arange(3))


def test_normalize_per_channel():
  mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)
  got = call("normalize", COLOR, mean=mean, std=std)
  want = (np.asarray(COLOR) - np.array(mean)) / np.array(std)
  np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_random_crop_is_a_window_of_the_padded_image(mode):
  got = call("random_crop", COLOR, padding=2, mode=mode)
  margin = (2, 2)
  padded = np.pad(COLOR, ((0, 0), margin, margin, (0, 0)), mode)
  for row, whole in zip(got, padded, strict=True):
    windows = np.lib.stride_tricks.sliding_window_view(whole, (12, 10), (0, 1))
    hits = (np.moveaxis(windows, 2, -1) == row).all((2, 3, 4))
    assert hits.sum() == 1


def test_random_flip_mirrors_columns():
  got = call("random_flip", COLOR, probability=1.0)
  np.testing.assert_array_equal(got, COLOR[:, :, ::-1])


def test_center_crop_and_resize():
  got = call("center_crop", COLOR, size=(4, 2))
  np.testing.assert_array_equal(got, COLOR[:, 4:8, 4:6])
  half = call("resize", jnp.ones((1, 8, 8, 3)), size=4)
  np.testing.assert_allclose(half, 1.0, atol=1e-6)


def test_random_resized_crop_of_a_ramp():
  ramp = jnp.broadcast_to(jnp.arange(32.0)[None, :, None, None], (8, 32, 32, 1))
  got = call("random_resized_crop", ramp / 32, size=16, scale=(0.2, 0.5))
  assert got.shape == (8, 16, 16, 1)
  # A crop of a ramp is a ramp whose slope is the crop's share of the height.
  slope = (got[:, 12] - got[:, 3]).mean((1, 2)) * 16 / 9
  # Height / whole height = sqrt(share / ratio).
  assert (slope > np.sqrt(0.2 * 3 / 4) - 0.03).all()
  assert (slope < np.sqrt(0.5 * 4 / 3) + 0.03).all()


def test_color_jitter_on_gray_and_color():
  flat = jnp.full((4, 3, 3, 1), 0.5)
  bright = call("color_jitter", flat, brightness=0.4)
  factor = bright[:, 0, 0, 0] / 0.5
  np.testing.assert_allclose(
    bright, np.broadcast_to(factor[:, None, None, None] / 2, bright.shape)
  )
  assert ((factor >= 0.6) & (factor <= 1.4)).all() and np.ptp(factor) > 0.05
  only_color = call("color_jitter", GRAY, saturation=0.9, hue=0.5)
  np.testing.assert_array_equal(only_color, GRAY)
  contrast = call("color_jitter", COLOR * 0.2 + 0.4, contrast=0.4)
  np.testing.assert_allclose(
    contrast.mean((1, 2)), (COLOR * 0.2 + 0.4).mean((1, 2)), atol=1e-5
  )


def test_hue_turns_within_its_range():
  got = call("color_jitter", jnp.tile(jnp.eye(3)[0], (64, 1, 1, 1)), hue=0.25)
  hue = np.asarray(dm_pix.rgb_to_hsv(jnp.asarray(got)))[:, 0, 0, 0]
  turn = (hue + 0.5) % 1 - 0.5
  assert (
    np.abs(turn).max() <= 0.25 + 1e-5 and turn.min() < -0.1 < 0.1 < turn.max()
  )


def test_grayscale_is_luma():
  got = call("random_grayscale", COLOR, probability=1.0)
  want = np.asarray(COLOR) @ np.array([0.299, 0.587, 0.114])
  np.testing.assert_allclose(got, want[..., None].repeat(3, -1), atol=2e-3)


def test_blur_is_the_gaussian():
  image = jnp.zeros((1, 11, 11, 1)).at[0, 5, 5, 0].set(1.0)
  got = call(
    "gaussian_blur", image, sigma=(1.5, 1.5), probability=1.0, kernel_size=5
  )[0, :, :, 0]
  weights = np.exp(-(np.arange(-2, 3) ** 2) / (2 * 1.5**2))
  weights /= weights.sum()
  np.testing.assert_allclose(
    got[3:8, 3:8], np.outer(weights, weights), atol=1e-6
  )
  flat = call("gaussian_blur", jnp.ones((1, 8, 8, 3)), probability=1.0)
  np.testing.assert_allclose(flat, 1.0, atol=1e-5)


def test_solarize_value():
  image = jnp.array([0.2, 0.5, 0.9, 1.0]).reshape(1, 2, 2, 1)
  got = call("solarize", image, threshold=0.5)
  np.testing.assert_allclose(got.ravel(), [0.2, 0.5, 0.1, 0.0], atol=1e-6)


def test_random_erasing_is_one_box_of_the_asked_area():
  ones = jnp.ones((64, 20, 20, 3))
  settings = dict(probability=1.0, scale=(0.1, 0.3), ratio=(0.5, 2.0))
  got = call("random_erasing", ones, fill=0.0, **settings)
  gone = (got == 0).all(-1)
  rows, columns = gone.any(2), gone.any(1)
  np.testing.assert_array_equal(gone, rows[:, :, None] & columns[:, None])
  height, width = rows.sum(1), columns.sum(1)
  assert (np.diff(rows.astype(int), axis=1) == 1).sum(1).max() <= 1
  share = height * width / 400
  # Sides are rounded to whole pixels, hence the slack.
  assert 0.07 < share.min() < 0.15 and 0.25 < share.max() < 0.34
  assert (height / width).min() > 0.4 and (height / width).max() < 2.5
  noise = call("random_erasing", jnp.ones_like(COLOR), probability=1.0)
  assert 0.3 < noise[noise < 1].mean() < 0.7


def test_cutout_area():
  got = call("cutout", jnp.ones((64, 9, 9, 1)), size=4)
  gone = (got == 0).sum((1, 2, 3))
  assert gone.max() == 16 and gone.min() >= 4


# RandAugment against PIL.


def pil(op, *arguments):
  images = np.round(np.asarray(COLOR) * 255).astype(np.uint8)
  out = [np.asarray(op(Image.fromarray(x), *arguments)) for x in images]
  return np.stack(out) / 255.0


def enhance(kind, factor):
  return pil(lambda x: kind(x).enhance(factor))


@pytest.mark.parametrize(
  ("name", "want"),
  [
    ("autocontrast", lambda: pil(ImageOps.autocontrast)),
    ("equalize", lambda: pil(ImageOps.equalize)),
    ("posterize", lambda: pil(ImageOps.posterize, 6)),
    ("solarize", lambda: pil(ImageOps.solarize, 128)),
  ],
)
def test_rand_augment_levels_match_pil(name, want):
  got = call("rand_augment", COLOR, num_ops=1, magnitude=5.0, ops=[name])
  # PIL truncates to 8 bits, so one level of 255 may be missing.
  np.testing.assert_allclose(got, want(), atol=1.1 / 255)


@pytest.mark.parametrize(
  ("name", "kind"),
  [
    ("brightness", ImageEnhance.Brightness),
    ("contrast", ImageEnhance.Contrast),
    ("color", ImageEnhance.Color),
    ("sharpness", ImageEnhance.Sharpness),
  ],
)
def test_rand_augment_blends_match_pil(name, kind):
  got = call("rand_augment", COLOR, num_ops=1, magnitude=5.0, ops=[name])
  gaps = [
    np.abs(got - enhance(kind, factor)).max((1, 2, 3))
    for factor in (1.45, 0.55)
  ]
  assert np.min(gaps, 0).max() < 3 / 255
  assert len(set(np.argmin(gaps, 0))) == 2


def test_rand_augment_moves():
  image = COLOR[:1].repeat(8, 0)
  moved = call(
    "rand_augment", image, num_ops=1, magnitude=10 / 1.5, ops=["translate_x"]
  )
  # 0.45 * 2 / 3 * 10 columns = 3 columns, to the left or the right.
  left = np.full(image.shape[1:], 0.5)
  right = left.copy()
  left[:, :-3], right[:, 3:] = image[0, :, 3:], image[0, :, :-3]
  gaps = [np.abs(moved - want).max((1, 2, 3)) for want in (left, right)]
  assert np.min(gaps, 0).max() < 1e-4 and len(set(np.argmin(gaps, 0))) == 2


def test_rand_augment_rotation_matches_pil():
  y, x = np.mgrid[:17, :17] / 16.0
  smooth = np.stack([x, y, x * y], -1)
  levels = Image.fromarray(np.round(smooth * 255).astype(np.uint8))
  images = jnp.broadcast_to(jnp.asarray(smooth, jnp.float32), (6, 17, 17, 3))
  got = call("rand_augment", images, num_ops=1, magnitude=5.0, ops=["rotate"])
  gaps = []
  for angle in (15, -15):
    want = np.asarray(levels.rotate(angle, Image.Resampling.BILINEAR)) / 255.0
    gaps.append(np.abs(got - want)[:, 4:-4, 4:-4].max((1, 2, 3)))
  assert np.min(gaps, 0).max() < 3 / 255
  assert len(set(np.argmin(gaps, 0))) == 2


# Composition.


def test_make_augment_composes_with_folded_keys():
  augment = data.make_augment(
    [dict(name="random_flip"), dict(name="random_crop", padding=2)]
  )
  levels = jnp.round(COLOR * 255).astype(jnp.uint8)
  step = call("random_flip", COLOR, jax.random.fold_in(KEY, 0))
  want = call("random_crop", step, jax.random.fold_in(KEY, 1), padding=2)
  np.testing.assert_allclose(jax.jit(augment)(levels, KEY), want, atol=1e-6)
  plain = data.make_augment([])(levels, KEY)
  np.testing.assert_allclose(plain, COLOR, atol=1e-7)


def test_make_augment_errors():
  cases = [
    (dict(name="random_flop"), "'random_flop'.*'random_flip'"),
    (dict(padding=2), "must be an augmentation, got None"),
    (dict(name="random_crop", paddin=2), "'paddin'.*'padding'"),
    (dict(name="random_crop"), "padding must be given"),
    (dict(name="random_crop", padding=2, key=1), "'key'"),
  ]
  for op, message in cases:
    with pytest.raises(ValueError, match=message):
      data.make_augment([op])


def test_views_and_weak_strong():
  augment = jax.jit(data.make_augment([dict(name="random_crop", padding=3)]))
  views = jax.jit(data.multi_view(augment, 2))(COLOR, KEY)
  assert views.shape == (6, 2, 12, 10, 3)
  key_0, key_1 = jax.random.split(KEY)
  np.testing.assert_allclose(views[:, 0], augment(COLOR, key_0), atol=1e-6)
  np.testing.assert_allclose(views[:, 1], augment(COLOR, key_1), atol=1e-6)
  weak, strong = data.weak_strong(data.make_augment([]), augment)(COLOR, KEY)
  np.testing.assert_array_equal(weak, COLOR)
  np.testing.assert_allclose(strong, augment(COLOR, key_1), atol=1e-6)
  with pytest.raises(ValueError, match="num_views"):
    data.multi_view(augment, 0)


@pytest.mark.parametrize("name", STRONG)
def test_wrong_images_raise(name):
  function = functools.partial(getattr(data, name), **STRONG[name])
  with pytest.raises(ValueError, match=r"\[b h w c\] with c 1 or 3"):
    function(COLOR[0], KEY)
  with pytest.raises(TypeError, match="to_float"):
    function(jnp.zeros((2, 8, 8, 3), jnp.uint8), KEY)


@pytest.mark.parametrize(
  ("name", "settings", "message"),
  [
    ("center_crop", dict(size=13), "size must be at most"),
    ("color_jitter", dict(hue=0.6), "hue must be in"),
    ("color_jitter", dict(contrast=-0.1), "contrast must be in"),
    ("cutout", dict(size=-1), "size must be in"),
    ("gaussian_blur", dict(kernel_size=4), "kernel_size must be odd"),
    ("gaussian_blur", dict(kernel_size=21), "kernel_size must be odd"),
    ("gaussian_blur", dict(sigma=(2.0, 1.0)), "sigma must be"),
    ("normalize", dict(mean=(0.0, 1.0), std=(1.0,)), "1 or 3 values, got 2"),
    ("normalize", dict(mean=(0.0,), std=(0.0,)), "std must be positive"),
    ("rand_augment", dict(magnitude=11.0), "magnitude must be in"),
    ("rand_augment", dict(num_ops=-1), "num_ops must be in"),
    ("rand_augment", dict(ops=("rotato",)), "'rotato'.*'rotate'"),
    ("rand_augment", dict(ops=()), "at least one"),
    ("random_crop", dict(padding=-1), "padding must be in"),
    ("random_crop", dict(padding=1, mode="wrap"), "mode must be"),
    ("random_crop", dict(padding=10, mode="reflect"), r"in \[0, 9\]"),
    ("random_erasing", dict(scale=(0.0, 1.0)), "scale must be"),
    ("random_flip", dict(probability=1.5), r"\[0, 1\], got 1.5"),
    ("random_resized_crop", dict(ratio=(2.0,)), "ratio must be"),
    ("resize", dict(size=0), "size must be positive"),
  ],
)
def test_wrong_settings_raise(name, settings, message):
  with pytest.raises(ValueError, match=message):
    getattr(data, name)(COLOR, KEY, **settings)


def test_preprocessing_needs_no_key_and_allows_no_chance():
  half = jnp.full((1, 2, 2, 1), 0.5)
  normalize = dict(name="normalize", mean=(0.5,), std=(0.5,))
  finish = data.make_augment([normalize])
  np.testing.assert_allclose(finish(half, None), jnp.zeros_like(half))
  with pytest.raises(ValueError, match="got 'random_flip'. Move it to augment"):
    data.make_augment([dict(name="random_flip")])(half, None)


@pytest.mark.parametrize("channels", [1, 3])
def test_affine_samples_equal_dm_pix(channels):
  from jaxcls.data import _policy

  image = jax.random.uniform(jax.random.key(0), (7, 9, channels))
  linear = jnp.array([[0.9, 0.3], [-0.2, 1.1]])
  offset = jnp.array([-1.3, 2.4])
  got = jax.jit(_policy._sample)(image, linear, offset, 0.25)
  matrix = jnp.eye(3).at[:2, :2].set(linear)
  want = dm_pix.affine_transform(
    image, matrix, offset=jnp.append(offset, 0.0), mode="constant", cval=0.25
  )
  np.testing.assert_allclose(got, want, atol=1e-5)
