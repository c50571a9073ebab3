"""Losses for classes in an order: 0 < 1 < ... < c - 1."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls.losses import _bernoulli, _checks

# Stands for the outer thresholds, -infinity and infinity.
_FAR = 1e30


def _exceeds(logits, labels):
  """[*b c-1] float32: 1 where label > threshold k."""
  k = jnp.arange(logits.shape[-1])
  return (labels[..., None] > k).astype(jnp.float32)


def coral_loss(
  logits: Float[Array, "*b k"], labels: Int[Array, "*b"]
) -> Float[Array, "*b"]:
  """One sigmoid for each of the c - 1 questions "above class k?".

  loss = sum_k BCE(logits_k, [label > k]), k = 0 ... c - 2. The predicted
  class is the number of logits above 0. Ranks are consistent when the logits
  share one weight vector and differ in their biases, which is the layer's
  part.

  Args:
    logits: [*b c-1], any float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.

  Returns:
    [*b] float32, nats, one value per example: the sum over thresholds.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits.

  Source: Cao et al. 2020, arXiv:1901.07884, CORAL.
  Differs: no importance weights of the thresholds; the released code has
    them as an option.

  >>> print(coral_loss(jnp.zeros((1, 2)), jnp.array([1])))
  [1.3862944]
  """
  _checks.check_labels(logits, labels)
  logits = logits.astype(jnp.float32)
  return _bernoulli.nll(logits, _exceeds(logits, labels)).sum(axis=-1)


def corn_loss(
  logits: Float[Array, "*b k"], labels: Int[Array, "*b"]
) -> Float[Array, "*b"]:
  """Conditional questions "above class k, given above k - 1?".

  loss = sum_{k <= label} BCE(logits_k, [label > k]), k = 0 ... c - 2: the
  negative log-likelihood of the label, as P(label > k) = prod_{i <= k}
  sigmoid(logits_i). The predicted class is how many of these exceed 1/2.

  Args:
    logits: [*b c-1], any float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.

  Returns:
    [*b] float32, nats, one value per example: the sum over its thresholds.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits.

  Source: Shi et al. 2021, arXiv:2111.08851, CORN.
  Differs: not averaged; the paper divides the batch's sum by the number of
    questions asked, the released code by the number of classes.

  >>> print(corn_loss(jnp.zeros((1, 2)), jnp.array([0])))
  [0.6931472]
  """
  _checks.check_labels(logits, labels)
  logits = logits.astype(jnp.float32)
  loss = _bernoulli.nll(logits, _exceeds(logits, labels))
  asked = jnp.arange(logits.shape[-1]) <= labels[..., None]
  return jnp.where(asked, loss, 0.0).sum(axis=-1)


def cumulative_link_loss(
  scores: Float[Array, "*b"],
  thresholds: Float[Array, " k"],
  labels: Int[Array, "*b"],
) -> Float[Array, "*b"]:
  """Proportional odds: one score, cut into classes by thresholds.

  loss = -log(sigmoid(thresholds[label] - score)
  - sigmoid(thresholds[label - 1] - score)), with outer thresholds -infinity
  and infinity.

  Args:
    scores: [*b], any float type; computed in float32.
    thresholds: [c-1], increasing, not checked; a gap below 1e-6 counts as
      1e-6.
    labels: [*b], class ids in [0, c); not checked, the values are traced.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not have the shape of scores, or thresholds are not
      of shape (c - 1,).

  Source: McCullagh 1980, Regression models for ordinal data, JRSS B 42(2).
  Differs: nothing known; the logit link.

  >>> thresholds = jnp.array([-1.0, 1.0])
  >>> print(cumulative_link_loss(jnp.zeros(1), thresholds, jnp.array([2])))
  [1.3132617]
  """
  _checks.check_labels(scores[..., None], labels)
  if thresholds.ndim != 1:
    raise ValueError(
      f"thresholds must have shape (c - 1,), got {thresholds.shape}."
    )
  score = scores.astype(jnp.float32)
  edges = jnp.pad(
    thresholds.astype(jnp.float32), 1, constant_values=(-_FAR, _FAR)
  )
  lower, upper = edges[labels], edges[labels + 1]
  # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)).
  log_gap = jnp.log(-jnp.expm1(-jnp.maximum(upper - lower, 1e-6)))
  return (
    jax.nn.softplus(score - upper) + jax.nn.softplus(lower - score) - log_gap
  )
