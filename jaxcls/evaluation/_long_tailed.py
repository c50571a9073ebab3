"""Balanced accuracy of classes with many, some and few training examples."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.evaluation import _kept, _metrics


def _mean_recall(logits, labels, chosen, where):
  """Mean recall over the chosen classes [c] that are present."""
  recalls = _metrics.per_class_accuracy(logits, labels, where=where)
  return _kept.kept_mean(recalls, chosen & ~jnp.isnan(recalls))


def many_shot_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  class_counts: Int[Array, " c"],
  above: int = 100,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Mean recall over classes of more than `above` training examples.

  Args:
    logits: [n c], any float type; all classes compete.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    class_counts: [c], training examples of each class.
    above: the largest count that is not many.
    where: [n], True = keep; None keeps all.

  Returns:
    [] float32 in [0, 1]; nan when there is no such class.

  Raises:
    ValueError: shapes do not match.
    TypeError: labels are not integers or where is not bool.

  Source: Liu et al. 2019, arXiv:1904.05160 (more than 100).
  Differs: nothing known.

  >>> y, counts = jnp.array([0, 1]), jnp.array([200, 5])
  >>> print(many_shot_accuracy(jnp.eye(2), y, class_counts=counts))
  1.0
  """
  return _mean_recall(logits, labels, class_counts > above, where)


def medium_shot_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  class_counts: Int[Array, " c"],
  least: int = 20,
  most: int = 100,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Mean recall over classes of `least` to `most` training examples.

  Args, Returns, Raises: as `many_shot_accuracy`.

  Source: Liu et al. 2019, arXiv:1904.05160 (20 to 100).
  Differs: nothing known.

  >>> y, counts = jnp.array([0, 1]), jnp.array([200, 50])
  >>> print(medium_shot_accuracy(jnp.eye(2)[::-1], y, class_counts=counts))
  0.0
  """
  chosen = (class_counts >= least) & (class_counts <= most)
  return _mean_recall(logits, labels, chosen, where)


def few_shot_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  class_counts: Int[Array, " c"],
  below: int = 20,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Mean recall over classes of fewer than `below` training examples.

  Args, Returns, Raises: as `many_shot_accuracy`.

  Source: Liu et al. 2019, arXiv:1904.05160 (fewer than 20).
  Differs: nothing known.

  >>> y, counts = jnp.array([0, 1]), jnp.array([200, 5])
  >>> print(few_shot_accuracy(jnp.eye(2), y, class_counts=counts))
  1.0
  """
  return _mean_recall(logits, labels, class_counts < below, where)
