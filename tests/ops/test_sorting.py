import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import jaxtyped

from jaxcls import ops
from jaxcls.ops.sorting import (
  _matrix,
  _network,
  _reference,
  _relaxations,
)

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens/diffsort.npz"
ROWS = PartitionSpec("data")
# 19 layers of odd_even: two turns of the loop and three layers after it.
CASES = [
  ("odd_even", 2, "cauchy"),
  ("odd_even", 7, "logistic"),
  ("odd_even", 8, "logistic_art"),
  ("odd_even", 19, "cauchy"),
  ("bitonic", 6, "optimal"),
  ("bitonic", 8, "cauchy"),
]


def scores(*shape, dtype=jnp.float32, seed=0):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def small(x, **kwargs):
  """A sort in few layers, so that it compiles fast."""
  return ops.soft_sort(x, steepness=4.0, network="bitonic", **kwargs)


def reference(x, network, relaxation, steepness, art_lambda=0.25):
  wiring = _network.Network(network, x.shape[-1], relaxation, art_lambda)
  sort = functools.partial(_reference.sort, network=wiring)
  return jax.vmap(lambda x: sort(x, steepness=steepness))(x)


def outputs(x, v, result):
  """All that a result offers, contracted with fixed numbers."""
  p = result.matrix()
  return result.values, p, result.apply(v), result.apply_transpose(v)


def contracted(parts):
  weights = [scores(*p.shape, dtype=p.dtype, seed=9) for p in parts]
  return sum((w * p).sum() for w, p in zip(weights, parts, strict=True))


@pytest.mark.parametrize(("network", "n", "relaxation"), CASES)
def test_matches_reference_in_float64(network, n, relaxation):
  def fast(x, v, s):
    result = ops.soft_sort(
      x, steepness=s, network=network, relaxation=relaxation
    )
    parts = outputs(x, v, result)
    return contracted(parts), parts

  def slow(x, v, s):
    values, p = reference(x, network, relaxation, s)
    mass = jnp.einsum("bij,bj->bi", p, v), jnp.einsum("bij,bi->bj", p, v)
    return contracted((values, p, *mass)), (values, p, *mass)

  with jax.enable_x64(True):
    x, v = scores(2, 3, n, dtype=jnp.float64)
    args = x, v, jnp.float64(3.0)
    grad = lambda f: jax.jit(
      jax.value_and_grad(f, argnums=(0, 1, 2), has_aux=True)
    )
    got, expected = grad(fast)(*args), grad(slow)(*args)
    for a, b in zip(
      jax.tree.leaves(got), jax.tree.leaves(expected), strict=True
    ):
      assert a.dtype == jnp.float64
      np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
  ("network", "n", "name", "alt"),
  [
    (network, n, name, alt)
    for network, n, alt in (
      ("odd_even", 7, ""),
      ("odd_even", 8, "__alt"),
      ("bitonic", 7, "__alt"),
      ("bitonic", 8, ""),
    )
    for name in ("logistic", "logistic_phi", "cauchy", "optimal")
    if network == "odd_even" or name != "optimal"
  ],
)
def test_matches_diffsort(network, n, name, alt):
  golden = np.load(GOLDENS, allow_pickle=False)
  key = f"{network}_{name}_n{n}{alt}"
  to_values, to_p = golden[f"in_ct_sorted_n{n}"], golden[f"in_ct_perm_n{n}"]

  def f(x):
    result = ops.soft_sort(
      x,
      steepness=float(golden[f"hp_steepness{alt}"]),
      network=network,
      relaxation=name.replace("phi", "art"),
      art_lambda=float(golden[f"hp_art_lambda{alt}"]),
    )
    values, p = result.values, result.matrix()
    return (to_values * values).sum() + (to_p * p).sum(), (values, p)

  with jax.enable_x64(True):
    x = jnp.asarray(golden[f"in_x_n{n}"])
    grad, (values, p) = jax.jit(jax.grad(f, has_aux=True))(x)
  close = np.testing.assert_allclose
  close(values, golden["out_sorted_" + key], rtol=1e-8, atol=1e-10)
  close(p, golden["out_perm_" + key], rtol=1e-8, atol=2e-10)
  scale = np.abs(golden["grad_x_" + key]).max()
  close(grad, golden["grad_x_" + key], rtol=1e-6, atol=1e-9 * max(scale, 1))


def test_matches_hand_value():
  # One comparator: alpha = 1 / (1 + exp(-2 (1 - 4))) for the wires (4, 1).
  alpha = 1 / (1 + np.exp(6))
  sort = functools.partial(ops.soft_sort, steepness=2.0, relaxation="logistic")
  result = jax.jit(sort)(jnp.array([4.0, 1.0]))
  expected = [4 * alpha + (1 - alpha), 4 * (1 - alpha) + alpha]
  np.testing.assert_allclose(result.values, expected, rtol=1e-6)
  p = [[alpha, 1 - alpha], [1 - alpha, alpha]]
  np.testing.assert_allclose(result.matrix(), p, rtol=1e-6)


@pytest.mark.parametrize("ascending", [True, False])
def test_tiny_weights_are_exact_and_never_negative(ascending):
  # 1 - alpha and alpha are both exp(-30), which 1 - (1 - exp(-30)) is not.
  x = jnp.array([0.0, 30.0] if ascending else [30.0, 0.0])
  p = ops.soft_sort(x, steepness=1.0, relaxation="logistic").matrix()
  tiny = p[0, 1] if ascending else p[0, 0]
  np.testing.assert_allclose(tiny, np.exp(-30.0), rtol=1e-5)
  p = jax.jit(lambda x: ops.soft_sort(x, steepness=50.0).matrix())
  assert (p(scores(20, 7)) >= 0).all()


@pytest.mark.parametrize("network", ["odd_even", "bitonic"])
def test_hard_limit_is_a_sort_and_p_is_doubly_stochastic(network):
  x = scores(4, 11)

  @jax.jit
  def f(x, steepness):
    kwargs = dict(network=network, steepness=steepness)
    result = ops.soft_sort(x, **kwargs)
    ranks = ops.soft_rank(x, **kwargs)
    top = ops.soft_top_k(x, 3, **kwargs)
    return result.values, result.matrix(), ranks, top

  values, p, ranks, top = f(x, 1e7)
  order = np.argsort(x, axis=-1)
  rank = np.argsort(order, axis=-1)
  np.testing.assert_allclose(values, np.sort(x, axis=-1), atol=1e-3)
  np.testing.assert_allclose(p, rank[..., None] == np.arange(11), atol=1e-3)
  np.testing.assert_allclose(ranks, rank, atol=1e-3)
  np.testing.assert_allclose(top, rank >= 8, atol=1e-3)

  _, p, ranks, top = f(x, 2.0)
  np.testing.assert_allclose(p.sum(1), np.ones((4, 11)), atol=1e-5)
  np.testing.assert_allclose(p.sum(2), np.ones((4, 11)), atol=1e-5)
  np.testing.assert_allclose(ranks.sum(-1), np.full(4, 55.0), rtol=1e-5)
  np.testing.assert_allclose(top.sum(-1), np.full(4, 3.0), rtol=1e-5)


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [(jnp.float32, 2e-4), (jnp.bfloat16, 0.05)]
)
def test_low_precision(dtype, tolerance):
  def f(x):
    result = small(x)
    return contracted((result.values, result.matrix()))

  x = scores(3, 7)
  low = jax.jit(jax.grad(f))(x.astype(dtype))
  assert low.dtype == dtype
  assert jax.eval_shape(small, x.astype(dtype)).values.dtype == jnp.float32
  with jax.enable_x64(True):
    exact = jax.jit(jax.grad(f))(jnp.asarray(x, jnp.float64))
  scale = np.abs(exact).max()
  np.testing.assert_allclose(
    low.astype(jnp.float32), exact, atol=tolerance * scale
  )


@pytest.mark.parametrize("relaxation", _relaxations.RELAXATIONS)
def test_relaxation_values_and_slopes(relaxation):
  size = jnp.array([0.0, 0.1, 0.25, 0.9, 1.0, 1.5, 40.0, 1e30])
  share, slope = _relaxations.RELAXATIONS[relaxation]
  f = lambda v: _reference.cumulative(v, relaxation)
  with jax.enable_x64(True):
    wide = -jnp.asarray(size, jnp.float64)
    value, by_v = f(wide), jax.vmap(jax.grad(f))(wide)
  small = share(size)
  np.testing.assert_allclose(small, value, rtol=1e-6, atol=1e-17)
  got = slope(size, small)
  np.testing.assert_allclose(got[:-1], by_v[:-1], rtol=1e-5, atol=1e-17)
  assert np.isfinite(got).all()


def test_vmap_jit_and_batch_axes_agree():
  x = scores(2, 3, 4)
  f = lambda x: outputs(x, jnp.arange(4.0), small(x))
  batch = jax.jit(f)(x)
  vmapped = jax.jit(jax.vmap(jax.vmap(f)))(x)
  # The result itself can leave jit and vmap.
  inner = jax.jit(jax.vmap(small))(x)
  outer = jax.jit(lambda r: outputs(x, jnp.arange(4.0), r))(inner)
  for other in (vmapped, outer):
    for a, b in zip(batch, other, strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  loss = lambda x: contracted(f(x)[1:2])
  grad = jax.jit(jax.grad(lambda x: sum(map(loss, x))))(x)
  np.testing.assert_allclose(
    jax.jit(jax.vmap(jax.grad(loss)))(x), grad, rtol=1e-4, atol=1e-5
  )


@pytest.mark.parametrize(
  ("network", "how"),
  [
    ("odd_even", "shard_map"),
    ("bitonic", "shard_map"),
    ("bitonic", "sharded jit"),
  ],
)
def test_four_devices_equal_one(network, how):
  n = 18 if network == "odd_even" else 5  # 18 layers: a loop.
  x, v = scores(2, 8, n)

  def f(x, v, steepness):
    result = ops.soft_sort(x, steepness=steepness, network=network)
    mass = (result.apply(v) ** 2).sum(-1) + (result.values**3).sum(-1)
    if network == "odd_even":
      return mass
    return mass + (result.matrix() ** 2).sum((1, 2))

  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  g = f
  if how == "shard_map":
    g = jax.shard_map(
      f, mesh=mesh, in_specs=(ROWS, ROWS, PartitionSpec()), out_specs=ROWS
    )
  both = lambda f: jax.jit(
    jax.value_and_grad(lambda *args: f(*args).sum(), argnums=(0, 1, 2))
  )
  expected = both(f)(x, v, 2.0)
  x, v = jax.device_put((x, v), NamedSharding(mesh, ROWS))
  got = both(g)(x, v, 2.0)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_tiles_of_columns_change_nothing(monkeypatch):
  x = scores(3, 7)
  grad = lambda: jax.jit(
    jax.value_and_grad(lambda x: contracted((small(x).matrix(),)))
  )(x)
  whole = grad()
  monkeypatch.setattr(_matrix, "CPU_TILE_BYTES", 300)  # 7 = 3 + 3 + 1.
  for a, b in zip(grad(), whole, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_residuals_are_scores_and_swaps():
  x = scores(4, 19)
  call = lambda x: ops.soft_sort(x, steepness=4.0).matrix()
  _, pull = jax.jit(lambda x: jax.vjp(call, x))(x)
  sizes = sorted(leaf.size for leaf in jax.tree.leaves(pull))
  # The swaps, once for their own gradient and once for that of P (one buffer
  # inside a jitted step), and next to nothing else: P has 4 * 19 * 19.
  assert sizes[-2:] == [4 * 19 * 9] * 2
  assert sum(sizes[:-2]) <= 2 * 4 * 19


def test_ties_have_finite_gradients():
  f = lambda x: contracted((small(x, relaxation="logistic_art").matrix(),))
  assert np.isfinite(jax.jit(jax.grad(f))(jnp.ones((2, 6)))).all()


def test_extreme_scores_are_finite():
  f = lambda x: contracted((small(x).matrix(),))
  x = 1e4 * jnp.array([[1.0, -1, 0, 1, 1], [-1, 1, -1, 1, 0]])
  value, grad = jax.jit(jax.value_and_grad(f))(x)
  assert np.isfinite(value) and np.isfinite(grad).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_score_spoils_its_row_only(bad):
  x = scores(3, 6).at[1, 2].set(bad)
  f = jax.jit(lambda x: ops.soft_sort(x, steepness=1.0).values)
  assert np.isnan(f(x)[1]).all()
  keep = np.array([0, 2])
  np.testing.assert_allclose(f(x)[keep], f(x.at[1].set(0))[keep], rtol=1e-6)


@pytest.mark.parametrize("network", ["odd_even", "bitonic"])
def test_one_score_and_no_rows(network):
  x = jnp.array([[3.0], [5.0]])
  one = ops.soft_sort(x, steepness=1.0, network=network)
  np.testing.assert_allclose(one.values, x, rtol=0)
  np.testing.assert_allclose(one.apply(x), x, rtol=0)
  np.testing.assert_allclose(one.matrix(), np.ones((2, 1, 1)), rtol=0)
  none = jax.jit(small)(jnp.zeros((2, 0, 5)))
  assert none.values.shape == none.apply(jnp.ones(5)).shape == (2, 0, 5)
  assert none.matrix().shape == (2, 0, 5, 5)
  f = jax.jit(jax.grad(lambda x: small(x).matrix().sum()))
  assert f(jnp.zeros((0, 5))).shape == (0, 5)


def test_annotations_hold():
  typed = functools.partial(jaxtyped, typechecker=beartype)
  x = scores(2, 5)
  kwargs = dict(steepness=1.0, network="bitonic")
  for f in (ops.soft_sort, ops.soft_rank):
    jax.eval_shape(lambda x, f=f: typed(f)(x, **kwargs), x)
  jax.eval_shape(lambda x: typed(ops.soft_top_k)(x, 2, **kwargs), x)


@pytest.mark.parametrize(
  ("error", "match", "change"),
  [
    (TypeError, "floating point, got int32", dict(x=jnp.arange(3))),
    (ValueError, r"n >= 1, got \(2, 0\)", dict(x=jnp.zeros((2, 0)))),
    (ValueError, r"n >= 1, got \(\)", dict(x=jnp.zeros(()))),
    (ValueError, "steepness must be > 0, got 0", dict(steepness=0)),
    (ValueError, "steepness must be > 0, got nan", dict(steepness=np.nan)),
    (ValueError, "scalar or of shape", dict(steepness=jnp.ones(3))),
    (ValueError, "art_lambda must be in", dict(art_lambda=1.0)),
    (ValueError, "network must be one of", dict(network="merge")),
    (ValueError, "relaxation must be one of", dict(relaxation="gauss")),
    (ValueError, "implementation must be one", dict(implementation="cuda")),
  ],
)
def test_bad_input(error, match, change):
  kwargs = dict(x=jnp.ones((2, 3)), steepness=1.0) | change
  with pytest.raises(error, match=match):
    jax.eval_shape(lambda: ops.soft_sort(**kwargs))


def test_bad_calls():
  x = jnp.ones((2, 3))
  with pytest.raises(ValueError, match=r"k must be in \[1, 3\], got 4"):
    jax.eval_shape(lambda: ops.soft_top_k(x, 4, steepness=1.0))
  for f in ("apply", "apply_transpose"):
    with pytest.raises(ValueError, match=r"v must have shape \(3,\) or"):
      jax.eval_shape(lambda f=f: getattr(small(x), f)(jnp.ones(2)))
