"""Supervised contrastive loss with less weight on easy pairs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import _precision, ops
from jaxcls.losses import _checks

_MEANS = ("positives", "rows")


def focal_supcon_loss(
  embeddings: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  temperature: float,
  gamma: float = 1.0,
  mean_over: str = "positives",
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, " n"]:
  """Supervised contrastive loss, a pair the less heavy the more likely it is.

  p_ij = exp(z_i . z_j / temperature) / sum_{a != i} exp(z_i . z_a /
  temperature), P_i the other rows of i's label,
  loss_i = -1/|P_i| sum_{j in P_i} (1 - p_ij)^gamma log p_ij,
  0 for a row without positives. gamma = 0 is ops.supcon_loss.

  Args:
    embeddings: [n d], any float type, used as they come: the paper divides
      them by their norm first.
    labels: [n], any integers; rows with equal ones are positives. Rows with
      soft labels: `data.HardPairs.groups`.
    temperature: > 0, no unit.
    gamma: 0, or at least 1, no unit; the paper's is 1.
    mean_over: "positives", or "rows": the sum is divided by the number of
      kept rows n instead of |P_i| (the released code).
    where: [n], True = keep. A row that is not kept is nobody's positive or
      negative, its loss and gradient are 0 and its values may be nan.

  Returns:
    [n] float32 (float64 stays), nats, not reduced. The rows of the given
    batch are coupled: inside shard_map those of one device, under jit the
    global batch. Stores [n n] similarities.

  Raises:
    TypeError: embeddings are not floating point, labels not integers, or
      where not bool.
    ValueError: a shape does not match, temperature <= 0, gamma in (0, 1) or
      below 0, or an unknown mean_over.

  Source: Zhang et al. 2021, arXiv:2102.06605 (focal contrastive loss).
  Differs: the released code divides by n, see mean_over; as there, the
    gradient passes through the weight.

  >>> z = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  >>> y = jnp.array([5, 5, 2])
  >>> loss = focal_supcon_loss(z, y, temperature=1.0)  # 0.2689 * 0.3133
  >>> print(f"{loss[0]:.4f}")
  0.0842
  """
  _checks.check_embeddings(embeddings, labels, where)
  _checks.check_number("temperature", temperature, "above 0", lambda v: v > 0)
  _checks.check_number(
    "gamma", gamma, "0 or at least 1", lambda v: v == 0 or v >= 1
  )
  if mean_over not in _MEANS:
    raise ValueError(f"mean_over must be one of {_MEANS}, got {mean_over!r}.")
  if gamma == 0 and mean_over == "positives":
    return ops.supcon_loss(
      embeddings, labels, temperature=temperature, where=where
    )
  dtype = _precision.wide(embeddings)
  keep = jnp.ones(labels.shape, bool) if where is None else where
  z = jnp.where(keep[:, None], embeddings, 0).astype(dtype)
  others = keep & ~jnp.eye(z.shape[0], dtype=bool)
  positives = others & (labels[:, None] == labels)
  some = keep & positives.any(axis=1)
  # Rows without a positive have a finite sum and no gradient.
  scores = jnp.where(some[:, None], jnp.matmul(z, z.T) / temperature, 0)
  total = jax.nn.logsumexp(scores, axis=1, where=others | ~some[:, None])
  log_p = jnp.where(positives, scores - total[:, None], -1.0)
  values = -log_p if gamma == 0 else -log_p * (-jnp.expm1(log_p)) ** gamma
  sums = jnp.where(positives, values, 0).sum(axis=1)
  count = positives.sum(axis=1) if mean_over == "positives" else keep.sum()
  count = jnp.maximum(count, 1).astype(sums.dtype)
  return jnp.where(some, sums / count, 0)
