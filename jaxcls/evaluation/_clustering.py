"""Accuracy of clusters whose names do not matter."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import ops
from jaxcls.evaluation import _kept


def _matched(logits, labels, where):
  """Which rows are right under the best one-to-one naming, and kept."""
  kept = _kept.kept_rows(logits, labels, where)
  c = logits.shape[-1]
  clusters = logits.argmax(axis=-1)
  # Rows that do not count fall outside and are dropped.
  index = jnp.where(kept, labels, c)
  counts = jnp.zeros((c, c), jnp.int32).at[clusters, index].add(1, mode="drop")
  names = ops.linear_assignment(counts, maximize=True)
  return names[clusters] == labels, kept


def clustering_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Accuracy under the best one-to-one match of clusters and classes.

  max over permutations s of mean_i [s(argmax logits_i) == label_i].

  Args:
    logits: [n c], any float type: a score for each of c clusters.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    where: [n], True = keep; None keeps all.

  Returns:
    [] float32 in [0, 1]; nan when no row counts.

  Raises:
    ValueError: shapes do not match.
    TypeError: labels are not integers or where is not bool.

  Source: Kuhn 1955, The Hungarian method for the assignment problem.
  Differs: nothing known.

  >>> print(clustering_accuracy(jnp.eye(3), jnp.array([1, 2, 0])))
  1.0
  """
  return _kept.kept_mean(*_matched(logits, labels, where))


def old_clustering_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  new: Bool[Array, " c"],
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """`clustering_accuracy` on the classes that had labels.

  The match is made once, over the classes of all rows.

  Args:
    logits, labels, where: as in `clustering_accuracy`.
    new: [c], True for classes without labels in training.

  Returns:
    [] float32 in [0, 1]; nan when no row counts.

  Raises: as `clustering_accuracy`.

  Source: Vaze et al. 2022, arXiv:2201.02609.
  Differs: nothing known.

  >>> new = jnp.array([False, True])
  >>> y = jnp.array([1, 0])
  >>> print(old_clustering_accuracy(jnp.eye(2), y, new=new))
  1.0
  """
  right, kept = _matched(logits, labels, where)
  return _kept.kept_mean(right, kept & ~new[labels])


def new_clustering_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  new: Bool[Array, " c"],
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """`clustering_accuracy` on the classes that had no labels.

  Args, Returns, Raises: as `old_clustering_accuracy`.

  Source: Vaze et al. 2022, arXiv:2201.02609.
  Differs: nothing known.

  >>> new = jnp.array([False, True])
  >>> y = jnp.array([1, 1])
  >>> print(new_clustering_accuracy(jnp.eye(2), y, new=new))
  0.5
  """
  right, kept = _matched(logits, labels, where)
  return _kept.kept_mean(right, kept & new[labels])
