"""Data that may not leave their owners."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcls import data
from jaxcls.scenarios import _stage, _standard


@dataclasses.dataclass(frozen=True, kw_only=True)
class Federated:
  """The training split dealt to clients; a step is a round of some of them.

  A batch has the rows of a round client by client, and `client` [b] int.

  Attributes:
    source: name for `data.load_source`.
    options: its options.
    num_clients: how many there are.
    alpha: of `data.dirichlet_partition`.
    clients_per_round: how many take part in a round; None: all.
    train_split, test_split, val_fraction, split_seed, subset, augment,
      preprocess: as in `Standard`.
  """

  source: str
  num_clients: int
  alpha: float
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  clients_per_round: int | None = None
  train_split: str = "train"
  test_split: str = "test"
  val_fraction: float = 0.0
  split_seed: int = 0
  subset: Mapping[str, Any] | None = None
  augment: Sequence[Mapping[str, Any]] = ()
  preprocess: Sequence[Mapping[str, Any]] = ()

  def __post_init__(self):
    """Checks what needs no data."""
    taking_part = self.clients_per_round or self.num_clients
    if not 1 <= taking_part <= self.num_clients:
      raise ValueError(
        "scenario.clients_per_round must be in [1, "
        f"{self.num_clients}], got {self.clients_per_round}."
      )

  def _whole(self) -> _standard.Standard:
    sampler = dict(
      name="client_plan",
      clients_per_round=self.clients_per_round or self.num_clients,
    )
    return _standard.whole(self, sampler=sampler)

  def templates(self) -> dict[str, data.Stream]:
    """The stream over a spec."""
    (stream,) = self._whole().templates().values()
    spec = stream.source
    columns = {**spec.columns, "client": np.dtype(np.int32)}
    stream = dataclasses.replace(stream, source=spec._replace(columns=columns))
    return {"train": stream}

  def stages(self, seed: int) -> Iterator[_stage.Stage]:
    """Yields the one stage; the partition depends on split_seed alone."""
    (whole,) = self._whole().stages(seed)
    stream = whole.streams["train"]
    source = stream.source
    owner = np.full(len(source.all_labels), -1, np.int32)
    owner[source.ids] = data.dirichlet_partition(
      source.labels,
      num_clients=self.num_clients,
      alpha=self.alpha,
      seed=self.split_seed,
    )
    source = dataclasses.replace(
      source, columns={**source.columns, "client": owner}
    )
    stream = dataclasses.replace(stream, source=source)
    yield dataclasses.replace(whole, streams={"train": stream}, play="rounds")
