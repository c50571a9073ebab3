"""Associative recall: pairs of symbols, and a key whose value is asked for."""

import numpy as np

from jaxcls.data import _readers


def recall_table(
  split: str,
  *,
  num_pairs: int = 8,
  num_keys: int = 16,
  num_values: int = 8,
  num_examples: int = 20_000,
  seed: int = 0,
) -> _readers.Table:
  """Sequences k_1 v_1 ... k_n v_n k, and the label is the value of k.

  "image" is [2 n + 1, 1, num_keys + num_values] float32, a one-hot row for each
  symbol: a column of pixels, so that a `vit` of patch 1 reads it as tokens. The
  keys of a sequence differ, the values need not. Split "test" is drawn anew.

  Source: Ba et al. 2016, arXiv:1610.06258.
  """
  _readers.check_split(split, ("train", "test"), "recall")
  sizes = (num_pairs, num_keys, num_values, num_examples)
  if min(sizes) < 1 or num_pairs > num_keys or num_values < 2:
    raise ValueError(
      "num_pairs, num_keys, num_values and num_examples must be positive, "
      "num_pairs at most num_keys and num_values at least 2, got "
      f"{sizes}."
    )
  rng = np.random.default_rng([seed, split == "test"])
  order = rng.random((num_examples, num_keys)).argsort(axis=1)
  keys = order[:, :num_pairs]
  values = rng.integers(num_values, size=keys.shape)
  asked = rng.integers(num_pairs, size=(num_examples, 1))
  pick = lambda x: np.take_along_axis(x, asked, axis=1)
  pairs = np.stack([keys, num_keys + values], axis=2)
  tokens = np.concatenate([pairs.reshape(num_examples, -1), pick(keys)], axis=1)
  one_hot = np.eye(num_keys + num_values, dtype=np.float32)[tokens]
  return _readers.array_table(
    one_hot[:, :, None],
    pick(values)[:, 0],
    num_classes=num_values,
    origin="recall",
    version="recall-1-" + "-".join(map(str, (*sizes, seed))),
  )
