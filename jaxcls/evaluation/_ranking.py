"""How well scores order rows, whatever the threshold."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.evaluation import _kept


def roc_auc(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Area under the ROC curve, the mean of one class against the rest.

  auc_k = P(s_k of a row of class k > s_k of a row of another) + half of the
  ties, s_k = log p_k / (1 - p_k), p = softmax(logits). With two classes both
  are the same: inliers (0) against outliers (1), say, with outlier scores as
  the second column and zeros as the first.

  Args:
    logits: [n c], c >= 2, any float type; computed in float32.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    where: [n], True = keep; None keeps all.

  Returns:
    [] float32 in [0, 1]; a class without rows, or that all rows have, is left
    out; nan when none is left.

  Raises:
    ValueError: shapes do not match, or c < 2.
    TypeError: labels are not integers or where is not bool.

  Source: Hanley & McNeil 1982, The meaning and use of the area under a
    receiver operating characteristic (ROC) curve;
    sklearn.metrics.roc_auc_score(multi_class="ovr", average="macro").
  Differs: absent classes are left out; scikit-learn gives nan.

  >>> scores = jnp.array([[0.0, 1.0], [0.0, 3.0], [0.0, 2.0]])
  >>> print(roc_auc(scores, jnp.array([0, 1, 1])))
  1.0
  """
  kept = _kept.kept_rows(logits, labels, where)
  num_classes = logits.shape[-1]
  if num_classes < 2:
    raise ValueError(f"logits must have at least 2 columns, got {num_classes}.")
  x = jnp.where(kept[:, None], logits, 0).astype(jnp.float32)

  def area(k):
    rest = jax.nn.logsumexp(
      x, axis=1, where=(jnp.arange(num_classes) != k)[None]
    )
    score = jnp.take(x, k, axis=1) - rest
    positive, negative = kept & (labels == k), kept & (labels != k)
    below = jnp.sort(jnp.where(negative, score, jnp.inf))
    left = jnp.searchsorted(below, score, side="left")
    right = jnp.searchsorted(below, score, side="right")
    won = _kept.kept_mean((left + right) / 2, positive)
    return won / negative.sum(dtype=jnp.float32)

  areas = jax.lax.map(area, jnp.arange(num_classes))
  return _kept.kept_mean(areas, jnp.isfinite(areas))
