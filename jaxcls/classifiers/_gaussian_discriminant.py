"""Gaussian discriminant analysis: a full covariance, shared or a class each."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import ops
from jaxcls.classifiers import _inputs


def fit_gaussian_discriminant(
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  num_classes: int,
  tied: bool = True,
  shrinkage: str | float = 0.0,
  ridge: float = 1e-6,
  where: Bool[Array, " n"] | None = None,
) -> dict[str, Array]:
  """Mean and covariance of every class; tied is linear discriminant analysis.

  C = (1 - s) S / n + s tr(S / n) / d I + ridge I, S the sum of (x - mean)
  (x - mean)^T over the class, or over all classes where tied.

  Args:
    features: [n d], any float type; computed in float32.
    labels: [n], class ids in [0, c), -1 = unlabelled, not used.
    num_classes: c, fixed; classes without a row are never predicted.
    tied: True: one covariance, boundaries are linear (LDA); False: one a
      class, boundaries are quadratic (QDA).
    shrinkage: s in [0, 1], or "ledoit_wolf" or "oas" (see
      `ops.gaussian_covariance`).
    ridge: > 0, in squared units of the features.
    where: [n], True = keep; None keeps all.

  Returns:
    {"mean": [c d], "cholesky": [c d d], or [d d] where tied, lower factor of
    the covariance, "log_prior": [c]}, float32; an absent class has log_prior
    -1e30.

  Raises:
    ValueError: no rows, shapes that do not match, a label >= num_classes,
      ridge <= 0, an unknown shrinkage.
    TypeError: labels are not integers or where is not bool.

  Source: Fisher 1936, The use of multiple measurements in taxonomic problems;
    sklearn.discriminant_analysis.
  Differs: nothing known; older versions of scikit-learn divide by n_c - 1 in
    QuadraticDiscriminantAnalysis.

  >>> x = jnp.array([[0.0], [2.0], [8.0], [10.0]])
  >>> y = jnp.array([0, 0, 1, 1])
  >>> params = fit_gaussian_discriminant(x, y, num_classes=2)
  >>> print(params["mean"][:, 0], params["cholesky"].round(3))
  [1. 9.] [[1.]]
  """
  _inputs.check_positive("ridge", ridge)
  features, labels, kept = _inputs.check_fit(
    features, labels, num_classes, where
  )
  # Ledoit-Wolf needs every class's moments; else one [d d] sum is enough.
  statistics = ops.gaussian_statistics(
    features, labels, num_classes=num_classes, where=kept,
    tied=tied and shrinkage != "ledoit_wolf",
  )  # fmt: skip
  covariance = ops.gaussian_covariance(
    statistics, shrinkage=shrinkage, ridge=ridge, tied=tied
  )
  counts = statistics.counts
  prior = jnp.where(counts > 0, counts, 1.0) / jnp.maximum(counts.sum(), 1.0)
  log_prior = jnp.where(counts > 0, jnp.log(prior), _inputs.ABSENT_LOGIT)
  return {
    "mean": statistics.means.astype(jnp.float32),
    "cholesky": jnp.linalg.cholesky(covariance.astype(jnp.float32)),
    "log_prior": log_prior,
  }


def predict_gaussian_discriminant(
  params: dict[str, Array], features: Float[Array, "b d"]
) -> Float[Array, "b c"]:
  """Log joint probability of the features and each class.

  logits_k = log_prior_k - ((x - mean_k)^T C_k^-1 (x - mean_k)
    + log det C_k + d log(2 pi)) / 2.

  Args:
    params: from fit_gaussian_discriminant.
    features: [b d], any float type; computed in float32.

  Returns:
    [b c] float32, nats; their softmax is the posterior. About -1e30 for a
    class without training rows.

  Raises:
    ValueError: features are not [b d] with the d of fit.

  Source: as fit_gaussian_discriminant.
  Differs: nothing known.

  >>> params = {"mean": jnp.zeros((1, 1)), "cholesky": jnp.eye(1)}
  >>> params["log_prior"] = jnp.zeros(1)
  >>> print(predict_gaussian_discriminant(params, jnp.zeros((1, 1))))
  [[-0.9189385]]
  """
  d = params["mean"].shape[1]
  features = _inputs.check_features(features, d)
  factor = params["cholesky"]
  distance = ops.mahalanobis(features, params["mean"], factor, kind="cholesky")
  diagonal = jnp.diagonal(factor, axis1=-2, axis2=-1)
  log_det = 2 * jnp.log(diagonal).sum(axis=-1)
  constant = log_det + d * math.log(2 * math.pi)
  return params["log_prior"] - 0.5 * (distance + jnp.asarray(constant))
