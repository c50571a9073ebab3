"""A trained model meets data that have moved, without labels."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxcls import data
from jaxcls.scenarios import _stage, _standard


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestTime:
  """First the clean training data once, then streams of corrupted test data.

  The stage "source" is played as "fit": a learner may look at the training
  data, and the clean test set is its test. Then each corruption is a stage
  played prequentially: every batch is predicted, which is what counts, then
  adapted to. Labels are in the batches for the count alone.

  Attributes:
    source: name for `data.load_source`.
    options: its options.
    corruptions: names of `data.corrupt_images`.
    severity: 1 to 5.
    num_examples: of the test split in every stream; None: all.
    train_split, test_split, split_seed, subset, preprocess: as in `Standard`;
      the training data of the stage "source" are those of `Standard` with the
      same settings.
  """

  # Not a test, whatever its name looks like to pytest.
  __test__ = False

  source: str
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  corruptions: Sequence[str] = data.CORRUPTIONS
  severity: int = 5
  num_examples: int | None = None
  train_split: str = "train"
  test_split: str = "test"
  split_seed: int = 0
  subset: Mapping[str, Any] | None = None
  preprocess: Sequence[Mapping[str, Any]] = ()

  def __post_init__(self):
    """Checks what needs no data."""
    unknown = [n for n in self.corruptions if n not in data.CORRUPTIONS]
    if unknown or not self.corruptions:
      raise ValueError(
        f"scenario.corruptions must be of {data.CORRUPTIONS}, got "
        f"{tuple(self.corruptions)}."
      )
    if self.severity not in range(1, 6):
      raise ValueError(
        f"scenario.severity must be 1 to 5, got {self.severity}."
      )

  def _whole(self) -> _standard.Standard:
    return _standard.whole(self)

  def templates(self) -> dict[str, data.Stream]:
    """The stream over a spec."""
    return self._whole().templates()

  def stages(self, seed: int) -> Iterator[_stage.Stage]:
    """Yields "source", then a stage for each corruption."""
    (clean,) = self._whole().stages(seed)
    yield dataclasses.replace(clean, name="source", play="fit")
    stream, test = clean.streams["train"], clean.evals["test"]
    if self.num_examples is not None:
      rows = data.stratified_subset(
        test.labels, num_examples=self.num_examples, seed=self.split_seed
      )
      test = test.subset(test.ids[rows])
    for name in self.corruptions:
      moved = data.corrupt_source(test, name=name, severity=self.severity)
      yield dataclasses.replace(
        clean,
        name=name,
        play="prequential",
        streams={"train": dataclasses.replace(stream, source=moved)},
        evals={},
      )
