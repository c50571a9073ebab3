"""Classes that arrive stage by stage."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcls import data
from jaxcls.scenarios import _stage, _standard


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassIncremental:
  """Stage t brings the classes of task t and nothing of the tasks before.

  Every stage is tested on all classes seen so far. Class ids are those of the
  source; what is permuted is the order in which they come.

  Attributes:
    source: name for `data.load_source`.
    options: its options.
    task_sizes: classes that each stage brings; at most the source's in sum.
    class_order: "random" (drawn from split_seed), "natural", or all the class
      ids in order.
    shots: None, or the examples of each class in the stages after the first
      (few-shot class-incremental learning); drawn anew for every run's seed.
    later_play: how the stages after the first are played: "train" or "fit".
    later_steps: steps of those stages; None takes the config's length.
    train_split, test_split, val_fraction, split_seed, subset, sampler,
      augment, views, preprocess: as in `Standard`; val and test are of the
      classes seen.

  Source: class-incremental protocol: Rebuffi et al. 2017, arXiv:1611.07725;
    few-shot: Tao et al. 2020, arXiv:2004.10956.
  """

  source: str
  task_sizes: Sequence[int]
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  class_order: str | Sequence[int] = "random"
  shots: int | None = None
  later_play: str = "train"
  later_steps: int | None = None
  train_split: str = "train"
  test_split: str = "test"
  val_fraction: float = 0.0
  split_seed: int = 0
  subset: Mapping[str, Any] | None = None
  sampler: str | Mapping[str, Any] = "uniform_plan"
  augment: Sequence[Mapping[str, Any]] = ()
  views: Sequence[Sequence[Mapping[str, Any]]] = ()
  preprocess: Sequence[Mapping[str, Any]] = ()

  def __post_init__(self):
    """Checks what needs no data."""
    if not self.task_sizes or min(self.task_sizes) < 1:
      raise ValueError(
        "scenario.task_sizes must be positive numbers of classes, got "
        f"{tuple(self.task_sizes)}."
      )
    if self.later_play not in ("train", "fit"):
      raise ValueError(
        "scenario.later_play must be 'train' or 'fit', got "
        f"{self.later_play!r}."
      )
    if self.shots is not None and self.shots < 1:
      raise ValueError(f"scenario.shots must be at least 1, got {self.shots}.")
    self._whole()

  def _whole(self) -> _standard.Standard:
    return _standard.whole(self)

  def templates(self) -> dict[str, data.Stream]:
    """The first stage's stream over a spec."""
    (name, stream), *_ = self._whole().templates().items()
    spec = stream.source
    self.tasks(spec.num_classes)
    share = self.task_sizes[0] / spec.num_classes
    first = spec._replace(num_train=max(1, round(spec.num_train * share)))
    return {name: dataclasses.replace(stream, source=first)}

  def tasks(self, num_classes: int) -> list[np.ndarray]:
    """The class ids of each task.

    Raises:
      ValueError: more classes are asked for than there are, or class_order
        is not a permutation of them.
    """
    if sum(self.task_sizes) > num_classes:
      raise ValueError(
        f"scenario.task_sizes must sum to at most {num_classes} classes, got "
        f"{tuple(self.task_sizes)}."
      )
    if self.class_order == "random":
      order = data.random_order(num_classes, self.split_seed)
    elif self.class_order == "natural":
      order = np.arange(num_classes)
    else:
      order = np.array(self.class_order)
      if sorted(order.tolist()) != list(range(num_classes)):
        raise ValueError(
          "scenario.class_order must be 'random', 'natural' or a permutation "
          f"of {num_classes} class ids, got {self.class_order!r}."
        )
    ends = np.cumsum(self.task_sizes)
    return np.split(order[: ends[-1]], ends[:-1])

  def stages(self, seed: int) -> Iterator[_stage.Stage]:
    """Yields one stage a task; only the shots depend on the seed."""
    (whole,) = self._whole().stages(seed)
    stream = whole.streams["train"]
    source = stream.source
    tasks = self.tasks(source.num_classes)
    task_of_class = np.full(source.num_classes, -1)
    for i, classes in enumerate(tasks):
      task_of_class[classes] = i
      new, seen = task_of_class == i, task_of_class >= 0
      chosen = source.subset(source.ids[new[source.labels]])
      if i and self.shots is not None:
        rows = data.per_class_subset(
          chosen.labels, num_per_class=self.shots, seed=seed
        )
        chosen = chosen.subset(chosen.ids[rows])
      yield _stage.Stage(
        name=f"task{i}",
        streams={"train": dataclasses.replace(stream, source=chosen)},
        evals={
          name: held.subset(held.ids[seen[held.labels]])
          for name, held in whole.evals.items()
        },
        seen=seen,
        new=new,
        task_of_class=task_of_class.copy(),
        play="train" if i == 0 else self.later_play,
        total_steps=None if i == 0 else self.later_steps,
      )
