import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.test_util import check_grads
from jaxtyping import jaxtyped

from jaxcls import losses, ops

N, D, C = 12, 5, 3
LABELS = np.arange(N) % C
# Classes 0 and 1 have two subclasses, class 2 has one.
SUBCLASSES = np.where(LABELS < 2, 10 * LABELS + np.arange(N) // 6, 20)
TEMPERATURES = np.array([0.2, 0.5, 0.9], np.float32)
OPTIONS = dict(temperature=0.3, beta=0.7)


def example(dtype=jnp.float32, scale=None):
  z = np.random.default_rng(0).normal(size=(N, D))
  z = scale * z if scale else z / np.linalg.norm(z, axis=1, keepdims=True)
  return jnp.asarray(z, dtype)


@jax.jit
def loss_fn(z, y, s, t, where=None):
  f = jaxtyped(losses.subclass_contrastive_loss, typechecker=beartype)
  return f(z, y, s, t, where=where, **OPTIONS)


def call(z, y=LABELS, s=SUBCLASSES, t=TEMPERATURES, where=None):
  arrays = (jnp.asarray(a) for a in (y, s, t))
  return loss_fn(z, *arrays, None if where is None else jnp.asarray(where))


def by_loop(z, y, s, t):
  """The formula of the docstring, row by row."""
  z, out = np.asarray(z, np.float64), []
  for i in range(len(z)):

    def term(positives, candidates, temperature, i=i):
      total = np.log(sum(np.exp(z[i] @ z[a] / temperature) for a in candidates))
      return -np.mean([z[i] @ z[p] / temperature - total for p in positives])

    others = [a for a in range(len(z)) if a != i]
    fine = [p for p in others if s[p] == s[i]]
    rest = [a for a in others if s[a] != s[i]]
    coarse = [p for p in rest if y[p] == y[i]]
    value = term(fine, others, OPTIONS["temperature"]) if fine else 0
    if coarse:
      value += OPTIONS["beta"] * term(coarse, rest, t[y[i]])
    out.append(value)
  return np.array(out)


def test_matches_a_loop_over_the_formula():
  z = example()
  expected = by_loop(z, LABELS, SUBCLASSES, TEMPERATURES)
  np.testing.assert_allclose(call(z), expected, rtol=1e-5, atol=1e-6)


def test_one_subclass_a_class_is_supcon():
  z = example()
  got = jax.jit(jax.value_and_grad(lambda z: call(z, s=5 + LABELS).sum()))(z)
  supcon = lambda z: ops.supcon_loss(
    z, jnp.asarray(LABELS), temperature=OPTIONS["temperature"]
  )
  expected = jax.jit(jax.value_and_grad(lambda z: supcon(z).sum()))(z)
  for a, b in zip(got, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_rows_that_are_not_kept_do_not_exist():
  keep = np.arange(N) % 5 > 0
  z = example().at[~keep].set(jnp.nan)
  got, grad = jax.jit(
    lambda z: (
      call(z, where=keep), jax.grad(lambda z: call(z, where=keep).sum())(z)
    )
  )(z)  # fmt: skip
  expected = call(z[keep], LABELS[keep], SUBCLASSES[keep])
  np.testing.assert_allclose(got[keep], expected, rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(got[~keep], 0)
  assert np.isfinite(grad).all()


@pytest.mark.parametrize(
  ("dtype", "scale", "keep"),
  [
    (jnp.bfloat16, None, True),
    (jnp.float32, 100.0, True),  # Similarities of 1e4 and more.
    (jnp.float32, None, False),
  ],
)
def test_finite_values_and_gradients(dtype, scale, keep):
  z, where = example(dtype, scale), np.full(N, keep)
  value, grad = jax.jit(
    lambda z: (
      call(z, where=where), jax.grad(lambda z: call(z, where=where).sum())(z)
    )
  )(z)  # fmt: skip
  assert value.dtype == jnp.float32 and value.shape == (N,)
  assert np.isfinite(value).all()
  assert np.isfinite(grad.astype(jnp.float32)).all()
  if not keep:
    np.testing.assert_array_equal(value, 0)


def test_gradient_matches_finite_differences():
  f = jax.jit(lambda z: call(z).sum())
  check_grads(f, (example(),), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(
  ("changes", "error", "message"),
  [
    (dict(labels=jnp.ones(N)), TypeError, "labels must be integer"),
    (dict(subclasses=jnp.zeros(3, int)), ValueError, "shape of subclasses"),
    (dict(embeddings=jnp.ones(N)), ValueError, "embeddings must have shape"),
    (dict(class_temperatures=jnp.ones(())), ValueError, "must be .c."),
    (dict(temperature=0.0), ValueError, "temperature must be > 0"),
    (dict(beta=-1.0), ValueError, "beta must be >= 0, got -1.0"),
    (dict(where=jnp.ones(N)), TypeError, "where must be bool"),
  ],
)
def test_wrong_input_raises(changes, error, message):
  given = dict(
    embeddings=example(), labels=jnp.asarray(LABELS),
    subclasses=jnp.asarray(SUBCLASSES),
    class_temperatures=jnp.asarray(TEMPERATURES), **OPTIONS,
  )  # fmt: skip
  with pytest.raises(error, match=message):
    losses.subclass_contrastive_loss(**{**given, **changes})
