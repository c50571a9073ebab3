import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.test_util import check_grads
from jaxtyping import jaxtyped

from jaxcls import losses, ops

N, D = 12, 5
LABELS = np.arange(N) % 3
GOLDEN = pathlib.Path(__file__).parents[1] / "goldens" / "core_tuning.npz"


def example(dtype=jnp.float32, scale=None):
  z = np.random.default_rng(0).normal(size=(N, D))
  z = scale * z if scale else z / np.linalg.norm(z, axis=1, keepdims=True)
  return jnp.asarray(z, dtype)


def call(z, y=LABELS, where=None, **options):
  f = jaxtyped(losses.focal_supcon_loss, typechecker=beartype)
  options = {"temperature": 0.3, **options}
  return f(z, jnp.asarray(y), where=where, **options)


def by_loop(z, y, gamma, temperature=0.3):
  """The formula of the docstring, row by row."""
  z, out = np.asarray(z, np.float64), []
  for i in range(len(z)):
    others = [a for a in range(len(z)) if a != i]
    total = sum(np.exp(z[i] @ z[a] / temperature) for a in others)
    p = [
      np.exp(z[i] @ z[j] / temperature) / total for j in others if y[j] == y[i]
    ]
    out.append(np.mean([-((1 - q) ** gamma) * np.log(q) for q in p]))
  return np.array(out)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_matches_a_loop_over_the_formula(gamma):
  got = jax.jit(lambda z: call(z, gamma=gamma))(example())
  expected = by_loop(example(), LABELS, gamma)
  np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_without_the_weight_it_is_supcon():
  y = np.array([0, 1, 2, 3] + [0, 1, 2, 9] * 2)  # Row 3 has no positive.
  both = jax.jit(
    lambda z: (
      call(z, y, gamma=0.0, mean_over="rows"),
      ops.supcon_loss(z, jnp.asarray(y), temperature=0.3),
    )
  )
  got, expected = both(example())
  share = np.array([(y == label).sum() - 1 for label in y]) / N
  np.testing.assert_allclose(got, expected * share, rtol=1e-5, atol=1e-7)
  assert got[3] == 0


def test_golden_of_the_released_code():
  golden = np.load(GOLDEN)
  z, y = golden["in_z__alt"], golden["in_labels__alt"]

  def mean(z):
    values = call(z, y, temperature=0.07, mean_over="rows")
    positives = np.array([(y == label).sum() > 1 for label in y])
    return losses.mean_where(values, jnp.asarray(positives))

  loss, grad = jax.jit(jax.value_and_grad(mean))(jnp.float32(z))
  np.testing.assert_allclose(loss, golden["out_loss__alt"], rtol=2e-4)
  expected = golden["grad_z__alt"]
  np.testing.assert_allclose(
    grad, expected, rtol=2e-4, atol=1e-5 * np.abs(expected).max()
  )


def test_rows_that_are_not_kept_do_not_exist():
  keep = np.arange(N) % 5 > 0
  z = example().at[~keep].set(jnp.nan)
  f = lambda z: call(z, where=jnp.asarray(keep))
  got, grad = jax.jit(lambda z: (f(z), jax.grad(lambda z: f(z).sum())(z)))(z)
  expected = call(z[keep], LABELS[keep])
  np.testing.assert_allclose(got[keep], expected, rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(got[~keep], 0)
  assert np.isfinite(grad).all()


@pytest.mark.parametrize(
  ("dtype", "scale", "keep"),
  [
    (jnp.bfloat16, None, True),
    (jnp.float32, 1e4, True),
    (jnp.float32, None, False),
  ],
)
def test_finite_values_and_gradients(dtype, scale, keep):
  where = jnp.full(N, keep)
  f = lambda z: call(z, where=where)
  value, grad = jax.jit(
    lambda z: (f(z), jax.grad(lambda z: f(z).sum())(z))
  )(example(dtype, scale))  # fmt: skip
  assert value.dtype == jnp.float32 and value.shape == (N,)
  assert np.isfinite(value).all()
  assert np.isfinite(grad.astype(jnp.float32)).all()


def test_gradient():
  f = jax.jit(lambda z: call(z).sum())
  check_grads(f, (example(),), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(
  ("changes", "error", "message"),
  [
    (dict(labels=jnp.ones(N)), TypeError, "labels must be integer"),
    (dict(embeddings=jnp.ones(N)), ValueError, "embeddings must have shape"),
    (dict(embeddings=jnp.ones((N, D), int)), TypeError, "floating point"),
    (dict(temperature=0.0), ValueError, "temperature must be above 0"),
    (dict(gamma=0.5), ValueError, "gamma must be 0 or at least 1, got 0.5"),
    (dict(mean_over="all"), ValueError, "mean_over must be one of"),
    (dict(where=jnp.ones(N)), TypeError, "where must be bool"),
  ],
)
def test_wrong_input_raises(changes, error, message):
  given = dict(
    embeddings=example(), labels=jnp.asarray(LABELS), temperature=0.3
  )
  with pytest.raises(error, match=message):
    losses.focal_supcon_loss(**{**given, **changes})
