"""RandAugment, and the composition of augmentations."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dm_pix
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls import _lookup
from jaxcls.data import _augment

Augment = Callable[[Any, Any], Any]
MAX_MAGNITUDE = 10.0
AFFINE_OPS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
BLEND_OPS = ("brightness", "contrast", "color", "sharpness")
RAND_AUGMENT_OPS = (
  "identity",
  "autocontrast",
  "equalize",
  "posterize",
  "solarize",
  *BLEND_OPS,
  *AFFINE_OPS,
)


def _levels(image):
  return jnp.round(image * 255.0).astype(jnp.int32)


def _autocontrast(image):
  low = image.min((0, 1), keepdims=True)
  span = image.max((0, 1), keepdims=True) - low
  stretched = (image - low) / jnp.where(span > 0, span, 1.0)
  return jnp.where(span > 0, stretched, image)


def _equalize(image):
  """Flattens each channel's histogram over 256 levels, as PIL rounds it."""

  def channel(levels):  # [h w] int
    counts = jnp.bincount(levels.ravel(), length=256)
    last = counts[255 - jnp.argmax(counts[::-1] > 0)]
    step = (levels.size - last) // 255
    before = jnp.cumsum(counts) - counts
    table = (before + step // 2) // jnp.maximum(step, 1)
    table = jnp.where(step > 0, jnp.clip(table, 0, 255), jnp.arange(256))
    return table[levels] / 255.0

  return jax.vmap(channel, -1, -1)(_levels(image)).astype(image.dtype)


def _posterize(image, strength):
  """Keeps the high 8 - round(4 * strength) bits of 8."""
  step = 2.0 ** jnp.round(4.0 * strength)
  coarse = jnp.floor(_levels(image) / step) * step / 255.0
  return jnp.where(step > 1, coarse, image)


def _smooth(image):
  """A 3x3 mean with weight 5 of 13 in the centre; the border is kept."""
  total = sum(
    jnp.roll(image, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)
  )
  smoothed = (total + 4.0 * image) / 13.0
  return image.at[1:-1, 1:-1].set(smoothed[1:-1, 1:-1])


def _blend(image, kind, factor):
  """Mixes image (factor 1) and its degenerate (factor 0), clipped."""
  gray = image
  if image.shape[-1] == 3:
    gray = dm_pix.rgb_to_grayscale(image, keep_dims=True)
  flat = jnp.zeros_like(image)
  degenerate = jnp.stack([flat, flat + gray.mean(), gray, _smooth(image)])[kind]
  return jnp.clip(degenerate + factor * (image - degenerate), 0, 1)


def _affine(image, kind, strength, fill):
  """Rotates by 30 degrees, shears by 0.3 or shifts by 0.45 at strength 1."""
  height, width = image.shape[:2]
  angle = jnp.deg2rad(30.0) * strength
  rotation = jnp.array(
    [[jnp.cos(angle), jnp.sin(angle)], [-jnp.sin(angle), jnp.cos(angle)]]
  )
  shear = 0.3 * strength
  eye = jnp.eye(2)
  shear_x = jnp.array([[1.0, 0.0], [shear, 1.0]])
  linear = jnp.stack([rotation, shear_x, shear_x.T, eye, eye])[kind]
  shift_x = jnp.array([0.0, 0.45 * width]) * strength
  shift_y = jnp.array([0.45 * height, 0.0]) * strength
  none = jnp.zeros(2)
  shift = jnp.stack([none, none, none, shift_x, shift_y])[kind]
  centre = jnp.array([(height - 1) / 2, (width - 1) / 2])
  offset = centre - linear @ centre + shift
  return _sample(image, linear, offset, fill)


def _sample(image, linear, offset, fill):
  """Bilinear samples at linear @ (row, column) + offset; `fill` outside.

  Whole pixels are gathered by one flat index. dm_pix interpolates over the
  channels too, by an index array that TPU tiles pad to 200 MB an image.
  """
  height, width, channels = image.shape
  grid = jnp.stack(jnp.mgrid[:height, :width]).reshape(2, -1)
  place = linear @ grid.astype(jnp.float32) + offset[:, None]
  limit = jnp.array([[height - 1.0], [width - 1.0]])
  inside = ((place >= 0) & (place <= limit)).all(axis=0)[:, None]
  corner = jnp.clip(jnp.floor(place), 0, jnp.maximum(limit - 1, 0))
  share = place - corner
  pixels, total = image.reshape(-1, channels), 0.0
  for step in ((0, 0), (0, 1), (1, 0), (1, 1)):
    step = jnp.array(step)[:, None]
    weight = jnp.where(step, share, 1 - share).prod(axis=0)
    row, column = jnp.minimum(corner + step, limit).astype(jnp.int32)
    total = total + weight[:, None] * pixels[row * width + column]
  sampled = jnp.where(inside, total, fill)
  return sampled.reshape(image.shape).astype(image.dtype)


def _branch(name: str) -> str:
  """Blends share one branch, and so do affine maps."""
  kinds = dict.fromkeys(BLEND_OPS, "blend") | dict.fromkeys(
    AFFINE_OPS, "affine"
  )
  return kinds.get(name, name)


def _apply(image, choice, ops, strength, sign, fill):
  """Applies operation `ops[choice]` to [h w c]; ops is static."""
  signed = sign * strength
  within = lambda kinds: jnp.array(
    [kinds.index(name) if name in kinds else 0 for name in ops]
  )[choice]
  branches = {
    "identity": lambda: image,
    "autocontrast": lambda: _autocontrast(image),
    "equalize": lambda: _equalize(image),
    "posterize": lambda: _posterize(image, strength),
    # PIL's threshold runs from 256 down to 0 of 255 levels.
    "solarize": lambda: dm_pix.solarize(image, 256 / 255 * (1 - strength)),
    "blend": lambda: _blend(image, within(BLEND_OPS), 1.0 + 0.9 * signed),
    "affine": lambda: _affine(image, within(AFFINE_OPS), signed, fill),
  }
  # Under vmap every branch runs, so only those that `ops` needs are there.
  used = sorted({_branch(name) for name in ops})
  slot = jnp.array([used.index(_branch(name)) for name in ops])[choice]
  return jax.lax.switch(slot, [branches[name] for name in used])


def rand_augment(
  images: _augment.Images,
  key: _augment.PRNGKey,
  *,
  num_ops: int = 2,
  magnitude: float = 9.0,
  ops: tuple[str, ...] = RAND_AUGMENT_OPS,
  fill: float = 0.5,
) -> _augment.Images:
  """Applies `num_ops` operations, drawn uniformly for each image.

  At magnitude m (10 is full strength): rotation by 3 m degrees, shear 0.03 m,
  shift 0.045 m of the side, blend factors 1 +- 0.09 m, posterize to 8 - 0.4 m
  bits, solarize above 1 - 0.1 m. Signs are random. Magnitude 0 leaves all but
  autocontrast and equalize without effect. One channel works throughout; color
  then does nothing.

  Args:
    images: [b h w c] in [0, 1].
    key: PRNG key.
    num_ops: operations in sequence, >= 0.
    magnitude: in [0, 10], the same for all operations.
    ops: names out of RAND_AUGMENT_OPS to draw from.
    fill: value of pixels that come from outside the image.

  Raises:
    ValueError: an unknown operation, or a number out of range.

  Source: Cubuk et al. 2019, arXiv:1909.13719, sec. 3 and figure 2; the
    operations are those of arXiv:1805.09501, table 6.
  Differs: strengths are symmetric about "no effect" (there blend factors run
    from 0.1 to 1.9 with the magnitude); bilinear, where PIL takes the nearest
    pixel; float images are not rounded to 8 bits between operations.
  """
  _augment.check_images(images)
  _augment.check_range("num_ops", num_ops, 0)
  _augment.check_range("magnitude", magnitude, 0, MAX_MAGNITUDE)
  for name in ops:
    if name not in RAND_AUGMENT_OPS:
      raise ValueError(
        f"ops must be names of RandAugment operations, got {name!r}."
        f"{_lookup.nearest(name, RAND_AUGMENT_OPS)}"
      )
  if not ops:
    raise ValueError("ops must name at least one operation, got none.")
  strength = magnitude / MAX_MAGNITUDE

  def one(image, key):
    def layer(image, key):
      key_op, key_sign = jax.random.split(key)
      choice = jax.random.randint(key_op, (), 0, len(ops))
      sign = jax.random.rademacher(key_sign, (), image.dtype)
      return _apply(image, choice, ops, strength, sign, fill), None

    return jax.lax.scan(layer, image, jax.random.split(key, num_ops))[0]

  return _augment.each(one, images, key)


OPS = {
  f.__name__: f
  for f in (
    _augment.center_crop,
    _augment.color_jitter,
    _augment.cutout,
    _augment.gaussian_blur,
    _augment.normalize,
    rand_augment,
    _augment.random_crop,
    _augment.random_erasing,
    _augment.random_flip,
    _augment.random_grayscale,
    _augment.random_resized_crop,
    _augment.resize,
    _augment.solarize,
  )
}


def make_augment(ops: Sequence[Mapping[str, Any]]) -> Augment:
  """Composes augmentations by name.

  Args:
    ops: mappings with the `name` of an augmentation of this package and its
      hyperparameters; applied in order. None at all only converts to float.

  Returns:
    f(images [b h w c] uint8 or float, key) -> [b h w c] float32. Each operation
    gets `fold_in(key, its position)`; with key None only operations that draw
    nothing may be listed.

  Raises:
    ValueError: an unknown name or hyperparameter, with the nearest known one,
      or a hyperparameter that is missing; a random operation without a key.

  >>> augment = make_augment([dict(name="random_crop", padding=4)])
  """
  steps = []
  for position, op in enumerate(ops):
    settings = dict(op)
    name = settings.pop("name", None)
    field = f"augment[{position}]"
    if name not in OPS:
      raise ValueError(
        f"{field}.name must be an augmentation, got {name!r}."
        f"{_lookup.nearest(name, OPS)}"
      )
    _lookup.check_fields(
      settings, OPS[name], field=field, supplied=("images", "key")
    )
    steps.append((name, functools.partial(OPS[name], **settings)))

  def augment(images, key):
    images = _augment.to_float(images)
    for position, (name, step) in enumerate(steps):
      if key is None and _lookup.parameters(OPS[name])["key"]:
        raise ValueError(
          f"preprocess must list operations that draw nothing, got {name!r}. "
          "Move it to augment."
        )
      step_key = None if key is None else jax.random.fold_in(key, position)
      images = step(images, step_key)
    return images

  return augment


def multi_view(augment: Augment, num_views: int) -> Augment:
  """Returns f(images [b h w c], key) -> [b v h w c] of independent views.

  Raises:
    ValueError: num_views < 1.
  """
  _augment.check_range("num_views", num_views, 1)

  def views(images, key) -> Float[Array, "b v h w c"]:
    keys = jax.random.split(key, num_views)
    return jax.vmap(augment, (None, 0), 1)(images, keys)

  return views


def weak_strong(weak: Augment, strong: Augment) -> Augment:
  """Returns f(images, key) -> (weak(images), strong(images)), other keys each.

  Source: Sohn et al. 2020, arXiv:2001.07685, sec. 2.3.
  """

  def pair(images, key):
    key_weak, key_strong = jax.random.split(key)
    return weak(images, key_weak), strong(images, key_strong)

  return pair
