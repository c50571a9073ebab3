import functools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.test_util import check_grads
from jaxtyping import jaxtyped

from jaxcls import losses

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens/groco.npz"


def example(*shape, dtype=jnp.float32):
  return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


loss_fn = functools.partial(losses.groco_loss, num_negatives=2, steepness=2.0)


@pytest.mark.parametrize(
  ("alt", "dtype"),
  [("", jnp.float64), ("__alt", jnp.float64), ("", jnp.float32)],
)
def test_matches_official_code(alt, dtype):
  golden = np.load(GOLDENS, allow_pickle=False)
  views = int(golden[f"hp_n_pos_augs{alt}"])

  def f(z):
    return losses.groco_loss(
      z,
      num_negatives=int(golden[f"hp_topk_neg{alt}"]),
      steepness=float(golden[f"hp_steepness{alt}"]),
      num_positive_views=views if views > 0 else None,
      stop_gradient=bool(golden[f"hp_stop_grad{alt}"]),
    ).mean()

  names = ("z1", "z2", "z3", "z4")
  expected = np.stack([golden[f"grad_{n}{alt}"] for n in names], axis=1)
  with jax.enable_x64(dtype == jnp.float64):
    z = jnp.stack([jnp.asarray(golden[f"in_{n}"], dtype) for n in names], 1)
    value, grad = jax.jit(jax.value_and_grad(f))(z)
  if dtype == jnp.float64:
    tolerance = dict(rtol=1e-8, atol=1e-10), dict(rtol=1e-6, atol=1e-9)
  else:
    scale = 1e-5 * np.abs(expected).max()
    tolerance = dict(rtol=2e-4, atol=1e-5), dict(rtol=2e-4, atol=scale)
  np.testing.assert_allclose(value, golden[f"out_loss{alt}"], **tolerance[0])
  np.testing.assert_allclose(grad, expected, **tolerance[1])


def test_matches_hand_value():
  # Each anchor: cosine 0 to its negative, 1 to its positive; steepness 1, so
  # a kept share of 1/2 + atan(1) / pi = 3/4 for both.
  z = jnp.array([[[1.0, 0], [2, 0]], [[0, 3.0], [0, 1]]])
  f = functools.partial(losses.groco_loss, num_negatives=1, steepness=1.0)
  got = jax.jit(f)(z)
  np.testing.assert_allclose(got, [-math.log(0.75)] * 2, rtol=1e-6)


def test_zero_when_every_positive_is_nearest():
  z = jnp.repeat(jnp.eye(4)[:, None], 3, axis=1)
  f = functools.partial(losses.groco_loss, num_negatives=2, steepness=1e6)
  got = jax.jit(f)(z)
  np.testing.assert_allclose(got, np.zeros(4), atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_shape_dtype_and_finite_grad(dtype):
  f = jaxtyped(losses.groco_loss, typechecker=beartype)
  call = functools.partial(f, num_negatives=2, steepness=2.0)
  for z in (example(5, 3, 4), jnp.zeros((5, 3, 4)), jnp.full((5, 3, 4), 1e4)):
    with jax.numpy_dtype_promotion("strict"):
      value, grad = jax.jit(
        lambda z: (call(z), jax.grad(lambda z: call(z).sum())(z))
      )(z.astype(dtype))
    assert value.shape == (5,) and value.dtype == jnp.float32
    assert grad.dtype == dtype
    assert np.isfinite(value).all()
    assert np.isfinite(grad.astype(jnp.float32)).all()


def test_gradient_matches_finite_differences():
  f = jax.jit(lambda z: loss_fn(z, stop_gradient=False).sum())
  check_grads(
    f, (example(4, 2, 3),), order=1, modes=["rev"], atol=1e-2, rtol=1e-2
  )


def test_where_leaves_examples_out():
  z = example(6, 2, 4)
  keep = jnp.array([True, True, True, False, True, False])
  kept = np.flatnonzero(keep)
  f = jax.jit(loss_fn)
  got = jax.jit(lambda z: loss_fn(z, where=keep))(z)
  np.testing.assert_allclose(got[kept], f(z[kept]), rtol=1e-5)
  np.testing.assert_allclose(got[np.array([3, 5])], np.zeros(2))
  grad = jax.jit(
    jax.grad(lambda z: loss_fn(z, where=keep, stop_gradient=False).sum())
  )(z)
  np.testing.assert_allclose(grad[3], np.zeros((2, 4)))


def test_jit_equals_eager():
  z = example(4, 2, 3)
  np.testing.assert_allclose(jax.jit(loss_fn)(z), loss_fn(z), rtol=1e-5)


@pytest.mark.parametrize(
  ("error", "match", "change"),
  [
    (TypeError, "floating point", dict(embeddings=jnp.ones((4, 2, 3), int))),
    (ValueError, "k >= 2", dict(embeddings=jnp.ones((4, 1, 3)))),
    (ValueError, "k >= 2", dict(embeddings=jnp.ones((4, 3)))),
    (ValueError, r"\[1, 3\], got 4", dict(num_negatives=4)),
    (ValueError, "got 0", dict(num_negatives=0)),
    (ValueError, r"\[2, 2\], got 1", dict(num_positive_views=1)),
    (ValueError, "steepness must be > 0", dict(steepness=-1.0)),
    (TypeError, "where must be bool", dict(where=jnp.ones(4))),
    (ValueError, "where must have shape", dict(where=jnp.ones(3, bool))),
  ],
)
def test_bad_input(error, match, change):
  kwargs = (
    dict(embeddings=jnp.ones((4, 2, 3)), num_negatives=2, steepness=1.0)
    | change
  )
  z = kwargs.pop("embeddings")
  with pytest.raises(error, match=match):
    jax.eval_shape(lambda: losses.groco_loss(z, **kwargs))
