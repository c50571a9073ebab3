import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import optim


def test_matrices_become_orthogonal_and_vectors_do_not():
  key = jax.random.key(0)
  grads = {"kernel": jax.random.normal(key, (6, 4)), "bias": jnp.arange(3.0)}
  tx = optim.muon(1.0)
  step, _ = jax.jit(tx.update)(grads, tx.init(grads), grads)
  u, _, v = np.linalg.svd(np.asarray(grads["kernel"]), full_matrices=False)
  alike = (-step["kernel"] * (u @ v)).sum() / (
    np.linalg.norm(step["kernel"]) * np.linalg.norm(u @ v)
  )
  assert alike > 0.95
  values = np.linalg.svd(-np.asarray(step["kernel"]), compute_uv=False)
  assert values.max() < 2 * values.min()
  assert step["bias"].shape == (3,)


def test_is_optax_muon_and_works_from_a_config():
  w = {"kernel": jnp.ones((3, 2))}
  got = optim.make_optimizer(
    name="muon", learning_rate=0.1, beta=0.9, weight_decay=0.2
  )
  want = optax.contrib.muon(0.1, beta=0.9, weight_decay=0.2)
  steps = [tx.update(w, tx.init(w), w)[0]["kernel"] for tx in (got, want)]
  np.testing.assert_allclose(*steps, rtol=1e-5)


@pytest.mark.parametrize("bad", [dict(beta=1.0), dict(newton_schulz_steps=0)])
def test_bad_numbers(bad):
  with pytest.raises(ValueError, match=next(iter(bad))):
    optim.muon(0.1, **bad)
