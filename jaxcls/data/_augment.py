"""Augmentations of whole image batches, for use inside the jitted step.

Each is `f(images [b h w c] floats in [0, 1], key, *, ...) -> images` of the
same type, computed in float32, pure and deterministic in the key: row i draws
from `split(key, b)[i]`, so the result does not depend on the number of devices.
All take 1 or 3 channels: hue, saturation and greyscale leave a single channel
as it is.
"""

import math

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Shaped

Images = Float[Array, "b h w c"]
PRNGKey = Key[Array, ""]
# Size of the output may differ from the input.
Resized = Float[Array, "b h2 w2 c"]


def check_images(images) -> None:
  """Raises unless images are [b h w c] floating point with 1 or 3 channels."""
  if images.ndim != 4 or images.shape[-1] not in (1, 3):
    raise ValueError(
      f"images must have shape [b h w c] with c 1 or 3, got {images.shape}."
    )
  if not jnp.issubdtype(images.dtype, jnp.floating):
    raise TypeError(
      f"images must be floating point in [0, 1], got {images.dtype}: convert "
      "them with to_float."
    )


def check_range(name, value, low, high=math.inf) -> None:
  """Raises ValueError unless low <= value <= high."""
  if not low <= value <= high:
    raise ValueError(f"{name} must be in [{low}, {high}], got {value}.")


def check_interval(name, value, low, high=math.inf) -> None:
  """Raises ValueError unless value is (a, b) with low <= a <= b <= high."""
  if len(value) != 2 or not low <= value[0] <= value[1] <= high:
    raise ValueError(
      f"{name} must be (a, b) with {low} <= a <= b <= {high}, got {value}."
    )


def each(one, images, key, *args):
  """Applies `one(image [h w c], key, *row)` to every row with its own key.

  `row` is that of `args`, arrays [b ...]. `one` sees the image in float32; the
  result has the images' type.
  """
  keys = jax.random.split(key, len(images))
  changed = jax.vmap(one)(images.astype(jnp.float32), keys, *args)
  return changed.astype(images.dtype)


def choose(key, probability, changed, image):
  """Returns `changed` with this probability, else `image`."""
  return jnp.where(jax.random.bernoulli(key, probability), changed, image)


def to_float(images: Shaped[Array, "*b"]) -> Float[Array, "*b"]:
  """Converts uint8 images to float32 in [0, 1]; float32 stays as it is.

  Args:
    images: [...] uint8 in 0..255, or floating point (then only cast).

  Raises:
    TypeError: another type of integer.
  """
  if images.dtype == jnp.uint8:
    return images.astype(jnp.float32) / 255.0
  if not jnp.issubdtype(images.dtype, jnp.floating):
    raise TypeError(
      f"images must be uint8 or floating point, got {images.dtype}."
    )
  return images.astype(jnp.float32)


def normalize(
  images: Images,
  key: PRNGKey | None = None,
  *,
  mean: tuple[float, ...],
  std: tuple[float, ...],
) -> Images:
  """(images - mean) / std per channel; the key is not used.

  Args:
    images: [b h w c].
    key: ignored, so that it composes like the others.
    mean, std: c numbers, or one for all channels; std > 0.

  Raises:
    ValueError: wrong number of values, or std <= 0.
  """
  check_images(images)
  mean, std = np.ravel(mean), np.ravel(std)
  channels = images.shape[-1]
  for name, value in (("mean", mean), ("std", std)):
    if value.size not in (1, channels):
      raise ValueError(
        f"{name} must have 1 or {channels} values, got {value.size}."
      )
  if std.min() <= 0:
    raise ValueError(f"std must be positive, got {std.tolist()}.")
  mean, std = mean.astype(np.float32), std.astype(np.float32)
  whitened = (images.astype(jnp.float32) - mean) / std
  return whitened.astype(images.dtype)


def _pair(name: str, size) -> tuple[int, int]:
  height, width = (size, size) if isinstance(size, int) else size
  if min(height, width) < 1:
    raise ValueError(f"{name} must be positive, got {size}.")
  return height, width


def resize(
  images: Images,
  key: PRNGKey | None = None,
  *,
  size: int | tuple[int, int],
) -> Resized:
  """Resizes to `size` (pixels, or (height, width)), bilinear, antialiased."""
  check_images(images)
  b, _, _, c = images.shape
  return jax.image.resize(images, (b, *_pair("size", size), c), "bilinear")


def center_crop(
  images: Images,
  key: PRNGKey | None = None,
  *,
  size: int | tuple[int, int],
) -> Resized:
  """Cuts the central `size` (pixels, or (height, width)) out of each image.

  Raises:
    ValueError: size exceeds the image.
  """
  check_images(images)
  height, width = _pair("size", size)
  if height > images.shape[1] or width > images.shape[2]:
    raise ValueError(
      f"size must be at most the image, {images.shape[1:3]}, got "
      f"{(height, width)}."
    )
  return dm_pix.center_crop(images, height, width)


def random_crop(
  images: Images, key: PRNGKey, *, padding: int, mode: str = "constant"
) -> Images:
  """Pads each side, then cuts the original size out at a random place.

  Args:
    images: [b h w c].
    key: PRNG key.
    padding: pixels on every side, >= 0; 0 is the identity.
    mode: "constant" (zeros), "reflect" or "edge".

  Raises:
    ValueError: padding < 0, an unknown mode, or reflection beyond the image.
  """
  check_images(images)
  check_range("padding", padding, 0)
  if mode not in ("constant", "reflect", "edge"):
    raise ValueError(
      f"mode must be 'constant', 'reflect' or 'edge', got {mode!r}."
    )
  if mode == "reflect":
    check_range("padding", padding, 0, min(images.shape[1:3]) - 1)
  shape, margin = images.shape[1:], (padding, padding)
  padded = jnp.pad(images, ((0, 0), margin, margin, (0, 0)), mode)

  def one(image, key):
    start = jax.random.randint(key, (2,), 0, 2 * padding + 1)
    return jax.lax.dynamic_slice(image, (*start, 0), shape)

  return each(one, padded, key)


def random_resized_crop(
  images: Images,
  key: PRNGKey,
  *,
  size: int | tuple[int, int] | None = None,
  scale: tuple[float, float] = (0.08, 1.0),
  ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Resized:
  """Cuts a box of random area and aspect ratio out, resizes it to `size`.

  Args:
    images: [b h w c].
    key: PRNG key.
    size: pixels of the output, or (height, width); None keeps the size.
    scale: range of the box's share of the area, in (0, 1], uniform.
    ratio: range of width / height, > 0, log-uniform.

  Source: Szegedy et al. 2015, arXiv:1409.4842, sec. 6 (training images).
  Differs: one draw, its sides clipped to the image, where common code draws up
    to ten times; the box is real-valued; bilinear with antialiasing.
  """
  check_images(images)
  check_interval("scale", scale, 1e-8, 1.0)
  check_interval("ratio", ratio, 1e-8)
  height, width, channels = images.shape[1:]
  out = _pair("size", (height, width) if size is None else size)
  low, high = math.log(ratio[0]), math.log(ratio[1])
  limit = jnp.array([height, width], jnp.float32)

  def one(image, key):
    key_area, key_ratio, key_place = jax.random.split(key, 3)
    area = height * width
    area *= jax.random.uniform(key_area, minval=scale[0], maxval=scale[1])
    half = 0.5 * jax.random.uniform(key_ratio, minval=low, maxval=high)
    sides = jnp.sqrt(area) * jnp.exp(jnp.stack([-half, half]))
    sides = jnp.minimum(sides, limit)
    start = jax.random.uniform(key_place, (2,)) * (limit - sides)
    zoom = jnp.array(out, jnp.float32) / sides
    return jax.image.scale_and_translate(
      image, (*out, channels), (0, 1), zoom, -start * zoom, "bilinear"
    )

  return each(one, images, key)


def random_flip(
  images: Images, key: PRNGKey, *, probability: float = 0.5
) -> Images:
  """Mirrors left and right with this probability."""
  check_images(images)
  check_range("probability", probability, 0, 1)

  def one(image, key):
    return choose(key, probability, dm_pix.flip_left_right(image), image)

  return each(one, images, key)


def color_jitter(
  images: Images,
  key: PRNGKey,
  *,
  brightness: float = 0.0,
  contrast: float = 0.0,
  saturation: float = 0.0,
  hue: float = 0.0,
  probability: float = 1.0,
) -> Images:
  """Random brightness, contrast, saturation and hue, in this order.

  The first three draw a factor from [max(0, 1 - v), 1 + v], hue an offset from
  [-v, v] turns; 0 leaves the operation out. Brightness multiplies the image;
  contrast scales about the mean of each channel, saturation in HSV. Each result
  is clipped to [0, 1]. On one channel saturation and hue do nothing.

  Args:
    images: [b h w c] in [0, 1].
    key: PRNG key.
    brightness, contrast, saturation: strengths v >= 0.
    hue: in [0, 0.5].
    probability: of changing an image at all.

  Source: Chen et al. 2020, arXiv:2002.05709, app. A (color distortion).
  Differs: the four operations are in a fixed order, there it is random.
  """
  check_images(images)
  check_range("probability", probability, 0, 1)
  check_range("hue", hue, 0, 0.5)
  strengths = dict(
    brightness=brightness, contrast=contrast, saturation=saturation
  )
  for name, value in strengths.items():
    check_range(name, value, 0)
  is_color = images.shape[-1] == 3

  def factor(key, strength):
    return jax.random.uniform(
      key, minval=max(0.0, 1.0 - strength), maxval=1.0 + strength
    )

  def one(image, key):
    keys = jax.random.split(key, 5)
    x = image
    if brightness:
      x = jnp.clip(x * factor(keys[0], brightness), 0, 1)
    if contrast:
      x = jnp.clip(dm_pix.adjust_contrast(x, factor(keys[1], contrast)), 0, 1)
    if saturation and is_color:
      x = dm_pix.adjust_saturation(x, factor(keys[2], saturation))
    if hue and is_color:
      turn = jax.random.uniform(keys[3], minval=-hue, maxval=hue)
      x = dm_pix.adjust_hue(x, turn)
    return choose(keys[4], probability, jnp.clip(x, 0, 1), image)

  return each(one, images, key)


def random_grayscale(
  images: Images, key: PRNGKey, *, probability: float = 0.2
) -> Images:
  """Replaces all channels by the luma with this probability.

  Luma is 0.299 r + 0.587 g + 0.114 b (ITU-R BT.601). A single channel stays.
  """
  check_images(images)
  check_range("probability", probability, 0, 1)
  if images.shape[-1] == 1:
    return images

  def one(image, key):
    gray = dm_pix.rgb_to_grayscale(image, keep_dims=True)
    return choose(key, probability, gray, image)

  return each(one, images, key)


def gaussian_blur(
  images: Images,
  key: PRNGKey,
  *,
  sigma: tuple[float, float] = (0.1, 2.0),
  probability: float = 0.5,
  kernel_size: int | None = None,
) -> Images:
  """Blurs with a Gaussian of random width, with this probability.

  Args:
    images: [b h w c].
    key: PRNG key.
    sigma: range of the standard deviation in pixels, > 0, uniform.
    probability: of changing an image.
    kernel_size: pixels, odd; None is a tenth of the height, at least 3.

  Raises:
    ValueError: kernel_size is even, or its half reaches beyond the image.

  Source: Chen et al. 2020, arXiv:2002.05709, app. A (Gaussian blur).
  Differs: the border is reflected, so that it does not darken.
  """
  check_images(images)
  check_range("probability", probability, 0, 1)
  check_interval("sigma", sigma, 1e-3)
  smallest = min(images.shape[1:3])
  size = kernel_size or max(3, images.shape[1] // 10 // 2 * 2 + 1)
  if size % 2 == 0 or not 1 <= size <= 2 * smallest - 1:
    raise ValueError(
      f"kernel_size must be odd, in [1, {2 * smallest - 1}], got {size}."
    )
  margin = (size // 2, size // 2)
  padded = jnp.pad(
    images.astype(jnp.float32), ((0, 0), margin, margin, (0, 0)), "reflect"
  )

  def one(image, key, rows):
    key_sigma, key_choice = jax.random.split(key)
    width = jax.random.uniform(key_sigma, minval=sigma[0], maxval=sigma[1])
    blurred = dm_pix.gaussian_blur(rows, width, size, padding="VALID")
    return choose(key_choice, probability, blurred, image)

  return each(one, images, key, padded)


def solarize(
  images: Images,
  key: PRNGKey,
  *,
  threshold: float = 0.5,
  probability: float = 1.0,
) -> Images:
  """Inverts values >= threshold (in [0, 1]) with this probability."""
  check_images(images)
  check_range("probability", probability, 0, 1)

  def one(image, key):
    return choose(key, probability, dm_pix.solarize(image, threshold), image)

  return each(one, images, key)


def _box(shape, start, stop):
  """[h w 1] bool: rows and columns with start <= index < stop."""
  row = jnp.arange(shape[0])[:, None, None]
  column = jnp.arange(shape[1])[None, :, None]
  inside_rows = (row >= start[0]) & (row < stop[0])
  return inside_rows & (column >= start[1]) & (column < stop[1])


def random_erasing(
  images: Images,
  key: PRNGKey,
  *,
  probability: float = 0.5,
  scale: tuple[float, float] = (0.02, 0.4),
  ratio: tuple[float, float] = (0.3, 1 / 0.3),
  fill: float | None = None,
) -> Images:
  """Overwrites a random box with noise, with this probability.

  Args:
    images: [b h w c].
    key: PRNG key.
    probability: of changing an image.
    scale: range of the box's share of the area, in (0, 1], uniform.
    ratio: range of height / width, > 0, uniform.
    fill: value of the box; None draws each value uniformly from [0, 1).

  Source: Zhong et al. 2020, arXiv:1708.04896, algorithm 1.
  Differs: one draw, its sides clipped to the image; there the draw is repeated
    until the box fits.
  """
  check_images(images)
  check_range("probability", probability, 0, 1)
  check_interval("scale", scale, 1e-8, 1.0)
  check_interval("ratio", ratio, 1e-8)
  height, width, _ = shape = images.shape[1:]
  limit = jnp.array([height, width])

  def one(image, key):
    keys = jax.random.split(key, 5)
    area = height * width
    area *= jax.random.uniform(keys[0], minval=scale[0], maxval=scale[1])
    aspect = jax.random.uniform(keys[1], minval=ratio[0], maxval=ratio[1])
    sides = jnp.sqrt(area * jnp.stack([aspect, 1 / aspect]))
    sides = jnp.minimum(jnp.round(sides).astype(int), limit)
    start = jax.random.uniform(keys[2], (2,)) * (limit - sides + 1)
    start = jnp.minimum(start.astype(int), limit - sides)
    value = jax.random.uniform(keys[3], shape) if fill is None else fill
    erased = jnp.where(_box(shape, start, start + sides), value, image)
    return choose(keys[4], probability, erased.astype(image.dtype), image)

  return each(one, images, key)


def cutout(
  images: Images, key: PRNGKey, *, size: int, fill: float = 0.0
) -> Images:
  """Overwrites a square whose centre is uniform over the pixels.

  The square is clipped at the border, so less than size^2 may be covered.

  Args:
    images: [b h w c].
    key: PRNG key.
    size: side in pixels, >= 0; 0 is the identity.
    fill: value of the square.

  Source: DeVries & Taylor 2017, arXiv:1708.04552, sec. 3.
  Differs: nothing known for even sizes; an odd size keeps its last row and
    column, which the authors' code drops.
  """
  check_images(images)
  check_range("size", size, 0)
  shape = images.shape[1:]

  def one(image, key):
    centre = jax.random.randint(key, (2,), 0, jnp.array(shape[:2]))
    start = centre - size // 2
    box = _box(shape, start, start + size)
    return jnp.where(box, jnp.asarray(fill, image.dtype), image)

  return each(one, images, key)
