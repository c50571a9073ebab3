"""Losses of whole distributions: soft or multi-label targets, teachers."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls.losses import _bernoulli, _checks, _softmax


def soft_cross_entropy_loss(
  logits: Float[Array, "*b c"], targets: Float[Array, "*b c"]
) -> Float[Array, "*b"]:
  """Softmax cross-entropy with one target distribution per example.

  loss = -sum_k targets_k * log softmax(logits)_k.

  Args:
    logits: [*b c], any float type; computed in float32.
    targets: [*b c], >= 0, rows sum to 1; not checked and not normalised. The
      gradient flows into them: stop it outside where that is not wanted.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    ValueError: targets do not have the shape of logits.

  Source: no paper; cross-entropy of two distributions.
  Differs: nothing known.

  >>> targets = jnp.array([[0.25, 0.75]])
  >>> print(soft_cross_entropy_loss(jnp.zeros((1, 2)), targets))
  [0.6931472]
  """
  _checks.check_same_shape("targets", targets, "logits", logits)
  x, t = _softmax.shifted(logits), targets.astype(jnp.float32)
  return _softmax.log_sum_exp(x) * t.sum(axis=-1) - (t * x).sum(axis=-1)


def binary_cross_entropy_loss(
  logits: Float[Array, "*b c"], targets: Float[Array, "*b c"]
) -> Float[Array, "*b"]:
  """Multi-label cross-entropy: one sigmoid per class, mean over classes.

  loss = -(1 / c) * sum_k (t_k log s_k + (1 - t_k) log(1 - s_k)),
  with s = sigmoid(logits) and t = targets.

  Args:
    logits: [*b c], any float type; computed in float32.
    targets: [*b c], each in [0, 1]; rows need not sum to 1.

  Returns:
    [*b] float32, nats, one value per example: the mean (not the sum) over
    its c classes.

  Raises:
    ValueError: targets do not have the shape of logits.

  Source: no paper; Bernoulli negative log-likelihood.
  Differs: nothing known. Codes that sum over classes are c times larger.

  >>> targets = jnp.array([[1.0, 1.0]])
  >>> print(binary_cross_entropy_loss(jnp.zeros((1, 2)), targets))
  [0.6931472]
  """
  _checks.check_same_shape("targets", targets, "logits", logits)
  logits, targets = logits.astype(jnp.float32), targets.astype(jnp.float32)
  return _bernoulli.nll(logits, targets).mean(axis=-1)


def entropy(logits: Float[Array, "*b c"]) -> Float[Array, "*b"]:
  """Entropy of the predicted distribution.

  entropy = -sum_k p_k * log p_k, with p = softmax(logits).

  Args:
    logits: [*b c], any float type; computed in float32.

  Returns:
    [*b] float32, nats, in [0, log c], one value per example, not reduced.

  Source: Grandvalet & Bengio 2004, Semi-supervised learning by entropy
    minimization (as a loss).
  Differs: nothing known.

  >>> print(entropy(jnp.zeros((1, 2))))
  [0.6931472]
  """
  return _softmax.entropy(_softmax.shifted(logits))


def kl_divergence_loss(
  student_logits: Float[Array, "*b c"],
  teacher_logits: Float[Array, "*b c"],
  *,
  temperature: float,
) -> Float[Array, "*b"]:
  """Distillation: divergence of the student from a softened teacher.

  loss = temperature**2 * sum_k p_k * (log p_k - log q_k), with
  p = softmax(teacher / temperature), q = softmax(student / temperature).
  The factor keeps the gradient's size when the temperature changes.

  Args:
    student_logits: [*b c], any float type; computed in float32.
    teacher_logits: [*b c]; its gradient is stopped here.
    temperature: > 0, no unit.

  Returns:
    [*b] float32, nats (times temperature**2), >= 0, one value per example.

  Raises:
    ValueError: the two shapes differ, or temperature <= 0.

  Source: Hinton et al. 2015, arXiv:1503.02531, sec. 2.
  Differs: the teacher's entropy, a constant, is subtracted, so 0 is reached
    when the two agree; the gradient is that of the paper.

  >>> teacher = jnp.log(jnp.array([[0.9, 0.1]]))
  >>> print(kl_divergence_loss(teacher, teacher, temperature=2.0))
  [0.]
  """
  _checks.check_same_shape(
    "teacher_logits", teacher_logits, "student_logits", student_logits
  )
  _checks.check_number("temperature", temperature, "above 0", lambda v: v > 0)
  teacher = jax.lax.stop_gradient(teacher_logits).astype(jnp.float32)
  student = student_logits.astype(jnp.float32)
  p = _softmax.shifted(teacher / temperature)
  q = _softmax.shifted(student / temperature)
  return temperature**2 * _softmax.divergence(p, q)
