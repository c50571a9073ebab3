"""Scores of bags from the scores of what is in them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import ops

POOLINGS = ("attention", "max", "mean")


def bag_scores(
  scores: Float[Array, " n"],
  bags: Int[Array, " n"],
  *,
  pooling: str,
  attention: Float[Array, " n"] | None = None,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, " n"]:
  """The score of every row's bag.

  With B_i the kept rows j of the bag of row i: "max": max_j s_j; "mean": mean_j
  s_j; "attention": sum_j w_j s_j, w = softmax of a over B_i. With s = u . h + c
  the last is the linear classifier u, c of attention-pooled features h.

  Args:
    scores: [n], s, any float type; computed in float32.
    bags: [n], the bag of each row, any integers.
    pooling: "attention", "max" or "mean".
    attention: [n], a; only for "attention".
    where: [n], True = keep; None keeps all.

  Returns:
    [n] float32, the same for all rows of a bag; 0 for a bag without kept rows.

  Raises:
    ValueError: an unknown pooling, attention missing or not wanted, or shapes
      that do not match.

  Source: Ilse et al. 2018, arXiv:1802.04712 (attention).
  Differs: nothing known.

  >>> s, bags = jnp.array([1.0, 3.0, 5.0]), jnp.array([0, 0, 7])
  >>> print(bag_scores(s, bags, pooling="mean"))
  [2. 2. 5.]
  """
  if pooling not in POOLINGS:
    raise ValueError(f"pooling must be one of {POOLINGS}, got {pooling!r}.")
  if (attention is None) == (pooling == "attention"):
    raise ValueError(
      "attention must be given for pooling 'attention' and only then, got "
      f"pooling {pooling!r}."
    )
  for name, array in (("bags", bags), ("attention", attention)):
    if array is not None and array.shape != scores.shape:
      raise ValueError(
        f"{name} must have shape {scores.shape} as scores, got {array.shape}."
      )
  scores = scores.astype(jnp.float32)
  same = bags[:, None] == bags[None, :]
  if where is not None:
    same &= where[None, :]
  if pooling == "max":
    spread = jnp.broadcast_to(scores, same.shape)
    best = jnp.max(spread, axis=1, where=same, initial=-jnp.inf)
    return jnp.where(same.any(axis=1), best, 0.0)
  logits = jnp.zeros_like(scores)
  if attention is not None:
    logits = attention.astype(jnp.float32)
  weights = jax.nn.softmax(
    jnp.broadcast_to(logits, same.shape), axis=1, where=same
  )
  weights = jnp.where(same, weights, 0.0)
  return weights @ scores


def first_in_batch(ids: Int[Array, " n"]) -> Bool[Array, " n"]:
  """True for the first row of each id: repeated ids are padding.

  Args:
    ids: [n], any integers.

  Returns:
    [n] bool, as many True as there are different ids.

  Source: no paper.
  Differs: nothing known.

  >>> print(first_in_batch(jnp.array([4, 4, 2])))
  [ True False  True]
  """
  n = ids.shape[0]
  earlier = jnp.arange(n)[None, :] < jnp.arange(n)[:, None]
  return ~jnp.any((ids[:, None] == ids[None, :]) & earlier, axis=1)


def partial_label_contrastive_loss(
  queries: Float[Array, "n d"],
  keys: Float[Array, "m d"],
  labels: Int[Array, " n"],
  key_labels: Int[Array, " m"],
  *,
  temperature: float,
  key_where: Bool[Array, " m"] | None = None,
) -> Float[Array, " n"]:
  """Supervised contrastive loss of queries against other vectors' labels.

  loss_i = -mean over keys j of q_i's label of log softmax_j(q_i . k_j /
  temperature), the softmax over all kept keys; 0 without such a key.

  Args:
    queries: [n d], any float type, unit norm as in the paper.
    keys: [m d], likewise; no gradient is stopped here.
    labels: [n], predicted or given.
    key_labels: [m].
    temperature: > 0, no unit.
    key_where: [m], True = keep.

  Returns:
    [n] float32, nats; every query sees the keys of this device only.

  Raises:
    ValueError: shapes do not match, or temperature <= 0.

  Source: Qu et al. 2023, arXiv:2307.02249 (INS); Wang et al. 2022,
    arXiv:2201.08984 (PiCO).
  Differs: the queries are no keys: each has its second view among the keys.

  >>> q, k = jnp.array([[1.0, 0.0]]), jnp.eye(2)
  >>> y, ky = jnp.array([0]), jnp.array([0, 1])
  >>> loss = partial_label_contrastive_loss(q, k, y, ky, temperature=1.0)
  >>> print(f"{loss[0]:.3f}")
  0.313
  """
  same = labels[:, None] == key_labels[None, :]
  if key_where is not None:
    same &= key_where[None, :]
  count = jnp.maximum(same.sum(axis=1, keepdims=True), 1)
  targets = same.astype(jnp.float32) / count.astype(jnp.float32)
  return ops.soft_info_nce_loss(
    queries, keys, targets, temperature=temperature, key_where=key_where
  )
