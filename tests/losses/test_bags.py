import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

RNG = np.random.default_rng(0)
SCORES, ATTENTION = RNG.normal(size=(2, 7)).astype(np.float32)
BAGS = np.array([3, 3, 9, 3, 9, 1, 1])
WHERE = np.array([True, True, True, False, True, True, False])


@pytest.mark.parametrize("pooling", losses.POOLINGS)
def test_matches_a_loop(pooling):
  attention = ATTENTION if pooling == "attention" else None
  got = jax.jit(
    lambda s, a: losses.bag_scores(
      s, jnp.asarray(BAGS), pooling=pooling, attention=a,
      where=jnp.asarray(WHERE),
    )
  )(SCORES, attention)  # fmt: skip
  for i, bag in enumerate(BAGS):
    rows = (BAGS == bag) & WHERE
    s, a = SCORES[rows], ATTENTION[rows]
    weights = np.exp(a) / np.exp(a).sum()
    expected = {"max": s.max(), "mean": s.mean(), "attention": weights @ s}
    np.testing.assert_allclose(got[i], expected[pooling], rtol=1e-5)


@pytest.mark.parametrize("pooling", losses.POOLINGS)
def test_empty_bags_and_large_scores_are_safe(pooling):
  attention = jnp.full(7, -1e4) if pooling == "attention" else None
  f = lambda s: losses.bag_scores(
    s, jnp.asarray(BAGS), pooling=pooling, attention=attention,
    where=jnp.asarray(BAGS != 1),
  )  # fmt: skip
  got, grad = jax.jit(lambda s: (f(s), jax.grad(lambda s: f(s).sum())(s)))(
    1e4 * jnp.asarray(SCORES, jnp.bfloat16)
  )
  assert got.dtype == jnp.float32
  assert jnp.isfinite(got).all() and jnp.isfinite(grad).all()
  assert (got[-2:] == 0).all() and (grad[-2:] == 0).all()


def test_contrastive_loss_matches_a_loop():
  unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
  q, k = unit(RNG.normal(size=(3, 4))), unit(RNG.normal(size=(6, 4)))
  labels, key_labels = np.array([0, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
  kept = np.array([True, True, True, False, True, True])
  got = losses.partial_label_contrastive_loss(
    jnp.asarray(q, jnp.float32), jnp.asarray(k, jnp.float32),
    jnp.asarray(labels), jnp.asarray(key_labels), temperature=0.5,
    key_where=jnp.asarray(kept),
  )  # fmt: skip
  s = np.exp(q @ k.T / 0.5) * kept
  log_probs = np.log(s / s.sum(1, keepdims=True) + 1e-30)
  for i in range(3):
    rows = (key_labels == labels[i]) & kept
    expected = -log_probs[i, rows].mean() if rows.any() else 0.0
    np.testing.assert_allclose(got[i], expected, rtol=1e-4, atol=1e-6)


def test_first_in_batch():
  got = losses.first_in_batch(jnp.array([5, 2, 5, 5, 2, 7]))
  assert got.tolist() == [True, True, False, False, False, True]


@pytest.mark.parametrize(
  "settings",
  [
    dict(pooling="sum"),
    dict(pooling="attention"),
    dict(pooling="max", attention=jnp.ones(3)),
    dict(pooling="attention", attention=jnp.ones(2)),
  ],
)
def test_bad_input(settings):
  with pytest.raises(ValueError, match="must"):
    losses.bag_scores(jnp.ones(3), jnp.zeros(3, int), **settings)
