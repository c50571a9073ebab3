"""Plans: which example ids each step sees, as pure functions of (seed, step).

A plan has `len(plan)` steps and `plan[step]` is the [b] int64 vector of the
GLOBAL example ids of that step, over all processes. It keeps no position, so a
run resumes by starting at another step. A plan is also what grain calls a
RandomAccessDataSource. All randomness is Philox keyed by the seed.
"""

import dataclasses
import operator
from typing import NamedTuple

import numpy as np


def random_bits(seed: int, *path: int) -> np.random.Philox:
  """The bit stream keyed by a seed >= 0 and a path of counters."""
  return np.random.Philox(np.random.SeedSequence(seed, spawn_key=path))


def random_order(n: int, seed: int, *path: int) -> np.ndarray:
  """A permutation of n that only Philox's guaranteed bits decide, [n] int."""
  return np.argsort(random_bits(seed, *path).random_raw(n), kind="stable")


def _check_step(step, num_steps: int) -> int:
  step = operator.index(step)
  if not 0 <= step < num_steps:
    raise IndexError(f"step must be in [0, {num_steps}), got {step}.")
  return step


def _check_sizes(**sizes: int) -> None:
  for name, size in sizes.items():
    if size < 1:
      raise ValueError(f"{name} must be positive, got {size}.")


def _check_ids(ids) -> np.ndarray:
  ids = np.array(ids)
  if ids.ndim != 1 or not ids.size or ids.dtype.kind not in "iu":
    raise ValueError(
      f"ids must be a non-empty vector of integers, got shape {ids.shape} "
      f"of {ids.dtype}."
    )
  return ids.astype(np.int64)


def _check_labels(ids: np.ndarray, labels) -> np.ndarray:
  labels = np.array(labels)
  if labels.shape != ids.shape:
    raise ValueError(
      f"labels must have shape {ids.shape} to match ids, got {labels.shape}."
    )
  return labels


def _uniform(seed: int, step: int, shape: tuple[int, ...]) -> np.ndarray:
  """Numbers in [0, 1) with 53 random bits each, a function of (seed, step)."""
  bits = random_bits(seed, step).random_raw(shape)
  return (bits >> np.uint64(11)) * 2.0**-53


def _set(plan, **values) -> None:
  # The plans are frozen; derived tables are filled in once, at construction.
  for name, value in values.items():
    object.__setattr__(plan, name, value)


def _table():
  return dataclasses.field(init=False, repr=False)


@dataclasses.dataclass(frozen=True, eq=False)
class UniformPlan:
  """Each example exactly once an epoch, epochs without end.

  The ids of the steps, put one after the other, are the permutations of epoch
  0, 1, ... one after the other: a batch may end one epoch and begin the next.

  Fields:
    ids: [n] int. batch_size: at most n. num_steps: length. seed: >= 0.

  Raises:
    ValueError: a size is not positive, or batch_size > n.
  """

  ids: np.ndarray = dataclasses.field(repr=False)
  batch_size: int
  num_steps: int
  seed: int
  _epochs: dict = _table()

  def __post_init__(self):
    _check_sizes(batch_size=self.batch_size, num_steps=self.num_steps)
    _set(self, ids=_check_ids(self.ids), _epochs={})
    if self.batch_size > len(self.ids):
      raise ValueError(
        f"batch_size must be at most the {len(self.ids)} examples of the "
        f"split, got {self.batch_size}: lower it or use more examples."
      )

  def _epoch(self, epoch: int) -> np.ndarray:
    order = self._epochs.get(epoch)
    if order is None:
      # Two threads may both compute it: they store equal arrays.
      order = self.ids[random_order(len(self.ids), self.seed, epoch)]
      self._epochs[epoch] = order
      for old in [e for e in list(self._epochs) if abs(e - epoch) > 1]:
        self._epochs.pop(old, None)
    return order

  def __len__(self) -> int:
    return self.num_steps

  def __getitem__(self, step: int) -> np.ndarray:
    step = _check_step(step, self.num_steps)
    epoch, start = divmod(step * self.batch_size, len(self.ids))
    batch = self._epoch(epoch)[start : start + self.batch_size]
    rest = self.batch_size - len(batch)
    if rest:
      batch = np.concatenate([batch, self._epoch(epoch + 1)[:rest]])
    return batch.copy()

  def __getstate__(self):
    return self.__dict__ | {"_epochs": {}}


def repeated_plan(
  ids: np.ndarray,
  *,
  repeats: np.ndarray,
  batch_size: int,
  num_steps: int,
  seed: int,
) -> UniformPlan:
  """A UniformPlan in whose epochs an example comes several times.

  Args:
    ids: [n] int.
    repeats: [m] int, >= 0, times an epoch by id: m is above every id.
    batch_size: at most the sum of the repeats.
    num_steps: length.
    seed: >= 0.

  Raises:
    ValueError: repeats are no counts for these ids.

  >>> plan = repeated_plan(
  ...   np.array([0, 2]),
  ...   repeats=np.array([1, 9, 3]),
  ...   batch_size=4,
  ...   num_steps=1,
  ...   seed=0,
  ... )
  >>> print(np.sort(plan[0]))
  [0 2 2 2]
  """
  ids, repeats = _check_ids(ids), np.asarray(repeats)
  if repeats.dtype.kind not in "iu" or repeats.ndim != 1:
    raise ValueError(
      f"repeats must be a vector of integers, got {repeats.dtype}"
      f"{list(repeats.shape)}."
    )
  if ids.max() >= len(repeats) or repeats.min(initial=0) < 0:
    raise ValueError(
      f"repeats must hold a count >= 0 for every id up to {ids.max()}, got "
      f"{len(repeats)} from {repeats.min(initial=0)} on."
    )
  return UniformPlan(np.repeat(ids, repeats[ids]), batch_size, num_steps, seed)


@dataclasses.dataclass(frozen=True, eq=False)
class SequentialPlan:
  """One pass in the given order; the last batch is padded with -1.

  Fields:
    ids: [n] int. batch_size: may exceed n.
  """

  ids: np.ndarray = dataclasses.field(repr=False)
  batch_size: int

  def __post_init__(self):
    _check_sizes(batch_size=self.batch_size)
    _set(self, ids=_check_ids(self.ids))

  def __len__(self) -> int:
    return -(-len(self.ids) // self.batch_size)

  def __getitem__(self, step: int) -> np.ndarray:
    start = _check_step(step, len(self)) * self.batch_size
    batch = np.full(self.batch_size, -1, np.int64)
    some = self.ids[start : start + self.batch_size]
    batch[: len(some)] = some
    return batch


@dataclasses.dataclass(frozen=True, eq=False)
class ClassBalancedPlan:
  """Draws a class, then one of its examples, both with replacement.

  P(class) is proportional to count^(1 - power): power 1 is balanced, 0.5 the
  square-root rule, 0 the natural frequencies. Classes without examples are
  never drawn.

  Fields:
    ids, labels: [n] int. batch_size, num_steps, seed, power: numbers.
  """

  ids: np.ndarray = dataclasses.field(repr=False)
  labels: np.ndarray = dataclasses.field(repr=False)
  batch_size: int
  num_steps: int
  seed: int
  power: float = 1.0
  _grouped: np.ndarray = _table()
  _starts: np.ndarray = _table()
  _counts: np.ndarray = _table()
  _cumulative: np.ndarray = _table()

  def __post_init__(self):
    _check_sizes(batch_size=self.batch_size, num_steps=self.num_steps)
    ids = _check_ids(self.ids)
    labels = _check_labels(ids, self.labels)
    grouped, starts, counts = _group(ids, labels)
    cumulative = np.cumsum(counts.astype(float) ** (1.0 - self.power))
    _set(
      self,
      ids=ids,
      labels=labels,
      _grouped=grouped,
      _starts=starts,
      _counts=counts,
      _cumulative=cumulative / cumulative[-1],
    )

  def __len__(self) -> int:
    return self.num_steps

  def __getitem__(self, step: int) -> np.ndarray:
    step = _check_step(step, self.num_steps)
    which, within = _uniform(self.seed, step, (2, self.batch_size))
    rows = np.searchsorted(self._cumulative, which, side="right")
    offset = (within * self._counts[rows]).astype(np.int64)
    return self._grouped[self._starts[rows] + offset]


def _group(ids, labels):
  """Ids sorted by label, and where each present class starts, and its size."""
  order = np.argsort(labels, kind="stable")
  _, starts, counts = np.unique(
    labels[order], return_index=True, return_counts=True
  )
  return ids[order], starts, counts


@dataclasses.dataclass(frozen=True, eq=False)
class WeightedPlan:
  """Draws each id with probability weights / sum(weights), with replacement.

  Fields:
    ids: [n] int. weights: [n], >= 0, finite, not all zero; an id of weight 0 is
    never drawn. batch_size, num_steps, seed: numbers.
  """

  ids: np.ndarray = dataclasses.field(repr=False)
  weights: np.ndarray = dataclasses.field(repr=False)
  batch_size: int
  num_steps: int
  seed: int
  _cumulative: np.ndarray = _table()

  def __post_init__(self):
    _check_sizes(batch_size=self.batch_size, num_steps=self.num_steps)
    ids, weights = _check_ids(self.ids), np.array(self.weights, float)
    if weights.shape != ids.shape:
      raise ValueError(
        f"weights must have shape {ids.shape} to match ids, got "
        f"{weights.shape}."
      )
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
      raise ValueError(
        "weights must be finite, >= 0 and not all zero, got "
        f"{weights.min()} to {weights.max()}."
      )
    cumulative = np.cumsum(weights / weights.max())
    _set(
      self, ids=ids, weights=weights, _cumulative=cumulative / cumulative[-1]
    )

  def __len__(self) -> int:
    return self.num_steps

  def __getitem__(self, step: int) -> np.ndarray:
    step = _check_step(step, self.num_steps)
    u = _uniform(self.seed, step, (self.batch_size,))
    return self.ids[np.searchsorted(self._cumulative, u, side="right")]


class EpisodeLayout(NamedTuple):
  """Where an episode of `EpisodicPlan` holds what.

  `support` [way * shot] and `query` [way * query] are positions in the episode;
  `support_labels` and `query_labels` are the classes of these rows within the
  episode, 0..way-1.
  """

  support: np.ndarray
  query: np.ndarray
  support_labels: np.ndarray
  query_labels: np.ndarray


def episode_layout(way: int, shot: int, query: int) -> EpisodeLayout:
  """Positions and episode labels of an episode, class-major.

  An episode is [way * (shot + query)] ids: for class 0 its `shot` support ids,
  then its `query` query ids, then the same for class 1, and so on.

  >>> print(episode_layout(way=2, shot=1, query=2).query)
  [1 2 4 5]
  """
  _check_sizes(way=way, shot=shot, query=query)
  rows = np.arange(way * (shot + query)).reshape(way, shot + query)
  return EpisodeLayout(
    rows[:, :shot].ravel(),
    rows[:, shot:].ravel(),
    np.repeat(np.arange(way), shot),
    np.repeat(np.arange(way), query),
  )


@dataclasses.dataclass(frozen=True, eq=False)
class EpisodicPlan:
  """Few-shot episodes: `way` classes, `shot` + `query` distinct ids of each.

  Element i is [way * (shot + query)] ids in the order of `episode_layout`.
  Classes are drawn without replacement within an episode.

  Fields:
    ids, labels: [n] int. way, shot, query, num_episodes, seed: numbers.

  Raises:
    ValueError: fewer classes than `way`, or a class with fewer than
      shot + query examples.
  """

  ids: np.ndarray = dataclasses.field(repr=False)
  labels: np.ndarray = dataclasses.field(repr=False)
  way: int
  shot: int
  query: int
  num_episodes: int
  seed: int
  _grouped: np.ndarray = _table()
  _starts: np.ndarray = _table()
  _counts: np.ndarray = _table()

  def __post_init__(self):
    _check_sizes(
      way=self.way,
      shot=self.shot,
      query=self.query,
      num_episodes=self.num_episodes,
    )
    ids = _check_ids(self.ids)
    labels = _check_labels(ids, self.labels)
    grouped, starts, counts = _group(ids, labels)
    if self.way > len(counts):
      raise ValueError(
        f"way must be at most the {len(counts)} classes present, got "
        f"{self.way}."
      )
    least, need = int(counts.argmin()), self.shot + self.query
    if counts[least] < need:
      raise ValueError(
        f"every class must have shot + query = {need} examples, got "
        f"{counts[least]} of class {np.unique(labels)[least]}: leave it out or "
        "lower shot or query."
      )
    _set(
      self,
      ids=ids,
      labels=labels,
      _grouped=grouped,
      _starts=starts,
      _counts=counts,
    )

  def __len__(self) -> int:
    return self.num_episodes

  def __getitem__(self, step: int) -> np.ndarray:
    step = _check_step(step, self.num_episodes)
    bits = random_bits(self.seed, step)
    order = np.argsort(bits.random_raw(len(self._counts)), kind="stable")
    rows = order[: self.way]
    counts = self._counts[rows]
    # A shuffled deck a class: sort random numbers, absent cards last.
    deck = bits.random_raw((self.way, int(counts.max())))
    deck = (deck >> np.uint64(1)).astype(np.int64)
    deck[np.arange(deck.shape[1]) >= counts[:, None]] = np.iinfo(np.int64).max
    cards = np.argsort(deck, axis=1, kind="stable")
    cards = cards[:, : self.shot + self.query]
    return self._grouped[self._starts[rows][:, None] + cards].ravel()
