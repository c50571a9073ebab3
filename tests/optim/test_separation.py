import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import optim

FEATURES = np.random.default_rng(0).normal(size=(12, 3))
LABELS = (FEATURES @ [1.0, -2.0, 0.5] > 0).astype(np.int32)
SIGNS = 2.0 * LABELS - 1


def descend(gradient, features, labels, **kwargs):
  with jax.enable_x64():
    out = optim.descend_until_separated(
      gradient, jnp.asarray(features, jnp.float64), labels, **kwargs
    )
    return jax.tree.map(np.asarray, out)


def variant(gradient, normalized):
  return functools.partial(gradient, normalized=normalized)


@pytest.mark.parametrize(
  ("normalized", "step_size", "steps"),
  [(True, 100.0, 2), (True, 10.0, 2), (True, 1.0, 16), (True, 0.1, 157),
   (False, 100.0, 308)],
)  # fmt: skip
def test_iterations_of_the_papers_table_1(normalized, step_size, steps):
  # The worst case of theorem 5.1; n = 1,000 gives the printed counts.
  out = descend(
    variant(optim.logistic_gradient, normalized),
    *optim.make_slow_separable(1000), step_size=step_size, max_steps=400,
  )  # fmt: skip
  assert out["separated"]
  assert out["num_steps"] == steps


@pytest.mark.parametrize("normalized", [False, True])
def test_logistic_matches_the_papers_sums(normalized):
  w = np.array([0.3, -0.2, 0.7])
  misfit = [
    1 / (1 + math.exp(y * (a @ w)))
    for a, y in zip(FEATURES, SIGNS, strict=True)
  ]
  total = sum(
    s * y * a for s, y, a in zip(misfit, SIGNS, FEATURES, strict=True)
  )
  expected = -total / (sum(misfit) if normalized else len(SIGNS))
  f = jax.jit(variant(optim.logistic_gradient, normalized))
  np.testing.assert_allclose(f(w, FEATURES, LABELS), expected, rtol=1e-5)


def test_plain_is_the_gradient_of_the_logistic_loss():
  w = jnp.array([0.3, -0.2, 0.7])
  loss = lambda w: jnp.mean(jax.nn.softplus(-SIGNS * (FEATURES @ w)))
  got = optim.logistic_gradient(w, FEATURES, LABELS)
  np.testing.assert_allclose(got, jax.grad(loss)(w), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("normalized", [False, True])
def test_large_steps_become_the_perceptron(normalized):
  def path(gradient, step_size):
    tx = optax.sgd(step_size)
    w, out = jnp.zeros(3, jnp.float64), []
    state = tx.init(w)
    update = jax.jit(lambda g, s: tx.update(g, s))
    for _ in range(8):
      g = gradient(w, FEATURES, LABELS, normalized=normalized)
      updates, state = update(g, state)
      w = optax.apply_updates(w, updates)
      out.append(w / step_size)
    return np.array(out)

  compiled = lambda f: jax.jit(f, static_argnames="normalized")
  with jax.enable_x64():
    logistic = path(compiled(optim.logistic_gradient), 1e8)
    perceptron = path(compiled(optim.perceptron_gradient), 1.0)
  mistakes = (SIGNS * (perceptron @ FEATURES.T) < 0).sum(axis=1)
  # Once separated, the perceptron rests; the normalised method never does.
  rows = np.concatenate([[True], mistakes[:-1] > 0]) if normalized else slice(8)
  assert mistakes[0] > 0
  np.testing.assert_allclose(logistic[rows], perceptron[rows], atol=1e-6)


def test_perceptron_by_hand():
  # Margins y a.v: 1, -3, 0: one mistake and one tie.
  a, labels = jnp.array([[1.0], [3.0], [0.0]]), jnp.array([1, 0, 1])
  f = jax.jit(optim.perceptron_gradient, static_argnames="normalized")
  got = f(jnp.ones(1), a, labels)
  np.testing.assert_allclose(got, [(3.0 + 0.5 * 0.0) / 3], rtol=1e-6)
  got = f(jnp.ones(1), a, labels, normalized=True)
  np.testing.assert_allclose(got, [(3.0 + 0.5 * 0.0) / 1.5], rtol=1e-6)
  done = f(jnp.ones(1), a[:1], labels[:1], normalized=True)
  np.testing.assert_allclose(done, [0.0])


@pytest.mark.parametrize("step_size", [0.1, 1.0, 1e3])
def test_bounds_of_the_theorems(step_size):
  mu, _ = optim.hard_margin(FEATURES, LABELS)
  radius, n = np.linalg.norm(FEATURES, axis=1).max(), len(LABELS)
  run = functools.partial(
    descend, features=FEATURES, labels=LABELS, max_steps=100_000
  )
  out = run(variant(optim.logistic_gradient, True), step_size=step_size)
  extra = 2 * math.log(2 * n - 1) / (step_size * mu**2)
  assert out["separated"]
  assert out["num_steps"] <= radius**2 / mu**2 + extra
  for normalized, factor in ((True, 1), (False, n)):
    out = run(variant(optim.perceptron_gradient, normalized), step_size=1.0)
    assert out["separated"]
    assert out["num_steps"] <= factor * radius**2 / mu**2


def test_steps_grow_with_n_only_when_plain():
  def steps(normalized, n):
    gradient = variant(optim.logistic_gradient, normalized)
    data = optim.make_slow_separable(n)
    out = descend(gradient, *data, step_size=1e6, max_steps=1000)
    return int(out["num_steps"])

  plain = [steps(False, n) for n in (50, 200, 800)]
  assert plain[1] > 3 * plain[0]
  assert plain[2] > 3 * plain[1]
  assert [steps(True, n) for n in (50, 200, 800)] == [2, 2, 2]


def test_margin_is_the_support_vector_machines():
  svm = pytest.importorskip("sklearn.svm")
  mu, w = optim.hard_margin(FEATURES, LABELS)
  np.testing.assert_allclose(np.linalg.norm(w), 1.0, rtol=1e-9)
  np.testing.assert_allclose((SIGNS * (FEATURES @ w)).min(), mu, rtol=1e-9)
  # Rows mirrored through 0 make the best plane go through 0.
  fit = svm.SVC(kernel="linear", C=1e6, tol=1e-8).fit(
    np.concatenate([FEATURES, -FEATURES]), np.concatenate([LABELS, 1 - LABELS])
  )
  norm = np.linalg.norm(fit.coef_)
  np.testing.assert_allclose(mu, 1 / norm, rtol=1e-4)
  np.testing.assert_allclose(w, fit.coef_[0] / norm, rtol=1e-3, atol=1e-4)


def test_finite_far_out_and_in_bfloat16():
  f = jax.jit(optim.logistic_gradient, static_argnames="normalized")
  for scale in (1e4, -1e4):
    w = scale * jnp.array([1.0, -2.0, 0.5])
    for normalized in (False, True):
      got = f(w, jnp.float32(FEATURES), LABELS, normalized=normalized)
      assert jnp.isfinite(got).all()
      narrow = w.astype(jnp.bfloat16)
      got = f(narrow, jnp.float32(FEATURES), LABELS, normalized=normalized)
      assert got.dtype == jnp.bfloat16
      assert jnp.isfinite(got).all()


def test_max_steps_is_reported():
  out = descend(
    optim.logistic_gradient, FEATURES, 1 - LABELS, step_size=1.0, max_steps=0
  )
  assert out["num_steps"] == 0
  assert not out["separated"]


@pytest.mark.parametrize(
  "f", [optim.logistic_gradient, optim.perceptron_gradient]
)
def test_bad_input_is_named(f):
  with pytest.raises(ValueError, match=r"got \(12, 3\) and \(3,\)"):
    f(jnp.zeros(3), FEATURES, LABELS[:3])
  with pytest.raises(ValueError, match="n >= 1"):
    f(jnp.zeros(3), FEATURES[:0], LABELS[:0])
  with pytest.raises(ValueError, match=r"weights must have shape \(3,\)"):
    f(jnp.zeros(2), FEATURES, LABELS)
  with pytest.raises(TypeError, match="integers 0 and 1"):
    f(jnp.zeros(3), FEATURES, SIGNS)


def test_other_bad_input():
  with pytest.raises(ValueError, match="step_size must be > 0"):
    optim.descend_until_separated(
      optim.logistic_gradient, FEATURES, LABELS, step_size=0.0, max_steps=1
    )
  with pytest.raises(ValueError, match="num_examples must be >= 10"):
    optim.make_slow_separable(9)
  both = np.concatenate([FEATURES, FEATURES])
  with pytest.raises(ValueError, match="must be separable"):
    optim.hard_margin(both, np.concatenate([LABELS, 1 - LABELS]))
