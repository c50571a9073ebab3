import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import data, losses, ops

GOLDEN = pathlib.Path(__file__).parents[1] / "goldens" / "core_tuning.npz"


def test_golden_of_the_released_code():
  """Mixed features, both losses and the gradient through all of it."""
  g = np.load(GOLDEN)
  f32 = lambda name: jnp.asarray(g[name], jnp.float32)
  draw = data.PairDraw(
    jnp.asarray(g["in_order"]), jnp.maximum(f32("in_lam_neg_raw"), 0.8),
    f32("in_lam_pos"),
  )  # fmt: skip
  labels = jnp.asarray(g["in_target"])

  def total(features):
    pairs = data.hard_pair_mixup(
      features, labels, draw, num_classes=4, released=True
    )
    logits = pairs.features @ f32("in_W_cls")
    ce = losses.soft_cross_entropy_loss(logits, pairs.targets).mean()
    z = ops.unit_norm(pairs.features @ f32("in_W_con"))
    values = losses.focal_supcon_loss(
      z, pairs.groups, temperature=0.07, mean_over="rows"
    )
    same = (pairs.groups[:, None] == pairs.groups).sum(axis=1)
    con = losses.mean_where(values, same > 1)
    return ce + 10 * con, (pairs, ce, con)

  run = jax.jit(jax.value_and_grad(total, has_aux=True))
  (loss, (pairs, ce, con)), grad = run(f32("in_features"))
  for got, name in (
    (pairs.features, "out_aug_features"),
    (pairs.targets, "out_aug_targets"),
    (ce, "out_ce"),
    (con, "out_con"),
    (loss, "out_loss"),
    (grad, "grad_features"),
  ):
    atol = 1e-5 * np.abs(g[name]).max()
    np.testing.assert_allclose(got, g[name], rtol=2e-4, atol=atol, err_msg=name)


def test_pairs_are_the_hardest_and_masked_rows_are_none():
  rng = np.random.default_rng(0)
  f = rng.normal(size=(9, 4)).astype(np.float32)
  labels = np.array([0, 1, 0, 1, -1, 0, 2, 1, -1])
  draw = data.draw_hard_pairs(jax.random.key(0), 9, alpha=0.5)
  assert sorted(draw.partner.tolist()) == list(range(9))
  assert (np.asarray(draw.partner_weight) >= 0.8).all()
  call = jax.jit(
    lambda f, w: data.hard_pair_mixup(
      f, jnp.asarray(labels), draw._replace(positive_weight=w), num_classes=3
    )
  )
  positive = call(f, jnp.ones(9)).features[18:]
  negative = call(f, jnp.zeros(9)).features[18:]
  unit = f / np.linalg.norm(f, axis=1, keepdims=True)
  for i in np.flatnonzero(labels >= 0):
    same = [j for j in np.flatnonzero(labels == labels[i]) if j != i] or [i]
    other = np.flatnonzero((labels >= 0) & (labels != labels[i]))
    p = same[np.argmin(unit[same] @ unit[i])]
    n = other[np.argmax(unit[other] @ unit[i])]
    np.testing.assert_allclose(positive[i], f[p], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(negative[i], f[n], rtol=1e-5, atol=1e-6)


def test_groups_are_equal_targets_and_where_follows_both_rows():
  labels = jnp.array([0, 1, 0, 1, -1])
  draw = data.PairDraw(
    jnp.array([1, 0, 3, 4, 2]), jnp.full(5, 0.8), jnp.full(5, 0.3)
  )
  f = jax.random.normal(jax.random.key(1), (5, 3))
  pairs = jax.jit(
    lambda f: data.hard_pair_mixup(f, labels, draw, num_classes=2)
  )(f)
  targets, groups = np.asarray(pairs.targets), np.asarray(pairs.groups)
  for i in range(15):
    for j in range(15):
      equal = np.allclose(targets[i], targets[j], atol=1e-6)
      assert (groups[i] == groups[j]) == equal
  # Rows 0 and 2 are both 0.2 of class 0 and 0.8 of class 1.
  assert groups[5] == groups[7] and groups[0] == groups[2]
  kept = [True] * 4 + [False]
  np.testing.assert_array_equal(
    pairs.where, kept + [True, True, True, False, False] + kept
  )


def test_gradient_reaches_the_unmixed_rows_unless_released():
  labels, draw = jnp.array([0, 1]), data.PairDraw(
    jnp.array([1, 0]), jnp.ones(2), jnp.ones(2)
  )  # fmt: skip
  first = lambda f, released: data.hard_pair_mixup(
    f, labels, draw, num_classes=2, released=released
  ).features[:2].sum()  # fmt: skip
  grad = jax.grad(first)
  np.testing.assert_array_equal(grad(jnp.ones((2, 3)), False), 1)
  np.testing.assert_array_equal(grad(jnp.ones((2, 3)), True), 0)


def test_wrong_input_raises():
  key = jax.random.key(0)
  with pytest.raises(ValueError, match="alpha must be above 0"):
    data.draw_hard_pairs(key, 4, alpha=0.0)
  with pytest.raises(ValueError, match="min_weight must be in .0, 1., got 2"):
    data.draw_hard_pairs(key, 4, alpha=1.0, min_weight=2)
  draw, f = data.draw_hard_pairs(key, 4, alpha=1.0), jnp.ones((4, 2))
  with pytest.raises(ValueError, match="features and labels must have"):
    data.hard_pair_mixup(f, jnp.zeros(3, int), draw, num_classes=2)
  with pytest.raises(ValueError, match="draw must hold vectors"):
    data.hard_pair_mixup(f[:3], jnp.zeros(3, int), draw, num_classes=2)
