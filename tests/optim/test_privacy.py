import functools
import math
import statistics
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import engine, learners, models, optim

PARAMS = {"w": jnp.array([0.5, -1.0, 2.0]), "b": jnp.array(0.1)}
RNG = np.random.default_rng(0)
BATCH = {
  "x": jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32),
  "y": jnp.asarray(RNG.normal(size=5), jnp.float32),
}


def loss(params, example):
  return (example["x"] @ params["w"] + params["b"] - example["y"]) ** 2


GRADIENT = jax.grad(loss)


def private(params=PARAMS, batch=BATCH, seed=0, **kwargs):
  kwargs = dict(clip_norm=1.0, noise_multiplier=0.0) | kwargs
  f = functools.partial(optim.private_gradient, GRADIENT, **kwargs)
  return jax.jit(f)(params, batch, key=jax.random.key(seed))


def assert_close(got, expected, **kwargs):
  for name in expected:
    np.testing.assert_allclose(got[name], expected[name], **kwargs)


def test_without_noise_and_clipping_is_the_mean_gradient():
  mean = lambda p: jax.vmap(loss, (None, 0))(p, BATCH).mean()
  assert_close(private(clip_norm=1e6), jax.grad(mean)(PARAMS), rtol=1e-5)


@pytest.mark.parametrize("clip_norm", [0.5, 4.0])
def test_matches_a_slow_loop_of_algorithm_1(clip_norm):
  total = {"w": np.zeros(3), "b": 0.0}
  for i in range(5):
    g = GRADIENT(PARAMS, jax.tree.map(lambda x, i=i: x[i], BATCH))
    norm = math.sqrt(float((g["w"] ** 2).sum() + g["b"] ** 2))
    for name in total:
      total[name] = total[name] + np.asarray(g[name]) / max(1, norm / clip_norm)
  expected = {k: v / 5 for k, v in total.items()}
  assert_close(private(clip_norm=clip_norm), expected, rtol=1e-5)


def test_is_optax_aggregation_without_noise():
  tx = optax.contrib.differentially_private_aggregate(0.7, 0.0, key=0)
  each = jax.vmap(GRADIENT, (None, 0))(PARAMS, BATCH)
  expected, _ = tx.update(each, tx.init(PARAMS))
  assert_close(private(clip_norm=0.7), expected, rtol=1e-5)


def test_one_example_moves_the_sum_by_at_most_the_clip_norm():
  f = lambda where: optim.private_gradient(
    GRADIENT, PARAMS, BATCH, clip_norm=0.3, noise_multiplier=0.0,
    batch_size=1.0, where=where, key=jax.random.key(0),
  )  # fmt: skip
  # Row 0 keeps all, row 1 + i leaves example i out.
  sums = jax.jit(jax.vmap(f))(~jnp.eye(6, 5, k=-1, dtype=bool))
  gaps = jax.tree.map(lambda x: x[1:] - x[0], sums)
  sizes = jax.vmap(optax.tree.norm)(gaps)
  np.testing.assert_allclose(sizes.max(), 0.3, rtol=1e-4)


def test_padding_is_not_there():
  poison = {k: v.at[3:].set(jnp.nan) for k, v in BATCH.items()}
  where = jnp.arange(5) < 3
  got = private(batch=poison, where=where, batch_size=3)
  part = {k: v[:3] for k, v in BATCH.items()}
  assert_close(got, private(batch=part), rtol=1e-5)
  empty = private(batch=poison, where=jnp.zeros(5, bool), batch_size=3)
  assert_close(empty, jax.tree.map(jnp.zeros_like, PARAMS))


def test_noise_has_the_stated_deviation():
  params, one = jnp.zeros(40_000), jnp.zeros((1, 1))
  f = lambda key, batch_size: optim.private_gradient(
    lambda p, _: 0 * p, params, one, clip_norm=0.5, noise_multiplier=3.0,
    batch_size=batch_size, key=key,
  )  # fmt: skip
  f = jax.jit(f, static_argnames="batch_size")
  noise = f(jax.random.key(0), batch_size=4.0)
  np.testing.assert_allclose(noise.std(), 3.0 * 0.5 / 4, rtol=0.02)
  np.testing.assert_allclose(noise.mean(), 0, atol=0.01)
  other = f(jax.random.key(1), batch_size=4.0)
  assert abs(np.corrcoef(noise, other)[0, 1]) < 0.03


def test_leaves_get_noise_of_their_own():
  params = {"a": jnp.zeros(1000), "b": jnp.zeros(1000)}
  noise = optim.private_gradient(
    lambda p, _: p, params, jnp.zeros((1, 1)), clip_norm=1.0,
    noise_multiplier=1.0, key=jax.random.key(0),
  )  # fmt: skip
  assert abs(np.corrcoef(noise["a"], noise["b"])[0, 1]) < 0.15


def test_bfloat16_parameters():
  narrow = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
  got = private(params=narrow)
  assert all(g.dtype == jnp.bfloat16 for g in got.values())
  wide = {k: v.astype(jnp.float32) for k, v in got.items()}
  assert_close(wide, private(), rtol=0.05, atol=0.02)


def test_trains_with_plain_optax():
  tx = optax.adam(0.1)

  def step(carry, key):
    params, state = carry
    g = optim.private_gradient(
      GRADIENT, params, BATCH, clip_norm=1.0, noise_multiplier=0.1, key=key
    )
    updates, state = tx.update(g, state, params)
    return (optax.apply_updates(params, updates), state), None

  start = PARAMS, tx.init(PARAMS)
  keys = jax.random.split(jax.random.key(0), 100)
  (params, _), _ = jax.jit(lambda s: jax.lax.scan(step, s, keys))(start)
  mean = lambda p: jax.vmap(loss, (None, 0))(p, BATCH).mean()
  assert mean(params) < 0.1 * mean(PARAMS)


@pytest.mark.parametrize(
  ("kwargs", "match"),
  [
    (dict(clip_norm=0.0), "clip_norm must be > 0"),
    (dict(clip_norm=math.inf), "finite"),
    (dict(noise_multiplier=-1.0), "noise_multiplier must be >= 0"),
    (dict(batch_size=0), "batch_size must be > 0"),
    (dict(where=jnp.ones(4, bool)), r"where must be bool of shape \(5,\)"),
    (dict(where=jnp.ones(5)), "where must be bool"),
    (dict(batch={"x": jnp.ones((2, 3)), "y": jnp.ones(3)}), "one leading axis"),
    (dict(batch={"x": jnp.ones((0, 3)), "y": jnp.ones(0)}), "at least one row"),
  ],
)
def test_bad_input_is_named(kwargs, match):
  with pytest.raises(ValueError, match=match):
    private(**kwargs)


SPENT = dict(noise_multiplier=2.0, sampling_rate=1.0, num_steps=9, delta=1e-5)


@pytest.mark.parametrize(
  ("kwargs", "match"),
  [
    (dict(noise_multiplier=-1.0), "noise_multiplier must be >= 0"),
    (dict(sampling_rate=1.5), "sampling_rate must be in"),
    (dict(sampling_rate=0.0), "sampling_rate must be in"),
    (dict(delta=1.0), "delta in"),
    (dict(num_steps=-1), "num_steps >= 0"),
    (dict(accountant="moments"), "'pld' or 'rdp', got 'moments'"),
  ],
)
def test_bad_budget_is_named(kwargs, match):
  with pytest.raises(ValueError, match=match):
    optim.epsilon_spent(**SPENT | kwargs)


def test_no_steps_cost_nothing_and_no_noise_everything():
  assert optim.epsilon_spent(**SPENT | dict(num_steps=0)) == 0
  assert optim.epsilon_spent(**SPENT | dict(noise_multiplier=0.0)) == math.inf


def test_missing_accountant_names_the_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, "dp_accounting", None)
  with pytest.raises(ImportError, match=r"pip install 'jaxcls\[privacy\]'"):
    optim.epsilon_spent(**SPENT)


def gaussian_delta(epsilon, mu):
  """Exact delta of a Gaussian of shift mu deviations (Balle & Wang 2018)."""
  cdf = statistics.NormalDist().cdf
  low, high = mu / 2 - epsilon / mu, -mu / 2 - epsilon / mu
  return cdf(low) - math.exp(epsilon) * cdf(high)


def test_full_batches_cost_what_the_gaussian_does():
  pytest.importorskip("dp_accounting")
  # 9 steps of sigma 2 are one Gaussian of shift 3 / 2.
  epsilon = optim.epsilon_spent(**SPENT)
  np.testing.assert_allclose(gaussian_delta(epsilon, 1.5), 1e-5, rtol=0.02)
  renyi = optim.epsilon_spent(**SPENT, accountant="rdp")
  # min over orders a of 9 a / (2 sigma^2) + log(1 / delta) / (a - 1).
  orders = np.linspace(1.01, 50, 5000)
  simple = (9 * orders / 8 + math.log(1e5) / (orders - 1)).min()
  assert epsilon < renyi < simple
  assert renyi > 0.8 * simple


def test_sampling_makes_it_cheaper_and_steps_dearer():
  pytest.importorskip("dp_accounting")
  base = dict(noise_multiplier=1.1, sampling_rate=0.01, delta=1e-5)
  few, many = (
    optim.epsilon_spent(**base, num_steps=n, accountant="rdp")
    for n in (100, 1000)
  )
  full = optim.epsilon_spent(
    **base | dict(sampling_rate=1.0), num_steps=100, accountant="rdp"
  )
  assert 0 < few < many < full


def test_a_supervised_learner_clips_each_row_and_adds_noise():
  private = dict(
    name="private_value_and_grad", clip_norm=0.5, noise_multiplier=0.0
  )
  net = models.mlp(num_classes=3, input_shape=(4,), hidden=(5,))
  x = jnp.asarray(RNG.normal(size=(6, 4)), jnp.float32)
  batch = {"x": x, "label": jnp.array([0, 1, 2, 0, 1, -1])}
  params, stats = net.init(jax.random.key(0))
  params = {k: v + 0.1 for k, v in params.items()}
  state = learners.State(
    step=jnp.int32(0), params=params, stats=stats, opt_state=(), memory={},
    key=jax.random.key(1), tx=optax.identity(),
  )  # fmt: skip
  learner = learners.Supervised(gradient=private)
  key = jax.random.key(2)
  loss = lambda p, row, key: learner.loss(net, p, state, row, key)
  one = lambda p, row: loss(p, jax.tree.map(lambda a: a[None], row), key)[0]
  expected = optim.private_gradient(
    jax.grad(one), params, batch, clip_norm=0.5, noise_multiplier=0.0, key=key
  )
  grad_fn = jax.value_and_grad(
    lambda p, stats, row, key: loss(p, row, key), has_aux=True
  )
  take = lambda learner: jax.jit(
    lambda p, b: learner.take_gradient(grad_fn, p, stats, b, key)
  )
  (value, aux), got = take(learner)(params, batch)
  assert_close(got, expected, rtol=1e-5, atol=1e-7)
  rows = jax.vmap(one, (None, 0))(params, batch)
  np.testing.assert_allclose(value, rows.mean(), rtol=1e-5)
  assert 0 <= aux.metrics["accuracy"] <= 1
  # Another row moves the sum by at most 2 C.
  other = batch | {"x": x.at[0].set(100.0)}
  moved = jax.tree.map(jnp.subtract, take(learner)(params, other)[1], got)
  assert optax.tree.norm(moved) <= 2 * 0.5 / 6 + 1e-6
  noisy = learners.Supervised(gradient=private | dict(noise_multiplier=2.0))
  noise = jax.tree.map(jnp.subtract, take(noisy)(params, batch)[1], got)
  flat = np.concatenate([v.ravel() for v in noise.values()])
  assert flat.std() == pytest.approx(2.0 * 0.5 / 6, rel=0.4)
  # Batch statistics would mix the examples.
  with pytest.raises(ValueError, match="without batch statistics"):
    learner.take_gradient(grad_fn, params, {"mean": x}, batch, key)
  for wrong in (dict(clip_norm=0.0), dict(noise_multiplier=-1.0)):
    wrong = learners.Supervised(gradient=private | wrong)
    with pytest.raises(ValueError, match=r"must be >"):
      wrong.take_gradient(grad_fn, params, stats, batch, key)


def test_private_training_is_a_config(tiny, tmp_path):
  learner = dict(
    name="supervised",
    gradient=dict(
      name="private_value_and_grad", clip_norm=1.0, noise_multiplier=0.5
    ),
  )
  model = dict(name="mlp", hidden=(8,))
  record = engine.train(tiny(model=model, learner=learner), str(tmp_path))
  assert record["step"] == 12 and 0 <= record["test/accuracy"] <= 1
