"""Train on one domain, test on it and on others."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxcls import data
from jaxcls.scenarios import _stage, _standard


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainShift:
  """One stage whose evaluation sets are of several domains of a source.

  A domain is the source with other options, such as a rendering of
  "shapes". "test" is of the training domain, the others as they are named.

  Attributes:
    source: name for `data.load_source`.
    options: its options in training and for "test".
    domains: {evaluation set: options that replace some of `options`}.
    val_domain: such options for "val", a few labelled training examples of
      another domain, from which a learner may fit what it has to.
    val_per_class: examples of each class in "val"; 0: there is no "val".
    train_split, test_split, split_seed, subset, sampler, augment, preprocess:
      as in `Standard`; split_seed also draws "val".
  """

  source: str
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  domains: Mapping[str, Mapping[str, Any]] = dataclasses.field(
    default_factory=dict
  )
  val_domain: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  val_per_class: int = 0
  train_split: str = "train"
  test_split: str = "test"
  split_seed: int = 0
  subset: Mapping[str, Any] | None = None
  sampler: str | Mapping[str, Any] = "uniform_plan"
  augment: Sequence[Mapping[str, Any]] = ()
  preprocess: Sequence[Mapping[str, Any]] = ()

  def __post_init__(self):
    """Checks what needs no data."""
    if taken := {"val", "test"} & set(self.domains):
      raise ValueError(
        "scenario.domains must have names other than 'val' and 'test', got "
        f"{sorted(taken)}."
      )
    if self.val_per_class < 0:
      raise ValueError(
        f"scenario.val_per_class must be at least 0, got {self.val_per_class}."
      )

  def _whole(self) -> _standard.Standard:
    return _standard.whole(self)

  def templates(self) -> dict[str, data.Stream]:
    """The stream over a spec."""
    return self._whole().templates()

  def stages(self, seed: int) -> Iterator[_stage.Stage]:
    """Yields the one stage; it does not depend on the seed."""
    (whole,) = self._whole().stages(seed)
    load = lambda split, changes: data.load_source(
      self.source, split=split, **{**self.options, **changes}
    )
    evals = dict(whole.evals)
    for name, changes in self.domains.items():
      evals[name] = load(self.test_split, changes)
    if self.val_per_class:
      other = load(self.train_split, self.val_domain)
      rows = data.per_class_subset(
        other.labels, num_per_class=self.val_per_class, seed=self.split_seed
      )
      evals["val"] = other.subset(other.ids[rows])
    yield dataclasses.replace(whole, evals=evals)
