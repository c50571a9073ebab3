import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import learners, models, optim

PARAMS = {
  "a/kernel": jnp.array([[1.0, -2.0], [0.0, 0.5]]),
  "a/bias": jnp.array([0.3, -0.4]),
}
X, Y = jnp.array([[1.0, 2.0], [0.5, -1.0]]), jnp.array([[0.2, 1.0], [1.0, 0.0]])


def loss(params, x=X):
  return ((jnp.tanh(x @ params["a/kernel"] + params["a/bias"]) - Y) ** 2).sum()


VALUE_AND_GRAD = jax.value_and_grad(loss)


def gradient(params=PARAMS, **kwargs):
  f = functools.partial(optim.sam_gradient, VALUE_AND_GRAD, **kwargs)
  return jax.jit(f)(params, X)


def assert_close(got, expected, **kwargs):
  for name in expected:
    np.testing.assert_allclose(got[name], expected[name], **kwargs)


@pytest.mark.parametrize("adaptive", [False, True])
def test_no_radius_is_the_plain_gradient(adaptive):
  value, grads = gradient(rho=0.0, adaptive=adaptive)
  expected_value, expected = VALUE_AND_GRAD(PARAMS)
  np.testing.assert_allclose(value, expected_value, rtol=1e-6)
  assert_close(grads, expected, rtol=1e-6)


@pytest.mark.parametrize("adaptive", [False, True])
def test_matches_a_slow_loop_of_the_papers(adaptive):
  rho, eta = 0.3, 0.1
  _, g = VALUE_AND_GRAD(PARAMS)
  size = {k: np.ones(v.shape) for k, v in PARAMS.items()}
  if adaptive:
    size["a/kernel"] = np.abs(PARAMS["a/kernel"]) + eta
  total = 0.0
  for name in PARAMS:
    for t, x in zip(size[name].ravel(), g[name].ravel(), strict=True):
      total += float(t * x) ** 2
  step = {k: rho * size[k] ** 2 * np.asarray(g[k]) / total**0.5 for k in g}
  got = optim.sam_perturbation(g, PARAMS, rho=rho, adaptive=adaptive, eta=eta)
  assert_close(got, step, rtol=1e-5)
  moved = {k: PARAMS[k] + np.float32(step[k]) for k in PARAMS}
  _, grads = gradient(rho=rho, adaptive=adaptive, eta=eta)
  assert_close(grads, VALUE_AND_GRAD(moved)[1], rtol=1e-4, atol=1e-6)


def test_perturbation_lies_on_the_ball():
  _, g = VALUE_AND_GRAD(PARAMS)
  step = optim.sam_perturbation(g, PARAMS, rho=0.7)
  np.testing.assert_allclose(optax.tree.norm(step), 0.7, rtol=1e-6)
  step = optim.sam_perturbation(
    g, PARAMS, rho=0.7, adaptive=True, adaptive_pattern=""
  )
  scaled = {k: v / (jnp.abs(PARAMS[k]) + 0.01) for k, v in step.items()}
  np.testing.assert_allclose(optax.tree.norm(scaled), 0.7, rtol=1e-5)


def test_asam_does_not_see_a_rescaling():
  # w -> c w leaves f(w / c) alone: g -> g / c, and e must become c e.
  w, g = {"kernel": jnp.array([1.0, -2.0])}, {"kernel": jnp.array([0.5, 3.0])}
  adaptive = dict(rho=0.2, adaptive=True, eta=0.0)
  plain = optim.sam_perturbation(g, w, **adaptive)["kernel"]
  scale = lambda c, tree: {k: c * v for k, v in tree.items()}
  got = optim.sam_perturbation(scale(0.1, g), scale(10.0, w), **adaptive)
  np.testing.assert_allclose(got["kernel"], 10 * plain, rtol=1e-5)


def test_is_optax_sam():
  adversary = optax.chain(optax.contrib.normalize(), optax.sgd(0.3))
  tx = optax.contrib.sam(
    optax.sgd(0.1), adversary, sync_period=2, opaque_mode=True
  )
  grad_fn = lambda p, i: jax.grad(loss)(p)
  plain = jax.grad(loss)(PARAMS)
  expected, _ = tx.update(plain, tx.init(PARAMS), PARAMS, grad_fn=grad_fn)
  _, grads = gradient(rho=0.3)
  assert_close(grads, {k: -v / 0.1 for k, v in expected.items()}, rtol=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1e-25, 1e25])
def test_any_gradient_gives_a_finite_step(scale):
  grads = jax.tree.map(lambda p: scale * jnp.ones_like(p), PARAMS)
  step = optim.sam_perturbation(grads, PARAMS, rho=0.5)
  norm = optax.tree.norm(step)
  assert jnp.isfinite(norm)
  assert norm <= 0.5 + 1e-5
  if scale == 0:
    assert norm == 0


@pytest.mark.parametrize("adaptive", [False, True])
def test_bfloat16_parameters(adaptive):
  narrow = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
  _, grads = gradient(narrow, rho=0.5, adaptive=adaptive)
  _, expected = gradient(rho=0.5, adaptive=adaptive)
  assert all(g.dtype == jnp.bfloat16 for g in grads.values())
  assert_close(
    {k: v.astype(jnp.float32) for k, v in grads.items()}, expected, atol=0.15
  )


def test_bad_input_is_named():
  with pytest.raises(ValueError, match="rho and eta must be >= 0, got rho -1"):
    gradient(rho=-1.0)
  with pytest.raises(ValueError, match="adaptive_pattern must match"):
    optim.sam_perturbation(jnp.ones(2), jnp.ones(2), rho=0.1, adaptive=True)


@pytest.fixture(scope="module")
def problem():
  net = models.mlp(num_classes=3, input_shape=(4,), hidden=(5,))
  params, stats = net.init(jax.random.key(0))
  tx = optax.sgd(1.0)
  make = lambda **kwargs: learners.State(
    step=jnp.zeros((), int), params=params, stats=stats, memory={},
    opt_state=tx.init(models.select(params, kwargs.get("trainable", ""))),
    key=jax.random.key(1), tx=tx, **kwargs,
  )  # fmt: skip
  batch = {
    "x": jax.random.normal(jax.random.key(2), (6, 4)),
    "label": jnp.array([0, 1, 2, 0, -1, 1]),
  }
  return net, make, batch


def step(learner, problem, parts=1, **kwargs):
  net, make, batch = problem
  update = jax.jit(
    lambda state: learners.gradient_update(
      learner, net, state, batch, jax.random.key(3), accumulation_steps=parts
    )
  )
  return update(make(**kwargs))


def test_a_supervised_learner_takes_its_gradient_there(problem):
  net, make, batch = problem
  plain, sam = (
    learners.Supervised(gradient=g)
    for g in (None, dict(name="sam_gradient", rho=0.5))
  )
  state, metrics = step(sam, problem)
  flat, flat_metrics = step(plain, problem)
  start = make()
  objective = lambda p: plain.loss(net, p, start, batch, jax.random.key(3))[0]
  g = jax.grad(objective)(start.params)
  e = optim.sam_perturbation(g, start.params, rho=0.5)
  moved = jax.grad(objective)({k: v + e[k] for k, v in start.params.items()})
  expected = {k: v - moved[k] for k, v in start.params.items()}
  assert_close(state.params, expected, rtol=1e-5, atol=1e-6)
  # The logged loss is the one at the weights, not at the perturbed ones.
  np.testing.assert_allclose(metrics["loss"], flat_metrics["loss"], rtol=1e-6)
  assert not np.allclose(
    state.params["head/kernel"], flat.params["head/kernel"], atol=1e-3
  )


def test_frozen_weights_are_not_perturbed(problem):
  sam = learners.Supervised(gradient=dict(name="sam_gradient", rho=0.5))
  state, _ = step(sam, problem, trainable="^head")
  before = problem[1]().params
  np.testing.assert_allclose(
    state.params["layers/0/kernel"], before["layers/0/kernel"]
  )
  state, _ = step(sam, problem, parts=2)
  assert all(jnp.isfinite(v).all() for v in state.params.values())


@pytest.mark.parametrize(
  ("section", "match"),
  [
    (dict(name="sam_gradint", rho=0.1), "Did you mean 'sam_gradient'"),
    (dict(name="sam_gradient"), "learner.gradient.rho must be given"),
    (dict(name="sam_gradient", roh=0.1), "Did you mean 'rho'"),
    (dict(name="path_mask", pattern=""), "must be a function of"),
  ],
)
def test_a_config_is_checked_before_any_step(section, match):
  with pytest.raises(ValueError, match=match):
    learners.Supervised(gradient=section)
