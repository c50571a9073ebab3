"""Pairs of an attribute and an object, of which some are never trained on."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcls import data
from jaxcls.scenarios import _stage, _standard


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompositionalZeroShot:
  """Trains on images of the seen pairs; the rest are met in evaluation only.

  A class is a pair: attribute * num_objects + object. Every attribute and every
  object is in a seen pair. The unseen pairs are parted in two: "val" holds
  images of the seen pairs and of one part, "test" of the seen pairs and of the
  other, so what is chosen on val has not met the pairs of the test. Metrics
  that take `seen` rank all pairs (open world) or the seen ones and those of the
  evaluation set (closed world).

  Attributes:
    source: name for `data.load_source`.
    num_objects: objects, of which the number of classes is a multiple.
    options: of the source.
    seen_fraction: share of the pairs that is trained on, in (0, 1).
    val_pairs_fraction: share of the unseen pairs that is val's.
    train_rows: None, or (start, stop): seen pairs with another attribute are
      not trained on here and not counted as seen; to train on one attribute an
      object where rows from `stop` on have two, see `data.pair_classes`.
    eval_rows: None, or (start, stop): pairs with another attribute are in no
      evaluation set.
    val_fraction: share of the training images held out for val.
    train_split, test_split, split_seed, subset, sampler, augment, preprocess:
      as in `Standard`; split_seed also draws the pairs, and the subset is of
      the images of seen pairs.

  Source: protocol: Purushwalkam et al. 2019, arXiv:1905.05908; closed and
    open world: Mancini et al. 2021, arXiv:2101.12609.
  """

  source: str
  num_objects: int
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  seen_fraction: float = 0.6
  val_pairs_fraction: float = 0.4
  train_rows: Sequence[int] | None = None
  eval_rows: Sequence[int] | None = None
  val_fraction: float = 0.2
  train_split: str = "train"
  test_split: str = "test"
  split_seed: int = 0
  subset: Mapping[str, Any] | None = None
  sampler: str | Mapping[str, Any] = "uniform_plan"
  augment: Sequence[Mapping[str, Any]] = ()
  preprocess: Sequence[Mapping[str, Any]] = ()

  def __post_init__(self):
    """Checks the shares and the rows."""
    for name in ("seen_fraction", "val_pairs_fraction", "val_fraction"):
      if not 0 < getattr(self, name) < 1:
        raise ValueError(
          f"scenario.{name} must be in (0, 1), got {getattr(self, name)}."
        )
    for name in ("train_rows", "eval_rows"):
      rows = getattr(self, name)
      if rows is not None and (len(rows) != 2 or not 0 <= rows[0] < rows[1]):
        raise ValueError(
          f"scenario.{name} must be None or (start, stop) with 0 <= start < "
          f"stop, got {rows}."
        )

  def _whole(self) -> _standard.Standard:
    return _standard.whole(self, subset=None)

  def templates(self) -> dict[str, data.Stream]:
    """The stream over a spec."""
    (stream,) = self._whole().templates().values()
    spec = stream.source
    seen = self._trained(self.pairs(spec.num_classes)[0])
    count = round(spec.num_train * seen.mean())
    if self.subset:
      labels = np.flatnonzero(seen)[np.arange(count) % seen.sum()]
      kept = _standard.choose_rows(self.subset, labels, self.split_seed)
      count = len(kept)
    spec = spec._replace(num_train=count)
    return {"train": dataclasses.replace(stream, source=spec)}

  def pairs(self, num_classes: int) -> tuple[np.ndarray, ...]:
    """Three [c] bool: seen pairs, val's unseen pairs, test's unseen pairs.

    Raises:
      ValueError: num_objects does not divide the classes, or a share leaves
        one of the three empty or an attribute or object unseen.
    """
    columns = self.num_objects
    if columns < 1 or num_classes % columns:
      raise ValueError(
        f"scenario.num_objects must divide the {num_classes} classes, got "
        f"{columns}."
      )
    rows = num_classes // columns
    wide = max(rows, columns)
    num_seen = round(self.seen_fraction * num_classes)
    num_val = round(self.val_pairs_fraction * (num_classes - num_seen))
    if num_seen < wide or not 0 < num_val < num_classes - num_seen:
      raise ValueError(
        "scenario.seen_fraction and val_pairs_fraction must leave at least "
        f"{wide} seen pairs and one unseen pair each for val and test of "
        f"{num_classes}, got {self.seen_fraction} and "
        f"{self.val_pairs_fraction}."
      )
    # One pair a step along both shuffled axes meets every row and column.
    order = lambda n, i: data.random_order(n, self.split_seed, i)
    a, o = order(rows, 1), order(columns, 2)
    steps = np.arange(wide)
    first = a[steps % rows] * columns + o[steps % columns]
    rest = order(num_classes, 3)
    rest = rest[~np.isin(rest, first)]
    parts = np.split(
      np.concatenate([first, rest]), [num_seen, num_seen + num_val]
    )
    everything = np.arange(num_classes)
    return tuple(np.isin(everything, part) for part in parts)

  def _within(self, rows, num_classes: int) -> np.ndarray:
    """[c] bool: classes whose attribute is one of these rows."""
    start, stop = rows or (0, num_classes)
    row = np.arange(num_classes) // self.num_objects
    return (row >= start) & (row < stop)

  def _trained(self, seen: np.ndarray) -> np.ndarray:
    """[c] bool: the seen pairs that this stage trains on."""
    trained = seen & self._within(self.train_rows, len(seen))
    if not trained.any():
      raise ValueError(
        f"scenario.train_rows must hold a seen pair, got {self.train_rows}."
      )
    return trained

  def stages(self, seed: int) -> Iterator[_stage.Stage]:
    """Yields the one stage; it does not depend on the seed."""
    (whole,) = self._whole().stages(seed)
    stream = whole.streams["train"]
    source = stream.source
    seen, *unseen = self.pairs(source.num_classes)
    seen = self._trained(seen)
    shown = self._within(self.eval_rows, source.num_classes)
    keep = lambda source, wanted: source.subset(
      source.ids[wanted[source.labels]]
    )
    train = keep(source, seen)
    if self.subset:
      rows = _standard.choose_rows(self.subset, train.labels, self.split_seed)
      train = train.subset(train.ids[rows])
    yield _stage.Stage(
      name="train",
      streams={"train": dataclasses.replace(stream, source=train)},
      evals={
        name: keep(whole.evals[name], (seen | pairs) & shown)
        for name, pairs in zip(("val", "test"), unseen, strict=True)
      },
      seen=seen,
      new=seen,
    )
