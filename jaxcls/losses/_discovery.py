"""Objectives for finding classes that nobody has named."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls.losses import _checks


def adaptive_pseudo_labels(
  logits: Float[Array, "b c"],
  *,
  ratio: float | Float[Array, ""],
  temperature: float,
) -> Float[Array, "b c"]:
  """Hard targets for the surest rows of a batch, soft ones for the rest.

  q = softmax(logits / temperature). The int(b * ratio) rows with the largest
  q_(1) / (q_(2) + 1e-6), first over second probability, get the one-hot vector
  of their argmax, the others keep q.

  Args:
    logits: [b c], c >= 2, any float type; computed in float32; gradient
      stopped.
    ratio: share of hard targets, in [0, 1]; may be traced, for a schedule.
    temperature: of the teacher, > 0, no unit.

  Returns:
    [b c] float32; rows sum to 1.

  Raises:
    ValueError: fewer than 2 classes, or a number is out of range.

  Source: Ma et al. 2025, arXiv:2504.03755 (ProtoGCD), dual-level adaptive
    pseudo-labelling.
  Differs: nothing known.

  >>> x = jnp.array([[2.0, 0.0], [0.1, 0.0]])
  >>> print(adaptive_pseudo_labels(x, ratio=0.5, temperature=1.0)[0])
  [1. 0.]
  """
  if logits.ndim != 2 or logits.shape[-1] < 2:
    raise ValueError(
      f"logits must have shape [b c] with c >= 2, got {logits.shape}."
    )
  _checks.check_number("ratio", ratio, "in [0, 1]", lambda v: 0 <= v <= 1)
  _checks.check_number("temperature", temperature, "above 0", lambda v: v > 0)
  x = jax.lax.stop_gradient(logits).astype(jnp.float32)
  probs = jax.nn.softmax(x / temperature)
  first, second = jax.lax.top_k(probs, 2)[0].T
  order = jnp.argsort(-first / (second + 1e-6), stable=True)
  b, c = x.shape
  rank = jnp.zeros(b, jnp.int32).at[order].set(jnp.arange(b, dtype=jnp.int32))
  # 1e-4: a product that is whole in exact arithmetic stays whole.
  num_hard = jnp.floor(b * jnp.asarray(ratio, jnp.float32) + 1e-4)
  hard = rank < num_hard.astype(jnp.int32)
  one_hot = jax.nn.one_hot(probs.argmax(-1), c)
  return jnp.where(hard[:, None], one_hot, probs)


def mean_entropy_loss(logits: Float[Array, "b c"]) -> Float[Array, " b"]:
  """How far the batch's mean prediction is from using all classes alike.

  loss = log c - H(p), p = mean_i softmax(logits_i).

  Args:
    logits: [b c], b >= 1, any float type, divided by their temperature;
      computed in float32.

  Returns:
    [b] float32, nats, >= 0: the batch's one value for every example; coupled
    over the (global) batch.

  Raises:
    ValueError: logits are not [b c].

  Source: Assran et al. 2022, arXiv:2204.07141, mean entropy maximisation.
  Differs: nothing known.

  >>> print(mean_entropy_loss(10 * jnp.eye(2)).round(3) + 0.0)
  [0. 0.]
  """
  if logits.ndim != 2:
    raise ValueError(f"logits must have shape [b c], got {logits.shape}.")
  p = jax.nn.softmax(logits.astype(jnp.float32)).mean(axis=0)
  some = p > 0
  negative = jnp.where(some, p * jnp.log(jnp.where(some, p, 1.0)), 0.0).sum()
  value = negative + jnp.log(float(logits.shape[-1]))
  return jnp.broadcast_to(value, logits.shape[:1])


def prototype_separation_loss(
  prototypes: Float[Array, "c d"], *, temperature: float
) -> Float[Array, " c"]:
  """Pushes class prototypes apart.

  loss_k = log( 1 / (c - 1) sum_{j != k} exp(mu_k . mu_j / temperature) ).

  Args:
    prototypes: [c d], c >= 2, of unit norm, any float type; computed in
      float32.
    temperature: > 0, no unit.

  Returns:
    [c] float32, one value a prototype.

  Raises:
    ValueError: fewer than 2 prototypes, or temperature <= 0.

  Source: Ma et al. 2025, arXiv:2504.03755 (ProtoGCD), prototype separation;
    Ming et al. 2023, arXiv:2203.04450 (CIDER's dispersion loss).
  Differs: nothing known.

  >>> print(prototype_separation_loss(jnp.eye(3), temperature=0.1))
  [0. 0. 0.]
  """
  if prototypes.ndim != 2 or prototypes.shape[0] < 2:
    raise ValueError(
      f"prototypes must have shape [c d] with c >= 2, got {prototypes.shape}."
    )
  _checks.check_number("temperature", temperature, "above 0", lambda v: v > 0)
  mu = prototypes.astype(jnp.float32)
  c = mu.shape[0]
  scores = jnp.matmul(mu, mu.T, precision="highest") / temperature
  others = ~jnp.eye(c, dtype=bool)
  total = jax.nn.logsumexp(scores, axis=1, where=others)
  return total - jnp.log(float(c - 1))
