import jax.numpy as jnp
import numpy as np

from jaxcls import evaluation


def test_matches_a_loop_over_pairs():
  rng = np.random.default_rng(0)
  x, y = (
    rng.normal(size=(12, 3)),
    np.array([0, 1, 1, -1, 0, 2, 1, 0, 1, -1, 0, 1]),
  )
  u = x / np.linalg.norm(x, axis=1, keepdims=True)
  distance = lambda i, j: 1 - u[i] @ u[j]
  rows = [np.flatnonzero(y == c) for c in (0, 1)]  # Class 2 has one row only.
  within = np.mean(
    [np.mean([distance(i, j) for i in r for j in r if i != j]) for r in rows]
  )
  kept = np.flatnonzero(y >= 0)
  between = np.mean(
    [distance(i, j) for i in kept for j in kept if y[i] != y[j]]
  )
  found = evaluation.scatter_probe(x, y, x, y, num_classes=4)
  np.testing.assert_allclose(found["within"], within, rtol=1e-5)
  np.testing.assert_allclose(found["between"], between, rtol=1e-5)
  np.testing.assert_allclose(found["ratio"], within / between, rtol=1e-5)


def test_nothing_to_compare_is_nan():
  x, y = jnp.eye(2), jnp.array([0, -1])
  found = evaluation.scatter_probe(x, y, x, y, num_classes=2)
  assert all(np.isnan(value) for value in found.values())
