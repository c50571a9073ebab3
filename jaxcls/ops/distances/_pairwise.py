"""All distances between two sets of rows."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls.ops import _arrays

METRICS = ("euclidean", "squared_euclidean", "cosine")


def pairwise_distances(
  x: Float[Array, "*b n d"],
  y: Float[Array, "*b m d"] | None = None,
  *,
  metric: str = "euclidean",
) -> Float[Array, "*b n m"]:
  """Distances D_ij of x_i to y_j.

  "euclidean": |x_i - y_j|; "squared_euclidean": its square; "cosine":
  1 - x_i . y_j / (|x_i| |y_j|), where a zero row has distance 1 to all.

  The squares come from |x|^2 + |y|^2 - 2 x . y about the mean of y, so their
  error is about 1e-7 of the spread of the data squared, not of its distance
  from the origin.

  Args:
    x: [*b n d], any float type; computed in float32 (float64 stays).
    y: [*b m d]; None: x itself, and the diagonal is exactly 0.
    metric: "euclidean", "squared_euclidean" or "cosine".

  Returns:
    [*b n m], >= 0. n or m = 0 gives an empty array. Gradients are finite
    everywhere; that of a Euclidean distance of 0 is 0.

  Raises:
    TypeError: x or y is not floating point.
    ValueError: a shape does not match, or the metric is unknown.

  Source: no paper; sklearn.metrics.pairwise_distances.
  Differs: centred first.

  >>> x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
  >>> print(pairwise_distances(x))
  [[0. 5.]
   [5. 0.]]
  """
  x = _arrays.wide("x", x)
  if x.ndim < 2:
    raise ValueError(f"x must have shape [*b n d], got {x.shape}.")
  other = x
  if y is not None:
    other = _arrays.wide("y", y, *x.shape[:-2], "m", x.shape[-1])
  check_metric(metric)
  center = mean_row(other)
  out = compare(
    prepare(x, metric, center), prepare(other, metric, center), metric
  )
  if y is None:
    out = jnp.where(jnp.eye(x.shape[-2], dtype=bool), 0, out)
  return root(out) if metric == "euclidean" else out


def check_metric(metric):
  """Raises ValueError for an unknown metric."""
  _arrays.check_choice("metric", metric, METRICS)


def mean_row(x):
  """[*b n d] -> [*b 1 d], a place to measure from; 0 for n = 0."""
  mean = x.sum(axis=-2, keepdims=True) / max(x.shape[-2], 1)
  return jax.lax.stop_gradient(mean)


def prepare(x, metric, center):
  """Rows of unit norm for cosine, less the center for the others."""
  return _arrays.unit(x) if metric == "cosine" else x - center


def compare(x, y, metric):
  """[*b n m] of prepared rows: 1 - cos, or squares for both the others."""
  product = _arrays.matmul(x, jnp.swapaxes(y, -1, -2))
  if metric == "cosine":
    return jnp.maximum(1 - product, 0)
  squares = (x**2).sum(axis=-1)[..., None] + (y**2).sum(axis=-1)[..., None, :]
  return jnp.maximum(squares - 2 * product, 0)


def root(squares):
  """Square root, with gradient 0 at 0."""
  zero = squares <= 0
  return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squares)))
