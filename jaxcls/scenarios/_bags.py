"""Bags of examples; only the bags have labels (multiple-instance learning)."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcls import data
from jaxcls.scenarios import _stage, _standard

_NAMES = "negative", "positive"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bags:
  """One stage: whole bags of examples, every example with its bag's label.

  A batch has `label` [b], the label of the example's bag, and `bag` [b] int; a
  repeated id is padding (`data.BagPlan`). Evaluation sets: "test", whose
  labels are the examples' own; "test_bags", the same examples again, so that
  another output can be judged (`evaluation.outputs`) by the metrics that pool
  bags; and "val_bags" with val_bags above 0, the only one that may choose
  anything.

  Attributes:
    source: name for `data.load_source`.
    positive_class: class whose examples make a bag positive.
    train_bags, test_bags, val_bags: numbers of bags.
    bags_per_step: bags of a batch.
    sizes, positive_rate: of `data.deal_bags`; train and test alike.
    options, train_split, test_split, split_seed, augment, views, preprocess:
      as in `Standard`; split_seed also deals the bags.
  """

  source: str
  positive_class: int
  train_bags: int
  test_bags: int
  bags_per_step: int
  val_bags: int = 0
  sizes: tuple[int, int] = (10, 50)
  positive_rate: float = 0.2
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  train_split: str = "train"
  test_split: str = "test"
  split_seed: int = 0
  augment: Sequence[Mapping[str, Any]] = ()
  views: Sequence[Sequence[Mapping[str, Any]]] = ()
  preprocess: Sequence[Mapping[str, Any]] = ()

  def _whole(self) -> _standard.Standard:
    sampler = dict(name="bag_plan", bags_per_step=self.bags_per_step)
    return _standard.whole(self, sampler=sampler)

  def templates(self) -> dict[str, data.Stream]:
    """The stream over a spec."""
    (stream,) = self._whole().templates().values()
    spec = stream.source
    columns = {**spec.columns, "bag": np.dtype(np.int32)}
    num_train = self.train_bags * sum(self.sizes) // 2
    spec = spec._replace(
      columns=columns, num_train=num_train, num_classes=len(_NAMES)
    )
    return {"train": dataclasses.replace(stream, source=spec)}

  def stages(self, seed: int) -> Iterator[_stage.Stage]:
    """Yields the one stage; the bags depend on split_seed alone."""
    (whole,) = self._whole().stages(seed)
    stream = whole.streams["train"]
    dealt = self._deal(stream.source, self.train_bags + self.val_bags)
    train = _bags_of(dealt, 0, self.train_bags)
    test = self._deal(whole.evals["test"], self.test_bags)
    evals = {"test": self._examples(test), "test_bags": self._examples(test)}
    if self.val_bags:
      last = self.train_bags + self.val_bags
      evals["val_bags"] = self._examples(_bags_of(dealt, self.train_bags, last))
    everything = np.ones(len(_NAMES), bool)
    yield _stage.Stage(
      name="train",
      streams={"train": dataclasses.replace(stream, source=self._weak(train))},
      evals=evals,
      seen=everything,
      new=everything,
    )

  def _deal(self, source, num_bags):
    """The source's examples that are in a bag, with the column `bag`."""
    dealt = data.deal_bags(
      source.labels,
      positive_class=self.positive_class,
      num_bags=num_bags,
      sizes=self.sizes,
      positive_rate=self.positive_rate,
      seed=self.split_seed,
    )
    bag = np.full(len(source.all_labels), -1, np.int32)
    bag[source.ids[dealt.rows]] = dealt.bag
    source = dataclasses.replace(source, columns={**source.columns, "bag": bag})
    return source.subset(np.sort(source.ids[dealt.rows]))

  def _examples(self, source):
    """Labels: is the example of the positive class?"""
    own = (source.all_labels == self.positive_class).astype(np.int32)
    return dataclasses.replace(source, all_labels=own, class_names=_NAMES)

  def _weak(self, source):
    """Labels: is the example's bag positive? Bags alternate 0, 1."""
    bag = source.columns["bag"]
    weak = np.where(bag >= 0, bag % 2, -1).astype(np.int32)
    return dataclasses.replace(source, all_labels=weak, class_names=_NAMES)


def _bags_of(source, first, last):
  """The examples in the bags first, ..., last - 1."""
  bag = source.columns["bag"][source.ids]
  return source.subset(source.ids[(bag >= first) & (bag < last)])
