import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

LOGITS = jnp.array([[0.5, 0.25], [0.0, 0.0]])
LABELS, COUNTS = jnp.array([0, 1]), jnp.array([1600, 100])


def close(got, expected, rtol=1e-5, atol=1e-6):
  np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def test_class_balanced_weights_hand_value():
  got = losses.class_balanced_weights(jnp.array([1, 3, 2]), beta=0.5)
  # (1 - 1/2) / (1 - (1/2)**n) = 1, 4/7, 2/3, then to mean 1.
  expected = np.array([1.0, 4 / 7, 2 / 3])
  close(got, expected / expected.mean())


def test_class_balanced_weights_in_double_precision():
  counts = np.array([5000, 50, 1, 1_000_000])
  exact = (1 - 0.9999) / (1 - 0.9999 ** counts.astype(np.float64))
  got = losses.class_balanced_weights(jnp.asarray(counts), beta=0.9999)
  close(got, exact / exact.mean())


def test_class_balanced_weights_limits():
  weights = losses.class_balanced_weights
  close(weights(COUNTS, beta=0.0), [1.0, 1.0])
  inverse = np.array([1 / 1600, 1 / 100])
  close(weights(COUNTS, beta=1 - 1e-9), inverse / inverse.mean(), rtol=1e-4)
  close(weights(jnp.array([0, 1]), beta=0.9), [1.0, 1.0])


def test_class_balanced_weights_raise():
  with pytest.raises(TypeError, match="class_counts must be integers"):
    losses.class_balanced_weights(jnp.ones(2), beta=0.9)
  with pytest.raises(ValueError, match=r"beta must be in \[0, 1\), got 1"):
    losses.class_balanced_weights(COUNTS, beta=1.0)


def test_ldam_hand_value():
  f = jax.jit(
    lambda x, y: losses.ldam_loss(
      x, y, COUNTS, max_margin=0.5, temperature=0.25
    )
  )
  # Margins: 0.5 * (100 / 1600)**(1/4) = 0.25, and 0.5.
  rows = [(0.5 - 0.25, 0.25), (0.0, -0.5)]
  expected = [
    math.log(math.exp(rows[0][0] * 4) + math.exp(rows[0][1] * 4)) - 1.0,
    math.log(1 + math.exp(-2.0)) + 2.0,
  ]
  close(f(LOGITS, LABELS), expected)


def test_ldam_limits():
  # No margin: cross-entropy. Equal counts: cosface's single margin.
  arguments = LOGITS, LABELS, COUNTS
  got = losses.ldam_loss(*arguments, max_margin=0.0, temperature=0.5)
  close(got, losses.cross_entropy_loss(LOGITS / 0.5, LABELS))
  got = losses.ldam_loss(
    LOGITS, LABELS, jnp.array([7, 7]), max_margin=0.3, temperature=0.5
  )
  one = losses.cosface_loss(LOGITS, LABELS, margin=0.3, temperature=0.5)
  close(got, one)


def test_ldam_raises():
  f = lambda x=LOGITS, y=LABELS, n=COUNTS, m=0.5, t=1.0: losses.ldam_loss(
    x, y, n, max_margin=m, temperature=t
  )
  with pytest.raises(ValueError, match=r"labels must have shape \(2,\)"):
    f(y=LABELS[:1])
  with pytest.raises(TypeError, match="labels must be integer class ids"):
    f(y=LABELS.astype(jnp.float32))
  with pytest.raises(ValueError, match=r"class_counts must have shape \(2,\)"):
    f(n=COUNTS[:1])
  with pytest.raises(TypeError, match="class_counts must be integers"):
    f(n=jnp.array([0.9, 0.1]))
  with pytest.raises(ValueError, match="max_margin must be at least 0, got -1"):
    f(m=-1.0)
  with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
    f(t=0.0)
