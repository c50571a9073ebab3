"""A few labelled images of known classes, many unlabelled of any."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcls import data
from jaxcls.scenarios import _stage, _standard


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemiSupervised:
  """Two streams: `labeled`, and `unlabeled` whose labels are all -1.

  With known_classes fewer than the source's, those classes become 0, 1, ...
  and the rest are unknown: the unlabelled stream has them, "test" does not, and
  in the evaluation set "open" they are one further class ("val" and "val_open"
  likewise). Which examples are labelled depends on the run's seed.

  Attributes:
    source: name for `data.load_source`.
    labels_per_class: labelled examples of each known class.
    unlabeled_ratio: unlabelled examples in a batch for one labelled.
    labeled_batch_size: labelled examples in a batch; give batch_size the same.
    known_classes: None (all) or class ids.
    options: of the source.
    train_split, test_split, val_fraction, split_seed, subset, preprocess: as
      in `Standard`.
    weak, strong: operations on the images: both streams' weak view, and the
      unlabelled stream's second view.

  Source: Sohn et al. 2020, arXiv:2001.07685; open-set: Li et al. 2023,
    arXiv:2308.13168.
  """

  source: str
  labels_per_class: int
  labeled_batch_size: int
  unlabeled_ratio: int = 7
  known_classes: Sequence[int] | None = None
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  train_split: str = "train"
  test_split: str = "test"
  val_fraction: float = 0.0
  split_seed: int = 0
  subset: Mapping[str, Any] | None = None
  weak: Sequence[Mapping[str, Any]] = ()
  strong: Sequence[Mapping[str, Any]] = ()
  preprocess: Sequence[Mapping[str, Any]] = ()

  def __post_init__(self):
    """Checks what needs no data."""
    for name in ("labels_per_class", "labeled_batch_size", "unlabeled_ratio"):
      if getattr(self, name) < 1:
        raise ValueError(
          f"scenario.{name} must be at least 1, got {getattr(self, name)}."
        )

  def _whole(self) -> _standard.Standard:
    return _standard.whole(self)

  def _known(self, num_classes: int) -> list[int]:
    known = self.known_classes
    known = list(range(num_classes)) if known is None else list(known)
    if len(set(known)) < len(known) or not set(known) <= set(
      range(num_classes)
    ):
      raise ValueError(
        "scenario.known_classes must be distinct class ids in [0, "
        f"{num_classes}), got {tuple(known)}."
      )
    return known

  def _streams(self, labeled, unlabeled) -> dict[str, data.Stream]:
    shared = dict(preprocess=self.preprocess)
    return {
      "labeled": data.Stream(
        source=labeled, sampler="class_balanced_plan", augment=self.weak,
        batch_size=self.labeled_batch_size, **shared,
      ),
      "unlabeled": data.Stream(
        source=unlabeled, views=(self.weak, self.strong),
        batch_size=self.labeled_batch_size * self.unlabeled_ratio, **shared,
      ),
    }  # fmt: skip

  def templates(self) -> dict[str, data.Stream]:
    """The streams over specs."""
    (stream,) = self._whole().templates().values()
    known = self._known(stream.source.num_classes)
    spec = stream.source._replace(num_classes=len(known))
    labeled = spec._replace(num_train=self.labels_per_class * len(known))
    return self._streams(labeled, spec)

  def stages(self, seed: int) -> Iterator[_stage.Stage]:
    """Yields the one stage."""
    (whole,) = self._whole().stages(seed)
    train = whole.streams["train"].source
    known = self._known(train.num_classes)
    names = tuple(train.class_names[k] for k in known)
    new_ids = np.full(train.num_classes, len(known))
    new_ids[known] = np.arange(len(known))
    renamed = lambda source, names: dataclasses.replace(
      source,
      all_labels=new_ids[source.all_labels].astype(np.int32),
      class_names=names,
    )
    kept = lambda source: source.subset(
      source.ids[new_ids[source.labels] < len(known)]
    )
    labeled = renamed(kept(train), names)
    rows = data.per_class_subset(
      labeled.labels, num_per_class=self.labels_per_class, seed=seed
    )
    labeled = labeled.subset(labeled.ids[rows])
    hidden = np.full(len(train.all_labels), -1, np.int32)
    unlabeled = dataclasses.replace(train, all_labels=hidden, class_names=names)
    evals = {k: renamed(kept(v), names) for k, v in whole.evals.items()}
    if len(known) < train.num_classes:
      opened = {"val": "val_open", "test": "open"}
      for name, source in whole.evals.items():
        evals[opened[name]] = renamed(source, (*names, "unknown"))
    everything = np.ones(len(known), bool)
    yield _stage.Stage(
      name="train",
      streams=self._streams(labeled, unlabeled),
      evals=evals,
      seen=everything,
      new=everything,
    )
