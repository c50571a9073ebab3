"""Some classes have labels, the others nobody has named."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcls import data
from jaxcls.scenarios import _stage, _standard

PLAYS = ("train", "fit")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discovery:
  """Generalised category discovery: one stream, part of it with labels.

  The old classes become 0, 1, ..., in the order given, the others follow. A
  share of the old classes' training images keeps its labels; all the rest, of
  old and new classes, has label -1. A batch draws with replacement so that on
  average half of it is labelled. Which images have labels depends on the run's
  seed.

  Evaluation sets with every label: "unlabeled", the training images without
  one (what the papers report), "test" and "val". With `outliers` also
  "outliers": test images (label 0) and images of another source (label 1).
  The stage's `new` classes are those without labels. The number of classes is
  known.

  Attributes:
    source: name for `data.load_source`.
    old_classes: class ids that have labels.
    labeled_fraction: share of their training images, in (0, 1).
    play: "train", or "fit": no step is taken, and what the learner finds at
      its start is judged.
    outliers: None, or the name of a source of the same shape and dtype, whose
      test split is of no class.
    options: of the source.
    train_split, test_split, val_fraction, split_seed, subset, views,
      preprocess: as in `Standard`.

  Source: Vaze et al. 2022, arXiv:2201.02609; the sampler: Wen et al. 2023,
    arXiv:2211.11727 (SimGCD, released code).
  """

  source: str
  old_classes: Sequence[int]
  labeled_fraction: float = 0.5
  play: str = "train"
  outliers: str | None = None
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  train_split: str = "train"
  test_split: str = "test"
  val_fraction: float = 0.0
  split_seed: int = 0
  subset: Mapping[str, Any] | None = None
  views: Sequence[Sequence[Mapping[str, Any]]] = ()
  preprocess: Sequence[Mapping[str, Any]] = ()

  def __post_init__(self):
    """Checks what needs no data."""
    if not 0 < self.labeled_fraction < 1:
      raise ValueError(
        "scenario.labeled_fraction must be in (0, 1), got "
        f"{self.labeled_fraction}."
      )
    if self.play not in PLAYS:
      raise ValueError(
        f"scenario.play must be one of {PLAYS}, got {self.play!r}."
      )

  def _whole(self) -> _standard.Standard:
    return _standard.whole(self)

  def _order(self, num_classes: int) -> np.ndarray:
    """[c] class ids of the source, old ones first."""
    old = list(self.old_classes)
    every = set(range(num_classes))
    if len(set(old)) < len(old) or not set(old) < every or not old:
      raise ValueError(
        "scenario.old_classes must be distinct class ids in [0, "
        f"{num_classes}), at least one and not all, got {tuple(old)}."
      )
    return np.array(old + sorted(every - set(old)))

  def templates(self) -> dict[str, data.Stream]:
    """The stream over a spec."""
    streams = self._whole().templates()
    self._order(streams["train"].source.num_classes)
    return streams

  def stages(self, seed: int) -> Iterator[_stage.Stage]:
    """Yields the one stage."""
    (whole,) = self._whole().stages(seed)
    stream, num_old = whole.streams["train"], len(self.old_classes)
    order = self._order(stream.source.num_classes)
    new_ids = np.argsort(order)
    names = tuple(stream.source.class_names[k] for k in order)
    renamed = lambda source: dataclasses.replace(
      source,
      all_labels=new_ids[source.all_labels].astype(np.int32),
      class_names=names,
    )
    train = renamed(stream.source)
    old = np.flatnonzero(train.labels < num_old)
    count = round(len(old) * self.labeled_fraction)
    chosen = old[
      data.stratified_subset(train.labels[old], num_examples=count, seed=seed)
    ]
    labeled = np.zeros(len(train), bool)
    labeled[chosen] = True
    given = np.full_like(train.all_labels, -1)
    given[train.ids[labeled]] = train.labels[labeled]
    weights = np.where(labeled, 1.0, labeled.sum() / (~labeled).sum())
    evals = {k: renamed(v) for k, v in whole.evals.items()}
    # Which rows follows from the run's seed: all seeds have one version.
    evals["unlabeled"] = dataclasses.replace(
      train.subset(train.ids[~labeled]), version=f"{train.version}-unlabeled"
    )
    if self.outliers is not None:
      far = data.load_source(self.outliers, split="test")
      evals["outliers"] = join_outliers(evals["test"], far)
    yield _stage.Stage(
      name="train",
      streams={
        "train": dataclasses.replace(
          stream,
          source=dataclasses.replace(train, all_labels=given),
          sampler=dict(name="weighted_plan", weights=weights),
        )
      },
      evals=evals,
      seen=np.ones(len(order), bool),
      new=np.arange(len(order)) >= num_old,
      play=self.play,
    )


def join_outliers(inside: data.Source, outside: data.Source) -> data.Source:
  """One source of two: label 0 are the first's examples, 1 the second's.

  Ids are positions: the first's examples, then the second's.

  Raises:
    ValueError: examples of another shape or dtype.
  """
  kind = lambda s: (s.field, tuple(s.input_shape), np.dtype(s.dtype))
  if kind(inside) != kind(outside):
    raise ValueError(
      f"scenario.outliers must hold examples such as {kind(inside)}, got "
      f"{kind(outside)} in {outside.name!r}."
    )
  sizes = [len(inside), len(outside)]

  def read(ids):
    far = ids >= sizes[0]
    out = np.empty((len(ids), *inside.input_shape), inside.dtype)
    for source, mine, start in (
      (inside, ~far, 0), (outside, far, sizes[0])
    ):  # fmt: skip
      if mine.any():
        out[mine] = source.read(source.ids[ids[mine] - start])
    return out

  return dataclasses.replace(
    inside,
    name=f"{inside.name}+{outside.name}",
    version=f"{inside.version}+{outside.version}",
    class_names=("inlier", "outlier"),
    ids=np.arange(sum(sizes)),
    all_labels=np.repeat(np.arange(2, dtype=np.int32), sizes),
    columns={},
    read=read,
  )
