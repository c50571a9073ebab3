import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

LOGITS = jnp.array([[2.0, 0.5, -1.0], [1.0, -0.5, -3.0], [0.0, 1.0, 2.0]])
LABELS = jnp.array([3, 0, 1])


def close(got, expected, rtol=1e-5, atol=1e-6):
  np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def sigmoid(x):
  return 1 / (1 + math.exp(-x))


def test_coral_hand_value():
  # Questions "above 0, 1, 2?": yes yes yes; no no no; yes no no.
  s = [[sigmoid(x) for x in row] for row in LOGITS.tolist()]
  expected = [
    -math.log(s[0][0]) - math.log(s[0][1]) - math.log(s[0][2]),
    -math.log(1 - s[1][0]) - math.log(1 - s[1][1]) - math.log(1 - s[1][2]),
    -math.log(s[2][0]) - math.log(1 - s[2][1]) - math.log(1 - s[2][2]),
  ]
  close(jax.jit(losses.coral_loss)(LOGITS, LABELS), expected)


def test_coral_matches_the_example_of_its_released_code():
  logits = jnp.array(
    [[2.1, 1.8, -2.1, -1.8], [1.9, -1.0, -1.5, -1.3], [1.9, 1.8, 1.7, 1.6]]
  )
  # Levels 1100, 1000, 1111: labels 2, 1, 4.
  got = losses.coral_loss(logits, jnp.array([2, 1, 4])).mean()
  close(got, 0.6920, rtol=1e-4)


def test_corn_is_the_likelihood_of_the_label():
  s = [[sigmoid(x) for x in row] for row in LOGITS.tolist()]
  likelihoods = [
    s[0][0] * s[0][1] * s[0][2],  # above 0, 1 and 2
    1 - s[1][0],
    s[2][0] * (1 - s[2][1]),
  ]
  close(
    jax.jit(losses.corn_loss)(LOGITS, LABELS),
    [-math.log(p) for p in likelihoods],
  )
  # Over all labels the likelihoods sum to 1.
  rows = jnp.tile(LOGITS[:1], (4, 1))
  close(jnp.exp(-losses.corn_loss(rows, jnp.arange(4))).sum(), 1.0)


def test_cumulative_link_hand_value():
  thresholds, score = [-1.0, 0.5, 2.0], 0.3
  cuts = [0.0, *(sigmoid(t - score) for t in thresholds), 1.0]
  expected = [-math.log(b - a) for a, b in zip(cuts, cuts[1:], strict=False)]
  f = jax.jit(losses.cumulative_link_loss)
  close(f(jnp.full(4, score), jnp.array(thresholds), jnp.arange(4)), expected)


def test_ordinal_losses_of_two_classes_are_binary_cross_entropy():
  score, labels = jnp.array([1.5, -0.5]), jnp.array([0, 1])
  expected = [-math.log(1 - sigmoid(1.5)), -math.log(sigmoid(-0.5))]
  close(losses.coral_loss(score[:, None], labels), expected)
  close(losses.corn_loss(score[:, None], labels), expected)
  close(losses.cumulative_link_loss(score, jnp.zeros(1), labels), expected)


def test_cumulative_link_trains_its_thresholds():
  f = lambda t: losses.cumulative_link_loss(
    jnp.array([0.0, 3e4, -3e4]), t, jnp.array([1, 1, 1])
  ).sum()
  gradient = jax.jit(jax.grad(f))(jnp.array([-1.0, 1.0]))
  assert np.isfinite(gradient).all()
  # The middle class widens: its lower edge falls and its upper edge rises.
  middle = jax.grad(
    lambda t: losses.cumulative_link_loss(jnp.zeros(1), t, jnp.array([1])).sum()
  )(jnp.array([-1.0, 1.0]))
  assert middle[0] > 0 > middle[1]
  crossed = jax.grad(f)(jnp.array([1.0, -1.0]))
  assert np.isfinite(crossed).all()


@pytest.mark.parametrize("f", [losses.coral_loss, losses.corn_loss])
def test_labels_that_do_not_fit_raise(f):
  with pytest.raises(ValueError, match=r"labels must have shape \(3,\)"):
    f(LOGITS, LABELS[:1])
  with pytest.raises(TypeError, match="labels must be integer class ids"):
    f(LOGITS, LABELS.astype(jnp.float32))


def test_cumulative_link_raises():
  f, score, thresholds = losses.cumulative_link_loss, jnp.ones(3), jnp.ones(2)
  with pytest.raises(ValueError, match=r"labels must have shape \(3,\)"):
    f(score, thresholds, LABELS[:1])
  with pytest.raises(TypeError, match="labels must be integer class ids"):
    f(score, thresholds, score)
  with pytest.raises(ValueError, match=r"thresholds must have shape \(c - 1,"):
    f(score, thresholds[None], LABELS)
