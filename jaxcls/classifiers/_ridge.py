"""Ridge regression on one-hot targets, solved in closed form."""

import jax.numpy as jnp
from jax.scipy import linalg
from jaxtyping import Array, Bool, Float, Int

from jaxcls.classifiers import _inputs


def fit_ridge(
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  num_classes: int,
  l2: float,
  where: Bool[Array, " n"] | None = None,
) -> dict[str, Array]:
  """Least squares to the one-hot labels with an L2 penalty.

  minimises sum_i ||x_i @ kernel + bias - one_hot(label_i)||**2
            + l2 * ||kernel||**2; the bias is not penalised.

  Solves with the smaller of the d x d and the n x n Gram matrix.

  Args:
    features: [n d], any float type; computed in float32.
    labels: [n], class ids in [0, c), -1 = unlabelled, not used.
    num_classes: c, fixed.
    l2: penalty, > 0, in squared units of the features, not divided by n. If
      it is some 1e7 times smaller than the largest eigenvalue of the Gram
      matrix, float32 runs out and the result may be nan.
    where: [n], True = keep; None keeps all.

  Returns:
    {"kernel": [d c] float32, "bias": [c] float32}.

  Raises:
    ValueError: no rows, shapes that do not match, a label >= num_classes,
      l2 <= 0.
    TypeError: labels are not integers or where is not bool.

  Source: Hoerl & Kennard 1970, Ridge regression; sklearn.linear_model.Ridge
    with alpha = l2 and targets in {0, 1}.
  Differs: sklearn's RidgeClassifier uses targets in {-1, 1}, which doubles
    the kernel and leaves the argmax.

  >>> x, y = jnp.array([[-1.0], [1.0]]), jnp.array([0, 1])
  >>> print(fit_ridge(x, y, num_classes=2, l2=2.0)["kernel"])
  [[-0.25  0.25]]
  """
  _inputs.check_positive("l2", l2)
  features, labels, kept = _inputs.check_fit(
    features, labels, num_classes, where
  )
  targets = _inputs.one_hot(labels, num_classes)
  count = jnp.maximum(kept.sum(dtype=jnp.float32), 1.0)
  x_mean, y_mean = features.sum(axis=0) / count, targets.sum(axis=0) / count
  # Centred, the bias drops out; rows that do not count stay zero.
  x = jnp.where(kept[:, None], features - x_mean, 0.0)
  y = jnp.where(kept[:, None], targets - y_mean, 0.0)
  rows, width = x.shape
  if width <= rows:
    gram = _inputs.matmul(x.T, x) + l2 * jnp.eye(width)
    kernel = linalg.solve(gram, _inputs.matmul(x.T, y), assume_a="pos")
  else:
    gram = _inputs.matmul(x, x.T) + l2 * jnp.eye(rows)
    kernel = _inputs.matmul(x.T, linalg.solve(gram, y, assume_a="pos"))
  return {"kernel": kernel, "bias": y_mean - _inputs.matmul(x_mean, kernel)}


def predict_ridge(
  params: dict[str, Array], features: Float[Array, "b d"]
) -> Float[Array, "b c"]:
  """Regressed one-hot label: features @ kernel + bias.

  Args:
    params: from fit_ridge.
    features: [b d], any float type; computed in float32.

  Returns:
    [b c] float32; rows sum to 1, but entries can leave [0, 1]: the argmax is
    the class, the softmax is not a calibrated probability.

  Raises:
    ValueError: features are not [b d] with the d of fit.

  Source: sklearn.linear_model.Ridge.
  Differs: nothing known.

  >>> params = {"kernel": jnp.array([[-0.25, 0.25]]), "bias": jnp.full(2, 0.5)}
  >>> print(predict_ridge(params, jnp.array([[1.0]])))
  [[0.25 0.75]]
  """
  return _inputs.predict_linear(params, features)
