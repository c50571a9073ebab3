import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

RNG = np.random.default_rng(0)
STUDENT = RNG.normal(size=(6, 4)).astype(np.float32)
TEACHER = RNG.normal(size=(6, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 0, 1])


def softmax(x):
  e = np.exp(x - x.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def test_norm_direction_matches_a_loop():
  means = RNG.normal(size=(4, 4)).astype(np.float32)
  got = jax.jit(losses.norm_direction_loss)(STUDENT, TEACHER, LABELS, means)
  for i, y in enumerate(LABELS):
    e = means[y] / np.linalg.norm(means[y])
    longer = max(np.linalg.norm(STUDENT[i]), np.linalg.norm(TEACHER[i]))
    np.testing.assert_allclose(got[i], 1 - STUDENT[i] @ e / longer, rtol=1e-5)


def test_norm_direction_is_zero_when_long_and_aligned():
  means = RNG.normal(size=(4, 4)).astype(np.float32)
  aligned = 10 * means[LABELS]
  got = losses.norm_direction_loss(aligned, TEACHER, LABELS, means)
  np.testing.assert_allclose(got, 0, atol=1e-6)
  # As long as the student is the longer, its length does not matter.
  grad = jax.grad(
    lambda s: losses.norm_direction_loss(s, TEACHER, LABELS, means).sum()
  )(aligned)
  np.testing.assert_allclose(grad, 0, atol=1e-6)


def test_norm_direction_names_the_width():
  with pytest.raises(ValueError, match="student's width 4, got .*7"):
    losses.norm_direction_loss(STUDENT, TEACHER, LABELS, np.ones((4, 7)))


def test_decoupled_matches_a_loop_and_adds_up_to_the_divergence():
  temperature, alpha, beta = 4.0, 0.5, 8.0
  f = jax.jit(
    lambda s, t, alpha, beta: losses.decoupled_distillation_loss(
      s, t, LABELS, alpha=alpha, beta=beta, temperature=temperature
    ),
    static_argnums=(2, 3),
  )
  p, q = softmax(TEACHER / temperature), softmax(STUDENT / temperature)
  pair = lambda p, i, y: np.array([p[i, y], 1 - p[i, y]])
  divergence = lambda a, b: (a * np.log(a / b)).sum()
  for i, y in enumerate(LABELS):
    target = divergence(pair(p, i, y), pair(q, i, y))
    rest = lambda p, i=i, y=y: np.delete(p[i], y) / (1 - p[i, y])
    other = divergence(rest(p), rest(q))
    expected = temperature**2 * (alpha * target + beta * other)
    got = f(STUDENT, TEACHER, alpha, beta)[i]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    # KL = KL of the pair + (1 - p_y) KL of the rest (eq. 5 of the paper).
    whole = losses.kl_divergence_loss(
      STUDENT, TEACHER, temperature=temperature
    )[i]
    parts = f(STUDENT, TEACHER, 1.0, float(1 - p[i, y]))[i]
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-6)


def test_correlation_matches_numpy():
  beta, gamma, temperature = 2.0, 1.5, 4.0
  f = jax.jit(
    lambda s, t: losses.correlation_distillation_loss(
      s, t, beta=beta, gamma=gamma, temperature=temperature
    )
  )
  p, q = softmax(TEACHER / temperature), softmax(STUDENT / temperature)
  r = lambda a, b: np.corrcoef(a, b)[0, 1]
  within = np.mean([1 - r(p[:, k], q[:, k]) for k in range(4)])
  expected = [
    temperature**2 * (beta * (1 - r(p[i], q[i])) + gamma * within)
    for i in range(6)
  ]
  np.testing.assert_allclose(f(STUDENT, TEACHER), expected, rtol=1e-3)


def test_correlation_leaves_rows_out():
  f = jax.jit(losses.correlation_distillation_loss)
  where = jnp.arange(6) < 4
  got = f(STUDENT, TEACHER, where=where)[:4]
  np.testing.assert_allclose(got, f(STUDENT[:4], TEACHER[:4]), rtol=1e-4)
  empty = jax.grad(
    lambda s: f(s, TEACHER, where=jnp.zeros(6, bool)).sum()
  )(STUDENT)  # fmt: skip
  assert np.isfinite(empty).all()


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_correlation_is_finite_at_extremes(scale):
  f = lambda s: losses.correlation_distillation_loss(s, TEACHER).sum()
  value, grad = jax.jit(jax.value_and_grad(f))(scale * STUDENT)
  assert np.isfinite(value)
  assert np.isfinite(grad).all()


@pytest.mark.parametrize(
  ("name", "kwargs", "match"),
  [
    ("correlation_distillation_loss", dict(beta=-1.0), "beta"),
    ("correlation_distillation_loss", dict(temperature=0.0), "temperature"),
  ],
)
def test_bad_numbers_are_named(name, kwargs, match):
  with pytest.raises(ValueError, match=match):
    getattr(losses, name)(STUDENT, TEACHER, **kwargs)
