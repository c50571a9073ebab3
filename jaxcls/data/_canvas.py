"""Digits somewhere on a cluttered canvas, with the box that holds each."""

import numpy as np

from jaxcls.data import _packaged, _plans, _readers

_SEED = 20260101  # Of the canvases; part of the version "mnist5k_canvas-1".
_FRAGMENT = 8
_TILE = 8
_INK = 64  # Grey level from which a pixel counts as part of the digit.


def mnist5k_canvas_table(
  split: str,
  *,
  image_size: int = 56,
  clutter: int = 8,
  watermark: float | None = None,
  test_watermark: float | None = None,
) -> _readers.Table:
  """mnist5k's digits, each at a random place among fragments of others.

  Columns: `box` [n 4] int32, (top, left, bottom, right) around the digit's
  ink, ends excluded; with a watermark also `mark_box`.

  Args:
    split: "train" (4,000) or "test" (1,000); fragments come from the split.
    image_size: side of the square canvas, at least 28.
    clutter: number of 8x8 fragments.
    watermark: None, or the share of images whose 8x8 tile in the top left
      corner shows their own class; the others' show one drawn at random.
    test_watermark: that share in the test split; None: the same.
  """
  if image_size < 28:
    raise ValueError(f"image_size must be at least 28, got {image_size}.")
  share = test_watermark if split == "test" else watermark
  share = watermark if share is None else share
  if share is not None and not 0 <= share <= 1:
    raise ValueError(f"watermark must be None or in [0, 1], got {share}.")
  digits = _packaged.mnist5k_table(split)
  n, part = len(digits.labels), ("train", "test").index(split)
  digit_images = digits.read(np.arange(n))
  images = np.zeros((n, image_size, image_size, 1), np.uint8)
  # One row of random words an example: it depends on (split, id) only.
  bits = _plans.random_bits(_SEED, part).random_raw((n, 4 + 5 * clutter))
  boxes = np.zeros((n, 4), np.int32)
  for row in range(n):
    canvas, words = images[row], bits[row]
    for other, *place in words[4:].reshape(clutter, 5):
      # Fragments of the middle of another digit, where the ink is.
      i, j = (6 + int(w % 9) for w in place[:2])
      piece = digit_images[int(other % n), i : i + _FRAGMENT, j : j + _FRAGMENT]
      _draw(canvas, piece, place[2:])
    top, left = _draw(canvas, digit_images[row], words[:2])
    ink = digit_images[row, ..., 0] >= _INK
    ys, xs = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    ends = (ys[0], xs[0], ys[-1] + 1, xs[-1] + 1)
    boxes[row] = np.add((top, left, top, left), ends)
  columns, version = {"box": boxes}, f"{image_size}-{clutter}"
  if share is not None:
    own = (bits[:, 2] >> np.uint64(11)) * 2.0**-53 < share
    shown = np.where(own, digits.labels, (bits[:, 3] % 10).astype(int))
    images[:, :_TILE, :_TILE, 0] = _tiles()[shown]
    columns["mark_box"] = np.tile(np.int32([0, 0, _TILE, _TILE]), (n, 1))
    version += f"-{share}"
  return digits._replace(
    read=images.__getitem__,
    input_shape=images.shape[1:],
    origin="mnist5k_canvas",
    columns=columns,
    version=f"mnist5k_canvas-1-{version}",
  )


def _draw(canvas, piece, words) -> tuple[int, int]:
  """Puts a piece where two random words say; the brighter pixel stays."""
  (h, w), side = piece.shape[:2], canvas.shape[0]
  top = int(words[0] % np.uint64(side - h + 1))
  left = int(words[1] % np.uint64(side - w + 1))
  target = canvas[top : top + h, left : left + w]
  np.maximum(target, piece, out=target)
  return top, left


def _tiles() -> np.ndarray:
  """[10 8 8] uint8: class c's tile is lit in c's four binary digits."""
  codes = np.arange(1, 11)[:, None] >> np.arange(4) & 1
  tiles = codes.reshape(10, 2, 2).repeat(4, axis=1).repeat(4, axis=2)
  return (tiles * 255).astype(np.uint8)
