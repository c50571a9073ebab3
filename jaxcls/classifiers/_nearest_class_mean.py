"""Nearest class mean: each class is the average of its features."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.classifiers import _inputs


def fit_nearest_class_mean(
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  num_classes: int,
  where: Bool[Array, " n"] | None = None,
) -> dict[str, Array]:
  """Averages the features of each class.

  prototypes_k = mean of the features with label k.

  Args:
    features: [n d], any float type; computed in float32.
    labels: [n], class ids in [0, c), -1 = unlabelled, not used.
    num_classes: c, fixed; classes without a row are never predicted.
    where: [n], True = keep; None keeps all.

  Returns:
    {"prototypes": [c d] float32, "class_counts": [c] int32}.

  Raises:
    ValueError: no rows, shapes that do not match, a label >= num_classes.
    TypeError: labels are not integers or where is not bool.

  Source: no paper; sklearn.neighbors.NearestCentroid.
  Differs: nothing known.

  >>> x, y = jnp.array([[0.0], [2.0], [9.0]]), jnp.array([0, 0, 1])
  >>> params = fit_nearest_class_mean(x, y, num_classes=2)
  >>> print(params["prototypes"])
  [[1.]
   [9.]]
  """
  features, labels, _ = _inputs.check_fit(features, labels, num_classes, where)
  targets = _inputs.one_hot(labels, num_classes)
  counts = targets.sum(axis=0)
  sums = _inputs.class_sums(targets, features)
  prototypes = sums / jnp.maximum(counts, 1.0)[:, None]
  return {"prototypes": prototypes, "class_counts": counts.astype(jnp.int32)}


def predict_nearest_class_mean(
  params: dict[str, Array], features: Float[Array, "b d"]
) -> Float[Array, "b c"]:
  """Minus the squared Euclidean distance to each class mean.

  logits_k = -||features - prototypes_k||**2; times 1 / (2 * variance) they
  are those of Gaussians with one spherical covariance and equal priors.

  Args:
    params: from fit_nearest_class_mean.
    features: [b d], any float type; computed in float32.

  Returns:
    [b c] float32, <= 0; -1e30 for a class without training rows.

  Raises:
    ValueError: features are not [b d] with the d of fit.

  Source: no paper; sklearn.neighbors.NearestCentroid.
  Differs: nothing known.

  >>> params = {"prototypes": jnp.array([[1.0], [9.0]])}
  >>> params["class_counts"] = jnp.array([1, 1])
  >>> print(predict_nearest_class_mean(params, jnp.array([[3.0]])))
  [[ -4. -36.]]
  """
  prototypes, counts = params["prototypes"], params["class_counts"]
  features = _inputs.check_features(features, prototypes.shape[1])
  # Distances do not change when all is shifted, but |x|^2 - 2xm + |m|^2
  # loses fewer digits near the origin.
  weights = counts.astype(jnp.float32)
  weights = weights / jnp.maximum(weights.sum(), 1.0)
  center = _inputs.matmul(weights, prototypes)
  features, prototypes = features - center, prototypes - center
  squares = (features**2).sum(-1)[:, None] + (prototypes**2).sum(-1)
  distances = squares - 2.0 * _inputs.matmul(features, prototypes.T)
  logits = -jnp.maximum(distances, 0.0)
  return jnp.where(counts > 0, logits, _inputs.ABSENT_LOGIT)
