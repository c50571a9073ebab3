"""Tables of exact operations: what a network can only memorise or find out."""

from collections.abc import Sequence

import numpy as np

from jaxcls.data import _plans, _readers


def group_addition_table(
  split: str,
  *,
  moduli: Sequence[int] = (23,),
  train_fraction: float = 0.5,
  seed: int = 0,
) -> _readers.Table:
  """All pairs of elements of Z_a x Z_b x ..., and their sum.

  "x" is the one-hot first element followed by the second's, float32 [2 m], m =
  a * b * ...; the label is the index of the sum. One modulus is addition modulo
  a. A random share of the m * m pairs is the training split.
  """
  _readers.check_split(split, ("train", "test"), "group_addition")
  if not moduli or min(moduli) < 2 or not 0 < train_fraction < 1:
    raise ValueError(
      "moduli must be at least 2 and train_fraction in (0, 1), got "
      f"{tuple(moduli)} and {train_fraction}."
    )
  moduli = tuple(int(a) for a in moduli)
  m = int(np.prod(moduli))
  order = _plans.random_order(m * m, seed)
  num_train = round(train_fraction * m * m)
  chosen = order[:num_train] if split == "train" else order[num_train:]
  first, second = np.divmod(np.sort(chosen), m)
  parts = lambda index: np.stack(np.unravel_index(index, moduli))
  total = (parts(first) + parts(second)) % np.array(moduli)[:, None]
  labels = np.ravel_multi_index(tuple(total), moduli)
  rows = np.eye(m, dtype=np.float32)
  name = "x".join(map(str, moduli))
  return _readers.array_table(
    np.concatenate([rows[first], rows[second]], axis=1),
    labels,
    num_classes=m,
    origin="group_addition",
    field="x",
    version=f"group_addition-1-{name}-{train_fraction}-{seed}",
  )
