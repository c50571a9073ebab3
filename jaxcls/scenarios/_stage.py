"""A stage: what the learner sees until the rules change."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from jaxcls import data

PLAYS = ("train", "fit", "prequential", "rounds")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
  """One stage of a scenario.

  Attributes:
    name: unique within the scenario, such as "stage0".
    streams: training streams by name. One stream gives learners a flat
      batch; several give a dict of batches.
    evals: evaluation sets by split name ("val", "test").
    seen: [c] bool, classes of this stage and all before.
    new: [c] bool, classes that this stage brings.
    play: "train" (many steps), "fit" (closed form: no step, only the
      learner's start and end of stage), "prequential" (each batch is
      predicted, then learned) or "rounds" (a step is a round of clients).
    task_of_class: [c] int, the stage that brought each class, -1 = none yet;
      None: this one brought them all.
    total_steps: None takes the config's.
  """

  name: str
  streams: Mapping[str, data.Stream]
  evals: Mapping[str, data.Source]
  seen: np.ndarray
  new: np.ndarray
  play: str = "train"
  task_of_class: np.ndarray | None = None
  total_steps: int | None = None

  def __post_init__(self):
    """Checks `play`."""
    if self.play not in PLAYS:
      raise ValueError(f"play must be one of {PLAYS}, got {self.play!r}.")
    if self.task_of_class is None:
      tasks = np.where(self.seen, 0, -1)
      object.__setattr__(self, "task_of_class", tasks)
