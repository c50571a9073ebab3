"""Which rows of a labelled set a scenario keeps, by their labels."""

import numpy as np

from jaxcls.data import _packaged, _plans


def stratified_subset(
  labels: np.ndarray, *, num_examples: int, seed: int
) -> np.ndarray:
  """Rows of a smaller set with the same shares of the classes.

  Args:
    labels: [n] int class ids.
    num_examples: how many are kept, in [1, n].
    seed: of the choice.

  Returns:
    [num_examples] int, increasing.

  Raises:
    ValueError: num_examples is outside [1, n].

  >>> print(stratified_subset(np.array([0, 0, 1, 1]), num_examples=2, seed=0))
  [1 3]
  """
  if not 1 <= num_examples <= len(labels):
    raise ValueError(
      f"num_examples must be in [1, {len(labels)}], got {num_examples}."
    )
  chosen = _packaged.stratified_choice(labels, num_examples, seed)
  return np.flatnonzero(chosen)


def per_class_subset(
  labels: np.ndarray, *, num_per_class: int, seed: int
) -> np.ndarray:
  """Rows of a set with the same number of examples of every class present.

  Args:
    labels: [n] int class ids.
    num_per_class: at least 1.
    seed: of the choice.

  Returns:
    [classes * num_per_class] int, increasing.

  Raises:
    ValueError: a class has fewer examples.

  >>> print(per_class_subset(np.array([0, 0, 1, 1]), num_per_class=1, seed=0))
  [1 3]
  """
  sizes = dict.fromkeys(np.unique(labels).tolist(), num_per_class)
  return _choose(labels, sizes, seed)


def long_tailed_subset(
  labels: np.ndarray, *, ratio: float, num_head: int | None = None, seed: int
) -> np.ndarray:
  """Rows of a long-tailed set: sizes fall exponentially with the class id.

  n_c = num_head * ratio^(-c / (C - 1)), rounded down, c = 0, ..., C - 1.

  Args:
    labels: [n] int class ids, C = the largest + 1 classes.
    ratio: imbalance, size of class 0 over that of class C - 1, >= 1.
    num_head: size of class 0; None takes all it has.
    seed: of the choice.

  Returns:
    [m] int, increasing.

  Raises:
    ValueError: ratio < 1, a class that is too small or would be empty.

  Source: Cao et al. 2019, arXiv:1906.07413 (long-tailed CIFAR).
  Differs: the examples of a class are drawn, not its first ones.

  >>> y = np.repeat(np.arange(3), 100)
  >>> kept = y[long_tailed_subset(y, ratio=100, seed=0)]
  >>> print(np.bincount(kept))
  [100  10   1]
  """
  if ratio < 1:
    raise ValueError(f"ratio must be >= 1, got {ratio}.")
  counts = np.bincount(labels)
  head = int(counts[0]) if num_head is None else num_head
  exponents = np.arange(len(counts)) / max(1, len(counts) - 1)
  # 1e-9: a size that is whole in exact arithmetic stays whole.
  sizes = np.floor(head * float(ratio) ** -exponents + 1e-9).astype(int)
  return _choose(labels, dict(enumerate(sizes.tolist())), seed)


def _choose(labels, sizes, seed):
  """Draws sizes[c] rows of each class c."""
  kept = []
  for label, size in sizes.items():
    rows = np.flatnonzero(labels == label)
    if not 1 <= size <= len(rows):
      raise ValueError(
        f"class {label} must keep between 1 and its {len(rows)} examples, "
        f"asked for {size}."
      )
    kept.append(rows[_plans.random_order(len(rows), seed, label)[:size]])
  return np.sort(np.concatenate(kept))
