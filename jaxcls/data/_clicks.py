"""Made-up click logs: categorical features with long-tailed vocabularies."""

import numpy as np

from jaxcls.data import _readers


def clicks_table(
  split: str,
  *,
  num_features: int = 10,
  smallest: int = 100,
  largest: int = 100_000,
  zipf: float = 1.1,
  num_examples: int = 100_000,
  seed: int = 0,
) -> _readers.Table:
  """Clicks drawn from planted effects of every value of every feature.

  Vocabularies grow geometrically from smallest to largest; the k-th value of
  each comes with probability proportional to k ** -zipf. A value's effect is
  N(0, 1); P(click) = sigmoid(1.5 / sqrt(features) * sum of effects - 1). "x" is
  [features] int32 ids; the train and test splits share the effects.
  """
  _readers.check_split(split, ("train", "test"), "clicks")
  if min(num_features, smallest, num_examples) < 1 or largest < smallest:
    raise ValueError(
      "num_features, smallest and num_examples must be positive and largest "
      f"not below smallest, got {num_features}, {smallest}, {num_examples} and "
      f"{largest}."
    )
  planted = np.random.default_rng([seed, 0])
  drawn = np.random.default_rng([seed, 1 + (split == "test")])
  sizes = np.geomspace(smallest, largest, num_features).round().astype(int)
  x = np.zeros((num_examples, num_features), np.int32)
  score = np.zeros(num_examples)
  for t, size in enumerate(sizes):
    share = np.arange(1, size + 1) ** -zipf
    x[:, t] = drawn.choice(size, num_examples, p=share / share.sum())
    score += planted.normal(size=size)[x[:, t]]
  score = 1.5 * score / np.sqrt(num_features) - 1
  labels = (drawn.random(num_examples) < 1 / (1 + np.exp(-score))).astype(int)
  return _readers.array_table(
    x, labels, num_classes=2, origin="clicks", field="x",
    class_names=("no click", "click"),
    version=f"clicks-1-{num_features}-{smallest}-{largest}-{zipf}-"
    f"{num_examples}-{seed}",
  )  # fmt: skip
