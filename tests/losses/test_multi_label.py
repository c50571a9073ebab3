import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

LOGITS = jnp.array([[2.0, 0.0, -4.0], [-1.0, 3.0, 0.5]])
TARGETS = jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
SOFT = jnp.array([[0.9, 0.2, 0.0], [0.5, 1.0, 0.3]])


def close(got, expected, rtol=1e-5, atol=1e-6):
  np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def rows(f, targets):
  """Mean over classes of f(probability, target), in plain numbers."""
  return [
    sum(f(1 / (1 + math.exp(-x)), t) for x, t in zip(row, target, strict=True))
    / len(row)
    for row, target in zip(LOGITS.tolist(), targets.tolist(), strict=True)
  ]


def bce(p, t):
  return -t * math.log(p) - (1 - t) * math.log(1 - p)


@pytest.mark.parametrize("targets", [TARGETS, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_sigmoid_focal_hand_value(targets, gamma):
  def focal(p, t):
    rest = t * (1 - p) + (1 - t) * p
    alpha = 0.25 * t + 0.75 * (1 - t)
    return alpha * rest**gamma * bce(p, t)

  f = jax.jit(
    lambda x, t: losses.sigmoid_focal_loss(x, t, gamma=gamma, alpha=0.25)
  )
  close(f(LOGITS, targets), rows(focal, targets))


@pytest.mark.parametrize(
  "f",
  [
    lambda x, t: losses.sigmoid_focal_loss(x, t, gamma=0.0),
    lambda x, t: losses.asymmetric_loss(
      x, t, gamma_positive=0.0, gamma_negative=0.0, clip=0.0
    ),
  ],
  ids=["focal", "asymmetric"],
)
def test_without_focus_is_binary_cross_entropy(f):
  close(f(LOGITS, SOFT), losses.binary_cross_entropy_loss(LOGITS, SOFT))
  # Both digits of a confident and right answer survive, too.
  x, t = jnp.array([[20.0, -20.0]]), jnp.array([[1.0, 0.0]])
  close(f(x, t), [math.log1p(math.exp(-20.0))], rtol=1e-5, atol=0)


def test_asymmetric_without_clip_and_equal_gammas_is_focal():
  got = losses.asymmetric_loss(
    LOGITS, TARGETS, gamma_positive=2.0, gamma_negative=2.0, clip=0.0
  )
  close(got, losses.sigmoid_focal_loss(LOGITS, TARGETS, gamma=2.0))


@pytest.mark.parametrize("gammas", [(1.0, 4.0), (0.5, 2.5), (0.0, 0.0)])
def test_asymmetric_hand_value(gammas):
  def asymmetric(p, t):
    m = max(p - 0.05, 0.0)
    positive = (1 - p) ** gammas[0] * math.log(p)
    negative = m ** gammas[1] * math.log(1 - m)
    return -t * positive - (1 - t) * negative

  f = jax.jit(
    lambda x, t: losses.asymmetric_loss(
      x, t, gamma_positive=gammas[0], gamma_negative=gammas[1], clip=0.05
    )
  )
  close(f(LOGITS, TARGETS), rows(asymmetric, TARGETS))


def test_asymmetric_drops_easy_negatives():
  x, t = jnp.array([[-4.0, -9.0]]), jnp.zeros((1, 2))  # p = 0.018 and less
  f = lambda x: losses.asymmetric_loss(
    x, t, gamma_positive=1.0, gamma_negative=4.0, clip=0.05
  ).sum()
  value, gradient = jax.jit(jax.value_and_grad(f))(x)
  close(value, 0.0, atol=0)
  close(gradient, np.zeros((1, 2)), atol=0)


def test_wrong_arguments_raise():
  focal, asymmetric = losses.sigmoid_focal_loss, losses.asymmetric_loss
  with pytest.raises(ValueError, match="targets must have the shape of"):
    focal(LOGITS, TARGETS[:1], gamma=1.0)
  with pytest.raises(ValueError, match="gamma must be at least 0, got -1"):
    focal(LOGITS, TARGETS, gamma=-1.0)
  with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\], got 2"):
    focal(LOGITS, TARGETS, gamma=1.0, alpha=2.0)
  good = dict(gamma_positive=1.0, gamma_negative=4.0, clip=0.05)
  with pytest.raises(ValueError, match="targets must have the shape of"):
    asymmetric(LOGITS, TARGETS[:1], **good)
  for name, value in (
    ("gamma_positive", -1.0),
    ("gamma_negative", -1.0),
    ("clip", 1.0),
  ):
    with pytest.raises(ValueError, match=f"{name} must be .*, got {value}"):
      asymmetric(LOGITS, TARGETS, **(good | {name: value}))
