import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import jaxtyped
from scipy import optimize

from jaxcls.ops import transport

N, M = 8, 5
ROWS = PartitionSpec("data")
BOTH = pytest.mark.parametrize("implementation", ["scipy", "auction"])


def problem(dtype=jnp.float32, scale=1.0):
  """cost [n m], a [n], b [m]."""
  rng = np.random.default_rng(0)
  a, b = rng.random(N) + 0.2, rng.random(M) + 0.2
  arrays = scale * rng.random((N, M)), a / a.sum(), b / b.sum()
  return tuple(jnp.asarray(x, dtype) for x in arrays)


def kernel_sinkhorn(cost, epsilon, steps, a, b):
  """Cuturi's algorithm on the kernel itself, no logarithms."""
  kernel = jnp.exp(-cost / epsilon)
  u = jnp.ones_like(a)
  for _ in range(steps):
    v = b / (kernel.T @ u)
    u = a / (kernel @ v)
  return u[:, None] * kernel * v


def value_and_grads(f, *arrays):
  weights = jnp.sin(jnp.arange(N * M).reshape(N, M) + 1.0)

  def loss(*a):
    plan = f(*a)
    return (plan * weights.astype(plan.dtype)).sum(), plan

  grad = jax.grad(loss, argnums=tuple(range(len(arrays))), has_aux=True)
  return jax.jit(grad)(*arrays)


def assert_same(got, expected, rtol, atol):
  got, expected = jax.tree.leaves(got), jax.tree.leaves(expected)
  for x, y in zip(got, expected, strict=True):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
  ("dtype", "rtol", "atol"),
  [(jnp.float64, 1e-9, 1e-12), (jnp.float32, 1e-4, 1e-5),
   (jnp.bfloat16, 2e-2, 1e-3)],
)  # fmt: skip
def test_value_and_gradient_equal_the_kernel_form(dtype, rtol, atol):
  with jax.enable_x64(dtype == jnp.float64):
    arrays = problem(dtype)
    f = lambda c, a, b: transport.sinkhorn(
      c, epsilon=0.2, num_iterations=7, row_marginal=a, column_marginal=b
    )
    got = value_and_grads(f, *arrays)
    assert got[1].dtype == jnp.result_type(jnp.float32, dtype)
    wide = [x.astype(got[1].dtype) for x in arrays]
    g = lambda c, a, b: kernel_sinkhorn(c, 0.2, 7, a, b)
    assert_same(got, value_and_grads(g, *wide), rtol, atol)


def test_marginals_are_met():
  cost, a, b = problem()
  plan = jax.jit(
    lambda c, a, b: transport.sinkhorn(
      c, epsilon=0.1, num_iterations=100, row_marginal=a, column_marginal=b
    )
  )(cost, a, b)
  np.testing.assert_allclose(plan.sum(axis=1), a, rtol=1e-5)
  np.testing.assert_allclose(plan.sum(axis=0), b, rtol=1e-5)


def test_small_epsilon_is_the_assignment():
  cost = jax.random.uniform(jax.random.key(0), (6, 6))
  plan = jax.jit(
    lambda c: transport.sinkhorn(c, epsilon=0.002, num_iterations=2000)
  )(cost)
  columns = transport.linear_assignment(cost)
  np.testing.assert_allclose(6 * plan, jnp.eye(6)[columns], atol=1e-3)


@pytest.mark.parametrize("scale", [1e4, 0.0])
def test_extreme_scores_masked_nan_and_empty_mass(scale):
  scores, _, _ = problem(scale=scale)
  a = jnp.full(N, 1 / (N - 2)).at[1].set(0)
  where = jnp.arange(N) != 4
  scores = scores.at[4].set(jnp.nan)
  f = lambda c, a: transport.sinkhorn(
    -c, epsilon=0.05, num_iterations=3, row_marginal=a, where=where
  )
  grads, plan = value_and_grads(f, scores, a)
  assert all(np.isfinite(x).all() for x in (*grads, plan))
  np.testing.assert_array_equal(plan[jnp.array([1, 4])], 0.0)
  np.testing.assert_array_equal(grads[0][4], 0.0)
  expected = jnp.where(where, a, 0)
  np.testing.assert_allclose(plan.sum(axis=1), expected, rtol=1e-5)


def test_where_equals_leaving_rows_out():
  cost, _, _ = problem()
  where = jnp.arange(N) % 3 != 1
  f = lambda c, where=None: transport.sinkhorn(
    c, epsilon=0.2, num_iterations=4, where=where
  )
  got = jax.jit(f)(cost, where)
  left = jax.jit(f)(cost[where])
  np.testing.assert_allclose(got[where], left, rtol=1e-5)
  np.testing.assert_array_equal(jax.jit(f)(cost, where & False), 0.0)


@pytest.mark.parametrize("check_vma", [False, True])
def test_rows_over_devices_equal_one_device(check_vma):
  cost, a, b = problem(scale=30.0)
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  where = jnp.arange(N) != 2

  def f(cost, a, b, where, axis_name=None):
    given = transport.sinkhorn(
      cost, epsilon=1.0, num_iterations=3, row_marginal=a, column_marginal=b,
      axis_name=axis_name,
    )  # fmt: skip
    return given + transport.sinkhorn(
      cost, epsilon=1.0, num_iterations=3, where=where, axis_name=axis_name
    )

  sharded = jax.shard_map(
    lambda *args: f(*args, "data"),
    mesh=mesh,
    in_specs=(ROWS, ROWS, PartitionSpec(), ROWS),
    out_specs=ROWS,
    check_vma=check_vma,
  )
  got = value_and_grads(lambda *x: sharded(*x, where), cost, a, b)
  expected = value_and_grads(lambda *x: f(*x, where), cost, a, b)
  assert_same(got, expected, 1e-4, 1e-6)


def test_sinkhorn_batches_and_vmap():
  cost, _, _ = problem()
  stacked = jnp.stack([cost, 2 * cost])
  f = lambda c: transport.sinkhorn(c, epsilon=0.2, num_iterations=4)
  got = jax.jit(f)(stacked)
  assert_same(got, jax.jit(jax.vmap(f))(stacked), 1e-6, 1e-7)
  assert_same(got[1], jax.jit(f)(2 * cost), 1e-6, 1e-7)


def costs(kind, n, m):
  rng = np.random.default_rng(n + m)
  if kind == "float":
    return rng.normal(size=(3, n, m)).astype(np.float32)
  if kind == "ties":
    return rng.integers(0, 3, (3, n, m))
  if kind == "int8":
    return rng.integers(-128, 128, (3, n, m)).astype(np.int8)
  return rng.integers(-5000, 5000, (3, n, m)).astype(np.float32)


@BOTH
@pytest.mark.parametrize(
  ("kind", "n", "m", "maximize"),
  [("float", 20, 20, False), ("ties", 20, 20, True), ("int8", 9, 9, True),
   ("wide", 4, 11, True), ("wide", 11, 4, False), ("ties", 1, 1, False)],
)  # fmt: skip
def test_total_cost_is_that_of_scipy(kind, n, m, maximize, implementation):
  cost = costs(kind, n, m)
  got = jax.jit(
    lambda c: transport.linear_assignment(
      c, maximize=maximize, implementation=implementation
    )
  )(cost)
  assert got.shape == (3, n) and got.dtype == jnp.int32
  for c, columns in zip(cost.astype(float), np.asarray(got), strict=True):
    kept = columns >= 0
    assert kept.sum() == min(n, m) == len(set(columns[kept].tolist()))
    value = c[np.arange(n)[kept], columns[kept]].sum()
    best = c[optimize.linear_sum_assignment(c, maximize)].sum()
    np.testing.assert_allclose(value, best, atol=1e-5)


@BOTH
def test_clustering_accuracy_of_many_classes(implementation):
  rng = np.random.default_rng(0)
  names = rng.permutation(100)
  labels = rng.integers(0, 100, 3000)
  clusters = np.where(rng.random(3000) < 0.7, names[labels], labels)
  counts = np.zeros((100, 100), np.int32)
  np.add.at(counts, (clusters, labels), 1)
  columns = jax.jit(
    lambda c: transport.linear_assignment(
      c, maximize=True, implementation=implementation
    )
  )(jnp.asarray(counts))
  np.testing.assert_array_equal(np.argsort(names), columns)


def test_assignment_with_64_bits_is_exact_for_large_costs():
  with jax.enable_x64(True):
    cost = np.random.default_rng(0).integers(0, 2**40, (20, 20))
    f = lambda c: transport.linear_assignment(c, implementation="auction")
    columns = np.asarray(jax.jit(f)(jnp.asarray(cost)))
    best = cost[optimize.linear_sum_assignment(cost)].sum()
    assert cost[np.arange(20), columns].sum() == best


@BOTH
def test_assignment_under_vmap_shard_map_and_with_bad_numbers(implementation):
  cost = jnp.asarray(np.concatenate([costs("float", 6, 6)] * 2)[:4])
  cost = cost.at[1, 2, 3].set(jnp.nan).at[3, 0, 0].set(jnp.inf)
  f = lambda c: transport.linear_assignment(c, implementation=implementation)
  expected = np.asarray(jax.jit(f)(cost))
  np.testing.assert_array_equal(expected[jnp.array([1, 3])], -1)
  assert (expected[jnp.array([0, 2])] >= 0).all()
  np.testing.assert_array_equal(jax.jit(jax.vmap(f))(cost), expected)
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  sharded = jax.shard_map(f, mesh=mesh, in_specs=ROWS, out_specs=ROWS)
  np.testing.assert_array_equal(jax.jit(sharded)(cost), expected)


def test_default_runs_where_the_program_does():
  cost = jnp.asarray(costs("float", 6, 6))
  f = jax.jit(jax.vmap(transport.linear_assignment))
  text = f.trace(cost).lower(lowering_platforms=("cpu",)).as_text()
  assert "callback" in text
  text = f.trace(cost).lower(lowering_platforms=("tpu",)).as_text()
  assert "callback" not in text
  g = lambda c: transport.linear_assignment(c, implementation="scipy")
  np.testing.assert_array_equal(f(cost), g(cost))


def test_steps_that_run_out_leave_rows_unmatched():
  cost = jnp.asarray(costs("float", 6, 6)[0])
  columns = jax.jit(
    lambda c: transport.linear_assignment(
      c, implementation="auction", max_steps=1
    )
  )(cost)
  assert (columns == -1).any()


def test_wrong_input_is_refused():
  x = jnp.ones((3, 2))
  plan = lambda c=x, e=1.0, k=1, **kw: transport.sinkhorn(
    c, epsilon=e, num_iterations=k, **kw
  )
  match = transport.linear_assignment
  for error, message, call in [
    (ValueError, "cost must have shape", lambda: plan(x[0])),
    (ValueError, "cost must have shape", lambda: plan(x[:0])),
    (TypeError, "cost must be floating", lambda: plan(x > 0)),
    (ValueError, "epsilon must", lambda: plan(e=0.0)),
    (ValueError, "num_iterations must", lambda: plan(k=0)),
    (ValueError, "row_marginal must", lambda: plan(row_marginal=x[0])),
    (ValueError, "column_marginal", lambda: plan(column_marginal=x[:, 0])),
    (TypeError, "where must be bool", lambda: plan(where=x[:, 0])),
    (ValueError, "where must have", lambda: plan(where=x[0] > 0)),
    (ValueError, "cost must have shape", lambda: match(x[0])),
    (ValueError, "cost must have shape", lambda: match(x[:, :0])),
    (TypeError, "cost must be real", lambda: match(x > 0)),
    (ValueError, "implementation", lambda: match(x, implementation="jv")),
    (ValueError, "max_steps", lambda: match(x, max_steps=0)),
  ]:
    with pytest.raises(error, match=message):
      jax.eval_shape(call)


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("sinkhorn", {"epsilon": 0.1, "num_iterations": 2}),
    ("linear_assignment", {"implementation": "scipy"}),
    ("linear_assignment", {"implementation": "auction"}),
  ],
)
def test_annotations_hold(name, options):
  f = getattr(transport, name)
  with jax.numpy_dtype_promotion("strict"):
    typed = jaxtyped(f, typechecker=beartype)
    jax.eval_shape(lambda: typed(problem()[0], **options))
