"""Mixing of examples within a batch: mixup, CutMix, ResizeMix, or a choice."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

Inputs = Float[Array, "b ..."]
Images = Float[Array, "b h w c"]
Targets = Float[Array, "b c"]
PRNGKey = Key[Array, ""]


class Mixed(NamedTuple):
  """A mixed batch: row i is `weight[i]` of row i, the rest of row `partner[i]`.

  `inputs` as given; `targets` [b c]; `partner` [b] int32; `weight` [b] float32.
  """

  inputs: Float[Array, "b ..."]
  targets: Float[Array, "b c"]
  partner: Int[Array, " b"]
  weight: Float[Array, " b"]


def _check(inputs, targets, **alphas: float) -> None:
  if inputs.ndim < 2 or not jnp.issubdtype(inputs.dtype, jnp.floating):
    raise ValueError(
      "inputs must be floating point of shape [b ...], got "
      f"{inputs.dtype}{list(inputs.shape)}."
    )
  if targets.ndim != 2 or len(targets) != len(inputs):
    raise ValueError(
      f"targets must have shape [{len(inputs)} c] (soft or one-hot), got "
      f"{targets.shape}."
    )
  if not jnp.issubdtype(targets.dtype, jnp.floating):
    raise ValueError(f"targets must be floating point, got {targets.dtype}.")
  for name, alpha in alphas.items():
    if alpha < 0:
      raise ValueError(f"{name} must be >= 0, got {alpha}.")


def _check_images(inputs) -> None:
  if inputs.ndim != 4:
    raise ValueError(f"images must have shape [b h w c], got {inputs.shape}.")


def _identity(inputs, targets) -> Mixed:
  b = len(inputs)
  return Mixed(inputs, targets, jnp.arange(b), jnp.ones(b, jnp.float32))


def _draw_lambda(key, alpha, b, per_example):
  shape = (b if per_example else 1,)
  # Beta(1, 1) is uniform, and much cheaper to compile that way.
  if alpha == 1:
    drawn = jax.random.uniform(key, shape)
  else:
    drawn = jax.random.beta(key, alpha, alpha, shape)
  return jnp.broadcast_to(drawn.astype(jnp.float32), (b,))


def _rows(weight, x):
  return weight.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)


def _neighbour(x):
  """Row i - 1 for row i: the partner of every mixing.

  The sampler has shuffled the batch already. A random permutation would send
  the whole batch to every device (2.5 GB for 4,096 images of 224 pixels); a
  neighbour costs one row a device.
  """
  return jnp.roll(x, 1, axis=0)


def _mix(x, weight):
  w = _rows(weight, x)
  return w * x + (1 - w) * _neighbour(x)


def mixup(
  images: Inputs,
  targets: Targets,
  key: PRNGKey,
  *,
  alpha: float,
  per_example: bool = False,
) -> Mixed:
  """x = l x_i + (1 - l) x_j and y alike, with l from Beta(alpha, alpha).

  The partner j of row i is row i - 1, of the whole batch where it is spread
  over devices: shuffle it first, as the random plans do.

  Args:
    images: [b ...] floating point, of any rank; features serve too.
    targets: [b c], rows sum to 1.
    key: PRNG key.
    alpha: >= 0; 0 is the identity, each row its own partner with weight 1.
    per_example: an l for each row instead of one for the batch.

  Raises:
    ValueError: wrong shapes or types, or alpha < 0.

  Source: Zhang et al. 2018, arXiv:1710.09412, eq. 2 and figure 1a.
  Differs: neighbours, where figure 1a draws a second batch or permutation.
  """
  _check(images, targets, alpha=alpha)
  if alpha == 0:
    return _identity(images, targets)
  b = len(images)
  partner = _neighbour(jnp.arange(b, dtype=jnp.int32))
  weight = _draw_lambda(key, alpha, b, per_example)
  return Mixed(
    _mix(images, weight),
    _mix(targets, weight),
    partner,
    weight,
  )


def cutmix(
  images: Images,
  targets: Targets,
  key: PRNGKey,
  *,
  alpha: float,
  per_example: bool = False,
) -> Mixed:
  """Pastes a box of a partner's image; targets mix by the pixels' share.

  The box has sides floor(W sqrt(1 - l)) and floor(H sqrt(1 - l)) about a
  uniform centre and is clipped at the border; `weight` is the exact share of
  pixels that stayed. l is from Beta(alpha, alpha); the partner of row i is
  row i - 1, as in `mixup`.

  Args:
    images: [b h w c] floating point.
    targets: [b c], rows sum to 1.
    key: PRNG key.
    alpha: >= 0; 0 is the identity, each row its own partner with weight 1.
    per_example: a box for each row instead of one for the batch.

  Raises:
    ValueError: wrong shapes or types, or alpha < 0.

  Source: Yun et al. 2019, arXiv:1905.04899, eq. 1 and 2 and algorithm A1.
  Differs: as the authors' code, an odd side loses one pixel in half the centre
    (c - side // 2 to c + side // 2).
  """
  _check(images, targets, alpha=alpha)
  _check_images(images)
  if alpha == 0:
    return _identity(images, targets)
  b = len(images)
  key_weight, key_place = jax.random.split(key)
  drawn = _draw_lambda(key_weight, alpha, b, per_example)
  sides = jnp.sqrt(1.0 - drawn)
  start, stop = _draw_box(key_place, sides, images, per_example)
  return _paste(images, _neighbour(images), targets, start, stop)


def resizemix(
  images: Images,
  targets: Targets,
  key: PRNGKey,
  *,
  scope: tuple[float, float] = (0.1, 0.8),
  per_example: bool = False,
) -> Mixed:
  """Pastes a partner's whole image, shrunk; targets mix by the pixels' share.

  The partner is resized to a box with sides floor(W r) and floor(H r), r
  uniform over the scope, about a uniform centre and clipped at the border: the
  object that the label names is always in it. `weight` is the exact share of
  pixels that stayed; the partner of row i is row i - 1, as in `mixup`.

  Args:
    images: [b h w c] floating point.
    targets: [b c], rows sum to 1.
    key: PRNG key.
    scope: range of r, in [0, 1]; (0, 0) is the identity.
    per_example: a box for each row instead of one for the batch.

  Raises:
    ValueError: wrong shapes or types, or a scope out of range.

  Source: Qin et al. 2020, arXiv:2012.11101.
  Differs: nearest pixels, as common code has it; an odd side loses one pixel
    in half the centre, as in `cutmix`.
  """
  _check(images, targets)
  _check_images(images)
  if len(scope) != 2 or not 0 <= scope[0] <= scope[1] <= 1:
    raise ValueError(
      f"scope must be (a, b) with 0 <= a <= b <= 1, got {scope}."
    )
  key_size, key_place = jax.random.split(key)
  low, high = scope
  rows = len(images) if per_example else 1
  drawn = jax.random.uniform(key_size, (rows,), minval=low, maxval=high)
  sides = jnp.broadcast_to(drawn, (len(images),))
  start, stop = _draw_box(key_place, sides, images, per_example)
  small = jax.vmap(_shrink)(_neighbour(images), start, stop - start)
  return _paste(images, small, targets, start, stop)


def smmix(
  images: Images,
  targets: Targets,
  attention: Float[Array, "b rows columns"],
  key: PRNGKey,
  *,
  scope: tuple[float, float] = (0.25, 0.75),
) -> tuple[Mixed, Bool[Array, "b rows columns"]]:
  """Pastes the partner's most attended square over the least attended one.

  A square has s x s tokens, s uniform over floor(low * side), ...,
  floor(high * side) with side = min(rows, columns), one s for the batch. From
  all places on the grid of tokens, the partner's is where the attention sums to
  most, the row's own where it sums to least. Targets mix by the share of
  tokens; the partner of row i is row i - 1, as in `mixup`.

  Args:
    images: [b h w c] floating point; rows divide h, columns divide w.
    targets: [b c], rows sum to 1.
    attention: [b rows columns], how much each token is attended to.
    key: PRNG key.
    scope: range of s / side, in (0, 1].

  Returns:
    The mixed batch, and which tokens were pasted.

  Raises:
    ValueError: wrong shapes or types, or a scope out of range.

  Source: Chen et al. 2022, arXiv:2212.12977.
  Differs: the partner is the neighbour, in released code the batch reversed.
  """
  _check(images, targets)
  _check_images(images)
  (b, h, w, _), grid = images.shape, attention.shape[1:]
  if attention.ndim != 3 or len(attention) != b or h % grid[0] or w % grid[1]:
    raise ValueError(
      f"attention must have shape [{b} rows columns] that divide the image "
      f"{(h, w)}, got {attention.shape}."
    )
  if len(scope) != 2 or not 0 < scope[0] <= scope[1] <= 1:
    raise ValueError(f"scope must be (a, b) with 0 < a <= b <= 1, got {scope}.")
  low, high = (max(1, int(min(grid) * share)) for share in scope)
  size = jax.random.randint(key, (), low, high + 1)
  sums = _window_sums(attention.astype(jnp.float32), size)
  place = lambda flat: jnp.stack(jnp.unravel_index(flat, sums.shape[1:]), -1)
  fits = jnp.isfinite(sums)
  to = place(jnp.where(fits, sums, jnp.inf).reshape(b, -1).argmin(-1))
  most = place(jnp.where(fits, sums, -jnp.inf).reshape(b, -1).argmax(-1))
  patch = jnp.array([h // grid[0], w // grid[1]])
  move = lambda image, by: jnp.roll(image, by, axis=(0, 1))
  moved = jax.vmap(move)(_neighbour(images), (to - _neighbour(most)) * patch)
  inside = _inside(grid[0], to[:, 0], to[:, 0] + size)[:, :, None]
  inside &= _inside(grid[1], to[:, 1], to[:, 1] + size)[:, None]
  pixels = jnp.repeat(inside, h // grid[0], axis=1)
  pixels = jnp.repeat(pixels, w // grid[1], axis=2)[..., None]
  share = 1.0 - size.astype(jnp.float32) ** 2 / (grid[0] * grid[1])
  weight = jnp.broadcast_to(share, (b,))
  partner = _neighbour(jnp.arange(b, dtype=jnp.int32))
  mixed = jnp.where(pixels, moved, images)
  return Mixed(mixed, _mix(targets, weight), partner, weight), inside


def _window_sums(x, size):
  """[b r c]: sum of the size x size window from there on; nan beyond."""
  total = jnp.pad(x, ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
  rows, columns = (jnp.arange(n) for n in x.shape[1:])
  bottom = jnp.minimum(rows + size, len(rows))
  right = jnp.minimum(columns + size, len(columns))
  corner = lambda r, c: total[:, r][:, :, c]
  sums = corner(bottom, right) - corner(rows, right)
  sums += corner(rows, columns) - corner(bottom, columns)
  fits = (rows[:, None] + size <= len(rows)) & (columns + size <= len(columns))
  return jnp.where(fits, sums, jnp.nan)


def _shrink(image, start, sides):
  """The whole image in the box, nearest pixels; anything outside of it."""
  for axis in (0, 1):
    size, side = image.shape[axis], jnp.maximum(sides[axis], 1)
    # The pixel whose centre is nearest to that of the box's pixel.
    step = 2 * (jnp.arange(size) - start[axis]) + 1
    index = jnp.clip(step * size // (2 * side), 0, size - 1)
    image = jnp.take(image, index, axis=axis)
  return image


def _draw_box(key, sides, images, per_example):
  """Start and stop [b 2] of a box of these shares of the sides, clipped."""
  limit = jnp.array(images.shape[1:3])
  rows = len(images) if per_example else 1
  centre = jax.random.randint(key, (rows, 2), 0, limit)
  half = (limit.astype(sides.dtype) * sides[:, None]).astype(int) // 2
  clip = lambda corner: jnp.clip(corner, 0, limit)
  return clip(centre - half), clip(centre + half)


def _paste(images, pasted, targets, start, stop):
  """Mixed of rows with a box of `pasted`, which belongs to the neighbour."""
  height, width = images.shape[1:3]
  weight = 1.0 - (stop - start).prod(-1).astype(jnp.float32) / (height * width)
  inside_row = _inside(height, start[:, 0], stop[:, 0])
  inside_column = _inside(width, start[:, 1], stop[:, 1])
  box = inside_row[:, :, None, None] & inside_column[:, None, :, None]
  return Mixed(
    jnp.where(box, pasted, images),
    _mix(targets, weight),
    _neighbour(jnp.arange(len(images), dtype=jnp.int32)),
    weight,
  )


def _inside(size, start, stop):
  """[b size] bool: start <= index < stop."""
  index = jnp.arange(size)
  return (index >= start[:, None]) & (index < stop[:, None])


def mixup_or_cutmix(
  images: Images,
  targets: Targets,
  key: PRNGKey,
  *,
  mixup_alpha: float,
  cutmix_alpha: float,
  switch_probability: float = 0.5,
  per_example: bool = False,
) -> Mixed:
  """CutMix with `switch_probability`, else mixup.

  Args:
    images: [b h w c] floating point.
    targets: [b c], rows sum to 1.
    key: PRNG key.
    mixup_alpha, cutmix_alpha: >= 0; 0 makes that choice the identity.
    switch_probability: of CutMix, in [0, 1].
    per_example: choose and draw for each row instead of for the batch.

  Raises:
    ValueError: wrong shapes or types, or a number out of range.

  Source: Zhang et al. 2018, arXiv:1710.09412; Yun et al. 2019,
    arXiv:1905.04899. Choosing between them at random is common practice.
  """
  _check(images, targets, mixup_alpha=mixup_alpha, cutmix_alpha=cutmix_alpha)
  _check_images(images)
  if not 0 <= switch_probability <= 1:
    raise ValueError(
      f"switch_probability must be in [0, 1], got {switch_probability}."
    )
  key_switch, key_mixup, key_cutmix = jax.random.split(key, 3)
  rows = len(images) if per_example else 1
  cut = jax.random.bernoulli(key_switch, switch_probability, (rows,))
  blended = mixup(
    images, targets, key_mixup, alpha=mixup_alpha, per_example=per_example
  )
  pasted = cutmix(
    images, targets, key_cutmix, alpha=cutmix_alpha, per_example=per_example
  )

  def pick(a, b):
    return jnp.where(cut.reshape(-1, *[1] * (a.ndim - 1)), a, b)

  return jax.tree.map(pick, pasted, blended)
