"""Objectives of classifiers whose classes arrive in tasks."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls.losses import _checks, _classification


def logit_normalized_loss(
  logits: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  task_of_class: Int[Array, " c"],
  *,
  temperature: float,
  num_tasks: int | None = None,
) -> Float[Array, "*b"]:
  """Cross-entropy of logits over the mean norm of the tasks' logits.

  With n_t = ||logits of the classes of task t||_2 + 1e-7 and n the mean of n_t
  over the tasks: loss = -log softmax(logits / n / temperature)[label]. The
  gradient flows through the norms.

  Args:
    logits: [*b c], any float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    task_of_class: [c], the task of each class, -1 = not seen yet: such a
      class has no part in the softmax.
    temperature: > 0, no unit.
    num_tasks: above every entry of task_of_class; None: c. The norms cost b * c
      * num_tasks multiplications.

  Returns:
    [*b] float32, nats, one value per example.

  Raises:
    ValueError: task_of_class is not of shape (c,), temperature <= 0, or
      num_tasks < 1.

  Source: Zhang et al. 2023, arXiv:2303.05118 (SLCA).
  Differs: as the released code, the mean of the tasks' norms, where the paper
    prints the norm of all of them.

  >>> x, tasks = jnp.array([[3.0, 4.0]]), jnp.array([0, 0])
  >>> y = jnp.array([1])
  >>> (loss,) = logit_normalized_loss(x, y, tasks, temperature=0.2)
  >>> print(f"{loss:.4f}")
  0.3133
  """
  num_classes = logits.shape[-1]
  if task_of_class.shape != (num_classes,):
    raise ValueError(
      f"task_of_class must have shape ({num_classes},) to match "
      f"logits.shape[-1], got {task_of_class.shape}."
    )
  _checks.check_number("temperature", temperature, "above 0", lambda v: v > 0)
  if num_tasks is not None:
    _checks.check_number("num_tasks", num_tasks, "at least 1", lambda v: v >= 1)
  x = logits.astype(jnp.float32)
  tasks = num_classes if num_tasks is None else num_tasks
  members = task_of_class[:, None] == jnp.arange(tasks)
  present = members.any(axis=0)
  # The largest logit first: its square must not overflow.
  top = jnp.maximum(jnp.abs(x).max(axis=-1, keepdims=True), 1e-7)
  squares = jnp.square(x / top) @ members.astype(x.dtype)
  some = squares > 0
  roots = jnp.where(some, jnp.sqrt(jnp.where(some, squares, 1.0)), 0.0)
  norms = top * roots + 1e-7
  count = jnp.maximum(present.sum(dtype=jnp.float32), 1.0)
  norm = jnp.where(present, norms, 0.0).sum(-1, keepdims=True) / count
  scaled = jnp.where(task_of_class >= 0, x / norm / temperature, -1e30)
  return _classification.cross_entropy_loss(scaled, labels)
