"""Contrastive losses beside those of `jaxcls.ops`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import ops
from jaxcls.losses import _checks


def subclass_contrastive_loss(
  embeddings: Float[Array, "n d"],
  labels: Int[Array, " n"],
  subclasses: Int[Array, " n"],
  class_temperatures: Float[Array, " c"],
  *,
  temperature: float,
  beta: float,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, " n"]:
  """Bi-granularity contrast: to the subclass, and to the rest of the class.

  With P~_i the other rows of i's subclass and P_i those of its class,
  loss_i = -mean_{p in P~_i} log(e(i, p, t) / sum_{a != i} e(i, a, t))
    - beta mean_{p in P_i - P~_i} log(e(i, p, t_i)
      / sum_{a != i, a not in P~_i} e(i, a, t_i)),
  e(i, a, t) = exp(z_i . z_a / t), t_i the temperature of i's class. A mean
  over nothing is 0. With one subclass a class it is ops.supcon_loss.

  Args:
    embeddings: [n d], any float type, used as they come: the paper divides
      them by their norm first. Views of an image are rows with its labels.
    labels: [n], class ids in [0, c).
    subclasses: [n], any integers; rows with equal ones must have one label.
    class_temperatures: [c], > 0, of the coarse term.
    temperature: > 0, of the fine term.
    beta: weight of the coarse term, >= 0.
    where: [n], True = keep. A row that is not kept is nobody's positive or
      negative, its loss and gradient are 0 and its values may be nan.

  Returns:
    [n] float32 (float64 stays), nats, not reduced. The rows of the given
    batch are coupled: inside shard_map those of one device, under jit the
    global batch. The coarse term stores [n n] similarities.

  Raises:
    TypeError: embeddings are not floating point, labels or subclasses not
      integers, or where not bool.
    ValueError: a shape does not match, temperature <= 0 or beta < 0.

  Source: Hou et al. 2023, arXiv:2306.15925, bi-granularity contrastive loss.
  Differs: the released code also counts the other view of i among the
    positives and candidates of the coarse term, which is then never empty, and
    multiplies the fine term by temperature / 0.07.

  >>> z = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  >>> y, t = jnp.array([0, 0, 1]), jnp.ones(2)
  >>> loss = subclass_contrastive_loss(z, y, y, t, temperature=1.0, beta=0.2)
  >>> print(f"{loss[0]:.4f}")
  0.3133
  """
  if class_temperatures.ndim != 1:
    raise ValueError(
      f"class_temperatures must be [c], got {class_temperatures.shape}."
    )
  _checks.check_number("beta", beta, ">= 0", lambda v: v >= 0)
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise TypeError(f"labels must be integer class ids, got {labels.dtype}.")
  _checks.check_same_shape("labels", labels, "subclasses", subclasses)
  # Checks the rest, too.
  fine = ops.supcon_loss(
    embeddings, subclasses, temperature=temperature, where=where
  )
  keep = jnp.ones(labels.shape, bool) if where is None else where
  z = jnp.where(keep[:, None], embeddings, 0).astype(fine.dtype)
  others = keep & ~jnp.eye(z.shape[0], dtype=bool)
  candidates = others & (subclasses[:, None] != subclasses)
  positives = candidates & (labels[:, None] == labels)
  own = class_temperatures[jnp.maximum(labels, 0)].astype(fine.dtype)
  scores = jnp.matmul(z, z.T) / own[:, None]
  count = positives.sum(axis=1).astype(fine.dtype)
  some = keep & (count > 0)
  # Rows without a positive have a finite sum and no gradient.
  scores = jnp.where(some[:, None], scores, 0)
  total = jax.nn.logsumexp(scores, axis=1, where=candidates | ~some[:, None])
  mean = jnp.where(positives, scores, 0).sum(axis=1) / jnp.maximum(count, 1)
  return fine + beta * jnp.where(some, total - mean, 0)
