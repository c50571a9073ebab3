"""Examples in bags: only the bag has a label."""

import dataclasses
from typing import NamedTuple

import numpy as np

from jaxcls.data import _plans


class Bags(NamedTuple):
  """Which examples are in which bag.

  `rows` [m] indices of examples, `bag` [m] int32 the bag of each, `labels`
  [num_bags] int32, 1 = the bag holds a positive example.
  """

  rows: np.ndarray
  bag: np.ndarray
  labels: np.ndarray


def deal_bags(
  labels: np.ndarray,
  *,
  positive_class: int,
  num_bags: int,
  sizes: tuple[int, int],
  positive_rate: float,
  seed: int,
) -> Bags:
  """Deals examples into bags, every second one positive.

  A bag's size is uniform in [sizes[0], sizes[1]]; a positive bag of size s has
  max(1, round(positive_rate * s)) examples of the positive class, the rest of
  it and all of a negative bag are of other classes. No example is in two bags.

  Args:
    labels: [n] int class ids.
    positive_class: the class that makes a bag positive.
    num_bags: at least 2.
    sizes: smallest and largest size, 1 <= smallest <= largest.
    positive_rate: in (0, 1], share of positive examples in a positive bag.
    seed: of sizes and examples.

  Returns:
    Bags, in the order of the bags; their labels alternate 0, 1.

  Raises:
    ValueError: an argument is out of range, or there are too few examples.

  >>> bags = deal_bags(
  ...   np.arange(20) % 2,
  ...   positive_class=1,
  ...   num_bags=2,
  ...   sizes=(4, 4),
  ...   positive_rate=0.5,
  ...   seed=0,
  ... )
  >>> print(bags.bag, bags.labels, (bags.rows % 2).tolist())
  [0 0 0 0 1 1 1 1] [0 1] [0, 0, 0, 0, 1, 1, 0, 0]
  """
  if num_bags < 2:
    raise ValueError(f"num_bags must be at least 2, got {num_bags}.")
  low, high = sizes
  if not 1 <= low <= high:
    raise ValueError(
      f"sizes must be (smallest, largest), 1 <= smallest <= largest, got "
      f"{tuple(sizes)}."
    )
  if not 0 < positive_rate <= 1:
    raise ValueError(f"positive_rate must be in (0, 1], got {positive_rate}.")
  rng = np.random.Generator(_plans.random_bits(seed))
  size = rng.integers(low, high + 1, num_bags)
  bag_labels = (np.arange(num_bags) % 2).astype(np.int32)
  positives = np.maximum(1, np.round(positive_rate * size)).astype(int)
  positives *= bag_labels
  shuffled = _plans.random_order(len(labels), seed, 1)
  is_positive = labels[shuffled] == positive_class
  pools = {True: shuffled[is_positive], False: shuffled[~is_positive]}
  for kind, need in (
    (True, positives.sum()),
    (False, (size - positives).sum()),
  ):
    if len(pools[kind]) < need:
      word = "of" if kind else "outside"
      raise ValueError(
        f"num_bags must leave an example for every place: the bags need {need} "
        f"examples {word} class {positive_class}, got {len(pools[kind])}."
      )
  rows, used = [], {True: 0, False: 0}
  for own, total in zip(positives, size, strict=True):
    for kind, count in ((True, own), (False, total - own)):
      rows.append(pools[kind][used[kind] : used[kind] + count])
      used[kind] += count
  bag = np.repeat(np.arange(num_bags, dtype=np.int32), size)
  return Bags(np.concatenate(rows), bag, bag_labels)


@dataclasses.dataclass(frozen=True, eq=False)
class BagPlan:
  """Whole bags, drawn without replacement within a step.

  Element i is [bags_per_step * slots] ids, bag by bag. A bag smaller than its
  slots is repeated from its first example on: a repeated id is padding. A
  larger bag gives `slots` of its examples, drawn anew.

  Fields:
    ids, bags: [n] int, the examples and whose bag they are in. batch_size:
    length of an element. bags_per_step, num_steps, seed: numbers.

  Raises:
    ValueError: more bags a step than there are, or a batch_size that they do
      not divide.
  """

  ids: np.ndarray = dataclasses.field(repr=False)
  bags: np.ndarray = dataclasses.field(repr=False)
  batch_size: int
  bags_per_step: int
  num_steps: int
  seed: int
  _grouped: np.ndarray = _plans._table()
  _starts: np.ndarray = _plans._table()
  _counts: np.ndarray = _plans._table()

  def __post_init__(self):
    ids = _plans._check_ids(self.ids)
    if self.bags is None:
      raise ValueError(
        "bag_plan needs a source with bags, got one without; use the bags "
        "scenario."
      )
    bags = _plans._check_labels(ids, self.bags)
    grouped, starts, counts = _plans._group(ids, bags)
    if not 1 <= self.bags_per_step <= len(counts):
      raise ValueError(
        f"bags_per_step must be in [1, {len(counts)}], got "
        f"{self.bags_per_step}."
      )
    if self.batch_size % self.bags_per_step:
      raise ValueError(
        f"batch_size must be divisible by the {self.bags_per_step} bags of a "
        f"step, got {self.batch_size}."
      )
    _plans._set(self, ids=ids, _grouped=grouped, _starts=starts, _counts=counts)

  def __len__(self) -> int:
    return self.num_steps

  def __getitem__(self, step: int) -> np.ndarray:
    step = _plans._check_step(step, self.num_steps)
    order = _plans.random_order(len(self._counts), self.seed, step)
    slots = self.batch_size // self.bags_per_step
    chosen = []
    for i, row in enumerate(order[: self.bags_per_step]):
      start, count = self._starts[row], self._counts[row]
      members = self._grouped[start : start + count]
      if count > slots:
        key = step * self.bags_per_step + i
        members = members[_plans.random_order(count, self.seed + 1, key)]
      chosen.append(np.resize(members, slots))
    return np.concatenate(chosen)
