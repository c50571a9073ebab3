import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import evaluation

X = jax.random.normal(jax.random.key(0), (4, 3))


def linear(params, x):
  return x @ params["kernel"] + params["bias"]


def hidden(params, x):
  return (x @ params["first"]) @ params["second"]


def test_linear_model_has_the_kernel_of_its_inputs_and_stands_still():
  kernel = jax.jit(lambda p: evaluation.tangent_kernel(linear, p, X))
  start = {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)}
  later = jax.tree.map(lambda leaf: leaf + 0.7, start)
  x = np.asarray(X)
  # Two outputs, each with a bias: 2 (x.y + 1).
  np.testing.assert_allclose(kernel(start), 2 * (x @ x.T + 1), rtol=1e-5)
  velocity = jax.jit(evaluation.kernel_velocity)(kernel(start), kernel(later))
  np.testing.assert_allclose(velocity, 0, atol=1e-6)


def test_two_layers_match_the_formula_and_move():
  a = jax.random.normal(jax.random.key(1), (3, 5))
  b = jax.random.normal(jax.random.key(2), (5, 2))
  kernel = jax.jit(
    lambda a, b: evaluation.tangent_kernel(hidden, {"first": a, "second": b}, X)
  )
  x, w, v = (np.asarray(m) for m in (X, a, b))
  # d f_k / d second = (x W) for output k; d f_k / d first = x (V_k)^T.
  want = lambda w, v: 2 * (x @ w) @ (x @ w).T + (v**2).sum() * (x @ x.T)
  np.testing.assert_allclose(kernel(a, b), want(w, v), rtol=1e-4)
  old, new = want(w, v), want(w, 2 * v)
  velocity = evaluation.kernel_velocity(kernel(a, b), kernel(a, 2 * b))
  np.testing.assert_allclose(
    velocity, np.linalg.norm(new - old) / np.linalg.norm(old), rtol=1e-4
  )


def test_bad_input():
  with pytest.raises(ValueError, match="apply must give outputs of shape"):
    evaluation.tangent_kernel(lambda p, x: x[:, 0], {"w": X}, X)
  with pytest.raises(ValueError, match="new_kernel must have shape"):
    evaluation.kernel_velocity(jnp.eye(2), jnp.eye(3))
