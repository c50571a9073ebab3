import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import data, learners, losses, models


def make(**settings):
  settings = {"num_experts": 4, "hidden": (8,), **settings}
  return models.mixture_of_experts(num_classes=3, input_shape=(6,), **settings)


@functools.cache
def tree():
  """A net, its parameters and a jitted call; nodes spread far."""
  net = make(k=2, gamma=1.0)
  params, stats = net.init(jax.random.key(0))
  params["nodes"] = jax.random.normal(jax.random.key(1), (6, 6))
  return net, params, stats


X = jax.random.normal(jax.random.key(2), (40, 6))


def test_smooth_step_is_flat_outside_and_smooth_inside():
  t = jnp.array([-9e4, -1.0, 0.0, 0.5, 1.0, 9e4])
  step = functools.partial(models.smooth_step, gamma=2.0)
  # -2/8 * 1/8 + 3/4 * 1/2 + 1/2.
  np.testing.assert_allclose(step(t), [0, 0, 0.5, 0.84375, 1, 1], atol=1e-7)
  slopes = jax.vmap(jax.grad(step))(t)
  np.testing.assert_allclose(slopes[jnp.array([0, 2, 5])], [0, 0.75, 0])
  with pytest.raises(ValueError, match="gamma must be > 0"):
    step(t, gamma=0.0)


def test_leaves_are_products_along_their_paths():
  nodes = jax.random.normal(jax.random.key(3), (5, 7))
  s = np.asarray(models.smooth_step(nodes, gamma=3.0))
  want = np.zeros((5, 8))
  for leaf, turns in enumerate(itertools.product((0, 1), repeat=3)):
    node, p = 0, 1.0
    for right in turns:
      p = p * ((1 - s[:, node]) if right else s[:, node])
      node = 2 * node + 1 + right
    want[:, leaf] = p
  got = models.tree_paths(nodes, gamma=3.0)
  np.testing.assert_allclose(got, want, atol=1e-6)
  entropy = losses.entropy(models.log_paths(got))
  safe = np.where(want > 0, want, 1)
  np.testing.assert_allclose(entropy, -(want * np.log(safe)).sum(1), atol=1e-5)
  with pytest.raises(ValueError, match="less than a power of two"):
    models.tree_paths(nodes[:, :4], gamma=1.0)


def test_comet_weights_sum_to_one_with_exact_zeros():
  net, params, stats = tree()
  out, _ = jax.jit(net)(params, stats, X)
  gate = np.asarray(out["gate"])
  np.testing.assert_allclose(gate.sum(1), 1, atol=1e-6)
  assert (gate == 0).mean() > 0.1 and (gate >= 0).all()
  # By the formula, example by example, for the logits too.
  nodes = (X @ params["nodes"]).reshape(40, 2, 3)
  leaves = (X @ params["leaves"]).reshape(40, 2, 4)
  p = np.asarray(models.tree_paths(nodes, gamma=1.0))
  raw = p * np.exp(np.asarray(leaves))
  want = (raw / raw.sum((1, 2), keepdims=True)).sum(1)
  np.testing.assert_allclose(gate, want, atol=1e-5)
  h = np.maximum(np.einsum("ba,nac->bnc", X, params["kernels/0"]), 0)
  each = np.einsum("bna,nac->bnc", h, params["kernels/1"])
  np.testing.assert_allclose(
    out["logits"], np.einsum("bn,bnc->bc", want, each), atol=1e-4
  )


def test_gradients_are_finite_with_empty_leaves():
  net, params, stats = tree()

  @jax.jit
  @jax.grad
  def grad(params):
    out, _ = net(params, stats, 1e3 * X, train=True)
    values = losses.entropy(out["log_paths"]).sum(1)
    return (values + (out["logits"] ** 2).sum(1)).mean()

  assert all(jnp.isfinite(g).all() for g in grad(params).values())


def test_top_k_keeps_k_and_all_is_softmax():
  logits = jax.random.normal(jax.random.key(4), (9, 5))
  two = np.asarray(models.top_k_gate(logits, k=2))
  assert ((two > 0).sum(1) == 2).all()
  best = np.sort(np.asarray(logits), axis=1)[:, -2:]
  want = np.exp(best) / np.exp(best).sum(1, keepdims=True)
  np.testing.assert_allclose(np.sort(two, axis=1)[:, -2:], want, rtol=1e-5)
  np.testing.assert_allclose(
    models.top_k_gate(logits, k=5), jax.nn.softmax(logits), rtol=1e-5
  )
  with pytest.raises(ValueError, match=r"k must be in \[1, 5\]"):
    models.top_k_gate(logits, k=6)


def test_hash_goes_by_the_id_alone_and_shifts():
  x = jnp.concatenate([jnp.eye(4), X[:4, :2]], axis=1)
  gates = []
  for shift in (0, 1):
    net = make(gate="hash", id_columns=4, hash_shift=shift)
    params, stats = net.init(jax.random.key(0))
    out, _ = net(params, stats, x)
    gates.append(np.asarray(out["gate"]))
  np.testing.assert_array_equal(gates[1], np.roll(gates[0], 1, axis=1))
  want = models.hash_gate(jnp.arange(4), num_experts=4)
  np.testing.assert_array_equal(gates[0], want)


def test_soft_permutations_become_the_best_assignment():
  scores = jax.random.normal(jax.random.key(5), (2, 4, 4))
  find = jax.jit(functools.partial(models.gumbel_sinkhorn, num_iterations=200))
  soft = find(scores, tau=1.0)
  np.testing.assert_allclose(soft.sum(1), 1, atol=1e-4)
  np.testing.assert_allclose(soft.sum(2), 1, atol=1e-5)
  cold = find(scores, tau=0.02)
  hard = jax.jit(models.hard_permutation)(scores)
  np.testing.assert_allclose(cold, hard, atol=0.01)
  for s, p in zip(np.asarray(scores), np.asarray(hard), strict=True):
    best = max(
      sum(s[i, j] for i, j in enumerate(order))
      for order in itertools.permutations(range(4))
    )
    np.testing.assert_allclose((s * p).sum(), best, rtol=1e-5)
  with pytest.raises(ValueError, match="key must be given"):
    models.gumbel_sinkhorn(scores, tau=1.0, num_iterations=1, noise=1.0)


def test_permutation_is_soft_first_and_fixed_later():
  net = make(k=2, search_steps=2, search_tau=(1.0, 0.1))
  params, stats = net.init(jax.random.key(0))
  step = jax.jit(functools.partial(net, train=True))
  calls = []
  for _ in range(4):
    _, stats = step(params, stats, X)
    calls.append(np.asarray(stats["permutation"]))
  assert float(stats["search_step"]) == 4
  np.testing.assert_array_equal(calls[1], np.stack(2 * [np.eye(4)]))
  hard = models.hard_permutation(params["permutation_scores"])
  np.testing.assert_array_equal(calls[3], hard)
  # Then its scores no longer matter, and evaluation uses what is kept.
  other = {**params, "permutation_scores": -params["permutation_scores"]}
  same = jax.jit(net)
  np.testing.assert_array_equal(
    same(params, stats, X)[0]["gate"], same(other, stats, X)[0]["gate"]
  )
  trained = lambda p, s: (net(p, s, X, train=True)[0]["logits"] ** 2).sum()
  slope = jax.jit(jax.grad(trained))
  later = slope(params, stats)["permutation_scores"]
  _, fresh = net.init(jax.random.key(0))
  first = slope(params, fresh)["permutation_scores"]
  assert not later.any() and jnp.abs(first).max() > 0


@pytest.mark.parametrize(
  "settings, message",
  [
    (dict(gate="tree"), "gate must be one of"),
    (dict(num_experts=6), "a power of two"),
    (dict(k=9), r"k must be in \[1, 4\]"),
    (dict(hidden=()), "hidden must have"),
    (dict(gate="hash"), "id_columns must be in"),
    (dict(search_steps=-1), "search_steps must be >= 0"),
  ],
)
def test_bad_settings(settings, message):
  with pytest.raises(ValueError, match=message):
    make(**settings)


def test_piecewise_rules_are_shared_by_the_splits():
  options = dict(num_ids=4, num_functions=2, num_examples=3000)
  train = data.load_source("piecewise", "train", **options)
  test = data.load_source("piecewise", "test", **options)
  one, two = train.fetch(train.ids), test.fetch(test.ids)
  assert one["x"].shape == (3000, 14) and train.num_classes == 4
  for i in range(4):
    a = one["x"][:, i] == 1
    targets = np.eye(4)[one["label"][a]]
    fit = np.linalg.lstsq(one["x"][a, 4:], targets, rcond=None)[0]
    guess = (two["x"][:, 4:] @ fit).argmax(1) == two["label"]
    # The fit of this id's rule holds for one other id.
    scores = [guess[two["x"][:, j] == 1].mean() for j in range(4)]
    assert sum(score > 0.7 for score in scores) == 2
  with pytest.raises(ValueError, match="num_functions at most num_ids"):
    data.load_source("piecewise", num_ids=2)


def test_a_regulariser_of_another_output():
  net, params, stats = tree()
  penalty = dict(name="entropy", output="log_paths", weight=0.5)
  learner = learners.Supervised(regularizers=(penalty,))
  batch = {"x": X, "label": jnp.zeros(40, int)}
  state = learners.State(
    step=0, params=params, stats=stats, opt_state=(), memory={},
    key=jax.random.key(0), tx=None,
  )  # fmt: skip
  loss = lambda learner: jax.jit(
    lambda p: learner.loss(net, p, state, batch, jax.random.key(0))
  )(params)
  (whole, aux), (plain, _) = loss(learner), loss(learners.Supervised())
  out, _ = net(params, stats, X)
  want = losses.entropy(out["log_paths"]).sum(1).mean()
  np.testing.assert_allclose(aux.metrics["entropy"], want, rtol=1e-5)
  np.testing.assert_allclose(whole - plain, 0.5 * want, rtol=1e-4)
  wrong = learners.Supervised(regularizers=({**penalty, "output": "log_path"},))
  with pytest.raises(ValueError, match="'log_paths'"):
    loss(wrong)
