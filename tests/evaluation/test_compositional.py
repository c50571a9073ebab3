import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import evaluation

SEEN = np.array([True, True, False, True, False, False])
METRICS = (
  "seen_unseen_auc", "best_seen_accuracy", "best_unseen_accuracy",
  "best_harmonic_mean", "seen_pair_accuracy", "unseen_pair_accuracy",
)  # fmt: skip


def example(n=60, classes=5, seed=0):
  """Class 5 is never among the labels: closed and open world differ."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, classes, n)
  logits = rng.normal(size=(n, 6)).astype(np.float32)
  logits[np.arange(n), labels] += 1.0
  logits[:, SEEN] += 0.5
  return logits, labels


def brute_force(logits, labels, world):
  """Both accuracies at every bias that can matter, by argmax."""
  present = np.isin(np.arange(6), labels)
  compared = SEEN | present if world == "closed" else np.full(6, True)
  x = np.where(compared, logits.astype(np.float64), -np.inf)
  gaps = x[:, SEEN].max(1) - x[:, ~SEEN].max(1)
  edges = np.sort(gaps)
  biases = [edges[0] - 1, *(edges[:-1] + edges[1:]) / 2, edges[-1] + 1]
  rows = SEEN[labels]
  points = []
  for bias in biases:
    right = (x + bias * ~SEEN).argmax(1) == labels
    points.append((right[rows].mean(), right[~rows].mean()))
  return np.array(points), (x.argmax(1) == labels, rows)


@pytest.mark.parametrize("world", ["closed", "open"])
def test_equals_a_brute_force_sweep(world):
  logits, labels = example()
  points, (right, rows) = brute_force(logits, labels, world)
  s, u = points.T
  expected = dict(
    seen_unseen_auc=np.trapezoid(s, u),
    best_seen_accuracy=s.max(),
    best_unseen_accuracy=u.max(),
    best_harmonic_mean=(2 * s * u / np.maximum(s + u, 1e-9)).max(),
    seen_pair_accuracy=right[rows].mean(),
    unseen_pair_accuracy=right[~rows].mean(),
  )
  got = evaluation.evaluate_predictions(
    logits, labels, stage={"seen": SEEN},
    metrics=[dict(name=name, world=world) for name in METRICS],
  )  # fmt: skip
  for name, value in expected.items():
    np.testing.assert_allclose(got[f"{name}(world={world})"], value, rtol=1e-5)
  curve = jax.jit(
    lambda x, y: evaluation.seen_unseen_curve(x, y, seen=SEEN, world=world)
  )(logits, labels)
  np.testing.assert_allclose(curve[:, 1:], points, rtol=1e-5)


def test_ties_are_one_point_and_absent_classes_matter():
  logits = jnp.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
  labels = jnp.array([0, 1, 1])
  curve = evaluation.seen_unseen_curve(
    logits, labels, seen=jnp.array([True, False])
  )
  np.testing.assert_allclose(curve[0, 1:], [1, 0])
  np.testing.assert_allclose(curve[1:, 1:], [[0, 1]] * 3)
  logits, labels = example()
  area = lambda world: float(
    evaluation.seen_unseen_auc(logits, labels, seen=SEEN, world=world)
  )
  assert area("open") < area("closed")


def test_dropped_rows_do_not_count():
  logits, labels = example()
  where = np.arange(60) % 3 > 0
  marked = np.where(np.arange(60) % 5 == 0, -1, labels)
  keep = where & (marked >= 0)
  dirty = np.where(keep[:, None], logits, np.nan)
  for name in METRICS:
    f = jax.jit(lambda x, y, w=None, n=name: getattr(evaluation, n)(
      x, y, seen=SEEN, where=w))  # fmt: skip
    got = f(dirty, marked, where)
    np.testing.assert_allclose(got, f(logits[keep], labels[keep]), rtol=1e-5)
    assert np.isnan(f(logits, labels, np.zeros(60, bool)))


def test_bad_arguments_are_named():
  logits, labels = example()
  with pytest.raises(ValueError, match="world must be 'closed' or 'open'"):
    evaluation.seen_unseen_auc(logits, labels, seen=SEEN, world="half")
  with pytest.raises(ValueError, match=r"seen must have shape \(6,\)"):
    evaluation.seen_unseen_auc(logits, labels, seen=SEEN[:2])
