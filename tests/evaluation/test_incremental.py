import numpy as np
import pytest

from jaxcls import evaluation

TASKS = np.array([0, 0, 1, 2, -1])
LABELS = np.array([0, 1, 1, 2, 2, 3, -1])
TAKEN = np.array([0, 1, 2, 2, 0, 3, 0])
LOGITS = np.eye(5, dtype=np.float32)[TAKEN]
STAGE = dict(task_of_class=TASKS)


def test_hand_values():
  names = (
    "task_accuracy", "base_class_accuracy", "novel_class_accuracy",
    "novel_as_base_rate", "base_as_novel_rate",
  )  # fmt: skip
  got = evaluation.evaluate_predictions(
    LOGITS, LABELS, metrics=names, stage=STAGE
  )
  expected = {
    "task_accuracy/0": 2 / 3,
    "task_accuracy/1": 1 / 2,
    "task_accuracy/2": 1.0,
    "base_class_accuracy": 2 / 3,
    "novel_class_accuracy": 2 / 3,
    "novel_as_base_rate": 1 / 3,
    "base_as_novel_rate": 1 / 3,
  }
  assert got == pytest.approx(expected)


def test_only_classes_of_the_task_compete():
  got = evaluation.evaluate_predictions(
    LOGITS + np.array([0, 0.1, 0, 0, 0]), LABELS,
    metrics=["task_aware_accuracy"], stage=STAGE,
  )  # fmt: skip
  # Taken for another task's class, a row falls to the best of its own.
  expected = {0: 1.0, 1: 1.0, 2: 1.0}
  assert got == {f"task_aware_accuracy/{k}": v for k, v in expected.items()}


def test_stage_must_be_given():
  with pytest.raises(ValueError, match="needs task_of_class of the stage"):
    evaluation.evaluate_predictions(LOGITS, LABELS, metrics=["task_accuracy"])


def test_forgetting_is_from_the_best_stage():
  accuracy = [1.0, 0.8, 0.6]
  tasks = [{0: 0.9}, {0: 1.0, 1: 0.7}, {0: 0.5, 1: 0.6, 2: 0.9}]
  records = [
    {"test/accuracy": a, **{f"test/task_accuracy/{k}": v for k, v in t.items()}}
    for a, t in zip(accuracy, tasks, strict=True)
  ]
  got = evaluation.summarize_stages(records)
  assert got["stages/average_accuracy"] == pytest.approx(0.8)
  assert got["stages/forgetting"] == pytest.approx((0.5 + 0.1) / 2)
  assert evaluation.summarize_stages(records[:1]) == {}
