import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import evaluation

KERNEL = jax.random.normal(jax.random.key(0), (3, 3, 2, 5))


def test_redundancy_is_the_largest_cosine():
  found = jax.jit(evaluation.filter_redundancy)(KERNEL)
  flat = np.asarray(KERNEL).reshape(18, 5)
  for i in range(5):
    others = [
      abs(flat[:, i] @ flat[:, j])
      / np.linalg.norm(flat[:, i])
      / np.linalg.norm(flat[:, j])
      for j in range(5)
      if j != i
    ]
    np.testing.assert_allclose(found[i], max(others), rtol=1e-4)
  twice = jnp.concatenate([KERNEL, -2 * KERNEL[..., :1]], axis=-1)
  twice = evaluation.filter_redundancy(twice)
  np.testing.assert_allclose(twice[jnp.array([0, 5])], 1, rtol=1e-5)
  assert not evaluation.filter_redundancy(jnp.zeros((4, 2))).any()


def test_effective_rank():
  rank = jax.jit(evaluation.effective_rank)
  np.testing.assert_allclose(rank(jnp.eye(4)), 4, rtol=1e-5)
  one = jnp.outer(jnp.arange(4.0), jnp.arange(1.0, 5))
  np.testing.assert_allclose(rank(one), 1, rtol=1e-3)
  # Singular values 3 and 1.
  shares = np.array([0.75, 0.25])
  want = np.exp(-(shares * np.log(shares)).sum())
  np.testing.assert_allclose(rank(jnp.diag(jnp.array([3.0, 1]))), want, 1e-5)
  assert rank(jnp.zeros((4, 4))) == 0
  with pytest.raises(ValueError, match="kernel must have shape"):
    evaluation.effective_rank(jnp.zeros(3))
