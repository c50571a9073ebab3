import math

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.naive_bayes
import sklearn.neighbors
import sklearn.preprocessing

from jaxcls import evaluation

NUM_CLASSES = 3
PROBES = {
  "knn_probe": {"k": 5},
  "linear_probe": {"l2_grid": (0.1, 10.0)},
  "naive_bayes_probe": {},
}
every_probe = pytest.mark.parametrize("name", PROBES)


def example(n, seed, d=6):
  rng = np.random.default_rng(seed)
  labels = np.arange(n) % NUM_CLASSES
  features = np.eye(NUM_CLASSES, d)[labels] + rng.normal(size=(n, d))
  scale = 10.0 ** np.arange(d) / 100
  return (features * scale).astype(np.float32), labels


TRAIN, TEST = example(90, seed=0), example(60, seed=1)


def probe(name, *arrays, **options):
  f = getattr(evaluation, name)
  options = {"num_classes": NUM_CLASSES, **PROBES[name], **options}
  return f(*arrays, **options)


def test_knn_probe_equals_a_weighted_sklearn_vote():
  reference = sklearn.neighbors.KNeighborsClassifier(
    n_neighbors=5,
    metric="cosine",
    weights=lambda distance: np.exp((1 - distance) / 0.07),
  ).fit(*TRAIN)
  got = probe("knn_probe", *TRAIN, *TEST)
  np.testing.assert_allclose(
    got["accuracy"], reference.score(*TEST), atol=1e-6, rtol=0
  )


def test_linear_probe_equals_sklearn_with_the_chosen_penalty():
  got = probe("linear_probe", *TRAIN, *TEST)
  assert got["l2"] in PROBES["linear_probe"]["l2_grid"]
  assert got["gradient_norm"] <= 1e-6
  scaler = sklearn.preprocessing.StandardScaler().fit(TRAIN[0])
  reference = sklearn.linear_model.LogisticRegression(
    C=1 / got["l2"], tol=1e-8, max_iter=1000
  ).fit(scaler.transform(TRAIN[0]), TRAIN[1])
  expected = reference.score(scaler.transform(TEST[0]), TEST[1])
  np.testing.assert_allclose(got["accuracy"], expected, atol=1e-6, rtol=0)


def test_linear_probe_chooses_without_the_test_rows():
  got = probe("linear_probe", *TRAIN, *TEST)
  wrong = (TEST[1] + 1) % NUM_CLASSES
  other = probe("linear_probe", *TRAIN, -TEST[0], wrong)
  assert got["l2"] == other["l2"]
  assert got["held_out_accuracy"] == other["held_out_accuracy"]
  assert got["accuracy"] != other["accuracy"]


def test_linear_probe_takes_the_largest_of_equal_penalties():
  x = np.array([[-1.0], [1.0]] * 10, np.float32)
  y = np.arange(20) % 2
  got = probe("linear_probe", x, y, x, y, l2_grid=(0.2, 0.1, 0.3))
  assert got["held_out_accuracy"] == 1.0
  assert got["l2"] == 0.3


def test_naive_bayes_probe_equals_sklearn():
  scaler = sklearn.preprocessing.StandardScaler().fit(TRAIN[0])
  reference = sklearn.naive_bayes.GaussianNB(var_smoothing=1e-3)
  reference.fit(scaler.transform(TRAIN[0]), TRAIN[1])
  got = probe("naive_bayes_probe", *TRAIN, *TEST)
  expected = reference.score(scaler.transform(TEST[0]), TEST[1])
  np.testing.assert_allclose(got["accuracy"], expected, atol=1e-6, rtol=0)


@every_probe
def test_unlabelled_rows_do_not_count(name):
  extra = np.full((10, 6), np.nan, np.float32), np.full(10, -1)
  padded = (
    [np.concatenate([a, b]) for a, b in zip(TRAIN, extra, strict=True)],
    [np.concatenate([a, b]) for a, b in zip(TEST, extra, strict=True)],
  )
  # One penalty: the random held-out rows depend on the number of rows.
  options = {"l2_grid": (1.0,)} if name == "linear_probe" else {}
  got = probe(name, *padded[0], *padded[1], **options)
  expected = probe(name, *TRAIN, *TEST, **options)
  np.testing.assert_allclose(
    got["accuracy"], expected["accuracy"], atol=1e-6, rtol=0
  )


@every_probe
def test_constant_features_and_no_test_label(name):
  x = np.concatenate([TRAIN[0], np.full((90, 1), 0.1, np.float32)], axis=1)
  got = probe(name, x, TRAIN[1], x, TRAIN[1])
  assert got["accuracy"] > 0.5
  assert math.isnan(probe(name, x, TRAIN[1], x, TRAIN[1] * 0 - 1)["accuracy"])


@every_probe
def test_wrong_input_raises(name):
  with pytest.raises(ValueError, match="test_labels must be in .* to 3"):
    probe(name, *TRAIN, TEST[0], TEST[1] + 1)
  with pytest.raises(ValueError, match="train_labels must be in .* to 3"):
    probe(name, TRAIN[0], TRAIN[1] + 1, *TEST)
  with pytest.raises(ValueError, match="train_features and train_labels must"):
    probe(name, TRAIN[0], TRAIN[1][:5], *TEST)
  with pytest.raises(TypeError, match="train_labels must be integer"):
    probe(name, TRAIN[0], TRAIN[1] * 1.0, *TEST)
  with pytest.raises(ValueError, match="test_features must have at least one"):
    probe(name, *TRAIN, TEST[0][:0], TEST[1][:0])


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"l2_grid": ()}, "l2_grid must hold at least one number"),
    ({"l2_grid": (0.0, 1.0)}, "l2_grid must hold"),
    ({"held_out_fraction": 1.0}, r"held_out_fraction must be in \(0, 1\)"),
  ],
)
def test_linear_probe_options_raise(options, message):
  with pytest.raises(ValueError, match=message):
    probe("linear_probe", *TRAIN, *TEST, **options)


def test_linear_probe_needs_two_rows():
  labels = np.where(np.arange(90) == 0, 1, -1)
  with pytest.raises(ValueError, match="at least 2 labelled rows, got 1"):
    probe("linear_probe", TRAIN[0], labels, *TEST)


def test_other_options_raise():
  with pytest.raises(ValueError, match=r"k must be in \[1, 90\]"):
    probe("knn_probe", *TRAIN, *TEST, k=91)
  with pytest.raises(ValueError, match="var_smoothing must be above 0"):
    probe("naive_bayes_probe", *TRAIN, *TEST, var_smoothing=0.0)
