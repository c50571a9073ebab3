"""Gaussian naive Bayes: features independent within a class."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.classifiers import _inputs


def fit_naive_bayes(
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  num_classes: int,
  var_smoothing: float = 1e-9,
  tied: bool = False,
  where: Bool[Array, " n"] | None = None,
) -> dict[str, Array]:
  """Mean and variance of every feature in every class.

  var_kj = mean over class k of (x_j - mean_kj)**2
           + var_smoothing * max_j var(x_j over all classes).

  Tied, every class has the variance sum_k prior_k var_kj: the classifier is
  then linear in x, the generative counterpart of logistic regression.

  Args:
    features: [n d], any float type; computed in float32.
    labels: [n], class ids in [0, c), -1 = unlabelled, not used.
    num_classes: c, fixed; classes without a row are never predicted.
    var_smoothing: share of the largest variance added to all, > 0, no unit;
      scikit-learn's default. Features that are constant within a class need
      more (1e-3), or they alone decide.
    tied: one variance for all classes.
    where: [n], True = keep; None keeps all.

  Returns:
    {"mean": [c d], "var": [c d], "log_prior": [c], "counts": [c]}, all
    float32; an absent class has log_prior -1e30.

  Raises:
    ValueError: no rows, shapes that do not match, a label >= num_classes,
      var_smoothing <= 0.
    TypeError: labels are not integers or where is not bool.

  Source: sklearn.naive_bayes.GaussianNB; tied: Zheng et al. 2023,
    arXiv:2302.02334.
  Differs: float32; scikit-learn computes in float64.

  >>> x, y = jnp.array([[0.0], [2.0], [9.0], [9.0]]), jnp.array([0, 0, 1, 1])
  >>> params = fit_naive_bayes(x, y, num_classes=2)
  >>> print(params["mean"][:, 0], params["var"][0])
  [1. 9.] [1.]
  """
  _inputs.check_positive("var_smoothing", var_smoothing)
  features, labels, kept = _inputs.check_fit(
    features, labels, num_classes, where
  )
  targets = _inputs.one_hot(labels, num_classes)
  counts = targets.sum(axis=0)
  total = jnp.maximum(counts.sum(), 1.0)
  divisor = jnp.maximum(counts, 1.0)[:, None]
  mean = _inputs.class_sums(targets, features) / divisor
  # Two passes: E[x^2] - E[x]^2 cancels in float32.
  centred = features - _inputs.matmul(targets, mean)
  var = _inputs.class_sums(targets, centred**2) / divisor
  grand = features.sum(axis=0) / total
  spread = jnp.where(kept[:, None], features - grand, 0.0)
  largest = (spread**2).sum(axis=0).max() / total
  # Without any spread (one row) all variances would be 0.
  floor = jnp.maximum(var_smoothing * largest, jnp.finfo(jnp.float32).tiny)
  var = jnp.where(counts[:, None] > 0, var + floor, 1.0)
  return _complete(mean, var, counts, tied)


def merge_naive_bayes(
  a: dict[str, Array], b: dict[str, Array], *, tied: bool = False
) -> dict[str, Array]:
  """What a fit on the rows of both fits would have found.

  With counts n_a, n_b: mean = (n_a mean_a + n_b mean_b) / (n_a + n_b),
  var = (n_a var_a + n_b var_b
         + n_a n_b / (n_a + n_b) (mean_a - mean_b)**2) / (n_a + n_b).

  Args:
    a: from fit_naive_bayes, not tied.
    b: likewise, of other rows.
    tied: ties the variances of the result, which cannot be merged again.

  Returns:
    As fit_naive_bayes.

  Raises:
    ValueError: the fits differ in classes or features.

  Source: Chan et al. 1979, Updating formulae and a pairwise algorithm for
    computing sample variances.
  Differs: the smoothing of both fits is averaged.

  >>> fit = lambda x, y: fit_naive_bayes(
  ...   jnp.array(x), jnp.array(y), num_classes=1
  ... )
  >>> both = merge_naive_bayes(fit([[0.0]], [0]), fit([[2.0], [4.0]], [0, 0]))
  >>> print(both["mean"][0], both["counts"])
  [2.] [3.]
  """
  if a["mean"].shape != b["mean"].shape:
    raise ValueError(
      f"b must have means of shape {a['mean'].shape} as a, got "
      f"{b['mean'].shape}."
    )
  n, m = a["counts"][:, None], b["counts"][:, None]
  total = jnp.maximum(n + m, 1.0)
  mean = (n * a["mean"] + m * b["mean"]) / total
  between = n * m / total * (a["mean"] - b["mean"]) ** 2
  var = (n * a["var"] + m * b["var"] + between) / total
  var = jnp.where(n + m > 0, var, 1.0)
  return _complete(mean, var, a["counts"] + b["counts"], tied)


def _complete(mean, var, counts, tied):
  """The parameters of the classes' moments."""
  prior = jnp.where(counts > 0, counts, 1.0) / jnp.maximum(counts.sum(), 1.0)
  log_prior = jnp.where(counts > 0, jnp.log(prior), _inputs.ABSENT_LOGIT)
  if tied:
    share = counts / jnp.maximum(counts.sum(), 1.0)
    pooled = (share[:, None] * var).sum(axis=0)
    var = jnp.broadcast_to(pooled, var.shape)
  return {"mean": mean, "var": var, "log_prior": log_prior, "counts": counts}


def predict_naive_bayes(
  params: dict[str, Array], features: Float[Array, "b d"]
) -> Float[Array, "b c"]:
  """Log joint probability of the features and each class.

  logits_k = log_prior_k
    - sum_j ((x_j - mean_kj)**2 / var_kj + log(2 pi var_kj)) / 2.

  Args:
    params: from fit_naive_bayes.
    features: [b d], any float type; computed in float32.

  Returns:
    [b c] float32, nats; their softmax is the posterior. About -1e30 for a
    class without training rows.

  Raises:
    ValueError: features are not [b d] with the d of fit.

  Source: sklearn.naive_bayes.GaussianNB, predict_joint_log_proba.
  Differs: nothing known.

  >>> params = {"mean": jnp.zeros((1, 1)), "var": jnp.ones((1, 1))}
  >>> params["log_prior"] = jnp.zeros(1)
  >>> print(predict_naive_bayes(params, jnp.zeros((1, 1))))
  [[-0.9189385]]
  """
  features = _inputs.check_features(features, params["mean"].shape[1])

  def one_class(gaussian):
    mean, var, log_prior = gaussian
    # Not expanded into products: the terms would cancel for small var. Class
    # by class, so that no [b c d] array is stored.
    quadratic = ((features - mean) ** 2 / var).sum(axis=-1)
    log_scale = jnp.log(2.0 * math.pi * var).sum()
    return log_prior - 0.5 * (quadratic + log_scale)

  gaussians = (params["mean"], params["var"], params["log_prior"])
  return jax.lax.map(one_class, gaussians).T
