"""Small digits before one large picture that says nothing of the class."""

import numpy as np

from jaxcls.data import _packaged, _plans, _readers

_SEED = 20260731  # Of picture and brightness; part of "mnist5k_backdrop-1".
_SIDE, _DIGIT = 28, 14
_WAVES = 8


def mnist5k_backdrop_table(
  split: str, *, strength: float = 1.0
) -> _readers.Table:
  """mnist5k's digits at half size, in the middle of a shared picture.

  A digit takes the 14 x 14 pixels in the middle. Those around it, three
  quarters of the image, show the same picture in every image of every class,
  at a brightness drawn for each image from [strength / 2, strength],
  independently of the class: what the images share is most of what they show,
  and none of it helps to tell them apart.

  Column `brightness` [n] float32.

  Args:
    split: "train" (4,000) or "test" (1,000).
    strength: in [0, 1]; 0: digits on a black ground.
  """
  if not 0 <= strength <= 1:
    raise ValueError(f"strength must be in [0, 1], got {strength}.")
  digits = _packaged.mnist5k_table(split)
  n, part = len(digits.labels), ("train", "test").index(split)
  small = digits.read(np.arange(n)).reshape(n, _DIGIT, 2, _DIGIT, 2)
  # One random word an example: it depends on (split, id) only.
  bits = _plans.random_bits(_SEED, part).random_raw(n)
  u = (bits >> np.uint64(11)) * 2.0**-53
  brightness = (strength * (0.5 + 0.5 * u)).astype(np.float32)
  images = 255 * brightness[:, None, None] * _picture()
  edge = (_SIDE - _DIGIT) // 2
  inside = slice(edge, edge + _DIGIT)
  images[:, inside, inside] = small.mean(axis=(2, 4))
  images = np.round(images).astype(np.uint8)[..., None]
  return digits._replace(
    read=images.__getitem__,
    origin="mnist5k_backdrop",
    columns={"brightness": brightness},
    version=f"mnist5k_backdrop-1-{strength}",
  )


def _picture() -> np.ndarray:
  """[28 28] float32: a random sum of waves, black where it is below median."""
  words = _plans.random_bits(_SEED, 2).random_raw((_WAVES, 3))
  down, right, phase = ((words >> np.uint64(11)) * 2.0**-53).T
  y, x = np.mgrid[:_SIDE, :_SIDE] / _SIDE
  # Up to four periods a side.
  turns = y[..., None] * (8 * down - 4) + x[..., None] * (8 * right - 4)
  total = np.cos(2 * np.pi * (turns + phase)).sum(axis=-1)
  return (total > np.median(total)).astype(np.float32)
