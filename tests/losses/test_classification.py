import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

LOGITS = jnp.array([[2.0, 0.0], [0.0, 0.0]])
LABELS, PRIOR = jnp.array([1, 1]), jnp.array([0.9, 0.1])
# p(label) of the two rows.
P = [1.0 / (math.exp(2.0) + 1.0), 0.5]


def close(got, expected, rtol=1e-6, atol=1e-6):
  np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def jitted(f, **hyperparameters):
  return jax.jit(lambda *arrays: f(*arrays, **hyperparameters))


cross_entropy = jitted(losses.cross_entropy_loss)


def test_cross_entropy_hand_value():
  close(cross_entropy(LOGITS, LABELS), [-math.log(p) for p in P])


def test_cross_entropy_label_smoothing_hand_value():
  f = jitted(losses.cross_entropy_loss, label_smoothing=0.2)
  # The label keeps 0.8 + 0.2 / 2, the other class gets 0.2 / 2.
  expected = [-0.9 * math.log(p) - 0.1 * math.log(1 - p) for p in P]
  close(f(LOGITS, LABELS), expected)


def test_focal_hand_value():
  f = jitted(losses.focal_loss, gamma=2.0)
  close(f(LOGITS, LABELS), [-((1 - p) ** 2) * math.log(p) for p in P])


def test_focal_of_one_class_is_zero():
  f = jitted(losses.focal_loss, gamma=0.5)
  labels = jnp.array([0])
  close(f(jnp.ones((1, 1)), labels), [0.0])
  gradient = jax.grad(lambda x: f(x, labels).sum())(jnp.ones((1, 1)))
  close(gradient, [[0.0]])


def test_logit_adjusted_hand_value():
  # Row 1 has equal logits, so the softmax is the prior: -log 0.1.
  expected = [-math.log(0.1 / (0.9 * math.exp(2.0) + 0.1)), -math.log(0.1)]
  close(jitted(losses.logit_adjusted_loss)(LOGITS, LABELS, PRIOR), expected)


def test_poly_hand_value():
  f = jitted(losses.poly_loss, epsilon=2.0)
  close(f(LOGITS, LABELS), [-math.log(p) + 2 * (1 - p) for p in P])


def test_generalized_cross_entropy_hand_value():
  f = jitted(losses.generalized_cross_entropy_loss, q=0.7)
  close(f(LOGITS, LABELS), [(1 - p**0.7) / 0.7 for p in P])


def test_symmetric_cross_entropy_hand_value():
  f = jitted(
    losses.symmetric_cross_entropy_loss, alpha=0.1, beta=2.0, log_zero=-6.0
  )
  # Reverse: p_other * log(0) with log(0) = -6, and p_label * log(1) = 0.
  close(f(LOGITS, LABELS), [-0.1 * math.log(p) + 12 * (1 - p) for p in P])


def test_squared_error_hand_value():
  expected = [(2.0**2 + 1.0**2) / 2, (0.0 + 1.0) / 2]
  close(jitted(losses.squared_error_loss)(LOGITS, LABELS), expected)


def test_squared_error_is_least_at_one_hot_logits():
  one_hot = jnp.array([[0.0, 1.0]])
  close(jitted(losses.squared_error_loss)(one_hot, jnp.array([1])), [0.0])


@pytest.mark.parametrize(
  "f",
  [
    jitted(losses.focal_loss, gamma=0.0),
    jitted(losses.poly_loss, epsilon=0.0),
    jitted(losses.generalized_cross_entropy_loss, q=1e-4),
    jitted(losses.symmetric_cross_entropy_loss, alpha=1.0, beta=0.0),
    lambda x, y: losses.logit_adjusted_loss(x, y, PRIOR, tau=0.0),
    lambda x, y: losses.soft_cross_entropy_loss(x, jax.nn.one_hot(y, 2)),
  ],
)
def test_limit_is_cross_entropy(f):
  close(f(LOGITS, LABELS), cross_entropy(LOGITS, LABELS), rtol=2e-4)


def test_soft_cross_entropy_hand_value():
  targets = jnp.array([[0.25, 0.75], [0.5, 0.5]])
  expected = [
    -0.25 * math.log(1 - P[0]) - 0.75 * math.log(P[0]),
    math.log(2.0),
  ]
  close(jitted(losses.soft_cross_entropy_loss)(LOGITS, targets), expected)


def test_binary_cross_entropy_hand_value():
  targets = jnp.array([[1.0, 1.0], [0.0, 0.5]])
  s = 1 / (1 + math.exp(-2.0))
  expected = [(-math.log(s) - math.log(0.5)) / 2, math.log(2.0)]
  close(jitted(losses.binary_cross_entropy_loss)(LOGITS, targets), expected)


def test_entropy_hand_value_and_identity():
  p = P[0]
  expected = [-p * math.log(p) - (1 - p) * math.log(1 - p), math.log(2.0)]
  got = jitted(losses.entropy)(LOGITS)
  close(got, expected)
  own = jitted(losses.soft_cross_entropy_loss)(LOGITS, jax.nn.softmax(LOGITS))
  close(got, own)


def test_kl_divergence_hand_value():
  teacher = jnp.log(jnp.array([[0.9, 0.1], [0.9, 0.1]])) * 2.0
  f = jitted(losses.kl_divergence_loss, temperature=2.0)
  q = 1 / (1 + math.exp(-1.0))  # student's first class at temperature 2
  row0 = 0.9 * math.log(0.9 / q) + 0.1 * math.log(0.1 / (1 - q))
  row1 = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
  close(f(LOGITS, teacher), [4 * row0, 4 * row1])


def test_kl_divergence_stops_the_teacher_gradient():
  f = lambda s, t: losses.kl_divergence_loss(s, t, temperature=2.0).sum()
  student, teacher = jax.jit(jax.grad(f, argnums=(0, 1)))(LOGITS, -LOGITS)
  assert np.abs(student).max() > 0.1
  close(teacher, np.zeros((2, 2)))


def test_kl_divergence_gradient_tends_to_that_of_squared_logits():
  # Hinton et al. sec. 2.1: for high temperature and zero-mean logits the
  # gradient is (student - teacher) / c.
  student, teacher = jnp.array([[1.0, -1.0]]), jnp.array([[-2.0, 2.0]])
  f = lambda s: losses.kl_divergence_loss(s, teacher, temperature=1e2).sum()
  close(jax.grad(f)(student), (student - teacher) / 2, rtol=1e-2)


def test_mean_where_hand_values():
  values, keep = jnp.array([1.0, 3.0, jnp.nan]), jnp.array([True, True, False])
  f = jax.jit(losses.mean_where)
  close(f(values, keep), (1.0 + 3.0) / 2)
  close(f(values[:2]), (1.0 + 3.0) / 2)
  close(f(values, jnp.zeros(3, bool)), 0.0)
  close(f(jnp.zeros(0)), 0.0)
  close(f(jnp.ones((2, 3)), keep), 1.0)
  gradient = jax.grad(lambda v: f(v, keep))(values)
  close(gradient, [0.5, 0.5, 0.0])


def test_traced_hyperparameters_are_allowed():
  # Runs that differ in a few numbers share one program by vmap.
  f = lambda g: losses.focal_loss(LOGITS, LABELS, gamma=g)
  got = jax.jit(jax.vmap(f))(jnp.array([0.0, 2.0]))
  close(got[0], cross_entropy(LOGITS, LABELS))


INTEGER_LABEL_LOSSES = [
  losses.cross_entropy_loss,
  lambda x, y: losses.focal_loss(x, y, gamma=1.0),
  lambda x, y: losses.logit_adjusted_loss(x, y, PRIOR),
  lambda x, y: losses.poly_loss(x, y, epsilon=1.0),
  lambda x, y: losses.generalized_cross_entropy_loss(x, y, q=0.5),
  lambda x, y: losses.symmetric_cross_entropy_loss(x, y, alpha=1.0, beta=1.0),
  losses.squared_error_loss,
]


@pytest.mark.parametrize("f", INTEGER_LABEL_LOSSES)
def test_labels_that_do_not_fit_raise(f):
  with pytest.raises(ValueError, match=r"labels must have shape \(2,\)"):
    f(LOGITS, LABELS[:1])
  with pytest.raises(TypeError, match="labels must be integer class ids"):
    f(LOGITS, LABELS.astype(jnp.float32))


def test_wrong_shapes_raise():
  with pytest.raises(ValueError, match=r"class_prior must have shape \(2,\)"):
    losses.logit_adjusted_loss(LOGITS, LABELS, jnp.ones(1))
  for f in (losses.soft_cross_entropy_loss, losses.binary_cross_entropy_loss):
    with pytest.raises(ValueError, match="targets must have the shape of"):
      f(LOGITS, jnp.ones((1, 2)))
  with pytest.raises(ValueError, match="teacher_logits must have the shape"):
    losses.kl_divergence_loss(LOGITS, LOGITS[:1], temperature=1.0)
  with pytest.raises(TypeError, match="where must be bool"):
    losses.mean_where(jnp.ones(2), jnp.ones(2))


@pytest.mark.parametrize(
  ("f", "hyperparameters"),
  [
    (losses.cross_entropy_loss, dict(label_smoothing=1.5)),
    (losses.focal_loss, dict(gamma=-1.0)),
    (losses.generalized_cross_entropy_loss, dict(q=0.0)),
    (
      losses.symmetric_cross_entropy_loss,
      dict(alpha=1.0, beta=1.0, log_zero=0.0),
    ),
  ],
)
def test_hyperparameters_out_of_range_raise(f, hyperparameters):
  with pytest.raises(ValueError, match="must be .*, got"):
    f(LOGITS, LABELS, **hyperparameters)


def test_temperature_of_zero_raises():
  with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
    losses.kl_divergence_loss(LOGITS, LOGITS, temperature=0.0)
