"""Classification metrics: predictions in, one number or array out.

All of them: logits [n c] of any float type, labels [n] ints. A row counts if
its label is not -1 (unlabelled) and where is True. When no row counts the
result is nan, not a perfect or a hopeless score. Ties in logits go to the
lowest class. Each is jittable and gives the global number on sharded arrays.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.evaluation import _kept

# Stamped into every result; raise it when any number here would change.
EVALUATOR_VERSION = "1"


def accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Share of rows whose largest logit is that of the label.

  Args:
    logits: [n c], any float type.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    where: [n], True = keep; None keeps all.

  Returns:
    [] float32 in [0, 1]; nan when no row counts.

  Raises:
    ValueError: shapes do not match.
    TypeError: labels are not integers or where is not bool.

  Source: no paper; sklearn.metrics.accuracy_score.
  Differs: nothing known.

  >>> print(accuracy(jnp.eye(2), jnp.array([0, 0])))
  0.5
  """
  kept = _kept.kept_rows(logits, labels, where)
  return _kept.kept_mean(logits.argmax(axis=-1) == labels, kept)


def top_k_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  k: int,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Share of rows whose label is among the k largest logits.

  Args:
    logits: [n c], any float type.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    k: number of guesses, in [1, c].
    where: [n], True = keep; None keeps all.

  Returns:
    [] float32 in [0, 1]; nan when no row counts.

  Raises:
    ValueError: shapes do not match, or k is outside [1, c].
    TypeError: labels are not integers or where is not bool.

  Source: no paper; sklearn.metrics.top_k_accuracy_score.
  Differs: ties go to the lowest class; scikit-learn prefers the highest.

  >>> print(top_k_accuracy(jnp.eye(3), jnp.array([0, 0, 2]), k=2))
  1.0
  """
  kept = _kept.kept_rows(logits, labels, where)
  if not 1 <= k <= logits.shape[-1]:
    raise ValueError(f"k must be in [1, {logits.shape[-1]}], got {k}.")
  _, guesses = jax.lax.top_k(logits, k)
  return _kept.kept_mean((guesses == labels[:, None]).any(axis=-1), kept)


def confusion_matrix(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  where: Bool[Array, " n"] | None = None,
) -> Int[Array, "c c"]:
  """Number of rows of each true class (row) given each class (column).

  Args:
    logits: [n c], any float type.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    where: [n], True = keep; None keeps all.

  Returns:
    [c c] int32, counts; entry [i, j] is true class i predicted as j.

  Raises:
    ValueError: shapes do not match.
    TypeError: labels are not integers or where is not bool.

  Source: no paper; sklearn.metrics.confusion_matrix(labels=range(c)).
  Differs: nothing known.

  >>> print(confusion_matrix(jnp.eye(2), jnp.array([0, 0])))
  [[1 1]
   [0 0]]
  """
  kept = _kept.kept_rows(logits, labels, where)
  num_classes = logits.shape[-1]
  counts = jnp.zeros((num_classes, num_classes), jnp.int32)
  rows = jnp.where(kept, labels, 0)
  return counts.at[rows, logits.argmax(axis=-1)].add(kept.astype(jnp.int32))


def per_class_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, " c"]:
  """Recall of each class: the share of its rows that are predicted as it.

  Args:
    logits: [n c], any float type.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    where: [n], True = keep; None keeps all.

  Returns:
    [c] float32 in [0, 1]; nan for a class that no counted row has.

  Raises:
    ValueError: shapes do not match.
    TypeError: labels are not integers or where is not bool.

  Source: no paper; sklearn.metrics.recall_score(average=None).
  Differs: nan for an absent class, where scikit-learn warns and gives 0.

  >>> print(per_class_accuracy(jnp.eye(2), jnp.array([0, 0])))
  [0.5 nan]
  """
  counts = confusion_matrix(logits, labels, where=where).astype(jnp.float32)
  return jnp.diagonal(counts) / counts.sum(axis=1)


def balanced_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Mean recall over the classes that are present.

  Args:
    logits: [n c], any float type.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    where: [n], True = keep; None keeps all.

  Returns:
    [] float32 in [0, 1]; classes without a counted row are left out; nan
    when no row counts.

  Raises:
    ValueError: shapes do not match.
    TypeError: labels are not integers or where is not bool.

  Source: no paper; sklearn.metrics.balanced_accuracy_score.
  Differs: nothing known.

  >>> print(balanced_accuracy(jnp.eye(3), jnp.array([0, 0, 2])))
  0.75
  """
  recalls = per_class_accuracy(logits, labels, where=where)
  return _kept.kept_mean(recalls, ~jnp.isnan(recalls))


def macro_f1(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Mean over classes of the harmonic mean of precision and recall.

  f1_k = 2 * true_k / (labelled_k + predicted_k).

  Args:
    logits: [n c], any float type.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    where: [n], True = keep; None keeps all.

  Returns:
    [] float32 in [0, 1]; the mean is over classes that occur among the
    labels or the predictions; nan when no row counts.

  Raises:
    ValueError: shapes do not match.
    TypeError: labels are not integers or where is not bool.

  Source: no paper; sklearn.metrics.f1_score(average="macro").
  Differs: nothing known.

  >>> print(macro_f1(jnp.eye(3), jnp.array([0, 1, 1])))
  0.5555556
  """
  counts = confusion_matrix(logits, labels, where=where).astype(jnp.float32)
  occurrences = counts.sum(axis=1) + counts.sum(axis=0)
  f1 = 2.0 * jnp.diagonal(counts) / jnp.maximum(occurrences, 1.0)
  return _kept.kept_mean(f1, occurrences > 0)
