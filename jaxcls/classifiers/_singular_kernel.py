"""Kernels with a pole, and the activations whose deep networks become them."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxcls import ops
from jaxcls.classifiers import _deep_kernel, _inputs, _knn


def fit_singular_kernel(
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  num_classes: int,
  where: Bool[Array, " n"] | None = None,
) -> dict[str, Array]:
  """Stores the training rows; the exponent is chosen when predicting.

  Args, Returns, Raises: as `fit_knn`.

  Source: Devroye et al. 1998, The Hilbert kernel regression estimate.
  Differs: nothing known.

  >>> x, y = jnp.array([[0.0], [2.0]]), jnp.array([0, 1])
  >>> print(fit_singular_kernel(x, y, num_classes=2)["labels"])
  [0 1]
  """
  return _knn.fit_knn(features, labels, num_classes=num_classes, where=where)


def predict_singular_kernel(
  params: dict[str, Array],
  features: Float[Array, "b d"],
  *,
  exponent: float,
  block_size: int = 1024,
) -> Float[Array, "b c"]:
  """Log of the share of the votes, each 1 / distance**exponent.

  share_k = sum_{i of class k} w_i / sum_i w_i, w_i = ||x - x_i||**-exponent:
  the rows of training are met exactly, yet with exponent = d, the dimension
  that the data fill, the rule becomes the best possible one as n grows. A
  small exponent is a majority vote, a large one the nearest neighbour.

  Args:
    params: from fit_singular_kernel.
    features: [b d], any float type; computed in float32.
    exponent: alpha > 0, no unit.
    block_size: queries compared at once: [block_size, n] floats are stored.

  Returns:
    [b c] float32, nats; exp of it is the share, -1e30 for a class without
    rows. Squared distances below 1e-6 (||x||^2 + ||x_i||^2) count as that.

  Raises:
    ValueError: features are not [b d] with the d of fit; exponent <= 0;
      block_size < 1.

  Source: Devroye et al. 1998, The Hilbert kernel regression estimate;
    Radhakrishnan et al. 2022, arXiv:2204.14126 (as the limit of wide and deep
    networks).
  Differs: distances in all of R^d, in the second of points on a sphere.

  >>> x, y = jnp.array([[0.0], [3.0]]), jnp.array([0, 1])
  >>> params = fit_singular_kernel(x, y, num_classes=2)
  >>> shares = jnp.exp(predict_singular_kernel(params, x[:1] + 1, exponent=1.0))
  >>> print(shares.round(4))
  [[0.6667 0.3333]]
  """
  bank, labels = params["embeddings"], params["labels"]
  features = _inputs.check_features(features, bank.shape[1])
  _inputs.check_positive("exponent", exponent)
  if block_size < 1:
    raise ValueError(f"block_size must be at least 1, got {block_size}.")
  num_classes = params["class_counts"].shape[0]
  members = _inputs.one_hot(labels, num_classes) > 0

  def block(x):
    square = ops.pairwise_distances(x, bank, metric="squared_euclidean")
    # What float32 cannot tell from zero is the same place.
    size = (x**2).sum(axis=1)[:, None] + (bank**2).sum(axis=1)[None]
    floor = jnp.maximum(1e-6 * size, 1e-30)
    votes = -exponent / 2 * jnp.log(jnp.maximum(square, floor))
    # Class by class: [b n c] is never stored.
    one = lambda own: jax.nn.logsumexp(
      jnp.broadcast_to(votes, square.shape), axis=1, where=own[None]
    )
    scores = jax.lax.map(one, members.T).T
    found = jax.nn.log_softmax(scores, axis=-1)
    return jnp.where(members.any(axis=0), found, _inputs.ABSENT_LOGIT)

  return _by_blocks(block, features, block_size, num_classes)


def _by_blocks(f, x, size, width):
  """f of blocks of rows, one after another: [b d] -> [b width]."""
  b, d = x.shape
  if b <= size:
    return f(x)
  count = -(-b // size)
  padded = jnp.pad(x, ((0, count * size - b), (0, 0)))
  found = jax.lax.map(f, padded.reshape(count, size, d))
  return found.reshape(-1, width)[:b]


def dual_activation(
  coefficients: Sequence[float], correlation: Float[Array, "*b"]
) -> Float[Array, "*b"]:
  """kappa(xi) = E[phi(u) phi(v)] of unit normals u, v of correlation xi.

  With phi = sum_i a_i h_i, h_i the normalised (probabilists') Hermite
  polynomials: kappa(xi) = sum_i a_i**2 xi**i. The kernel of a layer maps the
  last one's through kappa.

  Args:
    coefficients: a_0, a_1, ...; sum a_i**2 = 1 makes kappa(1) = 1.
    correlation: [*b], in [-1, 1].

  Returns:
    [*b] float32 (float64 for float64 input).

  Source: Daniely et al. 2016, arXiv:1602.05897.
  Differs: nothing known.

  >>> print(dual_activation((0.0, 0.6, 0.8), jnp.array([0.0, 0.5, 1.0])))
  [0.   0.34 1.  ]
  """
  return _deep_kernel.deep_kernel(
    correlation, coefficients=coefficients, depth=1, kernel="nngp"
  )


def singular_exponent(coefficients: Sequence[float]) -> float:
  """alpha of the singular kernel that the infinitely deep network becomes.

  alpha = -2 log kappa'(0) / log kappa'(1), kappa as in `dual_activation`.

  Args:
    coefficients: a_0, a_1, ... with a_0 = 0, sum a_i**2 = 1, 0 < a_1**2 < 1.

  Returns:
    alpha > 0.

  Raises:
    ValueError: a_0 is not 0 (majority vote), a_1 is 0 (nearest neighbour) or
      +-1, or the squares do not sum to 1 within 1e-6.

  Source: Radhakrishnan et al. 2022, arXiv:2204.14126.
  Differs: nothing known.

  >>> round(singular_exponent((0.0, 0.5**0.5, 0.0, 0.5**0.5)), 6)
  2.0
  """
  square = np.asarray(coefficients, float) ** 2
  if len(square) < 2 or abs(square.sum() - 1) > 1e-6:
    raise ValueError(
      "coefficients must have squares that sum to 1 and at least two entries, "
      f"got {tuple(coefficients)}."
    )
  if square[0] != 0 or not 0 < square[1] < 1:
    raise ValueError(
      "coefficients must have a_0 = 0 and 0 < a_1**2 < 1 for a singular "
      f"kernel, got {tuple(coefficients)[:2]}: a_0 other than 0 is a majority "
      "vote, a_1 = 0 the nearest neighbour."
    )
  slope = float((np.arange(len(square)) * square).sum())
  return -2 * math.log(square[1]) / math.log(slope)


def optimal_coefficients(dimension: float, degree: int = 3) -> tuple:
  """Hermite coefficients of an activation that is optimal in d dimensions.

  phi = a h_1 + sqrt(1 - a**2) h_k with a such that `singular_exponent` is d:
  a**2 (a**2 + k (1 - a**2))**(d / 2) = 1.

  Args:
    dimension: d >= 1, of what the data fill.
    degree: k >= 3 for d = 2; larger for larger d.

  Returns:
    (0, a, 0, ..., sqrt(1 - a**2)), k + 1 numbers.

  Raises:
    ValueError: no such a in (0, 1): the degree is too small.

  Source: Radhakrishnan et al. 2022, arXiv:2204.14126.
  Differs: the paper states an activation for each d; these are derived from
    its condition alpha = d.

  >>> print(np.round(optimal_coefficients(2.0), 4))
  [0.     0.7071 0.     0.7071]
  """
  if dimension < 1 or degree < 2:
    raise ValueError(
      f"dimension must be at least 1 and degree at least 2, got {dimension} "
      f"and {degree}."
    )
  power = lambda s: s * (s + degree * (1 - s)) ** (dimension / 2) - 1
  # At s = 1 the condition holds for the linear network: another root is sought.
  low, high = 0.0, 1.0 - 1e-9
  if power(high) <= 0:
    raise ValueError(
      f"degree must be larger for dimension {dimension}, got {degree}: "
      f"above {1 + 2 / dimension:g}."
    )
  for _ in range(200):
    middle = (low + high) / 2
    low, high = (middle, high) if power(middle) < 0 else (low, middle)
  a = math.sqrt(high)
  return (0.0, a, *[0.0] * (degree - 2), math.sqrt(1 - high))
