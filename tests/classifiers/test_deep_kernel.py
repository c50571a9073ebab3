import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import classifiers

DEEP = {"coefficients": (0.0, 0.6, 0.8), "depth": 2}


def example(n=60, d=5, seed=0):
  rng = np.random.default_rng(seed)
  labels = np.arange(n) % 3
  features = 1.5 * np.eye(3, d)[labels] + rng.normal(size=(n, d))
  return features.astype(np.float32), labels


def test_deep_kernel_matches_two_layers_by_hand():
  # kappa(x) = 0.36 x + 0.64 x^2, kappa'(x) = 0.36 + 1.28 x.
  kappa = lambda x: 0.36 * x + 0.64 * x**2
  slope = lambda x: 0.36 + 1.28 * x
  xi = 0.5
  nngp = kappa(kappa(xi))
  ntk = nngp + (kappa(xi) + xi * slope(xi)) * slope(kappa(xi))
  for kernel, want in (("nngp", nngp), ("ntk", ntk)):
    got = classifiers.deep_kernel(jnp.array(xi), kernel=kernel, **DEEP)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_deep_kernel_is_the_tangent_kernel_of_a_wide_network():
  # One hidden layer, f = v . phi(W x) / sqrt(m): the mean of many gradients.
  a, m = (0.6, 0.8), 200_000
  phi = lambda t: a[0] * t + a[1] * (t**2 - 1) / math.sqrt(2)
  key = jax.random.split(jax.random.key(0))
  inputs = jnp.array([[1.0, 0.0], [0.6, 0.8]])
  weights = jax.random.normal(key[0], (m, 2)), jax.random.normal(key[1], (m,))
  f = lambda w, x: phi(w[0] @ x) @ w[1] / math.sqrt(m)
  grads = [jax.jit(jax.grad(f))(weights, x) for x in inputs]
  got = sum((p * q).sum() for p, q in zip(*grads, strict=True))
  want = classifiers.deep_kernel(
    jnp.array(0.6), coefficients=(0.0, *a), depth=1
  )
  np.testing.assert_allclose(got, want, rtol=0.03)


def test_deep_kernel_becomes_nearest_neighbour_and_majority():
  x, y = example(n=31, d=3)
  x = x / np.linalg.norm(x, axis=1, keepdims=True)
  y = np.minimum(y, 1)
  test = example(n=40, d=3, seed=1)[0]
  for coefficients, depth, rule in (
    ((0.0, 0.0, 0.6, 0.8), 4, y[(test @ x.T).argmax(axis=1)]),
    ((0.2**0.5, 0.3**0.5, 0.0, 0.5**0.5), 20, np.ones(40)),
  ):
    settings = dict(coefficients=coefficients, depth=depth, kernel="nngp")
    params = classifiers.fit_deep_kernel(
      jnp.asarray(x), jnp.asarray(y), num_classes=2, **settings
    )
    said = classifiers.predict_deep_kernel(
      params, jnp.asarray(test), **settings
    )
    assert (said.argmax(axis=1) == rule).mean() > 0.97


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (dict(depth=-1), "depth must be at least 0, got -1"),
    (dict(kernel="nkt"), "kernel must be one of .*'nkt'"),
    (dict(l2=-1.0), "l2 must be at least 0, got -1.0"),
  ],
)
def test_deep_kernel_bad_settings(change, message):
  x, y = example()
  with pytest.raises(ValueError, match=message):
    classifiers.fit_deep_kernel(x, y, num_classes=3, **{**DEEP, **change})
