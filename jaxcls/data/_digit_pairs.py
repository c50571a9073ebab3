"""Two handwritten digits that overlap, to be named both."""

import numpy as np

from jaxcls.data import _packaged, _readers

_SEED = 20261122  # Of the pairs; part of "mnist5k_pairs-1".
_SIDE, _SHIFT = 14, 8


def mnist5k_pairs_table(
  split: str, *, num_examples: int = 20_000
) -> _readers.Table:
  """Pairs of mnist5k's digits at half size, the right one 8 pixels further.

  An image is [14 22 1], the larger of both where they overlap; its label is 10
  times the left digit plus the right one. Pairs of "train" are of training
  images, those of "test", a fifth as many, of test images.

  Source: Sabour et al. 2017, arXiv:1710.09829 (MultiMNIST).
  Differs: half size, shifted to the right only.
  """
  if num_examples < 5:
    raise ValueError(f"num_examples must be at least 5, got {num_examples}.")
  digits = _packaged.mnist5k_table(split)
  n, test = len(digits.labels), split == "test"
  small = digits.read(np.arange(n)).reshape(n, _SIDE, 2, _SIDE, 2)
  small = np.round(small.mean(axis=(2, 4))).astype(np.uint8)
  rng = np.random.default_rng([_SEED, test])
  count = num_examples // 5 if test else num_examples
  left, right = rng.integers(n, size=(2, count))
  images = np.zeros((count, _SIDE, _SIDE + _SHIFT, 1), np.uint8)
  images[:, :, :_SIDE, 0] = small[left]
  later = images[:, :, _SHIFT:, 0]
  np.maximum(later, small[right], out=later)
  return digits._replace(
    read=images.__getitem__,
    labels=10 * digits.labels[left] + digits.labels[right],
    num_classes=100,
    class_names=tuple(f"{i:02d}" for i in range(100)),
    input_shape=images.shape[1:],
    origin="mnist5k_pairs",
    version=f"mnist5k_pairs-1-{num_examples}",
  )
