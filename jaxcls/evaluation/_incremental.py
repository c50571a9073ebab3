"""How good after each stage: tasks, new classes, forgetting."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.evaluation import _kept


def task_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  task_of_class: Int[Array, " c"],
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, " c"]:
  """Accuracy on the classes of each task, all classes competing.

  Args:
    logits: [n c], any float type.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    task_of_class: [c], the task that brought each class, -1 = none yet.
    where: [n], True = keep; None keeps all.

  Returns:
    [c] float32, entry t for task t; nan where a task has no rows.

  Raises:
    ValueError: shapes do not match.
    TypeError: labels are not integers or where is not bool.

  Source: Chaudhry et al. 2018, arXiv:1801.10112 (a_{k,j}).
  Differs: nothing known.

  >>> tasks = jnp.array([0, 1])
  >>> y = jnp.array([0, 0, 1])
  >>> print(
  ...   task_accuracy(jnp.eye(2)[jnp.array([0, 1, 1])], y, task_of_class=tasks)
  ... )
  [0.5 1. ]
  """
  kept = _kept.kept_rows(logits, labels, where)
  right = logits.argmax(axis=-1) == labels
  return _mean_of_tasks(right, kept, labels, task_of_class)


def task_aware_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  task_of_class: Int[Array, " c"],
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, " c"]:
  """Accuracy on the classes of each task, only those of the task competing.

  Args, Returns, Raises: as `task_accuracy`.

  Source: van de Ven & Tolias 2019, arXiv:1904.07734 (task-incremental).
  Differs: nothing known.

  >>> tasks, y = jnp.array([0, 0, 1]), jnp.array([0, 1])
  >>> x = jnp.array([[1.0, 0.0, 9.0], [1.0, 0.0, 9.0]])
  >>> print(task_aware_accuracy(x, y, task_of_class=tasks)[0])
  0.5
  """
  kept = _kept.kept_rows(logits, labels, where)
  rivals = task_of_class == task_of_class[labels][:, None]
  right = jnp.where(rivals, logits, -jnp.inf).argmax(axis=-1) == labels
  return _mean_of_tasks(right, kept, labels, task_of_class)


def _mean_of_tasks(right, kept, labels, task_of_class):
  """Mean of right [n] over the kept rows of each task, [c]."""
  tasks = jnp.where(kept, task_of_class[labels], -1)
  mine = tasks[:, None] == jnp.arange(task_of_class.shape[0])
  total = mine.sum(axis=0)
  correct = (mine & right[:, None]).sum(axis=0)
  return jnp.where(total > 0, correct / jnp.maximum(total, 1), jnp.nan)


def base_class_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  task_of_class: Int[Array, " c"],
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Accuracy on the classes of the first task, all classes competing.

  Args, Raises: as `task_accuracy`.

  Returns:
    [] float32 in [0, 1]; nan when no row counts.

  Source: Tao et al. 2020, arXiv:2004.10956.
  Differs: nothing known.

  >>> tasks, y = jnp.array([0, 1]), jnp.array([0, 1])
  >>> print(base_class_accuracy(jnp.eye(2), y, task_of_class=tasks))
  1.0
  """
  kept = _kept.kept_rows(logits, labels, where)
  base = task_of_class[labels] == 0
  return _kept.kept_mean(logits.argmax(axis=-1) == labels, kept & base)


def novel_class_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  task_of_class: Int[Array, " c"],
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Accuracy on the classes of all tasks but the first, all competing.

  Args, Raises: as `task_accuracy`.

  Returns:
    [] float32 in [0, 1]; nan when no row counts.

  Source: Tao et al. 2020, arXiv:2004.10956.
  Differs: nothing known.

  >>> tasks, y = jnp.array([0, 1]), jnp.array([0, 1])
  >>> print(novel_class_accuracy(jnp.eye(2)[::-1], y, task_of_class=tasks))
  0.0
  """
  kept = _kept.kept_rows(logits, labels, where)
  novel = task_of_class[labels] > 0
  return _kept.kept_mean(logits.argmax(axis=-1) == labels, kept & novel)


def novel_as_base_rate(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  task_of_class: Int[Array, " c"],
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Share of the rows of later tasks that are taken for a class of the first.

  Args, Raises: as `task_accuracy`.

  Returns:
    [] float32 in [0, 1]; nan when no row counts.

  Source: Wang et al. 2023, arXiv:2312.05229 (false negative rate).
  Differs: nothing known.

  >>> tasks, y = jnp.array([0, 1]), jnp.array([1, 1])
  >>> print(novel_as_base_rate(jnp.eye(2), y, task_of_class=tasks))
  0.5
  """
  kept = _kept.kept_rows(logits, labels, where)
  taken = task_of_class[logits.argmax(axis=-1)]
  return _kept.kept_mean(taken == 0, kept & (task_of_class[labels] > 0))


def base_as_novel_rate(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  task_of_class: Int[Array, " c"],
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Share of the rows of the first task that are taken for a later class.

  Args, Raises: as `task_accuracy`.

  Returns:
    [] float32 in [0, 1]; nan when no row counts.

  Source: Wang et al. 2023, arXiv:2312.05229 (false positive rate).
  Differs: nothing known.

  >>> tasks, y = jnp.array([0, 1]), jnp.array([0, 0])
  >>> print(base_as_novel_rate(jnp.eye(2), y, task_of_class=tasks))
  0.5
  """
  kept = _kept.kept_rows(logits, labels, where)
  taken = task_of_class[logits.argmax(axis=-1)]
  return _kept.kept_mean(taken > 0, kept & (task_of_class[labels] == 0))


def summarize_stages(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
  """What the records of consecutive stages say together.

  With A_t the test accuracy after stage t and a_{t,k} that of task k:
  average_accuracy = mean_t A_t,
  forgetting = mean_{k < T} (max_{t < T} a_{t,k} - a_{T,k}),
  T the last stage.

  Args:
    records: one a stage, with "test/accuracy" and, from `task_accuracy`,
      "test/task_accuracy/<k>".

  Returns:
    "stages/average_accuracy" and "stages/forgetting", each where its numbers
    are there; for stages that were predicted before they were learned,
    "stages/<stage>/accuracy" and "stages/average_prequential_accuracy";
    nothing for a single stage.

  Source: Rebuffi et al. 2017, arXiv:1611.07725 (average incremental
    accuracy); Chaudhry et al. 2018, arXiv:1801.10112 (forgetting).
  Differs: nothing known.

  >>> first = {"test/accuracy": 1.0, "test/task_accuracy/0": 1.0}
  >>> last = {"test/accuracy": 0.5, "test/task_accuracy/0": 0.25}
  >>> summarize_stages([first, last])
  {'stages/average_accuracy': 0.75, 'stages/forgetting': 0.75}
  """
  if len(records) < 2:
    return {}
  *earlier, last = records
  found = {}
  if all("test/accuracy" in r for r in records):
    values = [r["test/accuracy"] for r in records]
    found["stages/average_accuracy"] = sum(values) / len(values)
  streams = [r for r in records if "prequential_accuracy" in r]
  for r in streams:
    found[f"stages/{r['stage']}/accuracy"] = r["prequential_accuracy"]
  if streams:
    values = [r["prequential_accuracy"] for r in streams]
    found["stages/average_prequential_accuracy"] = sum(values) / len(values)
  drops = []
  for key in last:
    past = [r[key] for r in earlier if key in r]
    if key.startswith("test/task_accuracy/") and past:
      drops.append(max(past) - last[key])
  if drops:
    found["stages/forgetting"] = sum(drops) / len(drops)
  return found
