"""One round of federated averaging with momentum and control variates."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class FederatedState(NamedTuple):
  """What the server and the clients keep from round to round.

  Attributes:
    direction: g, the mean descent direction of the last round.
    previous: the parameters before the last round, for variance reduction;
      None without.
    controls: c_i [n ...] of every client; None without control variates.
    control: c, their mean; None without.
  """

  direction: Any
  previous: Any = None
  controls: Any = None
  control: Any = None


def init_federated(
  params: Any,
  *,
  num_clients: int,
  control_variates: bool = False,
  variance_reduction: bool = False,
) -> FederatedState:
  """The state before the first round: all directions are 0."""
  zeros = jax.tree.map(jnp.zeros_like, params)
  each = lambda p: jnp.zeros((num_clients, *p.shape), p.dtype)
  return FederatedState(
    direction=zeros,
    previous=jax.tree.map(jnp.copy, params) if variance_reduction else None,
    controls=jax.tree.map(each, params) if control_variates else None,
    control=jax.tree.map(jnp.zeros_like, params) if control_variates else None,
  )


def federated_round(
  gradient: Callable[[Any, Any], Any],
  params: Any,
  state: FederatedState,
  batches: Any,
  clients: jax.Array,
  *,
  local_lr: float | jax.Array,
  beta: float = 1.0,
  server_lr: float | None = None,
  proximal: float = 0.0,
) -> tuple[Any, FederatedState]:
  """One round: K local steps of each of S clients, then the server's step.

  Client i starts at x_i = x and takes K steps x_i <- x_i - local_lr d with
    d = beta (grad F(x_i; xi) - c_i + c) + (1 - beta) g       (c: SCAFFOLD-M)
    d = grad F(x_i; xi) - c_i + c
        + (1 - beta) (g - grad F(x_prev; xi) [+ c_i - c])     (VR)
  (without control variates c_i = c = 0: FedAvg-M). Then
    g' = mean_i (x - x_i) / (local_lr K),  x' = x - server_lr local_lr K g',
  c_i becomes the mean of client i's gradients in the round, c moves with them.
  beta = 1 is FedAvg, or SCAFFOLD.

  Args:
    gradient: (params, batch) -> gradients, of one local mini-batch.
    params: x, any pytree.
    state: of `init_federated`, which says what is switched on.
    batches: a pytree of arrays [S K ...]: each client's mini-batches.
    clients: [S] int, distinct, which clients they are.
    local_lr: > 0.
    beta: in (0, 1], weight of the new gradient.
    server_lr: multiplies the clients' mean movement; None is 1.
    proximal: mu >= 0; adds mu (x_i - x) to the local gradient (FedProx).

  Returns:
    x' and the state after the round.

  Raises:
    ValueError: beta, local_lr or proximal is out of range.

  Source: Cheng et al. 2023, arXiv:2306.16504 (Momentum
    Benefits Non-IID Federated Learning Simply and Provably); McMahan et al.
    2017, arXiv:1602.05629 (FedAvg); Karimireddy et al. 2020, arXiv:1910.06378
    (SCAFFOLD); Li et al. 2020, arXiv:1812.06127 (FedProx).
  Differs: nothing known.

  >>> x = jnp.array(0.0)
  >>> state = init_federated(x, num_clients=2)
  >>> targets = jnp.array([[1.0], [3.0]])  # One local step of two clients.
  >>> pull = lambda x, target: x - target
  >>> x, _ = federated_round(
  ...   pull, x, state, targets, jnp.arange(2), local_lr=0.5
  ... )
  >>> print(x)
  1.0
  """
  _check(beta, local_lr, proximal)
  add = lambda a, scale, b: jax.tree.map(lambda a, b: a + scale * b, a, b)
  scaffold, reduced = state.controls is not None, state.previous is not None

  def client(batches, own):
    """Parameters after the local steps, and the mean local gradient."""

    def step(carry, batch):
      x, total = carry
      grads = gradient(x, batch)
      total = jax.tree.map(jnp.add, total, grads)
      pulled = grads
      if scaffold:
        pulled = jax.tree.map(
          lambda g, mine, all: g - mine + all, grads, own, state.control
        )
      if reduced:
        past = gradient(state.previous, batch)
        drift = jax.tree.map(jnp.subtract, state.direction, past)
        if scaffold:
          drift = jax.tree.map(
            lambda d, mine, all: d + mine - all, drift, own, state.control
          )
        d = add(pulled, 1 - beta, drift)
      else:
        d = jax.tree.map(
          lambda p, g: beta * p + (1 - beta) * g, pulled, state.direction
        )
      if proximal:
        d = jax.tree.map(lambda d, x, x0: d + proximal * (x - x0), d, x, params)
      return (add(x, -local_lr, d), total), None

    zeros = jax.tree.map(jnp.zeros_like, params)
    (x, total), _ = jax.lax.scan(step, (params, zeros), batches)
    steps = jax.tree.leaves(batches)[0].shape[0]
    return x, jax.tree.map(lambda t: t / steps, total)

  own = None
  if scaffold:
    own = jax.tree.map(lambda c: c[clients], state.controls)
  ends, means = jax.vmap(client, in_axes=(0, 0 if scaffold else None))(
    batches, own
  )
  steps = jax.tree.leaves(batches)[0].shape[1]
  direction = jax.tree.map(
    lambda x, end: (x - end).mean(axis=0) / (local_lr * steps), params, ends
  )
  scale = 1.0 if server_lr is None else server_lr
  new = add(params, -scale * local_lr * steps, direction)
  state = state._replace(direction=direction)
  if reduced:
    state = state._replace(previous=params)
  if scaffold:
    share = clients.shape[0] / jax.tree.leaves(state.controls)[0].shape[0]
    control = jax.tree.map(
      lambda c, mean, old: c + share * (mean - old).mean(axis=0),
      state.control,
      means,
      own,
    )
    controls = jax.tree.map(
      lambda c, mean: c.at[clients].set(mean), state.controls, means
    )
    state = state._replace(controls=controls, control=control)
  return new, state


def _check(beta, local_lr, proximal):
  """Raises for numbers out of range; traced ones are not checked."""
  for name, value, holds, wanted in (
    ("beta", beta, lambda v: 0 < v <= 1, "in (0, 1]"),
    ("local_lr", local_lr, lambda v: v > 0, "> 0"),
    ("proximal", proximal, lambda v: v >= 0, ">= 0"),
  ):
    if isinstance(value, int | float) and not holds(value):
      raise ValueError(f"{name} must be {wanted}, got {value}.")
