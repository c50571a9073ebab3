"""InfoNCE: queries against keys, n x m."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.ops.contrastive import _blockwise, _losses, _sharded


def _keys_kept(key_where, keys):
  return jnp.ones(keys.shape[0], bool) if key_where is None else key_where


def _check(queries, keys, where, key_where):
  _losses._check_vectors("queries", queries)
  _losses._check_vectors("keys", keys, "queries", queries)
  _losses._check_where("where", where, queries.shape[:1])
  _losses._check_where("key_where", key_where, keys.shape[:1])


def info_nce_loss(
  queries: Float[Array, "n d"],
  keys: Float[Array, "m d"],
  query_labels: Int[Array, " n"] | None = None,
  key_labels: Int[Array, " m"] | None = None,
  *,
  temperature: float | Float[Array, ""],
  where: Bool[Array, " n"] | None = None,
  key_where: Bool[Array, " m"] | None = None,
  axis_name: str | None = None,
  block_size: int = 512,
) -> Float[Array, " n"]:
  """Cross-entropy of each query with its positive keys among all keys.

  s_ij = q_i . k_j / temperature,
  loss_i = logsumexp_j s_ij - mean_{j in P_i} s_ij.
  Without labels P_i = {i}: key i belongs to query i, keys n .. m - 1 are only
  negatives (a queue: keys = concatenate([positives, queue])).
  With labels P_i = {j: key_labels_j == query_labels_i}; by id: key_labels =
  arange(m) and query_labels the index of the positive.

  Args:
    queries: [n d], any float type, used as they come.
    keys: [m d], likewise; m >= n without labels. Gradients go to the keys
      too: stop them where a momentum encoder makes the keys.
    query_labels: [n], any integers, or None.
    key_labels: [m], any integers, or None; both or neither.
    temperature: as in supcon_loss.
    where: [n], True = keep the query.
    key_where: [m], True = keep the key; others are no candidates, may be nan.
    axis_name: mesh axis over which queries and keys are split, as in
      supcon_loss; without labels key i is that of the same device.
    block_size: as in supcon_loss.

  Returns:
    [n] float32, nats, one value per query, not reduced; 0 for a query without
    a kept positive. A nan in a kept key makes every loss nan, in a query its
    own. n = 0 gives [0].

  Raises:
    TypeError, ValueError: as supcon_loss; also without labels if m < n.

  Source: van den Oord et al. 2018, arXiv:1807.03748, eq. 4; the temperature
    and the queue are those of He et al. 2020, arXiv:1911.05722, eq. 1.
  Differs: several positives are averaged outside the log, as in SupCon.

  >>> q = jnp.array([[1.0, 0.0]])
  >>> loss = info_nce_loss(q, jnp.eye(2), temperature=1.0)
  >>> print(f"{loss[0]:.4f}")
  0.3133
  """
  _check(queries, keys, where, key_where)
  n, m = queries.shape[0], keys.shape[0]
  if (query_labels is None) != (key_labels is None):
    raise ValueError("key_labels must come with query_labels, got only one.")
  if query_labels is not None:
    _losses._check_labels("query_labels", query_labels, n)
    _losses._check_labels("key_labels", key_labels, m)
  elif m < n:
    raise ValueError(
      f"keys must have at least as many rows as queries {queries.shape} "
      f"without labels, got {keys.shape}."
    )
  scale = _losses._scale(temperature, queries, keys)
  config = _losses._config(_blockwise.LOGSUMEXP, block_size, axis_name)
  if n * m == 0:
    return jnp.zeros(n, scale.dtype)
  rows, columns, scale = _sharded.same_axes(
    _blockwise.Side(_losses._clean(queries, where), None, query_labels),
    _blockwise.Side(_losses._clean(keys, key_where), key_where, key_labels),
    scale,
  )
  total, matches, _ = _sharded.pair_totals(config, rows, columns, scale, None)
  if query_labels is None:
    matches = _losses._paired(rows.vectors, columns.vectors[:n], scale)
    count = _keys_kept(columns.keep, keys)[:n].astype(jnp.int32)
  else:
    others = columns.labels, columns.keep
    count = _sharded.count_matches(
      rows.labels, *(_sharded.gather(a, axis_name) for a in others)
    )
  return _losses._mean_matches(total, matches, count, where)


def soft_info_nce_loss(
  queries: Float[Array, "n d"],
  keys: Float[Array, "m d"],
  targets: Float[Array, "n k"],
  *,
  temperature: float | Float[Array, ""],
  where: Bool[Array, " n"] | None = None,
  key_where: Bool[Array, " m"] | None = None,
  axis_name: str | None = None,
  block_size: int = 512,
) -> Float[Array, " n"]:
  """Cross-entropy of the softmax over keys with a soft target per query.

  s_ij = q_i . k_j / temperature,
  loss_i = sum_j t_ij (logsumexp_a s_ia - s_ij).
  Only the targets are [n m]: sum_j t_ij s_ij = q_i . (t @ keys)_i.

  Args:
    queries: [n d], any float type, used as they come.
    keys: [m d], likewise.
    targets: [n m], rows sum to 1 over the kept keys, not checked; with
      axis_name [n, m * devices], the columns in the order of the devices.
    temperature: as in supcon_loss.
    where: [n], True = keep the query.
    key_where: [m], True = keep the key; the targets of others count as 0.
    axis_name: mesh axis over which queries and keys are split, as in
      supcon_loss; every device then gathers the keys once, as [m devices d].
    block_size: as in supcon_loss.

  Returns:
    [n] float32, nats, one value per query, not reduced. nan and empty batches
    as in info_nce_loss.

  Raises:
    TypeError, ValueError: as info_nce_loss; also if targets do not fit.

  Source: no paper of its own; InfoNCE, arXiv:1807.03748, with soft targets.
  Differs: nothing known.

  >>> q, t = jnp.array([[1.0, 0.0]]), jnp.array([[0.5, 0.5]])
  >>> loss = soft_info_nce_loss(q, jnp.eye(2), t, temperature=1.0)
  >>> print(f"{loss[0]:.4f}")
  0.8133
  """
  _check(queries, keys, where, key_where)
  n, m = queries.shape[0], keys.shape[0]
  devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
  if targets.shape != (n, m * devices):
    raise ValueError(
      f"targets must have shape ({n}, {m * devices}), got {targets.shape}."
    )
  scale = _losses._scale(temperature, queries, keys)
  config = _losses._config(_blockwise.LOGSUMEXP, block_size, axis_name)
  if n * m == 0:
    return jnp.zeros(n, scale.dtype)
  rows, columns, scale = _sharded.same_axes(
    _blockwise.Side(_losses._clean(queries, where)),
    _blockwise.Side(_losses._clean(keys, key_where), key_where),
    scale,
  )
  total, _, _ = _sharded.pair_totals(config, rows, columns, scale, None)
  key_kept = _sharded.gather(_keys_kept(columns.keep, keys), axis_name)
  targets = jnp.where(key_kept, targets.astype(scale.dtype), 0)
  mixed = targets @ _sharded.gather(columns.vectors, axis_name).astype(
    scale.dtype
  )
  # Without any kept key the total is -inf, and 0 * inf is nan.
  total = jnp.where(key_kept.any(), total, 0)
  loss = targets.sum(1) * total - _losses._paired(rows.vectors, mixed, scale)
  return loss if where is None else jnp.where(where, loss, 0)
