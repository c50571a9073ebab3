"""Mixing of examples within a batch: mixup, CutMix, or one of the two."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

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
  b, height, width, _ = images.shape
  key_weight, key_place = jax.random.split(key)
  partner = _neighbour(jnp.arange(b, dtype=jnp.int32))
  drawn = _draw_lambda(key_weight, alpha, b, per_example)
  limit = jnp.array([height, width])
  rows = b if per_example else 1
  centre = jax.random.randint(key_place, (rows, 2), 0, limit)
  half = (limit * jnp.sqrt(1.0 - drawn)[:, None]).astype(int) // 2
  start = jnp.clip(centre - half, 0, limit)
  stop = jnp.clip(centre + half, 0, limit)
  weight = 1.0 - (stop - start).prod(-1).astype(jnp.float32) / (height * width)
  inside_row = _inside(height, start[:, 0], stop[:, 0])
  inside_column = _inside(width, start[:, 1], stop[:, 1])
  box = inside_row[:, :, None, None] & inside_column[:, None, :, None]
  return Mixed(
    jnp.where(box, _neighbour(images), images),
    _mix(targets, weight),
    partner,
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
