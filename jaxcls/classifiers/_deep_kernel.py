"""Kernels of infinitely wide networks of any depth, and regression on them."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import _precision, ops
from jaxcls.classifiers import _inputs

_KERNELS = ("nngp", "ntk")


def deep_kernel(
  correlation: Float[Array, "*b"],
  *,
  coefficients: Sequence[float],
  depth: int,
  kernel: str = "ntk",
) -> Float[Array, "*b"]:
  """Kernel of a fully connected network of infinite width.

  Sigma_0 = Theta_0 = xi; Sigma_l = kappa(Sigma_{l-1});
  Theta_l = Sigma_l + Theta_{l-1} kappa'(Sigma_{l-1}), with kappa of
  `dual_activation`: the covariance of the outputs at initialisation ("nngp",
  Sigma) and the tangent kernel of training ("ntk", Theta).

  Args:
    correlation: [*b], xi = x.y of inputs on the unit sphere, in [-1, 1].
    coefficients: Hermite coefficients of the activation, a_0, a_1, ...
    depth: hidden layers, >= 0.
    kernel: "nngp" or "ntk".

  Returns:
    [*b] float32 (float64 for float64 input).

  Raises:
    ValueError: an unknown kernel or a negative depth.

  Source: Jacot et al. 2018, arXiv:1806.07572; Lee et al. 2018,
    arXiv:1711.00165; with Hermite coefficients: Radhakrishnan et al. 2022,
    arXiv:2204.14126.
  Differs: nothing known; no biases.

  >>> xi = jnp.array([0.0, 0.5, 1.0])
  >>> print(deep_kernel(xi, coefficients=(0.0, 0.6, 0.8), depth=1))
  [0.   0.84 2.64]
  """
  if kernel not in _KERNELS:
    raise ValueError(f"kernel must be one of {_KERNELS}, got {kernel!r}.")
  if depth < 0:
    raise ValueError(f"depth must be at least 0, got {depth}.")
  wide = _precision.wide(correlation)
  xi = correlation.astype(wide)
  squares = [float(a) ** 2 for a in coefficients]
  slopes = [i * s for i, s in enumerate(squares)][1:]

  def layer(carry, _):
    sigma, theta = carry
    new = _polynomial(squares, sigma)
    return (new, new + theta * _polynomial(slopes, sigma)), None

  (sigma, theta), _ = jax.lax.scan(layer, (xi, xi), length=depth)
  return sigma if kernel == "nngp" else theta


def _polynomial(coefficients, x):
  """Horner's rule, from the highest power down."""
  total = jnp.zeros_like(x)
  for a in reversed(coefficients):
    total = total * x + a
  return total


def fit_deep_kernel(
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  num_classes: int,
  coefficients: Sequence[float],
  depth: int,
  kernel: str = "ntk",
  l2: float = 0.0,
  where: Bool[Array, " n"] | None = None,
) -> dict[str, Array]:
  """Kernel regression of +-1 targets on the kernel of a wide network.

  weights = (K + l2 I)^-1 Y, K the kernel of `deep_kernel` between training
  rows on the unit sphere, over its value at xi = 1, and Y 1 at the label and
  -1 elsewhere. Without l2 it is what infinitely long training ends in.

  Args:
    features: [n d], any float type; computed in float32, divided by their
      length.
    labels: [n], class ids in [0, c), -1 = unlabelled, not used.
    num_classes: c, fixed.
    coefficients, depth, kernel: of `deep_kernel`.
    l2: added to the diagonal, >= 0, beside ones.
    where: [n], True = keep; None keeps all.

  Returns:
    {"embeddings": [n d] unit rows, "weights": [n c]} float32; a row that does
    not count has weight 0.

  Raises:
    ValueError: no rows, shapes that do not match, a label >= num_classes, an
      unknown kernel, a negative depth or l2.
    TypeError: labels are not integers or where is not bool.

  Source: Radhakrishnan et al. 2022, arXiv:2204.14126.
  Differs: one output a class, the paper's two classes have one.

  >>> x, y = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([0, 1])
  >>> settings = dict(coefficients=(0.0, 0.6, 0.8), depth=2)
  >>> params = fit_deep_kernel(x, y, num_classes=2, **settings)
  >>> print(predict_deep_kernel(params, x, **settings).round(3))
  [[ 1. -1.]
   [-1.  1.]]
  """
  if not l2 >= 0:
    raise ValueError(f"l2 must be at least 0, got {l2}.")
  features, labels, kept = _inputs.check_fit(
    features, labels, num_classes, where
  )
  unit = ops.unit_norm(features)
  gram = _gram(unit, unit, coefficients, depth, kernel)
  identity = jnp.eye(len(labels))
  gram = jnp.where(kept[:, None] & kept[None], gram, identity)
  targets = 2 * _inputs.one_hot(labels, num_classes) - 1
  targets = jnp.where(kept[:, None], targets, 0.0)
  weights = jnp.linalg.solve(gram + l2 * identity, targets)
  return {"embeddings": unit, "weights": weights}


def predict_deep_kernel(
  params: dict[str, Array],
  features: Float[Array, "b d"],
  *,
  coefficients: Sequence[float],
  depth: int,
  kernel: str = "ntk",
) -> Float[Array, "b c"]:
  """Scores k(x) @ weights, about 1 at the label and -1 elsewhere.

  Args:
    params: from fit_deep_kernel.
    features: [b d], any float type; computed in float32, divided by their
      length.
    coefficients, depth, kernel: as in the fit.

  Returns:
    [b c] float32, no unit; a softmax of them is no probability.

  Raises:
    ValueError: features are not [b d] with the d of fit; an unknown kernel or
      a negative depth.

  Source: Radhakrishnan et al. 2022, arXiv:2204.14126.
  Differs: nothing known.

  >>> params = {"embeddings": jnp.ones((1, 1)), "weights": jnp.ones((1, 1))}
  >>> print(
  ...   predict_deep_kernel(
  ...     params, jnp.ones((1, 1)), coefficients=(0.0, 1.0), depth=3
  ...   )
  ... )
  [[1.]]
  """
  bank = params["embeddings"]
  features = _inputs.check_features(features, bank.shape[1])
  unit = ops.unit_norm(features)
  gram = _gram(unit, bank, coefficients, depth, kernel)
  return _inputs.matmul(gram, params["weights"])


def _gram(a, b, coefficients, depth, kernel):
  """[n m] kernel between unit rows, 1 at equal rows."""
  settings = dict(coefficients=coefficients, depth=depth, kernel=kernel)
  xi = jnp.clip(_inputs.matmul(a, b.T), -1.0, 1.0)
  # What float32 cannot tell from 1 is the same place: layers enlarge the gap.
  xi = jnp.where(xi > 1 - 8 * jnp.finfo(xi.dtype).eps, 1.0, xi)
  return deep_kernel(xi, **settings) / deep_kernel(jnp.ones(()), **settings)
