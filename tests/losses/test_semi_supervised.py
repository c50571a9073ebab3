import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

RNG = np.random.default_rng(0)
PAIRS = RNG.normal(size=(5, 4, 2)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 1])


def test_one_vs_all_matches_a_loop():
  got = jax.jit(losses.one_vs_all_loss)(PAIRS, LABELS)
  r = np.exp(PAIRS) / np.exp(PAIRS).sum(-1, keepdims=True)
  for i, y in enumerate(LABELS):
    others = [-np.log(r[i, k, 0] + 1e-8) for k in range(4) if k != y]
    expected = -np.log(r[i, y, 1] + 1e-8) + max(others)
    np.testing.assert_allclose(got[i], expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_one_vs_all_is_finite_at_extremes(dtype):
  x = jnp.asarray(1e4 * np.sign(PAIRS), dtype)
  f = lambda x: losses.one_vs_all_loss(x, LABELS).sum()
  value, grad = jax.jit(jax.value_and_grad(f))(x)
  assert value.dtype == jnp.float32 and np.isfinite(value)
  assert np.isfinite(grad.astype(jnp.float32)).all()


def test_targets_sum_to_one():
  p = jax.nn.softmax(PAIRS[..., 0])
  inlier = jax.nn.softmax(PAIRS)[..., 1]
  q = losses.open_set_targets(p, inlier)
  np.testing.assert_allclose(q.sum(-1), 1, rtol=1e-6)
  np.testing.assert_allclose(q[:, -1], (p * (1 - inlier)).sum(-1), rtol=1e-6)
  known = losses.open_set_targets(p, jnp.ones_like(p))
  np.testing.assert_allclose(known[:, :-1], p, rtol=1e-6)


def test_alignment_undoes_a_bias():
  p = jax.nn.softmax(PAIRS[..., 0])
  even = losses.align_distribution(p, jnp.full(4, 0.25))
  np.testing.assert_allclose(even, p, rtol=1e-5)
  moved = losses.align_distribution(p, p.mean(0))
  np.testing.assert_allclose(moved.sum(-1), 1, rtol=1e-5)
  assert moved.mean(0).std() < p.mean(0).std()


def test_wrong_shapes_are_named():
  with pytest.raises(ValueError, match=r"\[\*b c 2\]"):
    losses.one_vs_all_loss(PAIRS[..., :1], LABELS)
  with pytest.raises(ValueError, match=r"\(4,\) to match probs"):
    losses.align_distribution(jnp.ones((2, 4)), jnp.ones(3))
  with pytest.raises(ValueError, match="inlier_probs"):
    losses.open_set_targets(jnp.ones((2, 4)), jnp.ones((2, 3)))
