"""The textbook: one labelled training set, one test set."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcls import _lookup, data
from jaxcls.scenarios import _stage


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standard:
  """One stage: train on a source's training split, evaluate on the others.

  Attributes:
    source: name for `data.load_source`.
    options: its options.
    train_split: split that is trained on.
    test_split: split reported as "test".
    val_fraction: share of the training split held out as "val", stratified;
      the only split that may choose anything.
    split_seed: seed of that choice and of the subset, kept apart from the
      run's: all seeds of a comparison share their splits.
    subset: keeps a part of what is trained on, val and test stay whole: None,
      or a mapping with `name` (stratified_subset, per_class_subset,
      long_tailed_subset) and its settings.
    sampler: see `data.Stream`; likewise `augment`, `views`, `preprocess`.
    augment: training-time operations.
    views: lists of operations, one a view.
    preprocess: operations in training and evaluation.
    play: of `Stage`: "fit" takes no step, the learner fits at the end.
  """

  source: str
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  train_split: str = "train"
  test_split: str = "test"
  val_fraction: float = 0.0
  split_seed: int = 0
  subset: Mapping[str, Any] | None = None
  sampler: str | Mapping[str, Any] = "uniform_plan"
  augment: Sequence[Mapping[str, Any]] = ()
  views: Sequence[Sequence[Mapping[str, Any]]] = ()
  preprocess: Sequence[Mapping[str, Any]] = ()
  play: str = "train"

  def __post_init__(self):
    """Checks the share that is held out."""
    if not 0 <= self.val_fraction < 1:
      raise ValueError(
        f"scenario.val_fraction must be in [0, 1), got {self.val_fraction}."
      )

  def templates(self) -> dict[str, data.Stream]:
    """The streams over specs: shapes and counts, for known sources no data."""
    spec = data.source_spec(self.source, **self.options)
    kept = spec.num_train - round(spec.num_train * self.val_fraction)
    if self.subset:
      labels = np.arange(kept) % spec.num_classes
      kept = len(choose_rows(self.subset, labels, self.split_seed))
    return {"train": self._stream(spec._replace(num_train=kept))}

  def stages(self, seed: int) -> Iterator[_stage.Stage]:
    """Yields the one stage; it does not depend on the seed."""
    del seed
    load = lambda split: data.load_source(
      self.source, split=split, **self.options
    )
    train, evals = load(self.train_split), {}
    if self.val_fraction:
      train, evals["val"] = data.split_source(
        train, self.val_fraction, self.split_seed
      )
    if self.subset:
      rows = choose_rows(self.subset, train.labels, self.split_seed)
      train = train.subset(train.ids[rows])
    evals["test"] = load(self.test_split)
    _check_classes(train, evals["test"])
    everything = np.ones(train.num_classes, bool)
    yield _stage.Stage(
      name="train",
      streams={"train": self._stream(train)},
      evals=evals,
      seen=everything,
      new=everything,
      play=self.play,
    )

  def _stream(self, source: data.Source | data.SourceSpec) -> data.Stream:
    return data.Stream(
      source=source,
      sampler=self.sampler,
      augment=self.augment,
      views=self.views,
      preprocess=self.preprocess,
    )


def whole(scenario: Any, **more: Any) -> Standard:
  """The Standard that shares a scenario's fields: it checks and loads them."""
  own = {f.name for f in dataclasses.fields(scenario)}
  shared = {f.name for f in dataclasses.fields(Standard)} & own - more.keys()
  return Standard(**{k: getattr(scenario, k) for k in shared}, **more)


def choose_rows(
  subset: Mapping[str, Any], labels: np.ndarray, seed: int
) -> np.ndarray:
  """Rows [m] that a subset section keeps of these labels."""
  return _lookup.call(
    subset, data, field="scenario.subset", labels=labels, seed=seed
  )


def _check_classes(train: data.Source, test: data.Source) -> None:
  """Class ids mean the same thing in both splits."""
  if train.class_names != test.class_names:
    raise ValueError(
      f"both splits of {train.name!r} must have the same classes, got "
      f"{train.num_classes} in {train.split!r} and {test.num_classes} in "
      f"{test.split!r}. Make their class folders or ids agree."
    )
