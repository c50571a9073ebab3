"""Class weights and margins for training sets with rare classes."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls.losses import _checks, _softmax


def class_balanced_weights(
  class_counts: Int[Array, " c"], *, beta: float
) -> Float[Array, " c"]:
  """Class weights by the effective number of examples.

  weight_k is proportional to (1 - beta) / (1 - beta**n_k), mean 1. The loss
  of an example is multiplied by the weight of its label: weights[labels].

  Args:
    class_counts: [c] int, training-set counts n_k; 0 counts as 1.
    beta: in [0, 1), a number, no unit; 0 gives equal weights, towards 1 they
      are proportional to 1 / n_k. Deferred re-weighting is 0 first.

  Returns:
    [c] float32, > 0, summing to c.

  Raises:
    TypeError: class_counts are not integers.
    ValueError: beta is not in [0, 1).

  Source: Cui et al. 2019, arXiv:1901.05555; deferred: Cao et al. 2019,
    arXiv:1906.07413.
  Differs: nothing known.

  >>> print(class_balanced_weights(jnp.array([1, 2]), beta=0.5).round(3))
  [1.2 0.8]
  """
  _check_counts(class_counts)
  _checks.check_number("beta", beta, "in [0, 1)", lambda v: 0 <= v < 1)
  # In double precision: float32 would keep only 3 digits of log 0.9999.
  log_beta = math.log(beta) if beta > 0 else -math.inf
  counts = jnp.maximum(class_counts.astype(jnp.float32), 1.0)
  weights = -1.0 / jnp.expm1(counts * log_beta)
  return weights / weights.mean()


def ldam_loss(
  logits: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  class_counts: Int[Array, " c"],
  *,
  max_margin: float,
  temperature: float,
) -> Float[Array, "*b"]:
  """Cross-entropy with a margin that is larger for rare classes.

  loss = -log softmax((logits - margin[label] * one_hot(label)) / temperature)
  [label], margin_k = max_margin * (min(n) / n_k)**(1/4).

  Args:
    logits: [*b c], cosines in the paper's code, any float type; computed in
      float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    class_counts: [c] int, training-set counts n_k; 0 counts as 1.
    max_margin: margin of the rarest class, >= 0, of the logits' unit; the
      paper's code uses 0.5.
    temperature: > 0; 1 / temperature is the code's scale s, 30.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    TypeError: labels or class_counts are not integers.
    ValueError: labels do not match the rows of logits, class_counts are not
      of shape (c,), max_margin < 0, or temperature <= 0.

  Source: Cao et al. 2019, arXiv:1906.07413, LDAM; scale by its code.
  Differs: class weights (DRW) are left to the caller, see
    class_balanced_weights.

  >>> logits, counts = jnp.array([[0.5, 0.0]]), jnp.array([1, 16])
  >>> f, labels = ldam_loss, jnp.array([0])
  >>> print(f(logits, labels, counts, max_margin=0.5, temperature=0.1))
  [0.6931472]
  """
  _checks.check_labels(logits, labels)
  _check_counts(class_counts)
  num_classes = logits.shape[-1]
  if class_counts.shape != (num_classes,):
    raise ValueError(
      f"class_counts must have shape ({num_classes},) to match "
      f"logits.shape[-1], got {class_counts.shape}."
    )
  _checks.check_number("max_margin", max_margin, "at least 0", lambda v: v >= 0)
  _checks.check_number("temperature", temperature, "above 0", lambda v: v > 0)
  counts = jnp.maximum(class_counts.astype(jnp.float32), 1.0)
  margins = max_margin * (counts.min() / counts) ** 0.25
  logits = logits.astype(jnp.float32)
  label_logits = _softmax.pick(logits, labels) - margins[labels]
  return _softmax.replaced_label_loss(
    logits / temperature, label_logits / temperature, labels
  )


def _check_counts(class_counts):
  if not jnp.issubdtype(class_counts.dtype, jnp.integer):
    raise TypeError(
      f"class_counts must be integers, got {class_counts.dtype}; "
      "frequencies are a class_prior."
    )
