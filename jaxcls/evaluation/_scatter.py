"""How far the features of a class are scattered."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls import ops
from jaxcls.evaluation import _probes


def scatter_probe(
  train_features: Float[Array, "n d"],
  train_labels: Int[Array, " n"],
  test_features: Float[Array, "m d"],
  test_labels: Int[Array, " m"],
  *,
  num_classes: int,
) -> dict[str, float]:
  """Mean cosine distances within and between classes; fits nothing.

  within = mean over classes of the mean of 1 - cos(x, y) over pairs of
  different rows of the class; between = the mean over all pairs of rows of
  different classes.

  Args:
    train_features, train_labels: not used.
    test_features: [m d].
    test_labels: [m], class ids in [0, c), -1 = unlabelled.
    num_classes: c.

  Returns:
    {"within", "between": in [0, 2]; "ratio": within / between}; nan where
    there is no such pair.

  Raises:
    ValueError: no rows, shapes that do not match, a label outside [-1, c).
    TypeError: labels are not integers.

  Source: Zhang et al. 2021, arXiv:2102.06605 (intra-class scatter, as a
    cosine distance).
  Differs: nothing known.

  >>> x, y = jnp.eye(2)[jnp.array([0, 0, 1])], jnp.array([0, 0, 1])
  >>> found = scatter_probe(x, y, x, y, num_classes=2)
  >>> found["within"], found["between"]
  (0.0, 1.0)
  """
  del train_features, train_labels
  x, y = _probes.check_rows("test", test_features, test_labels, num_classes)
  within, between = _scatter(x, y, num_classes)
  within, between = float(within), float(between)
  ratio = within / between if between else float("nan")
  return {"within": within, "between": between, "ratio": ratio}


@functools.partial(jax.jit, static_argnums=2)
def _scatter(x, labels, num_classes):
  """(within, between); a pair's cosine is a product of class sums."""
  members = jax.nn.one_hot(labels, num_classes)
  x = ops.unit_norm(x.astype(jnp.float32))
  # A zero row has cosine 0 to all, also to itself.
  own = members.T @ (x**2).sum(axis=-1)
  sums, counts = members.T @ x, members.sum(axis=0)
  square = (sums**2).sum(axis=-1)
  pairs = counts * (counts - 1)
  distance = 1 - (square - own) / jnp.maximum(pairs, 1)
  within = jnp.where(pairs > 0, distance, 0).sum() / (pairs > 0).sum()
  all_square = (sums.sum(axis=0) ** 2).sum()
  other_pairs = counts.sum() ** 2 - (counts**2).sum()
  between = 1 - (all_square - square.sum()) / other_pairs
  return within, between
