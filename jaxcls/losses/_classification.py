"""Losses of integer labels: cross-entropy and what replaces it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls.losses import _checks, _softmax


def _log_probs(logits):
  """Log-softmax over classes in float32, whatever comes in."""
  return jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)


def _label_log_probs(logits, labels):
  """log softmax(logits)[label] in float32: [*b c], [*b] -> [*b]."""
  _checks.check_labels(logits, labels)
  return _softmax.label_log_probs(logits, labels)


def cross_entropy_loss(
  logits: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  *,
  label_smoothing: float = 0.0,
) -> Float[Array, "*b"]:
  """Softmax cross-entropy with integer labels.

  loss = -sum_k t_k * log softmax(logits)_k,
  t_k = (1 - label_smoothing) * [k == label] + label_smoothing / c.

  Args:
    logits: [*b c], any float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    label_smoothing: probability spread evenly over all c classes, in [0, 1].

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits, or label_smoothing is
      outside [0, 1].

  Source: Szegedy et al. 2016, arXiv:1512.00567, sec. 7 (label smoothing).
  Differs: nothing known; the true class gets its share of the smoothing too.

  >>> print(cross_entropy_loss(jnp.zeros((1, 2)), jnp.array([1])))
  [0.6931472]
  """
  _checks.check_labels(logits, labels)
  _checks.check_number(
    "label_smoothing", label_smoothing, "in [0, 1]", lambda v: 0 <= v <= 1
  )
  if isinstance(label_smoothing, int | float) and label_smoothing == 0:
    return -_softmax.label_log_probs(logits, labels)
  x = _softmax.shifted(logits)
  target = (1.0 - label_smoothing) * _softmax.pick(x, labels)
  target += label_smoothing * x.mean(axis=-1)
  return _softmax.log_sum_exp(x) - target


def focal_loss(
  logits: Float[Array, "*b c"], labels: Int[Array, "*b"], *, gamma: float
) -> Float[Array, "*b"]:
  """Cross-entropy that weighs down examples already classified well.

  loss = -(1 - p)**gamma * log p, with p = softmax(logits)[label].

  Args:
    logits: [*b c], any float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    gamma: focusing strength, >= 0, no unit; 0 is plain cross-entropy.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits, or gamma < 0.

  Source: Lin et al. 2017, arXiv:1708.02002, sec. 3.2, focal loss.
  Differs: softmax over classes; the paper has one sigmoid per class. No class
    weight alpha: multiply the result by one.

  >>> print(focal_loss(jnp.zeros((1, 2)), jnp.array([1]), gamma=2.0))
  [0.1732868]
  """
  _checks.check_labels(logits, labels)
  _checks.check_number("gamma", gamma, "at least 0", lambda v: v >= 0)
  log_probs = _log_probs(logits)
  is_label = _softmax.is_label(logits, labels)
  # log(1 - p) from the other classes: the gradient of (1 - p)**gamma is
  # infinite at p = 1 for gamma < 1, that of exp(gamma * log(1 - p)) is not.
  others = jnp.where(is_label, -1e30, log_probs)
  log_rest = jax.nn.logsumexp(others, axis=-1)
  return -jnp.exp(gamma * log_rest) * _softmax.pick(log_probs, labels)


def logit_adjusted_loss(
  logits: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  class_prior: Float[Array, " c"],
  *,
  tau: float = 1.0,
) -> Float[Array, "*b"]:
  """Cross-entropy after adding the log class prior to the logits.

  The plain argmax of the trained logits then aims at balanced error:
  loss = -log softmax(logits + tau * log(class_prior))[label].

  Args:
    logits: [*b c], any float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    class_prior: [c], class frequencies, > 0, summing to 1.
    tau: strength, >= 0, no unit; 0 is plain cross-entropy.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: class_prior is not of shape (c,), or labels do not match the
      rows of logits.

  Source: Menon et al. 2021, arXiv:2007.07314, logit-adjusted loss.
  Differs: nothing known.

  >>> prior = jnp.array([0.9, 0.1])
  >>> print(logit_adjusted_loss(jnp.zeros((1, 2)), jnp.array([1]), prior))
  [2.3025851]
  """
  num_classes = logits.shape[-1]
  if class_prior.shape != (num_classes,):
    raise ValueError(
      f"class_prior must have shape ({num_classes},) to match "
      f"logits.shape[-1], got {class_prior.shape}."
    )
  # float32 before the sum: bfloat16 logits would round small offsets away.
  offset = tau * jnp.log(class_prior.astype(jnp.float32))
  logits = logits.astype(jnp.float32)
  _checks.check_labels(logits, labels)
  label_logits = _softmax.pick(logits, labels) + offset[labels]
  return -_softmax.log_prob(label_logits, logits + offset)


def poly_loss(
  logits: Float[Array, "*b c"], labels: Int[Array, "*b"], *, epsilon: float
) -> Float[Array, "*b"]:
  """Poly-1: cross-entropy with another first coefficient of its series.

  loss = -log p + epsilon * (1 - p), with p = softmax(logits)[label].

  Args:
    logits: [*b c], any float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    epsilon: change of the coefficient of (1 - p), >= -1 by the paper, nats;
      0 is plain cross-entropy.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits.

  Source: Leng et al. 2022, arXiv:2204.12511, Poly-1 loss.
  Differs: nothing known.

  >>> print(poly_loss(jnp.zeros((1, 2)), jnp.array([1]), epsilon=2.0))
  [1.6931472]
  """
  log_p = _label_log_probs(logits, labels)
  return -log_p - epsilon * jnp.expm1(log_p)


def generalized_cross_entropy_loss(
  logits: Float[Array, "*b c"], labels: Int[Array, "*b"], *, q: float
) -> Float[Array, "*b"]:
  """Box-Cox bridge from cross-entropy to the noise-robust absolute error.

  loss = (1 - p**q) / q, with p = softmax(logits)[label].

  Args:
    logits: [*b c], any float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    q: in (0, 1], no unit; q -> 0 is cross-entropy, 1 is 1 - p.

  Returns:
    [*b] float32, in [0, 1/q], one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits, or q not in (0, 1].

  Source: Zhang & Sabuncu 2018, arXiv:1805.07836, L_q loss.
  Differs: the truncated form of the paper is not included.

  >>> loss = generalized_cross_entropy_loss
  >>> print(loss(jnp.zeros((1, 2)), jnp.array([1]), q=1.0))
  [0.5]
  """
  _checks.check_number("q", q, "in (0, 1]", lambda v: 0 < v <= 1)
  return -jnp.expm1(q * _label_log_probs(logits, labels)) / q


def symmetric_cross_entropy_loss(
  logits: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  *,
  alpha: float,
  beta: float,
  log_zero: float = -4.0,
) -> Float[Array, "*b"]:
  """Cross-entropy plus the reverse one, which tolerates wrong labels.

  loss = -alpha * log p - beta * sum_k softmax(logits)_k * log t_k, where t is
  the one-hot label and log 0 is replaced by log_zero; the second term is
  -beta * log_zero * (1 - p), with p = softmax(logits)[label].

  Args:
    logits: [*b c], any float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    alpha: weight of cross-entropy, >= 0, no unit.
    beta: weight of reverse cross-entropy, >= 0, no unit.
    log_zero: stands for log 0, < 0, nats; called A in the paper.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits, or log_zero >= 0.

  Source: Wang et al. 2019, arXiv:1908.06112, symmetric cross entropy.
  Differs: released code clips p and t to 1e-7 and 1e-4 instead (log_zero of
    -9.2); here nothing is clipped.

  >>> loss = symmetric_cross_entropy_loss
  >>> print(loss(jnp.zeros((1, 2)), jnp.array([1]), alpha=0.0, beta=1.0))
  [2.]
  """
  _checks.check_number("log_zero", log_zero, "below 0", lambda v: v < 0)
  log_p = _label_log_probs(logits, labels)
  return -alpha * log_p + beta * log_zero * jnp.expm1(log_p)


def squared_error_loss(
  logits: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  *,
  centred: bool = False,
) -> Float[Array, "*b"]:
  """Squared error between the raw logits and the one-hot label.

  loss = (1 / c) * sum_k (logits_k - t_k)**2, t_k = [k == label], centred
  [k == label] - 1 / c, so that a network without biases can meet it.

  Args:
    logits: [*b c], any float type; computed in float32, no softmax.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    centred: whether targets sum to 0.

  Returns:
    [*b] float32, one value per example, the mean over classes.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits.

  Source: Hui & Belkin 2021, arXiv:2006.07322, square loss.
  Differs: the paper's rescaling for many classes (k, M) is 1 here.

  >>> print(squared_error_loss(jnp.zeros((1, 2)), jnp.array([1])))
  [0.5]
  """
  _checks.check_labels(logits, labels)
  rest = logits.astype(jnp.float32)
  if centred:
    rest = rest + 1 / logits.shape[-1]
  own = _softmax.is_label(rest, labels)
  return jnp.square(jnp.where(own, rest - 1, rest)).mean(axis=-1)
