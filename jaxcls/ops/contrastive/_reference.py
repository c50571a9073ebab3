"""The definitions: every similarity stored, gradients by autodiff.

Arguments as in the public functions; only `where` is always an array. The
type of the result is that of the embeddings.
"""

import jax
import jax.numpy as jnp


def _mean_over_positives(s, candidates, positives, where):
  """mean over j in P_i of -log softmax(s_i over candidates)_j, or 0."""
  positives = positives & candidates
  masked = jnp.where(candidates, s, -jnp.inf)
  has_any = candidates.any(1)
  masked = jnp.where(has_any[:, None], masked, 0.0)
  losses = jax.nn.logsumexp(masked, axis=1)[:, None] - s
  count = positives.sum(1)
  total = jnp.where(positives, losses, 0.0).sum(1)
  return jnp.where(where & (count > 0), total / jnp.maximum(count, 1), 0.0)


def supcon(embeddings, labels, temperature, where):
  """Eq. L_sup_out of Khosla et al. 2020, one value per item."""
  s = embeddings @ embeddings.T / temperature
  candidates = where & ~jnp.eye(len(s), dtype=bool)
  positives = labels[:, None] == labels
  return _mean_over_positives(s, candidates, positives, where)


def nt_xent(embeddings, temperature, where):
  """SupCon where the views of one item are its only positives."""
  items, views, d = embeddings.shape
  labels = jnp.repeat(jnp.arange(items), views)
  loss = supcon(
    embeddings.reshape(-1, d), labels, temperature, where.reshape(-1)
  )
  return loss.reshape(items, views)


def clip(image_embeddings, text_embeddings, temperature, where):
  """Mean of the two softmax cross-entropies of every pair."""
  s = image_embeddings @ text_embeddings.T / temperature
  paired = jnp.eye(len(s), dtype=bool)
  return 0.5 * (
    _mean_over_positives(s, where[None], paired, where)
    + _mean_over_positives(s.T, where[None], paired, where)
  )


def sigmoid_pair(image_embeddings, text_embeddings, temperature, bias, where):
  """Sum over texts of the binary cross-entropy of every image."""
  s = image_embeddings @ text_embeddings.T / temperature + bias
  sign = 2 * jnp.eye(len(s), dtype=s.dtype) - 1
  losses = -jax.nn.log_sigmoid(sign * s)
  return jnp.where(where[:, None] & where, losses, 0.0).sum(1)


def info_nce(queries, keys, positives, temperature, where, key_where):
  """positives: [n m] bool."""
  s = queries @ keys.T / temperature
  return _mean_over_positives(s, key_where[None], positives, where)


def soft_info_nce(queries, keys, targets, temperature, where, key_where):
  """Cross-entropy of the softmax over kept keys with rows of targets."""
  s = queries @ keys.T / temperature
  masked = jnp.where(key_where, s, -jnp.inf)
  masked = jnp.where(key_where.any(), masked, 0.0)
  losses = targets * (jax.nn.logsumexp(masked, axis=1)[:, None] - s)
  losses = jnp.where(key_where, losses, 0.0).sum(1)
  return jnp.where(where, losses, 0.0)
