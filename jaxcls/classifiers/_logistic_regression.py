"""Multinomial logistic regression, full batch, by L-BFGS."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import optim
from jaxcls.classifiers import _inputs


def fit_logistic_regression(
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  num_classes: int,
  l2: float,
  max_iterations: int = 500,
  tolerance: float = 1e-6,
  where: Bool[Array, " n"] | None = None,
) -> dict[str, Array]:
  """Softmax regression with an L2 penalty on the kernel.

  minimises sum_i -log softmax(x_i @ kernel + bias)[label_i]
            + l2 / 2 * ||kernel||**2; the bias is not penalised.

  L-BFGS with a zoom line search runs from zero until no entry of the gradient
  of (objective / n) is above the tolerance: standardise the features first.

  Args:
    features: [n d], any float type; computed in float32.
    labels: [n], class ids in [0, c), -1 = unlabelled, not used.
    num_classes: c, fixed; a class without a row gets a low, finite bias.
    l2: penalty, > 0, not divided by n: the inverse of scikit-learn's C.
    max_iterations: most L-BFGS steps.
    tolerance: on the largest entry of the gradient; float32 does not get
      far below 1e-6.
    where: [n], True = keep; None keeps all.

  Returns:
    {"kernel": [d c], "bias": [c], "gradient_norm": [], "num_steps": []};
    gradient_norm (its largest entry) above tolerance means not converged.

  Raises:
    ValueError: no rows, shapes that do not match, a label >= num_classes,
      l2 <= 0.
    TypeError: labels are not integers or where is not bool.

  Source: sklearn.linear_model.LogisticRegression; Liu & Nocedal 1989, On the
    limited memory BFGS method (optax.lbfgs).
  Differs: nothing known in the objective; float32.

  >>> x, y = jnp.array([[-1.0], [1.0]]), jnp.array([0, 1])
  >>> params = fit_logistic_regression(x, y, num_classes=2, l2=1.0)
  >>> print(predict_logistic_regression(params, x).argmax(axis=-1))
  [0 1]
  """
  _inputs.check_positive("l2", l2)
  features, labels, kept = _inputs.check_fit(
    features, labels, num_classes, where
  )
  targets = _inputs.one_hot(labels, num_classes)
  count = jnp.maximum(kept.sum(dtype=jnp.float32), 1.0)

  objective = _make_objective(features, targets, count, l2)
  start = {
    "kernel": jnp.zeros((features.shape[1], num_classes)),
    "bias": jnp.zeros(num_classes),
  }
  params, norm, steps = optim.fit_lbfgs(
    objective, start, max_iterations=max_iterations, tolerance=tolerance
  )
  return {**params, "gradient_norm": norm, "num_steps": steps}


def _make_objective(features, targets, count, l2):
  """The penalised negative log-likelihood, divided by the row count."""

  def objective(params):
    logits = _inputs.matmul(features, params["kernel"]) + params["bias"]
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    penalty = 0.5 * l2 * (params["kernel"] ** 2).sum()
    return (penalty - (targets * log_probs).sum()) / count

  return objective


def predict_logistic_regression(
  params: dict[str, Array], features: Float[Array, "b d"]
) -> Float[Array, "b c"]:
  """Logits features @ kernel + bias; their softmax is the probability.

  Args:
    params: from fit_logistic_regression.
    features: [b d], any float type; computed in float32.

  Returns:
    [b c] float32 logits.

  Raises:
    ValueError: features are not [b d] with the d of fit.

  Source: sklearn.linear_model.LogisticRegression.
  Differs: nothing known.

  >>> params = {"kernel": jnp.array([[-1.0, 1.0]]), "bias": jnp.zeros(2)}
  >>> print(predict_logistic_regression(params, jnp.array([[2.0]])))
  [[-2.  2.]]
  """
  return _inputs.predict_linear(params, features)
