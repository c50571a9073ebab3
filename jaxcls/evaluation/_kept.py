"""Which rows count: checks and sums shared by the metrics."""

import jax
import jax.numpy as jnp


def kept_rows(logits, labels, where):
  """Bool [n]: labelled (label >= 0) and kept by where; checks the shapes."""
  if logits.ndim != 2 or labels.shape != logits.shape[:1]:
    raise ValueError(
      "logits and labels must have shapes [n c] and [n], got "
      f"{logits.shape} and {labels.shape}."
    )
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise TypeError(f"labels must be integer class ids, got {labels.dtype}.")
  kept = labels >= 0
  if where is None:
    return kept
  if where.dtype != jnp.bool_:
    raise TypeError(f"where must be bool, got {where.dtype}.")
  if where.shape != labels.shape:
    raise ValueError(
      f"where must have the shape of labels, {labels.shape}, got {where.shape}."
    )
  return kept & where


def kept_mean(values, kept):
  """Float32 mean of values [n] over the kept rows; nan if there are none."""
  total = jnp.where(kept, values.astype(jnp.float32), 0.0).sum()
  return total / kept.sum(dtype=jnp.float32)


def log_probs(logits):
  """Log-softmax in float32: [n c] -> [n c]."""
  return jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
