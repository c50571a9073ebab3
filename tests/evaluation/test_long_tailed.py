import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import evaluation

NAMES = ("many_shot_accuracy", "medium_shot_accuracy", "few_shot_accuracy")
COUNTS = jnp.array([101, 100, 20, 19])
LABELS = jnp.array([0, 0, 1, 2, 2, 2, 3])
GUESSES = jnp.array([0, 1, 1, 2, 0, 0, 3])
# Recalls 1/2, 1, 1/3, 1: many is class 0, medium 1 and 2, few 3.
EXPECTED = dict(zip(NAMES, (1 / 2, (1 + 1 / 3) / 2, 1.0), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_hand_values(name):
  f = jax.jit(getattr(evaluation, name))
  logits = jnp.eye(4)[GUESSES]
  got = f(logits, LABELS, class_counts=COUNTS)
  np.testing.assert_allclose(got, EXPECTED[name], rtol=1e-6)
  none = f(logits, LABELS, class_counts=COUNTS, where=jnp.zeros(7, bool))
  assert np.isnan(none)


def test_together_by_name_with_a_threshold():
  metrics = (*NAMES, dict(name="few_shot_accuracy", below=21))
  got = evaluation.evaluate_predictions(
    jnp.eye(4)[GUESSES], LABELS, metrics=metrics,
    stage={"class_counts": COUNTS},
  )  # fmt: skip
  for name in NAMES:
    np.testing.assert_allclose(got[name], EXPECTED[name], rtol=1e-6)
  few = got["few_shot_accuracy(below=21)"]
  np.testing.assert_allclose(few, (1 / 3 + 1) / 2, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_errors(name):
  f = getattr(evaluation, name)
  with pytest.raises(ValueError, match="must have shapes"):
    f(jnp.eye(4), LABELS, class_counts=COUNTS)
