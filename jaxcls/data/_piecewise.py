"""A task of several linear rules; an id says which one holds."""

import numpy as np

from jaxcls.data import _readers


def piecewise_table(
  split: str,
  *,
  num_ids: int = 32,
  num_functions: int = 4,
  num_features: int = 10,
  num_classes: int = 4,
  num_examples: int = 4000,
  seed: int = 0,
) -> _readers.Table:
  """Examples labelled by the linear rule that their id stands for.

  "x" is the one-hot id followed by z ~ N(0, I), float32; the label is the
  largest of A_g z, where g is the id's rule, drawn once, as many ids a rule.
  The train and test splits share ids and rules.
  """
  _readers.check_split(split, ("train", "test"), "piecewise")
  sizes = (num_ids, num_functions, num_features, num_classes, num_examples)
  if min(sizes) < 1 or num_functions > num_ids:
    raise ValueError(
      "num_ids, num_functions, num_features, num_classes and num_examples must "
      f"be positive and num_functions at most num_ids, got {sizes}."
    )
  planted = np.random.default_rng([seed, 0])
  drawn = np.random.default_rng([seed, 1 + (split == "test")])
  rules = planted.normal(size=(num_functions, num_classes, num_features))
  rule_of_id = planted.permutation(np.arange(num_ids) % num_functions)
  ids = drawn.integers(num_ids, size=num_examples)
  z = drawn.normal(size=(num_examples, num_features)).astype(np.float32)
  scores = np.einsum("ncd,nd->nc", rules[rule_of_id[ids]], z)
  rows = np.eye(num_ids, dtype=np.float32)
  return _readers.array_table(
    np.concatenate([rows[ids], z], axis=1),
    scores.argmax(axis=1),
    num_classes=num_classes,
    origin="piecewise",
    field="x",
    version="piecewise-1-" + "-".join(map(str, (*sizes, seed))),
  )
