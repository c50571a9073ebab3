import inspect
import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import sklearn.metrics
from beartype import beartype
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import jaxtyped

from jaxcls import evaluation
from jaxcls.evaluation import _evaluate

NUM_CLASSES = 4
ALL_LABELS = np.arange(NUM_CLASSES)


def probs_of(logits):
  e = np.exp(logits - logits.max(axis=1, keepdims=True))
  return e / e.sum(axis=1, keepdims=True)


def loop_ece(logits, labels, num_bins=15, adaptive=False):
  probs = probs_of(logits)
  confidence, hit = probs.max(axis=1), probs.argmax(axis=1) == labels
  if adaptive:
    groups = np.array_split(np.argsort(confidence, kind="stable"), num_bins)
  else:
    edges = np.linspace(0, 1, num_bins + 1)
    groups = [
      np.flatnonzero((confidence > low) & (confidence <= high))
      for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]
  total = 0.0
  for rows in groups:
    if len(rows):
      gap = abs(hit[rows].mean() - confidence[rows].mean())
      total += len(rows) / len(labels) * gap
  return total


# name: (keyword arguments, the same number from (logits, labels) in numpy).


def clustered(logits, labels):
  """Best match of clusters and classes, by scipy."""
  c = logits.shape[1]
  counts = np.zeros((c, c))
  np.add.at(counts, (logits.argmax(1), labels), 1)
  rows, columns = scipy.optimize.linear_sum_assignment(counts, maximize=True)
  return counts[rows, columns].sum() / len(labels)


def one_against_rest(logits, labels):
  """Mean area under the ROC curve of the classes that are present."""
  probs = probs_of(logits)
  areas = [
    sklearn.metrics.roc_auc_score(labels == k, probs[:, k])
    for k in np.unique(labels)
  ]
  return np.mean(areas)


def beats_its_twin(logits, labels):
  """Rows of the last class of an odd number have no twin."""
  rows = [i for i, y in enumerate(labels) if y ^ 1 < logits.shape[1]]
  return np.mean(
    [logits[i, labels[i]] > logits[i, labels[i] ^ 1] for i in rows]
  )


REFERENCES = {
  "twin_accuracy": ({}, beats_its_twin),
  "clustering_accuracy": ({}, clustered),
  "roc_auc": ({}, one_against_rest),
  "accuracy": (
    {},
    lambda x, y: sklearn.metrics.accuracy_score(y, x.argmax(1)),
  ),
  "top_k_accuracy": (
    {"k": 2},
    lambda x, y: sklearn.metrics.top_k_accuracy_score(
      y, x, k=2, labels=ALL_LABELS
    ),
  ),
  "confusion_matrix": (
    {},
    lambda x, y: sklearn.metrics.confusion_matrix(
      y, x.argmax(1), labels=ALL_LABELS
    ),
  ),
  "per_class_accuracy": (
    {},
    lambda x, y: sklearn.metrics.recall_score(
      y, x.argmax(1), average=None, labels=ALL_LABELS, zero_division=np.nan
    ),
  ),
  "balanced_accuracy": (
    {},
    lambda x, y: sklearn.metrics.balanced_accuracy_score(y, x.argmax(1)),
  ),
  "macro_f1": (
    {},
    lambda x, y: sklearn.metrics.f1_score(y, x.argmax(1), average="macro"),
  ),
  "negative_log_likelihood": (
    {},
    lambda x, y: sklearn.metrics.log_loss(y, probs_of(x), labels=ALL_LABELS),
  ),
  "brier_score": (
    {},
    lambda x, y: sklearn.metrics.brier_score_loss(
      y, probs_of(x), labels=ALL_LABELS, scale_by_half=False
    ),
  ),
  "expected_calibration_error": ({}, loop_ece),
}
CASES = [(name, kw, f) for name, (kw, f) in REFERENCES.items()]
CASES.append(
  (
    "expected_calibration_error",
    {"num_bins": 7, "adaptive": True},
    lambda x, y: loop_ece(x, y, num_bins=7, adaptive=True),
  )
)
every_case = pytest.mark.parametrize(("name", "options", "reference"), CASES)


def bind(name, **options):
  f = jaxtyped(getattr(evaluation, name), typechecker=beartype)
  return jax.jit(lambda x, y, where=None: f(x, y, where=where, **options))


def example(n=200, classes=NUM_CLASSES, seed=0):
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, classes, size=n)
  logits = rng.normal(size=(n, NUM_CLASSES)).astype(np.float32)
  logits[np.arange(n), labels] += 1.0
  return logits, labels


def close(got, expected, rtol=1e-6, atol=1e-6):
  np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def test_every_metric_has_a_reference():
  public = {
    name
    for name, f in inspect.getmembers(evaluation, inspect.isfunction)
    if "where" in inspect.signature(f).parameters
    # Those that ask the stage for something have tests of their own.
    and not set(_evaluate.STAGE_INPUTS) & set(inspect.signature(f).parameters)
  }
  # Of copies, not of classes: tests/evaluation/test_tracing.py.
  public -= {"evaluate_predictions", "tracing_accuracy", "transfer_rates"}
  assert public == set(REFERENCES)


@every_case
def test_equals_reference(name, options, reference):
  logits, labels = example()
  got = bind(name, **options)(logits, labels)
  close(got, reference(logits.astype(np.float64), labels))
  expected = jnp.int32 if name == "confusion_matrix" else jnp.float32
  assert got.dtype == expected


@every_case
def test_equals_reference_when_a_class_is_absent(name, options, reference):
  logits, labels = example(classes=NUM_CLASSES - 1, seed=1)
  with warnings.catch_warnings():
    # balanced_accuracy_score warns of predictions of an unseen class.
    warnings.simplefilter("ignore", UserWarning)
    expected = reference(logits.astype(np.float64), labels)
  close(bind(name, **options)(logits, labels), expected)


@every_case
def test_dropped_and_unlabelled_rows_do_not_count(name, options, reference):
  del reference
  f = bind(name, **options)
  logits, labels = example(40)
  where = np.arange(40) % 3 > 0
  marked = np.where(np.arange(40) % 5 == 0, -1, labels)
  keep = where & (marked >= 0)
  logits[~keep] = np.nan
  close(f(logits, marked, where), f(logits[keep], labels[keep]))


@every_case
def test_bfloat16_and_sharded_rows(name, options, reference):
  del reference
  f = bind(name, **options)
  logits, labels = example(40)
  logits = jnp.asarray(logits, jnp.bfloat16)
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  rows = NamedSharding(mesh, PartitionSpec("data"))
  with jax.numpy_dtype_promotion("strict"):
    got = f(*jax.device_put((logits, labels), rows))
  close(got, f(logits.astype(jnp.float32), labels))


@every_case
def test_nothing_kept(name, options, reference):
  del reference
  logits, labels = example(4)
  got = bind(name, **options)(logits, labels, np.zeros(4, bool))
  expected = 0 if name == "confusion_matrix" else np.nan
  np.testing.assert_array_equal(got, np.full(got.shape, expected))


# Three rows, true classes 0, 0, 2; predictions 0, 1, 2 at probability 0.8.
HAND_LOGITS = np.log(0.1 + 0.7 * np.eye(3)).astype(np.float32)
HAND_LABELS = np.array([0, 0, 2])


@pytest.mark.parametrize(
  ("name", "options", "expected"),
  [
    ("accuracy", {}, 2 / 3),
    ("top_k_accuracy", {"k": 1}, 2 / 3),
    ("top_k_accuracy", {"k": 3}, 1.0),
    ("per_class_accuracy", {}, [1 / 2, np.nan, 1.0]),
    ("balanced_accuracy", {}, (1 / 2 + 1) / 2),
    ("macro_f1", {}, (2 * 1 / (2 + 1) + 0 + 1) / 3),
    ("confusion_matrix", {}, [[1, 1, 0], [0, 0, 0], [0, 0, 1]]),
    (
      "negative_log_likelihood",
      {},
      -(2 * math.log(0.8) + math.log(0.1)) / 3,
    ),
    (
      "brier_score",
      {},
      (2 * (0.2**2 + 2 * 0.1**2) + 0.9**2 + 0.8**2 + 0.1**2) / 3,
    ),
    # One occupied bin: confidence 0.8, two of three right.
    ("expected_calibration_error", {}, 0.8 - 2 / 3),
    # Three bins of one row each.
    (
      "expected_calibration_error",
      {"num_bins": 3, "adaptive": True},
      (0.2 + 0.8 + 0.2) / 3,
    ),
  ],
)
def test_hand_values(name, options, expected):
  close(bind(name, **options)(HAND_LOGITS, HAND_LABELS), expected)


def test_adaptive_bins_more_than_rows():
  f = bind("expected_calibration_error", num_bins=50, adaptive=True)
  logits, labels = example(20)
  close(f(logits, labels), loop_ece(logits, labels, 50, adaptive=True))


def test_calibrated_predictions_have_no_error():
  # Probability 0.75 for class 0, which is right 3 times out of 4.
  logits = np.log(np.tile([[0.75, 0.25]], (4, 1))).astype(np.float32)
  labels = np.array([0, 0, 0, 1])
  close(bind("expected_calibration_error")(logits, labels), 0.0)


def test_evaluate_predictions():
  metrics = ["accuracy", {"name": "top_k_accuracy", "k": 3}, "macro_f1"]
  got = evaluation.evaluate_predictions(
    HAND_LOGITS, HAND_LABELS, metrics=metrics
  )
  assert list(got) == ["accuracy", "top_k_accuracy(k=3)", "macro_f1"]
  assert all(type(value) is float for value in got.values())
  close(list(got.values()), [2 / 3, 1.0, 5 / 9])
  none = evaluation.evaluate_predictions(
    HAND_LOGITS, HAND_LABELS, metrics=metrics, where=np.zeros(3, bool)
  )
  assert all(math.isnan(value) for value in none.values())


def test_evaluate_predictions_of_nothing():
  got = evaluation.evaluate_predictions(
    np.zeros((0, 3), np.float32), np.zeros(0, np.int32), metrics=["accuracy"]
  )
  assert math.isnan(got["accuracy"])


@pytest.mark.parametrize(
  ("metrics", "error", "message"),
  [
    ("accuracy", TypeError, "metrics must be a sequence of names"),
    (["acuracy"], ValueError, "got 'acuracy'. Did you mean 'accuracy'"),
    ([{"k": 3}], ValueError, "got None"),
    (["confusion_matrix"], ValueError, "metrics must be numbers or vectors"),
    ([{"name": "accuracy", "k": 3}], TypeError, "accuracy has no argument 'k'"),
    (
      [{"name": "top_k_accuracy", "k": 9}],
      ValueError,
      r"k must be in \[1, 3\], got 9",
    ),
  ],
)
def test_evaluate_predictions_raises(metrics, error, message):
  with pytest.raises(error, match=message):
    evaluation.evaluate_predictions(HAND_LOGITS, HAND_LABELS, metrics=metrics)


def test_evaluate_predictions_checks_the_labels():
  with pytest.raises(ValueError, match=r"labels must be in \[-1, 3\), got"):
    evaluation.evaluate_predictions(
      HAND_LOGITS, HAND_LABELS + 1, metrics=["accuracy"]
    )


@pytest.mark.parametrize("name", REFERENCES)
def test_wrong_input_raises(name):
  options = REFERENCES[name][0]
  f = getattr(evaluation, name)
  x, y = jnp.asarray(HAND_LOGITS), jnp.asarray(HAND_LABELS)
  with pytest.raises(ValueError, match="logits and labels must have shapes"):
    f(x, y[:1], **options)
  with pytest.raises(TypeError, match="labels must be integer class ids"):
    f(x, y.astype(jnp.float32), **options)
  with pytest.raises(TypeError, match="where must be bool"):
    f(x, y, where=jnp.ones(3), **options)
  with pytest.raises(ValueError, match="where must have the shape of labels"):
    f(x, y, where=jnp.ones(1, bool), **options)


def test_out_of_range_options_raise():
  x, y = jnp.asarray(HAND_LOGITS), jnp.asarray(HAND_LABELS)
  with pytest.raises(ValueError, match=r"k must be in \[1, 3\], got 4"):
    evaluation.top_k_accuracy(x, y, k=4)
  with pytest.raises(ValueError, match="num_bins must be at least 1, got 0"):
    evaluation.expected_calibration_error(x, y, num_bins=0)


def test_vectors_give_an_entry_a_class():
  logits = np.eye(3, dtype=np.float32)[[0, 1, 0]]
  got = evaluation.evaluate_predictions(
    logits, np.array([0, 1, 1]), metrics=["per_class_accuracy"]
  )
  # Class 2 has no rows: nan is left out.
  assert got == {"per_class_accuracy/0": 1.0, "per_class_accuracy/1": 0.5}
