import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

LOGITS = jnp.array([[2.0, 1.5, 0.0], [0.0, 0.0, -1.0]])
LABELS = jnp.array([0, 2])
COSINES = jnp.array([[0.5, 0.25, -0.5], [0.1, 0.2, -0.9]])


def close(got, expected, rtol=1e-5, atol=1e-6):
  np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def jitted(f, **hyperparameters):
  return jax.jit(lambda *arrays: f(*arrays, **hyperparameters))


def cross_entropy(rows, labels):
  """Plain numbers: -log softmax(row)[label]."""
  return [
    math.log(sum(math.exp(z) for z in row)) - row[y]
    for row, y in zip(rows, labels, strict=True)
  ]


def test_multiclass_hinge_hand_value():
  # 1 + 1.5 - 2 and 1 + 0 - (-1); with margin 3: 3 + 1.5 - 2 and 3 + 1.
  close(jitted(losses.multiclass_hinge_loss)(LOGITS, LABELS), [0.5, 2.0])
  f = jitted(losses.multiclass_hinge_loss, margin=3.0)
  close(f(LOGITS, LABELS), [2.5, 4.0])


def test_multi_margin_hand_value():
  f = jitted(losses.multi_margin_loss, margin=1.0)
  close(f(LOGITS, LABELS), [(0.5 + 0) / 3, (2 + 2) / 3])
  f = jitted(losses.multi_margin_loss, margin=1.0, power=2)
  close(f(LOGITS, LABELS), [0.25 / 3, (4 + 4) / 3])


def test_hinges_agree_for_two_classes():
  x, y = LOGITS[:, :2], jnp.array([1, 0])
  both = jitted(losses.multi_margin_loss)(x, y)
  close(jitted(losses.multiclass_hinge_loss)(x, y), 2 * both)


def test_sparsemax_hand_value():
  # Row 0: the support is {2, 1.5}, tau = 1.25, so
  # (2**2 - tau**2 + 1.5**2 - tau**2 + 1) / 2 - z_label.
  squares = 2.0**2 + 1.5**2 - 2 * 1.25**2 + 1
  # Row 1: {0, 0}, tau = -1/2.
  expected = [squares / 2 - 2.0, (-2 * 0.25 + 1) / 2 + 1]
  close(jitted(losses.sparsemax_loss)(LOGITS, LABELS), expected)


def test_sparsemax_gradient_is_projection_minus_label():
  gradient = jax.grad(lambda x: losses.sparsemax_loss(x, LABELS).sum())(LOGITS)
  close(gradient, [[0.75 - 1, 0.25, 0.0], [0.5, 0.5, -1.0]])


def test_sparsemax_is_zero_beyond_a_margin_of_one():
  x = jnp.array([[1.0, 0.0, 0.0], [0.99, 0.0, 0.0]])
  got = jitted(losses.sparsemax_loss)(x, jnp.array([0, 0]))
  close(got[0], 0.0)
  assert got[1] > 0


def test_normalized_softmax_hand_value():
  embeddings = jnp.array([[3.0, 4.0], [0.0, 2.0]])
  prototypes = jnp.array([[10.0, 0.0], [0.0, 0.1]])
  f = jitted(losses.normalized_softmax_loss, temperature=0.5)
  rows = [[0.6 / 0.5, 0.8 / 0.5], [0.0, 1 / 0.5]]
  got = f(embeddings, prototypes, jnp.array([0, 1]))
  close(got, cross_entropy(rows, [0, 1]))


def test_normalized_softmax_of_a_zero_vector_is_uniform():
  f = lambda x: losses.normalized_softmax_loss(
    x, jnp.eye(2), jnp.array([0]), temperature=0.1
  )
  value, gradient = jax.value_and_grad(lambda x: f(x).sum())(jnp.zeros((1, 2)))
  close(value, math.log(2.0))
  assert np.isfinite(gradient).all()


def test_cosface_hand_value():
  f = jitted(losses.cosface_loss, margin=0.35, temperature=0.25)
  rows = [[0.15 * 4, 1.0, -2.0], [0.4, 0.8, -1.25 * 4]]
  close(f(COSINES, LABELS), cross_entropy(rows, [0, 2]))


def test_arcface_hand_value_in_both_branches():
  margin = 0.5
  f = jitted(losses.arcface_loss, margin=margin, temperature=0.25)
  widened = math.cos(math.acos(0.5) + margin)
  # cos(theta) = -0.9 lies beyond pi - margin, where cos is -0.878.
  lowered = -0.9 - margin * math.sin(margin)
  rows = [[widened * 4, 1.0, -2.0], [0.4, 0.8, lowered * 4]]
  close(f(COSINES, LABELS), cross_entropy(rows, [0, 2]))


def test_arcface_at_cosines_of_one_is_exact_and_has_a_finite_gradient():
  x = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
  f = lambda x: losses.arcface_loss(
    x, jnp.array([0, 0]), margin=0.5, temperature=0.25
  )
  rows = [[math.cos(0.5) * 4, 0.0], [(-1 - 0.5 * math.sin(0.5)) * 4, 0.0]]
  close(f(x), cross_entropy(rows, [0, 0]))
  gradient = jax.jit(jax.grad(lambda x: f(x).sum()))(x)
  assert np.isfinite(gradient).all()
  assert (gradient[:, 0] < 0).all()


@pytest.mark.parametrize(
  "f", [losses.cosface_loss, losses.arcface_loss], ids=["cosface", "arcface"]
)
def test_margin_of_zero_is_cross_entropy(f):
  got = jitted(f, margin=0.0, temperature=0.5)(COSINES, LABELS)
  close(got, losses.cross_entropy_loss(COSINES / 0.5, LABELS))


def psi(theta, margin):
  """The paper's piecewise function."""
  j = min(int(theta * margin / math.pi), margin - 1)
  return (-1) ** j * math.cos(margin * theta) - 2 * j


@pytest.mark.parametrize("margin", [1, 2, 3, 4])
def test_large_margin_softmax_hand_value(margin):
  angles = np.linspace(0.05, 3.1, 9)
  x = 2.0 * np.stack([np.cos(angles), np.sin(angles)], -1)
  w = np.array([[1.5, 0.0], [0.0, 1.0]])
  f = jitted(losses.large_margin_softmax_loss, margin=margin, annealing=0.5)
  labels = jnp.zeros(9, int)
  got = f(jnp.asarray(x, jnp.float32), jnp.asarray(w, jnp.float32), labels)
  mixed = [(0.5 * math.cos(a) + psi(a, margin)) / 1.5 for a in angles]
  rows = [[3 * m, 2 * math.sin(a)] for m, a in zip(mixed, angles, strict=True)]
  close(got, cross_entropy(rows, [0] * 9))


def test_large_margin_softmax_with_margin_one_is_cross_entropy():
  x, w = LOGITS, jnp.array([[1.0, 2.0, 0.5], [0.0, -1.0, 1.0]])
  labels = jnp.array([1, 0])
  got = jitted(losses.large_margin_softmax_loss, margin=1)(x, w, labels)
  close(got, losses.cross_entropy_loss(x @ w.T, labels))


WITH_LABELS = [
  losses.multiclass_hinge_loss,
  losses.multi_margin_loss,
  losses.sparsemax_loss,
  lambda x, y: losses.cosface_loss(x, y, margin=0.1, temperature=1.0),
  lambda x, y: losses.arcface_loss(x, y, margin=0.1, temperature=1.0),
  lambda x, y: losses.normalized_softmax_loss(
    x, jnp.eye(3), y, temperature=1.0
  ),
  lambda x, y: losses.large_margin_softmax_loss(x, jnp.eye(3), y, margin=2),
]


@pytest.mark.parametrize("f", WITH_LABELS)
def test_labels_that_do_not_fit_raise(f):
  with pytest.raises(ValueError, match=r"labels must have shape \(2,\)"):
    f(LOGITS, LABELS[:1])
  with pytest.raises(TypeError, match="labels must be integer class ids"):
    f(LOGITS, LABELS.astype(jnp.float32))


@pytest.mark.parametrize(
  ("f", "hyperparameters"),
  [
    (losses.multiclass_hinge_loss, dict(margin=0.0)),
    (losses.multi_margin_loss, dict(margin=-1.0)),
    (losses.multi_margin_loss, dict(power=3)),
    (losses.cosface_loss, dict(margin=-0.1, temperature=1.0)),
    (losses.cosface_loss, dict(margin=0.1, temperature=0.0)),
    (losses.arcface_loss, dict(margin=3.2, temperature=1.0)),
    (losses.arcface_loss, dict(margin=0.1, temperature=-1.0)),
  ],
)
def test_hyperparameters_out_of_range_raise(f, hyperparameters):
  with pytest.raises(ValueError, match="must be .*, got"):
    f(LOGITS, LABELS, **hyperparameters)


def test_prototypes_and_their_hyperparameters_raise():
  normalized, large = (
    losses.normalized_softmax_loss,
    losses.large_margin_softmax_loss,
  )
  wide = jnp.ones((3, 4))
  with pytest.raises(ValueError, match=r"prototypes must have shape \(c, 3\)"):
    normalized(LOGITS, wide, LABELS, temperature=1.0)
  with pytest.raises(ValueError, match=r"prototypes must have shape \(c, 3\)"):
    large(LOGITS, wide, LABELS, margin=2)
  with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
    normalized(LOGITS, jnp.eye(3), LABELS, temperature=0.0)
  with pytest.raises(ValueError, match="margin must be at least 1, got 0"):
    large(LOGITS, jnp.eye(3), LABELS, margin=0)
  with pytest.raises(ValueError, match="annealing must be at least 0, got -1"):
    large(LOGITS, jnp.eye(3), LABELS, margin=2, annealing=-1.0)
