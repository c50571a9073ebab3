"""Examples that belong to clients: partitions, and rounds of some clients."""

import dataclasses

import numpy as np

from jaxcls.data import _plans


def dirichlet_partition(
  labels: np.ndarray, *, num_clients: int, alpha: float, seed: int
) -> np.ndarray:
  """Gives every example to a client; the classes' shares are Dirichlet draws.

  For each class c: q_c ~ Dirichlet(alpha, ..., alpha) over the clients, and
  the class's examples are dealt in these shares. A client that is left empty
  takes one example from the largest.

  Args:
    labels: [n] int class ids.
    num_clients: in [1, n].
    alpha: > 0; small: each client has few classes, inf: all have the same mix.
    seed: of the partition.

  Returns:
    [n] int32, the client of each example, in [0, num_clients).

  Raises:
    ValueError: num_clients or alpha is out of range.

  Source: Hsu et al. 2019, arXiv:1909.06335.
  Differs: class by class, as in most later code; the paper draws each client's
    mix of classes.

  >>> y = np.repeat(np.arange(2), 50)
  >>> clients = dirichlet_partition(y, num_clients=2, alpha=np.inf, seed=0)
  >>> print(np.bincount(clients))
  [50 50]
  """
  if not 1 <= num_clients <= len(labels):
    raise ValueError(
      f"num_clients must be in [1, {len(labels)}], got {num_clients}."
    )
  if not alpha > 0:
    raise ValueError(f"alpha must be > 0, got {alpha}.")
  rng = np.random.Generator(_plans.random_bits(seed))
  clients = np.zeros(len(labels), np.int32)
  for label in np.unique(labels):
    rows = np.flatnonzero(labels == label)
    rows = rows[_plans.random_order(len(rows), seed, int(label) + 1)]
    shares = np.full(num_clients, 1 / num_clients)
    if np.isfinite(alpha):
      shares = rng.dirichlet(np.full(num_clients, alpha))
    ends = np.round(np.cumsum(shares) * len(rows)).astype(int)[:-1]
    for client, part in enumerate(np.split(rows, ends)):
      clients[part] = client
  counts = np.bincount(clients, minlength=num_clients)
  for client in np.flatnonzero(counts == 0):
    clients[np.flatnonzero(clients == counts.argmax())[0]] = client
    counts = np.bincount(clients, minlength=num_clients)
  return clients


@dataclasses.dataclass(frozen=True, eq=False)
class ClientPlan:
  """Rounds: some clients without replacement, examples of each with.

  Element i is [clients_per_round * local_steps * b] ids, client by client and
  within a client step by step.

  Fields:
    ids, clients: [n] int, the examples and whose they are. batch_size: length
    of an element. clients_per_round, num_steps, seed: numbers.

  Raises:
    ValueError: more clients a round than there are, or a batch_size that they
      do not divide.
  """

  ids: np.ndarray = dataclasses.field(repr=False)
  clients: np.ndarray = dataclasses.field(repr=False)
  batch_size: int
  clients_per_round: int
  num_steps: int
  seed: int
  _grouped: np.ndarray = _plans._table()
  _starts: np.ndarray = _plans._table()
  _counts: np.ndarray = _plans._table()

  def __post_init__(self):
    ids = _plans._check_ids(self.ids)
    if self.clients is None:
      raise ValueError(
        "client_plan needs a source with clients, got one without; use the "
        "federated scenario."
      )
    clients = _plans._check_labels(ids, self.clients)
    grouped, starts, counts = _plans._group(ids, clients)
    if not 1 <= self.clients_per_round <= len(counts):
      raise ValueError(
        f"clients_per_round must be in [1, {len(counts)}], got "
        f"{self.clients_per_round}."
      )
    if self.batch_size % self.clients_per_round:
      raise ValueError(
        f"batch_size must be divisible by the {self.clients_per_round} clients "
        f"of a round, got {self.batch_size}."
      )
    _plans._set(self, ids=ids, _grouped=grouped, _starts=starts, _counts=counts)

  def __len__(self) -> int:
    return self.num_steps

  def __getitem__(self, step: int) -> np.ndarray:
    step = _plans._check_step(step, self.num_steps)
    order = _plans.random_order(len(self._counts), self.seed, step)
    rows = order[: self.clients_per_round, None]
    each = self.batch_size // self.clients_per_round
    within = _plans._uniform(self.seed, step, (self.clients_per_round, each))
    offset = (within * self._counts[rows]).astype(np.int64)
    return self._grouped[self._starts[rows] + offset].ravel()
