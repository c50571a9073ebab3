"""How well bags are told apart, from the scores of what is in them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.evaluation import _kept, _ranking


def bag_roc_auc(
  logits: Float[Array, "n 2"],
  labels: Int[Array, " n"],
  *,
  bag: Int[Array, " n"],
  pooling: str,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """`roc_auc` of bags; a bag is positive if one of its rows is.

  With p_i the probability of class 1, the score of a bag is max_i p_i ("max"),
  mean_i p_i ("mean"), or for "attention" sum_i softmax_i(logits_i0) logits_i1,
  the softmax over the bag: the columns are then attention and score.

  Args:
    logits: [n 2], any float type; computed in float32.
    labels: [n], 0 or 1, -1 = not counted.
    bag: [n], the bag of each row, in [0, n).
    pooling: "attention", "max" or "mean".
    where: [n], True = keep; None keeps all.

  Returns:
    [] float32 in [0, 1]; nan without bags of both kinds.

  Raises:
    ValueError: an unknown pooling, or shapes that do not match.

  Source: as `roc_auc`; attention: Ilse et al. 2018, arXiv:1802.04712.
  Differs: nothing known.

  >>> x = jnp.array([[0.0, 3.0], [0.0, -3.0], [0.0, 1.0], [0.0, 1.0]])
  >>> y, bag = jnp.array([1, 0, 0, 0]), jnp.array([0, 0, 1, 1])
  >>> print(bag_roc_auc(x, y, bag=bag, pooling="max"))
  1.0
  """
  if pooling not in ("attention", "max", "mean"):
    raise ValueError(
      f"pooling must be 'attention', 'max' or 'mean', got {pooling!r}."
    )
  kept = _kept.kept_rows(logits, labels, where)
  n = labels.shape[0]
  if bag.shape != (n,):
    raise ValueError(f"bag must have shape ({n},), got {bag.shape}.")
  x = logits.astype(jnp.float32)
  # Rows that do not count are in a bag of their own, past the last.
  bag = jnp.where(kept, bag, n)
  total = lambda v: jax.ops.segment_sum(v, bag, n + 1)[:n]
  most = lambda v: jax.ops.segment_max(v, bag, n + 1)
  size = total(jnp.ones(n))
  positive = most(labels)[:n]
  odds = x[:, 1] - x[:, 0]
  if pooling == "max":
    score = most(odds)[:n]
  elif pooling == "mean":
    score = total(jax.nn.sigmoid(odds)) / jnp.maximum(size, 1)
  else:
    weights = jnp.exp(x[:, 0] - most(x[:, 0])[bag])
    score = total(weights * x[:, 1]) / jnp.maximum(total(weights), 1e-30)
  there = size > 0
  score = jnp.where(there, score, 0)
  columns = jnp.stack([jnp.zeros(n), score], axis=-1)
  return _ranking.roc_auc(columns, jnp.where(there, positive, -1))
