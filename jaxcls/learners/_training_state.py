"""What a learner changes, and the default way to change it."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcls import models


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """Everything that training changes: one pytree, checkpointed and sharded.

  Attributes:
    step: [] int32, updates done since the run began.
    params: flat dict of float32 weights keyed by path.
    stats: flat dict of batch statistics.
    opt_state: state of `tx` over the trainable paths.
    memory: what the learner keeps beside the model; any pytree of arrays.
    key: typed PRNG key of the run; a step folds `step` into it.
    tx: the optimiser (static).
    trainable: regular expression of the paths that are trained (static).
  """

  step: jax.Array
  params: dict[str, jax.Array]
  stats: dict[str, jax.Array]
  opt_state: Any
  memory: Any
  key: jax.Array
  tx: optax.GradientTransformation = dataclasses.field(
    metadata=dict(static=True)
  )
  trainable: str = dataclasses.field(default="", metadata=dict(static=True))

  def replace(self, **changes: Any) -> "State":
    """Returns a copy with some fields changed."""
    return dataclasses.replace(self, **changes)

  def trained(self) -> dict[str, jax.Array]:
    """The part of `params` that the optimiser changes."""
    return models.select(self.params, self.trainable)

  def apply_gradients(self, grads: dict[str, jax.Array]) -> "State":
    """Returns the state after one optimiser update.

    Args:
      grads: gradients of the trained paths.
    """
    old = self.trained()
    updates, opt_state = self.tx.update(grads, self.opt_state, old)
    new = optax.apply_updates(old, updates)
    return self.replace(params={**self.params, **new}, opt_state=opt_state)


class Aux(NamedTuple):
  """What a learner's loss returns beside the scalar.

  Attributes:
    stats: batch statistics after this batch.
    metrics: named scalars to log.
    extras: arrays for `after_update`; leading axis = examples.
  """

  stats: dict[str, jax.Array]
  metrics: dict[str, jax.Array] = {}
  extras: Any = ()


def gradient_update(
  learner: Any,
  net: models.Net,
  state: State,
  batch: Any,
  key: jax.Array,
  *,
  accumulation_steps: int = 1,
) -> tuple[State, dict[str, jax.Array]]:
  """The default update: gradient of `learner.loss`, then the optimiser.

  Args:
    learner: has `loss` and maybe `after_update`; maybe also
      `take_gradient(value_and_grad, params, *args)`, which returns
      ((loss, aux), grads) like value_and_grad(params, *args).
    net: the model.
    state: state before the update.
    batch: a batch, or a dict of batches.
    key: PRNG key of this step.
    accumulation_steps: the batch is split into this many parts whose
      gradients are averaged before the one optimiser update; batch
      statistics move once a part.

  Returns:
    State after the update (`step` unchanged) and scalar metrics, `loss` and
    `grad_norm` among them.

  Raises:
    ValueError: accumulation_steps does not divide the batch.
  """

  def loss_fn(trained, stats, batch, key):
    params = {**state.params, **trained}
    return learner.loss(net, params, state.replace(stats=stats), batch, key)

  grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
  if hasattr(learner, "take_gradient"):
    grad_fn = functools.partial(learner.take_gradient, grad_fn)
  if accumulation_steps == 1:
    (loss, aux), grads = grad_fn(state.trained(), state.stats, batch, key)
  else:
    loss, aux, grads = _accumulate(
      grad_fn, state, batch, key, accumulation_steps
    )
  metrics = {**aux.metrics, "loss": loss, "grad_norm": optax.global_norm(grads)}
  state = state.apply_gradients(grads).replace(stats=aux.stats)
  if hasattr(learner, "after_update"):
    state = state.replace(memory=learner.after_update(net, state, aux))
  return state, metrics


def _accumulate(grad_fn, state, batch, key, parts):
  """Averages loss, metrics and gradients over parts of the batch."""
  size = jax.tree.leaves(batch)[0].shape[0]
  if size % parts:
    raise ValueError(
      f"accumulation_steps must divide the batch size {size}, got {parts}."
    )
  # Strided parts: every device keeps the rows that it already holds.
  split = lambda x: jnp.swapaxes(x.reshape(-1, parts, *x.shape[1:]), 0, 1)
  trained = state.trained()

  def step(carry, part):
    stats, total = carry
    batch, key = part
    (loss, aux), grads = grad_fn(trained, stats, batch, key)
    total = jax.tree.map(jnp.add, total, (loss, aux.metrics, grads))
    return (aux.stats, total), aux.extras

  part = (jax.tree.map(split, batch), jax.random.split(key, parts))
  first = jax.tree.map(lambda x: x[0], part)
  (loss, aux), grads = jax.eval_shape(grad_fn, trained, state.stats, *first)
  zeros = jax.tree.map(
    lambda x: jnp.zeros(x.shape, x.dtype), (loss, aux.metrics, grads)
  )
  (stats, total), extras = jax.lax.scan(step, (state.stats, zeros), part)
  loss, metrics, grads = jax.tree.map(lambda x: x / parts, total)
  join = lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])
  return loss, Aux(stats, metrics, jax.tree.map(join, extras)), grads


def ema(old: Any, new: Any, decay: float) -> Any:
  """Exponential moving average: decay * old + (1 - decay) * new."""
  return jax.tree.map(lambda a, b: decay * (a - b) + b, old, new)
