import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import classifiers, evaluation

KEY = jax.random.key(0)


def blobs(classes=5, size=30, noise=0.08):
  rng = np.random.default_rng(0)
  centres = np.linalg.qr(rng.normal(size=(8, 8)))[0][:classes]
  labels = np.repeat(np.arange(classes), size)
  x = centres[labels] + noise * rng.normal(size=(len(labels), 8))
  return jnp.float32(x), labels


def test_finds_the_number_of_separate_classes():
  x, y = blobs()
  # Three old classes, half of them labelled.
  given = np.where((y < 3) & (np.arange(len(y)) % 2 == 0), y, -1)
  found = classifiers.estimate_num_classes(
    x, jnp.asarray(given), candidates=(3, 5, 7), key=KEY
  )
  assert found.num_classes == 5
  np.testing.assert_allclose(found.labeled_accuracy[1], 1.0, rtol=1e-6)
  np.testing.assert_allclose(
    found.scores, found.labeled_accuracy + found.separation, rtol=1e-6
  )
  got = evaluation.class_count_probe(
    x, given, x, given, num_classes=5, candidates=(3, 5, 7)
  )
  assert got["num_classes"] == 5 and got["by_separation"] == 5


def test_accuracy_and_silhouette_by_hand():
  # Two clusters of unit vectors; the labels say that three classes are there.
  x = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
  y = jnp.array([0, 1, 2, -1])
  found = classifiers.estimate_num_classes(x, y, candidates=(2,), key=KEY)
  # Each cluster has one class: two of the three labelled rows are right.
  np.testing.assert_allclose(found.labeled_accuracy, [2 / 3], rtol=1e-6)
  np.testing.assert_allclose(found.separation, [1.0], rtol=1e-6)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (dict(candidates=()), "candidates must be numbers"),
    (dict(candidates=(1, 2)), "candidates must be numbers"),
    (dict(separation_weight=-1.0), "separation_weight must be >= 0"),
    (dict(labels=-jnp.ones(4, int)), "labels must have a row"),
    (dict(labels=jnp.zeros(3, int)), "labels must have shape"),
  ],
)
def test_wrong_input_raises(changes, message):
  arguments = dict(
    features=jnp.eye(4), labels=jnp.zeros(4, int), candidates=(2,), key=KEY
  )
  with pytest.raises(ValueError, match=message):
    classifiers.estimate_num_classes(**{**arguments, **changes})
