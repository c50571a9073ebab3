"""Rounds of clients that never show their data."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcls import data, losses, optim


@dataclasses.dataclass(frozen=True, kw_only=True)
class Federated:
  """FedAvg and SCAFFOLD, with momentum and variance reduction.

  Play it on `scenarios.Federated`. The clients of a round run side by side
  (vmap), split over devices with the batch. The config's optimizer is not
  used: its learning-rate schedule is not either, local_lr is constant.

  Batch: `image` (or `x`) [s k b ...] flat in its rows, client by client;
  `label`, `client`, flat likewise.

  Attributes:
    num_clients, clients_per_round: as in the scenario.
    local_steps: K; the batch size is clients_per_round * K * b.
    local_lr, beta, server_lr, proximal: of `optim.federated_round`; beta 1 is
      FedAvg or SCAFFOLD.
    control_variates: SCAFFOLD's.
    variance_reduction: the STORM form of the momentum.

  Source: see `optim.federated_round`.
  Differs: nothing known.
  """

  num_clients: int
  local_steps: int
  local_lr: float
  clients_per_round: int | None = None
  beta: float = 1.0
  server_lr: float | None = None
  proximal: float = 0.0
  control_variates: bool = False
  variance_reduction: bool = False

  def init(self, net, state, batch, key):
    """Memory: `optim.FederatedState` of the trained parameters."""
    del batch, key
    if state.stats:
      raise ValueError(
        "model must keep no batch statistics under a federated learner, got "
        f"{sorted(state.stats)[:2]}. Use norm='layer' or 'group'."
      )
    return optim.init_federated(
      state.trained(),
      num_clients=self.num_clients,
      control_variates=self.control_variates,
      variance_reduction=self.variance_reduction,
    )

  def start_stage(self, net, state, context):
    """Compares the numbers of clients with the scenario's.

    Raises:
      ValueError: they differ, so rows would go to the wrong clients.
    """
    del net
    stream = next(iter(context.stage.streams.values()))
    there = int(stream.source.columns["client"].max()) + 1
    asked = dict(stream.sampler)["clients_per_round"]
    own = self.clients_per_round or self.num_clients
    for name, value, given in (
      ("num_clients", self.num_clients, there),
      ("clients_per_round", own, asked),
    ):
      if value != given:
        raise ValueError(
          f"learner.{name} must be the scenario's {given}, got {value}."
        )
    return state

  def update(self, net, state, batch, key):
    """One round."""
    s = self.clients_per_round or self.num_clients
    rows = batch["label"].shape[0]
    if rows % (s * self.local_steps):
      raise ValueError(
        f"batch_size must be divisible by clients_per_round * local_steps = "
        f"{s * self.local_steps}, got {rows}."
      )
    shape = (s, self.local_steps, rows // (s * self.local_steps))
    split = lambda a: a.reshape(*shape, *a.shape[1:])
    batches = {"inputs": data.inputs(batch), "label": batch["label"]}
    batches = jax.tree.map(split, batches)
    clients = split(batch["client"])[:, 0, 0]

    def loss(trained, batch):
      params = {**state.params, **trained}
      inputs = batch["inputs"]
      out, _ = net(params, state.stats, inputs, train=True, key=key)
      labels = jnp.maximum(batch["label"], 0)
      values = losses.cross_entropy_loss(out["logits"], labels)
      return losses.mean_where(values, batch["label"] >= 0)

    trained = state.trained()
    first = jax.tree.map(lambda a: a[:, 0], batches)
    before = jax.vmap(loss, in_axes=(None, 0))(trained, first).mean()
    new, memory = optim.federated_round(
      jax.grad(loss), trained, state.memory, batches, clients,
      local_lr=self.local_lr, beta=self.beta, server_lr=self.server_lr,
      proximal=self.proximal,
    )  # fmt: skip
    params = {**state.params, **new}
    return state.replace(params=params, memory=memory), {"loss": before}
