"""What a student learns from a teacher, beside its logits' divergence."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.losses import _checks, _reduce


def norm_direction_loss(
  student_features: Float[Array, "*b d"],
  teacher_features: Float[Array, "*b e"],
  labels: Int[Array, "*b"],
  class_means: Float[Array, "c d"],
) -> Float[Array, "*b"]:
  """Pulls a feature along its class's mean, out to the teacher's norm.

  loss = 1 - <s, e_y> / max(||s||, ||t||), with e_y = class_means[y] / its norm.
  It is 0 where s is collinear with e_y and at least as long as t.

  Args:
    student_features: [*b d], any float type; computed in float32.
    teacher_features: [*b e]; only its norm is used, gradient stopped.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    class_means: [c d], the teacher's mean feature of each class, any norm;
      gradient stopped.

  Returns:
    [*b] float32, no unit, in [0, 2], one value per example.

  Raises:
    ValueError: class_means do not have the student's width.

  Source: Wang et al. 2023, arXiv:2305.17007 (Improving Knowledge
    Distillation via Regularizing Feature Norm and Direction).
  Differs: nothing known.

  >>> means, s = jnp.array([[3.0, 0.0]]), jnp.array([[1.0, 0.0]])
  >>> print(norm_direction_loss(s, 2 * s, jnp.array([0]), means))
  [0.5]
  """
  if class_means.shape[-1] != student_features.shape[-1]:
    raise ValueError(
      f"class_means must have the student's width {student_features.shape[-1]}"
      f", got {class_means.shape}. Give the student a head of that width."
    )
  s = student_features.astype(jnp.float32)
  t = jax.lax.stop_gradient(teacher_features).astype(jnp.float32)
  means = jax.lax.stop_gradient(class_means).astype(jnp.float32)
  directions = means / _norm(means)
  longer = jnp.maximum(_norm(s), _norm(t))
  along = (s * directions[labels]).sum(-1, keepdims=True)
  return (1 - along / longer)[..., 0]


def _norm(x):
  """L2 norm of the last axis, kept; at least 1e-12, gradient finite at 0."""
  return jnp.sqrt(jnp.maximum((x**2).sum(-1, keepdims=True), 1e-24))


def decoupled_distillation_loss(
  student_logits: Float[Array, "*b c"],
  teacher_logits: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  *,
  alpha: float,
  beta: float,
  temperature: float,
) -> Float[Array, "*b"]:
  """Distils the target class and the other classes with separate weights.

  With p, q the teacher's and student's softmax of logits / temperature, b the
  pair (p_y, 1 - p_y), and ^ the softmax over the classes other than y:
  loss = temperature^2 * (alpha * KL(b_p || b_q) + beta * KL(p^ || q^)).

  Args:
    student_logits: [*b c], any float type; computed in float32.
    teacher_logits: [*b c]; its gradient is stopped here.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    alpha: weight of the target class, >= 0.
    beta: weight of the other classes, >= 0.
    temperature: > 0, no unit.

  Returns:
    [*b] float32, nats (times temperature**2), >= 0, one value per example.

  Raises:
    ValueError: the two shapes differ, or a number is out of range.

  Source: Zhao et al. 2022, arXiv:2203.08679 (Decoupled Knowledge
    Distillation).
  Differs: the released code subtracts 1000 from the target's logit where this
    leaves it out exactly.

  >>> t, y = jnp.log(jnp.array([[0.5, 0.3, 0.2]])), jnp.array([0])
  >>> print(
  ...   decoupled_distillation_loss(t, t, y, alpha=1, beta=8, temperature=4.0)
  ... )
  [0.]
  """
  _checks.check_same_shape(
    "teacher_logits", teacher_logits, "student_logits", student_logits
  )
  _checks.check_number("temperature", temperature, "above 0", lambda v: v > 0)
  for name, value in (("alpha", alpha), ("beta", beta)):
    _checks.check_number(name, value, "at least 0", lambda v: v >= 0)
  teacher = jax.lax.stop_gradient(teacher_logits).astype(jnp.float32)
  student = student_logits.astype(jnp.float32)
  is_target = jax.nn.one_hot(labels, student.shape[-1], dtype=bool)
  target, other = zip(
    *(_split_log_probs(x / temperature, is_target) for x in (teacher, student)),
    strict=True,
  )
  divergence = alpha * _divergence(*target) + beta * _divergence(*other)
  return temperature**2 * divergence


def _split_log_probs(logits, is_target):
  """log (p_y, 1 - p_y) [*b 2], and log softmax over the others [*b c]."""
  # The largest finite float32, not -inf: its gradient is 0, not nan.
  low = jnp.finfo(jnp.float32).min
  others = jnp.where(is_target, low, logits)
  own = jnp.where(is_target, logits, 0.0).sum(-1)
  pair = jnp.stack([own, jax.nn.logsumexp(others, axis=-1)], axis=-1)
  return jax.nn.log_softmax(pair), jax.nn.log_softmax(others)


def _divergence(log_p, log_q):
  p = jnp.exp(log_p)
  # Where p is 0 the gap may be infinite; its product counts as 0.
  return (p * jnp.where(p > 0, log_p - log_q, 0.0)).sum(-1)


def correlation_distillation_loss(
  student_logits: Float[Array, "b c"],
  teacher_logits: Float[Array, "b c"],
  *,
  beta: float = 1.0,
  gamma: float = 1.0,
  temperature: float = 1.0,
  where: Bool[Array, " b"] | None = None,
) -> Float[Array, " b"]:
  """Distils the relations between classes and between examples.

  With P, Q [b c] the teacher's and student's softmax of logits / temperature
  and r Pearson's correlation,
  loss_i = temperature^2 (beta (1 - r(P_i, Q_i))
                          + gamma mean_c (1 - r(P_:c, Q_:c))):
  the second term is the same for all examples of the batch.

  Args:
    student_logits: [b c], any float type; computed in float32.
    teacher_logits: [b c]; its gradient is stopped here.
    beta: weight of the relations within an example, >= 0.
    gamma: weight of the relations within a class, >= 0.
    temperature: > 0, no unit.
    where: [b], True = keep: the second term sees no others; their loss is 0.

  Returns:
    [b] float32, no unit, one value per example; coupled over the (global)
    batch.

  Raises:
    ValueError: the two shapes differ, or a number is out of range.

  Source: Huang et al. 2022, arXiv:2205.10536 (Knowledge
    Distillation from A Stronger Teacher, DIST).
  Differs: nothing known.

  >>> t = jnp.array([[2.0, 0.0], [0.0, 1.0]])
  >>> print(correlation_distillation_loss(t, t).round(4) + 0.0)
  [0. 0.]
  """
  _checks.check_same_shape(
    "teacher_logits", teacher_logits, "student_logits", student_logits
  )
  _checks.check_number("temperature", temperature, "above 0", lambda v: v > 0)
  for name, value in (("beta", beta), ("gamma", gamma)):
    _checks.check_number(name, value, "at least 0", lambda v: v >= 0)
  teacher = jax.lax.stop_gradient(teacher_logits).astype(jnp.float32)
  student = student_logits.astype(jnp.float32)
  p = jax.nn.softmax(teacher / temperature)
  q = jax.nn.softmax(student / temperature)
  keep = jnp.ones(p.shape[0], bool) if where is None else where
  within_example = 1 - _correlation(p.T, q.T, None)
  within_class = (1 - _correlation(p, q, keep)).mean()
  values = temperature**2 * (beta * within_example + gamma * within_class)
  return jnp.where(keep, values, 0)


def _correlation(p, q, keep):
  """Pearson's correlation of the columns; 0 where one is constant."""
  weight = None if keep is None else keep[:, None]

  def centre(x):
    if weight is None:
      return x - x.mean(0)
    mean = jax.vmap(_reduce.mean_where, in_axes=(1, None))(x, keep)
    return jnp.where(weight, x - mean, 0.0)

  p, q = centre(p), centre(q)
  square = (p**2).sum(0) * (q**2).sum(0)
  return (p * q).sum(0) * jax.lax.rsqrt(jnp.maximum(square, 1e-16))
