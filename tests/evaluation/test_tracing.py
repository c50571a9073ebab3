import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import evaluation

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(6, 4, 5)).astype(np.float32)
OUTPUTS = RNG.normal(size=(6, 4, 5)).astype(np.float32)
CLEAN = RNG.normal(size=(6, 4, 5)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 4, 0])


def slow(label_known, image_known):
  found = np.zeros((6, 4))
  for b, i in itertools.product(range(6), range(4)):
    order = np.argsort(-SCORES[b, i])
    attacked, clean = order[:2]
    if label_known:
      clean = LABELS[b]
      attacked = order[0] if order[0] != clean else order[1]
    found[b, i] = OUTPUTS[b, i, attacked] - OUTPUTS[b, i, clean]
    if image_known:
      found[b, i] -= CLEAN[b, i, attacked] - CLEAN[b, i, clean]
  return found


@pytest.mark.parametrize("label", [False, True])
@pytest.mark.parametrize("image", [False, True])
def test_scores_match_a_loop(label, image):
  call = jax.jit(evaluation.tracing_scores)
  got = call(
    SCORES, OUTPUTS, LABELS if label else None, CLEAN if image else None
  )
  np.testing.assert_allclose(got, slow(label, image), rtol=1e-6)


@pytest.mark.parametrize("candidates", [1, 2, 3, 4])
def test_accuracy_is_the_mean_over_all_sets_of_candidates(candidates):
  scores, sources = RNG.normal(size=(7, 4)), RNG.integers(4, size=7)
  right = []
  for row, source in zip(scores, sources, strict=True):
    others = [i for i in range(4) if i != source]
    for chosen in itertools.combinations(others, candidates - 1):
      right.append(all(row[source] > row[j] for j in chosen))
  call = jax.jit(
    lambda s, y, w=None: evaluation.tracing_accuracy(
      s, y, candidates=candidates, where=w
    )
  )
  np.testing.assert_allclose(call(scores, sources), np.mean(right), rtol=1e-5)
  none = jnp.zeros(7, bool)
  assert np.isnan(call(scores, sources, none))
  first = call(scores, sources, jnp.arange(7) < 1)
  np.testing.assert_allclose(first, call(scores[:1], sources[:1]), rtol=1e-6)


def test_a_tie_is_not_traced():
  same = jnp.zeros((3, 4))
  assert evaluation.tracing_accuracy(same, jnp.arange(3)) == 0


def test_transfer_rates_match_a_loop():
  predictions = RNG.integers(3, size=(2, 20, 4))
  labels = RNG.integers(3, size=20)
  where = RNG.uniform(size=(2, 20)) < 0.7
  want = np.zeros((2, 4))
  for i, j in itertools.product(range(2), range(4)):
    fooled = [b for b in range(20) if predictions[i, b, i] != labels[b]]
    fooled = [b for b in fooled if where[i, b]]
    want[i, j] = np.mean([predictions[i, b, j] != labels[b] for b in fooled])
  got = jax.jit(evaluation.transfer_rates)(predictions, labels, where=where)
  np.testing.assert_allclose(got, want, rtol=1e-6)
  right = np.broadcast_to(labels[:, None], (2, 20, 4))
  assert np.isnan(evaluation.transfer_rates(right, labels)).all()


def test_errors():
  for call, message in (
    (
      lambda: evaluation.tracing_scores(SCORES, OUTPUTS[:, :2]),
      "tracer_outputs must have the shape of copy_scores",
    ),
    (
      lambda: evaluation.tracing_scores(SCORES, OUTPUTS, LABELS[:2]),
      r"labels must have shape \(6,\)",
    ),
    (
      lambda: evaluation.tracing_scores(SCORES[..., :1], OUTPUTS[..., :1]),
      "copy_scores must have at least two classes",
    ),
    (
      lambda: evaluation.tracing_accuracy(SCORES[..., 0], LABELS, candidates=5),
      r"candidates must be in \[1, 4\], the copies, got 5",
    ),
    (
      lambda: evaluation.tracing_accuracy(SCORES[..., 0], LABELS[:2]),
      r"sources must have shape \(6,\)",
    ),
    (
      lambda: evaluation.transfer_rates(jnp.zeros((3, 6, 2), int), LABELS),
      "predictions must have shape",
    ),
    (
      lambda: evaluation.transfer_rates(
        jnp.zeros((2, 6, 2), int), LABELS, where=jnp.ones(6, bool)
      ),
      r"where must have shape \(2, 6\)",
    ),
  ):
    with pytest.raises(ValueError, match=message):
      call()
