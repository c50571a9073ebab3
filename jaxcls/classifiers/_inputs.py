"""Checks and products shared by the closed-form classifiers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

# On TPU and on some GPUs float32 products are rounded unless asked for.
matmul = functools.partial(jnp.matmul, precision="highest")

# Logit of a class without training rows: its softmax is exactly 0, and
# unlike -inf it stays finite in every loss.
ABSENT_LOGIT = -1e30


def check_features(features, num_features=None):
  """Returns features [n d] in float32; raises for a wrong rank or width."""
  if features.ndim != 2:
    raise ValueError(
      f"features must have shape [n d], got {features.shape}; reshape maps "
      "and tokens first."
    )
  if num_features is not None and features.shape[1] != num_features:
    raise ValueError(
      f"features must have {num_features} columns, as in fit, "
      f"got {features.shape[1]}."
    )
  return features.astype(jnp.float32)


def check_fit(features, labels, num_classes, where):
  """Returns (features, labels, kept): what does not count is 0, -1, False."""
  features = check_features(features)
  if features.shape[0] == 0:
    raise ValueError("features must have at least one row, got none.")
  if labels.shape != features.shape[:1]:
    raise ValueError(
      f"labels must have shape {features.shape[:1]}, one for each row of "
      f"features, got {labels.shape}."
    )
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise TypeError(f"labels must be integer class ids, got {labels.dtype}.")
  if not isinstance(labels, jax.core.Tracer):
    # Numpy: in a traced function jax would trace even these known labels.
    largest = np.asarray(labels).max()
    if largest >= num_classes:
      raise ValueError(
        f"num_classes must be above every label, got {num_classes} and a "
        f"label {largest}."
      )
  kept = jnp.asarray(labels) >= 0
  if where is not None:
    if where.dtype != jnp.bool_:
      raise TypeError(f"where must be bool, got {where.dtype}.")
    if where.shape != labels.shape:
      raise ValueError(
        f"where must have the shape of labels, {labels.shape}, "
        f"got {where.shape}."
      )
    kept = kept & where
  # Select, do not multiply: a padded row may hold nan.
  features = jnp.where(kept[:, None], features, 0.0)
  return features, jnp.where(kept, labels, -1), kept


def one_hot(labels, num_classes):
  """Float32 [n c]; a label of -1 gives a row of zeros."""
  return jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)


def check_positive(name, value):
  """Raises ValueError unless value > 0; a traced value is not checked."""
  if isinstance(value, int | float) and not value > 0:
    raise ValueError(f"{name} must be above 0, got {value}.")


def class_sums(targets, values):
  """Sum of the rows of each class: [n c], [n d] -> [c d]."""
  return matmul(targets.T, values)


def predict_linear(params, features):
  """features @ kernel + bias in float32: [b d] -> [b c]."""
  features = check_features(features, params["kernel"].shape[0])
  return matmul(features, params["kernel"]) + params["bias"]
