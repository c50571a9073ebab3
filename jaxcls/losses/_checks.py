"""Checks of what would otherwise broadcast, or be wrong, in silence."""

import jax.numpy as jnp


def check_labels(logits, labels):
  """Raises unless labels are integers, one for each row of logits."""
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise TypeError(
      f"labels must be integer class ids, got {labels.dtype}; for soft "
      "labels use the losses that take targets."
    )
  if labels.shape != logits.shape[:-1]:
    raise ValueError(
      f"labels must have shape {logits.shape[:-1]} to match logits "
      f"{logits.shape}, got {labels.shape}."
    )


def check_same_shape(name, array, other_name, other):
  """Raises ValueError unless the two arrays have one shape."""
  if array.shape != other.shape:
    raise ValueError(
      f"{name} must have the shape of {other_name}, {other.shape}, "
      f"got {array.shape}."
    )


def check_number(name, value, condition, holds):
  """Raises ValueError unless holds(value); a traced value is not checked."""
  if isinstance(value, int | float) and not holds(value):
    raise ValueError(f"{name} must be {condition}, got {value}.")


def check_embeddings(embeddings, labels, where=None):
  """Raises unless they are [n d] floats, [n] integers and [n] bool."""
  if not jnp.issubdtype(embeddings.dtype, jnp.floating):
    raise TypeError(
      f"embeddings must be floating point, got {embeddings.dtype}."
    )
  if embeddings.ndim != 2:
    raise ValueError(
      f"embeddings must have shape [n d], got {embeddings.shape}."
    )
  check_labels(embeddings, labels)
  if where is None:
    return
  if where.dtype != jnp.bool_:
    raise TypeError(f"where must be bool, got {where.dtype}.")
  check_same_shape("where", where, "labels", labels)
