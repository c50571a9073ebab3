"""Metrics of the probabilities: how good, and how honest, they are.

Rows are counted as in `_metrics.py`: label not -1, where True, nan if none.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.evaluation import _kept


def negative_log_likelihood(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Mean of -log softmax(logits)[label].

  Args:
    logits: [n c], any float type; computed in float32.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    where: [n], True = keep; None keeps all.

  Returns:
    [] float32, nats; nan when no row counts.

  Raises:
    ValueError: shapes do not match.
    TypeError: labels are not integers or where is not bool.

  Source: no paper; sklearn.metrics.log_loss.
  Differs: nothing is clipped; scikit-learn clips probabilities at its eps.

  >>> print(negative_log_likelihood(jnp.zeros((1, 2)), jnp.array([1])))
  0.6931472
  """
  kept = _kept.kept_rows(logits, labels, where)
  ids = jnp.where(kept, labels, 0)[:, None]
  picked = jnp.take_along_axis(_kept.log_probs(logits), ids, axis=-1)
  return _kept.kept_mean(-picked[:, 0], kept)


def brier_score(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Mean squared distance between softmax(logits) and the one-hot label.

  score = mean_n sum_k (p_k - [k == label])**2: the sum over classes.

  Args:
    logits: [n c], any float type; computed in float32.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    where: [n], True = keep; None keeps all.

  Returns:
    [] float32 in [0, 2]; nan when no row counts.

  Raises:
    ValueError: shapes do not match.
    TypeError: labels are not integers or where is not bool.

  Source: Brier 1950, Verification of forecasts expressed in terms of
    probability; sklearn.metrics.brier_score_loss(scale_by_half=False).
  Differs: scikit-learn halves it by default when there are two classes.

  >>> print(brier_score(jnp.zeros((1, 2)), jnp.array([1])))
  0.5
  """
  kept = _kept.kept_rows(logits, labels, where)
  probs = jnp.exp(_kept.log_probs(logits))
  one_hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=jnp.float32)
  return _kept.kept_mean(((probs - one_hot) ** 2).sum(axis=-1), kept)


def expected_calibration_error(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  num_bins: int = 15,
  adaptive: bool = False,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Mean gap between confidence (largest probability) and accuracy.

  ece = sum_bins (size / n) * |accuracy(bin) - confidence(bin)|.

  Args:
    logits: [n c], any float type; computed in float32.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    num_bins: number of bins, at least 1; the usual choice is 15.
    adaptive: False: bins ((i - 1) / num_bins, i / num_bins] of equal width.
      True: rows sorted by confidence (ties in the order given) and split
      into bins of equal size as numpy.array_split does.
    where: [n], True = keep; None keeps all.

  Returns:
    [] float32 in [0, 1]; nan when no row counts.

  Raises:
    ValueError: shapes do not match, or num_bins < 1.
    TypeError: labels are not integers or where is not bool.

  Source: Guo et al. 2017, arXiv:1706.04599, sec. 2 (equal width); Nguyen &
    O'Connor 2015, arXiv:1508.05154 (adaptive).
  Differs: nothing known.

  >>> logits = jnp.log(jnp.array([[0.8, 0.2], [0.8, 0.2]]))
  >>> print(expected_calibration_error(logits, jnp.array([0, 1])).round(6))
  0.3
  """
  kept = _kept.kept_rows(logits, labels, where)
  if num_bins < 1:
    raise ValueError(f"num_bins must be at least 1, got {num_bins}.")
  confidence = jnp.exp(_kept.log_probs(logits).max(axis=-1))
  correct = (logits.argmax(axis=-1) == labels).astype(jnp.float32)
  count = kept.sum()
  if adaptive:
    # Rows that do not count sort behind all others.
    order = jnp.argsort(jnp.where(kept, confidence, 2.0))
    confidence, correct, kept = confidence[order], correct[order], kept[order]
    bins = _equal_size_bins(kept.size, count, num_bins)
  else:
    bins = jnp.ceil(confidence * num_bins).astype(jnp.int32) - 1
  bins = bins.clip(0, num_bins - 1)
  gaps = jnp.where(kept, correct - confidence, 0.0)
  sums = jax.ops.segment_sum(gaps, bins, num_segments=num_bins)
  return jnp.abs(sums).sum() / count.astype(jnp.float32)


def _equal_size_bins(length, count, num_bins):
  """Bin of each rank [length]: the first `rest` bins hold one row more."""
  rank = jnp.arange(length)
  size, rest = count // num_bins, count % num_bins
  large = rest * (size + 1)
  small_bins = rest + (rank - large) // jnp.maximum(size, 1)
  return jnp.where(rank < large, rank // (size + 1), small_bins)
