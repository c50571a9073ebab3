"""Gradient descent on separable data: logistic regression, perceptron."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcls import _precision


def logistic_gradient(
  weights: Float[Array, " d"],
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  normalized: bool = False,
) -> Float[Array, " d"]:
  """Gradient of binary logistic regression, plain or normalised.

  With y_i = 2 label_i - 1 and s_i = 1 / (1 + exp(y_i a_i . w)):
    plain      -(1/n) sum_i s_i y_i a_i, of (1/n) sum_i log(1 + exp(-y a.w))
    normalised -sum_i s_i y_i a_i / sum_i s_i, the plain one times
               beta = ((1/n) sum_i s_i)^-1.

  With `optax.sgd(gamma)` from w = 0 on data of margin mu and radius R, the
  normalised one separates after at most R^2 / mu^2 + 2 log(2 n - 1) /
  (gamma mu^2) steps; the plain one, for gamma to infinity, after n R^2 / mu^2,
  and on some data not before a multiple of n.

  Args:
    weights: [d]; a bias is a feature that is 1.
    features: [n d], n >= 1; computed in float32 (float64 stays).
    labels: [n], 0 or 1; not checked, the values are traced.
    normalized: which of the two.

  Returns:
    [d], to be subtracted, the weights' dtype.

  Raises:
    ValueError: shapes do not match, or no rows.
    TypeError: labels are not integers.

  Source: Tyurin 2024, arXiv:2412.08424 (From Logistic Regression to the
    Perceptron Algorithm), secs. 1 and 6.
  Differs: classes are 0 and 1 in place of -1 and 1; the normalised weights
    are a softmax, finite also where every s_i rounds to 0.

  >>> a, labels = jnp.array([[1.0], [3.0]]), jnp.array([1, 1])
  >>> print(logistic_gradient(jnp.zeros(1), a, labels))
  [-1.]
  >>> print(logistic_gradient(jnp.zeros(1), a, labels, normalized=True))
  [-2.]
  """
  weights = jnp.asarray(weights)
  signed, margins = _margins(weights, features, labels)
  if normalized:
    share = jax.nn.softmax(jax.nn.log_sigmoid(-margins))
  else:
    share = jax.nn.sigmoid(-margins) / margins.size
  return -_matmul(share, signed).astype(weights.dtype)


def perceptron_gradient(
  weights: Float[Array, " d"],
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  normalized: bool = False,
) -> Float[Array, " d"]:
  """The batch perceptron's step: `logistic_gradient` for infinite gamma.

  With v = w / gamma and c_i = 1 where y_i a_i . v < 0, 1/2 where it is 0:
    plain      -(1/n) sum_i c_i y_i a_i
    normalised -sum_i c_i y_i a_i / sum_i c_i
  to be used with step 1 (`optax.sgd(1.0)`) from v = 0, where all c_i are 1/2.

  Args:
    weights: [d], v.
    features: [n d], n >= 1; computed in float32 (float64 stays).
    labels: [n], 0 or 1; not checked, the values are traced.
    normalized: divides by the number of mistakes in place of n.

  Returns:
    [d], the weights' dtype; 0 once the data are separated.

  Raises:
    ValueError: shapes do not match, or no rows.
    TypeError: labels are not integers.

  Source: Tyurin 2024, arXiv:2412.08424, secs. 3 and 5 (batch perceptron:
    Duda, Hart & Stork 2001, Pattern Classification).
  Differs: the paper halves the first step by rule and counts later ties as
    whole mistakes; 1/2 for every tie gives the same first step from 0 and is
    the limit also where ties come back.

  >>> a, labels = jnp.array([[1.0], [-3.0]]), jnp.array([1, 1])
  >>> v = jnp.ones(1)
  >>> print(perceptron_gradient(v, a, labels))
  [1.5]
  >>> print(perceptron_gradient(v, a, labels, normalized=True))
  [3.]
  """
  weights = jnp.asarray(weights)
  signed, margins = _margins(weights, features, labels)
  mistakes = jnp.heaviside(-margins, 0.5)
  count = jnp.maximum(mistakes.sum(), 0.5) if normalized else margins.size
  return -_matmul(mistakes / count, signed).astype(weights.dtype)


def descend_until_separated(
  gradient: Callable,
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  step_size: float,
  max_steps: int,
) -> dict[str, Array]:
  """Gradient steps from 0 until every row is on its side of the plane.

  Args:
    gradient: `logistic_gradient`, `perceptron_gradient` or the like.
    features: [n d], n >= 1.
    labels: [n], 0 or 1.
    step_size: gamma > 0.
    max_steps: most steps.

  Returns:
    {"weights": [d], "num_steps": [] int32, "separated": [] bool}.

  Raises:
    ValueError: step_size <= 0 or what `gradient` raises.

  Source: Tyurin 2024, arXiv:2412.08424, eq. 1: y_i a_i . w > 0 for all i.
  Differs: nothing known.

  >>> a, labels = make_slow_separable(100)
  >>> def steps(gradient, **kwargs):
  ...   f = lambda *args: gradient(*args, **kwargs)
  ...   out = descend_until_separated(f, a, labels, step_size=1e3, max_steps=99)
  ...   return int(out["num_steps"])
  >>> steps(logistic_gradient), steps(logistic_gradient, normalized=True)
  (31, 2)
  """
  if not step_size > 0:
    raise ValueError(f"step_size must be > 0, got {step_size}.")
  features, labels = jnp.asarray(features), jnp.asarray(labels)
  separated = lambda w: (_margins(w, features, labels)[1] > 0).all()

  def step(carry):
    weights, steps = carry
    return weights - step_size * gradient(weights, features, labels), steps + 1

  def unfinished(carry):
    weights, steps = carry
    return ~separated(weights) & (steps < max_steps)

  dtype = _precision.wide(features)
  start = (jnp.zeros(features.shape[1], dtype), jnp.zeros((), jnp.int32))
  weights, steps = jax.lax.while_loop(unfinished, step, start)
  out = {"weights": weights, "num_steps": steps}
  return {**out, "separated": separated(weights)}


def hard_margin(
  features: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"]
) -> tuple[float, np.ndarray]:
  """The largest margin of a plane through 0, and its unit normal.

  mu = max over ||w|| = 1 of min_i y_i a_i . w, the hard-margin support vector
  machine without bias: min ||w|| with y_i a_i . w >= 1, solved as the
  non-negative least squares problem that Lawson & Hanson reduce it to.

  Args:
    features: [n d]; numpy, in float64, on the host.
    labels: [n], 0 or 1.

  Returns:
    (mu > 0, w [d] float64).

  Raises:
    ValueError: shapes do not match, no rows, or no plane separates the data.
    TypeError: labels are not integers.

  Source: Lawson & Hanson 1974, Solving Least Squares Problems, LDP; mu is
    that of Tyurin 2024, arXiv:2412.08424, assumption 1.1.
  Differs: nothing known.

  >>> mu, w = hard_margin(np.array([[2.0, 1.0], [-2.0, 1.0]]), np.array([1, 0]))
  >>> round(mu, 6), round(w[0], 6).item()
  (2.0, 1.0)
  """
  import scipy.optimize

  features, labels = np.asarray(features, np.float64), np.asarray(labels)
  _check(features, labels)
  signed = (2 * labels[:, None] - 1) * features
  scale = np.abs(signed).max() or 1.0
  system = np.concatenate([signed.T / scale, np.ones((1, len(labels)))])
  target = np.append(np.zeros(features.shape[1]), 1.0)
  weights, _ = scipy.optimize.nnls(system, target)
  *normal, last = system @ weights - target
  size = np.linalg.norm(normal)
  if size > 0:
    normal = np.array(normal) / size
    margin = (signed @ normal).min()
    if margin > 1e-9 * scale:
      return float(margin), normal
  raise ValueError(
    "features must be separable by a plane through 0, got none that does "
    f"(residual {abs(last):.1g}). Add a feature that is 1 for a bias."
  )


def make_slow_separable(
  num_examples: int,
) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, " n"]]:
  """Data on which the batch perceptron needs a multiple of n steps.

  One row (0.5, -1) of class 1 and n - 1 rows (-0.5, -1) of class 0; margin
  and radius do not depend on n.

  Args:
    num_examples: n >= 10.

  Returns:
    features [n 2] float32, labels [n] int32.

  Raises:
    ValueError: num_examples < 10.

  Source: Tyurin 2024, arXiv:2412.08424, theorem 5.1.
  Differs: nothing known.

  >>> make_slow_separable(10)[0][:2].tolist()
  [[0.5, -1.0], [-0.5, -1.0]]
  """
  if num_examples < 10:
    raise ValueError(f"num_examples must be >= 10, got {num_examples}.")
  labels = (np.arange(num_examples) == 0).astype(np.int32)
  features = np.stack([labels - 0.5, -np.ones(num_examples)], axis=1)
  return features.astype(np.float32), labels


def _matmul(a, b):
  return jnp.matmul(a, b, precision="highest")


def _margins(weights, features, labels):
  """(y_i a_i [n d], y_i a_i . w [n]), float32 or wider."""
  _check(features, labels)
  # Numpy's float64 becomes float32 here, unless x64 is on.
  features, labels = jnp.asarray(features), jnp.asarray(labels)
  if weights.shape != features.shape[1:]:
    raise ValueError(
      f"weights must have shape {features.shape[1:]}, one for each column of "
      f"features, got {weights.shape}."
    )
  dtype = _precision.wide(features, weights)
  signed = (2 * labels[:, None] - 1).astype(dtype) * features.astype(dtype)
  return signed, _matmul(signed, weights.astype(dtype))


def _check(features, labels):
  if (
    features.ndim != 2 or not len(features) or labels.shape != (len(features),)
  ):
    raise ValueError(
      "features and labels must have shapes [n d] and [n] with n >= 1, got "
      f"{features.shape} and {labels.shape}."
    )
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise TypeError(f"labels must be integers 0 and 1, got {labels.dtype}.")
