import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import jaxtyped
from sklearn import decomposition

from jaxcls.ops import linalg

N, M, R = 8, 6, 3
ROWS = PartitionSpec("data")


def spd(n=N, dtype=jnp.float32, condition=10.0):
  rng = np.random.default_rng(0)
  q, _ = np.linalg.qr(rng.normal(size=(n, n)))
  return jnp.asarray(q * np.geomspace(1, condition, n) @ q.T, dtype)


def assert_same(got, expected, rtol, atol):
  got, expected = jax.tree.leaves(got), jax.tree.leaves(expected)
  for x, y in zip(got, expected, strict=True):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def over_devices(f, in_specs, out_specs, check_vma=True):
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  return jax.shard_map(
    f, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=check_vma
  )


@pytest.mark.parametrize("preconditioned", [False, True])
def test_cg_value_and_gradients_equal_a_direct_solve(preconditioned):
  with jax.enable_x64(True):
    a, b = spd(dtype=jnp.float64), jnp.sin(jnp.arange(N) + 1.0)
    scale = jnp.diag(a) + 0.5

    def f(a, b):
      x = linalg.conjugate_gradient(
        lambda v: a @ v, b, num_iterations=2 * N, ridge=0.5,
        preconditioner=(lambda r: r / scale) if preconditioned else None,
      )  # fmt: skip
      return (x**3).sum(), x

    def g(a, b):
      x = jnp.linalg.solve(a + 0.5 * jnp.eye(N), b)
      return (x**3).sum(), x

    grads = lambda f: jax.jit(jax.grad(f, argnums=(0, 1), has_aux=True))(a, b)
    assert_same(grads(f), grads(g), 1e-7, 1e-10)
    slope = lambda f: jax.grad(lambda b: f(a, b)[0])
    curve = lambda f: jax.jit(jax.jacrev(slope(f)))(b)
    assert_same(curve(f), curve(g), 1e-7, 1e-10)


@pytest.mark.parametrize("num_iterations", [1, 3])
def test_cg_truncated_equals_a_loop(num_iterations):
  a, b = np.asarray(spd(), np.float64), np.cos(np.arange(N))
  x, r = np.zeros(N), b
  p = r
  for _ in range(num_iterations):
    t = r @ r / (p @ a @ p)
    x, new = x + t * p, r - t * a @ p
    r, p = new, new + (new @ new) / (r @ r) * p
  f = lambda b: linalg.conjugate_gradient(
    lambda v: spd() @ v, b, num_iterations=num_iterations
  )
  got = jax.jit(f)(jnp.asarray(b, jnp.float32))
  np.testing.assert_allclose(got, x, rtol=1e-4, atol=1e-6)


def test_cg_batches_trees_zeros_and_narrow_types():
  a = spd(condition=5.0)
  matrices = jnp.stack([a, 2 * a, a])
  matvec = lambda v: jax.tree.map(
    lambda v: jnp.einsum("bij,bj->bi", matrices, v), v
  )
  b = jnp.stack([a[0], 1e4 * a[1], 0 * a[2]])
  tree = {"x": b.astype(jnp.bfloat16), "y": 3 * b}
  solve = lambda tree: linalg.conjugate_gradient(
    matvec, tree, num_iterations=3 * N, num_batch_axes=1
  )
  got = jax.jit(solve)(tree)
  assert got["x"].dtype == jnp.float32
  wide = jax.tree.map(lambda v: v.astype(jnp.float32), tree)
  expected = jax.tree.map(
    lambda v: jnp.linalg.solve(matrices, v[..., None])[..., 0], wide
  )
  for name in tree:
    error = jnp.abs(got[name] - expected[name]).max(axis=1)
    size = jnp.abs(expected[name]).max(axis=1)
    assert (error <= 1e-5 * size).all()
  np.testing.assert_array_equal(got["x"][2], 0.0)
  alone = lambda m, v: linalg.conjugate_gradient(
    lambda v: m @ v, v, num_iterations=3 * N
  )
  vmapped = jax.jit(jax.vmap(alone))(matrices, 3 * b)
  np.testing.assert_allclose(vmapped[::2], got["y"][::2], rtol=1e-4, atol=1e-5)
  grad = jax.jit(jax.grad(lambda b: (alone(a, b) ** 2).sum()))(jnp.zeros(N))
  np.testing.assert_array_equal(grad, 0.0)


@pytest.mark.parametrize("check_vma", [False, True])
def test_cg_and_eigenvalues_with_a_matvec_over_devices(check_vma):
  x = jax.random.normal(jax.random.key(0), (12, M))
  b, init = jnp.ones(M), jnp.eye(M, R)

  def f(x, total=lambda v: v):
    gram = lambda v: total(x.T @ (x @ v))
    solved = linalg.conjugate_gradient(gram, b, num_iterations=2 * M, ridge=0.1)
    return solved, linalg.power_iteration(gram, init, num_steps=60)[0]

  sharded = over_devices(
    lambda x: f(x, lambda v: jax.lax.psum(v, "data")),
    ROWS, PartitionSpec(), check_vma,
  )  # fmt: skip

  def both(f):
    loss = lambda x: sum((v**2).sum() for v in f(x))
    return jax.jit(lambda x: (f(x), jax.grad(loss)(x)))(x)

  assert_same(both(sharded), both(f), 1e-3, 1e-4)


def test_cg_batch_over_devices():
  b = jnp.stack([spd()[i] for i in range(4)])
  f = lambda b: linalg.conjugate_gradient(
    lambda v: v @ spd(), b, num_iterations=3 * N, num_batch_axes=1
  )
  got = jax.jit(over_devices(f, ROWS, ROWS))(b)
  assert_same(got, jax.jit(f)(b), 1e-5, 1e-5)


def test_eigenvalues_vectors_and_gradient_equal_eigh():
  with jax.enable_x64(True):
    a = spd(dtype=jnp.float64, condition=50.0)
    a = a - 60 * jnp.outer(a[0], a[0]) / (a[0] @ a[0])
    init = jnp.cos(jnp.arange(N * R).reshape(N, R) ** 2.0)

    def f(a):
      symmetric = (a + a.T) / 2
      values, vectors = linalg.power_iteration(
        lambda v: symmetric @ v, init, num_steps=300
      )
      return values @ jnp.arange(1.0, R + 1), (values, vectors)

    def g(a):
      values, vectors = jnp.linalg.eigh((a + a.T) / 2)
      order = jnp.argsort(-jnp.abs(values))[:R]
      values = values[order]
      return values @ jnp.arange(1.0, R + 1), (values, vectors[:, order])

    got, expected = (
      jax.jit(jax.value_and_grad(h, has_aux=True))(a) for h in (f, g)
    )
    assert (np.diff(np.sign(expected[0][1][0])) != 0).any()
    assert_same(got[0][1][0], expected[0][1][0], 1e-8, 0)
    overlap = jnp.abs(got[0][1][1].T @ expected[0][1][1])
    assert_same(overlap, jnp.eye(R), 0, 1e-6)
    assert_same(got[1], expected[1], 1e-6, 1e-6)


def test_eigenvalues_of_the_zero_operator_narrow_types_and_vmap():
  init = jnp.eye(N, R).astype(jnp.bfloat16)
  f = lambda a: linalg.power_iteration(lambda v: a @ v, init, num_steps=80)
  g = lambda a: f(a)[0].sum()
  values, vectors = jax.jit(f)(jnp.zeros((N, N)))
  np.testing.assert_array_equal(values, 0.0)
  assert_same(vectors.T @ vectors, jnp.eye(R), 0, 1e-6)
  assert np.isfinite(jax.jit(jax.grad(g))(jnp.zeros((N, N)))).all()
  both, _ = jax.jit(jax.vmap(f))(jnp.stack([spd(), 2 * spd()]))
  expected = np.geomspace(1, 10, N)[::-1][:R]
  assert both.dtype == jnp.float32
  assert_same(both, np.stack([expected, 2 * expected]), 1e-5, 0)


def factors(dtype=jnp.float32):
  """x [n m], w [n r], h [r m], where [n m]."""
  rng = np.random.default_rng(1)
  w, h = rng.random((N, R)), rng.random((R, M))
  x = rng.random((N, R)) @ rng.random((R, M)) + 0.1 * rng.random((N, M))
  x[0, 0] = 0.0
  where = jnp.asarray(rng.random((N, M)) < 0.7)
  return *(jnp.asarray(a, dtype) for a in (x, w, h)), where


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
@pytest.mark.parametrize(
  ("loss", "name"), [("frobenius", "frobenius"), ("kl", "kullback-leibler")]
)
def test_nmf_equals_sklearn(loss, name):
  with jax.enable_x64(True):
    x, w, h, _ = factors(jnp.float64)
    model = decomposition.NMF(
      R, init="custom", solver="mu", beta_loss=name, tol=0, max_iter=25
    )
    expected_w = model.fit_transform(
      np.asarray(x), W=np.array(w), H=np.array(h)
    )
    got = jax.jit(
      lambda x: linalg.nmf(x, rank=R, num_steps=25, loss=loss, init=(w, h))
    )(x)
    assert_same(got.weights, expected_w, 1e-6, 1e-9)
    assert_same(got.components, model.components_, 1e-6, 1e-9)
    objective = model.reconstruction_err_**2 / 2
    np.testing.assert_allclose(got.objective, objective, rtol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("loss", ["frobenius", "kl"])
def test_nmf_objective_never_rises(loss, masked):
  x, w, h, where = factors()
  if masked:
    x = jnp.where(where, x, jnp.nan)

  @jax.jit
  def run(x):
    def step(pair, _):
      out = linalg.nmf(
        x, rank=R, num_steps=1, loss=loss, init=pair,
        where=where if masked else None,
      )  # fmt: skip
      return (out.weights, out.components), out.objective

    return jax.lax.scan(step, (w, h), length=60)

  (w, h), objective = run(x)
  assert (np.diff(objective) <= 1e-6).all()
  assert objective[-1] < objective[0] / 5
  product = w @ h
  if loss == "frobenius":
    values = (x - product) ** 2 / 2
  else:
    log = jnp.where(x > 0, jnp.log(jnp.where(x > 0, x / product, 1)), 0)
    values = x * log - x + product
  kept = values[where] if masked else values
  np.testing.assert_allclose(objective[-1], kept.sum(), rtol=1e-3)


@pytest.mark.parametrize(
  ("loss", "given"), [("frobenius", True), ("kl", False)]
)
def test_nmf_rows_over_devices_equal_one_device(loss, given):
  x, w, h, where = factors()
  specs = linalg.NMFResult(ROWS, PartitionSpec(), PartitionSpec())

  def f(x, w, where, axis_name=None):
    start = {"init": (w, h)} if given else {"key": jax.random.key(0)}
    return linalg.nmf(
      x, rank=R, num_steps=5, loss=loss, where=where, axis_name=axis_name,
      **start,
    )  # fmt: skip

  sharded = over_devices(lambda *a: f(*a, "data"), (ROWS,) * 3, specs)
  got, expected = jax.jit(sharded)(x, w, where), jax.jit(f)(x, w, where)
  assert_same(got, expected, 1e-4, 1e-5)


def test_nmf_gradient_zeros_vmap_and_narrow_types():
  x, w, h, where = factors()
  f = lambda x: linalg.nmf(x, rank=R, num_steps=5, init=(w[: len(x)], h))
  both = jax.jit(jax.vmap(f))(jnp.stack([x, 0 * x]))
  assert_same(both.objective[0], jax.jit(f)(x).objective, 1e-4, 1e-5)
  np.testing.assert_array_equal(both.objective[1], 0.0)
  half = jax.eval_shape(f, x.astype(jnp.bfloat16))
  assert half.weights.dtype == jnp.float32
  nothing = jax.jit(
    lambda x: linalg.nmf(
      x, rank=R, num_steps=2, where=where & False, init=(w, h)
    )
  )(x)
  assert all(np.isfinite(a).all() for a in nothing)
  assert nothing.objective == 0
  assert jax.jit(f)(x[:0]).weights.shape == (0, R)
  with jax.enable_x64(True):
    x, w, h, _ = factors(jnp.float64)
    g = jax.jit(
      lambda x: linalg.nmf(x, rank=R, num_steps=3, init=(w, h)).objective
    )
    step = 1e-6 * jnp.cos(jnp.arange(N * M).reshape(N, M))
    slope = (g(x + step) - g(x - step)) / 2
    got = (jax.jit(jax.grad(g))(x) * step).sum()
    np.testing.assert_allclose(got, slope, rtol=1e-6)


def test_wrong_input_is_refused():
  x, w, h, where = factors()
  key = jax.random.key(0)
  solve = lambda b=x[0], f=lambda v: v, k=1, **kw: linalg.conjugate_gradient(
    f, b, num_iterations=k, **kw
  )
  top = lambda v=w, f=lambda v: v, k=1: linalg.power_iteration(
    f, v, num_steps=k
  )
  nmf = lambda x=x, r=R, k=1, **kw: linalg.nmf(x, rank=r, num_steps=k, **kw)
  for error, message, call in [
    (TypeError, "b must be floating", lambda: solve(where)),
    (ValueError, "num_iterations must", lambda: solve(k=0)),
    (ValueError, "ridge must", lambda: solve(ridge=-1.0)),
    (ValueError, "b must have 1", lambda: solve([x, w[:2]], num_batch_axes=1)),
    (ValueError, "num_batch_axes", lambda: solve(num_batch_axes=-1)),
    (ValueError, "b must have 2", lambda: solve(num_batch_axes=2)),
    (ValueError, "matvec must keep", lambda: solve(f=lambda v: v[:2])),
    (ValueError, "init must have", lambda: top(w[0])),
    (ValueError, "init must have", lambda: top(w.T)),
    (ValueError, "init must have", lambda: top(w[:, :0])),
    (TypeError, "init must be", lambda: top(w > 0)),
    (ValueError, "num_steps must", lambda: top(k=0)),
    (ValueError, "matvec must keep", lambda: top(f=lambda v: v[:2])),
    (ValueError, "x must have", lambda: nmf(x[0], key=key)),
    (TypeError, "x must be", lambda: nmf(x > 0, key=key)),
    (ValueError, "rank must", lambda: nmf(r=0, key=key)),
    (ValueError, "num_steps must", lambda: nmf(k=-1, key=key)),
    (ValueError, "loss must", lambda: nmf(loss="is", key=key)),
    (ValueError, "got neither", lambda: nmf()),
    (ValueError, "got both", lambda: nmf(key=key, init=(w, h))),
    (ValueError, r"init\[0\] must", lambda: nmf(init=(h, w))),
    (ValueError, r"init\[1\] must", lambda: nmf(init=(w, h[:2]))),
    (TypeError, "where must be", lambda: nmf(key=key, where=x)),
    (ValueError, "where must have", lambda: nmf(key=key, where=where[0])),
  ]:
    with pytest.raises(error, match=message):
      jax.eval_shape(call)


def test_annotations_hold():
  x, w, h, where = factors()
  calls = {
    "conjugate_gradient": lambda f: f(
      lambda v: v, x[0], num_iterations=2, ridge=0.1
    ),
    "power_iteration": lambda f: f(lambda v: 2 * v, w, num_steps=2),
    "nmf": lambda f: f(x, rank=R, num_steps=1, where=where, init=(w, h)),
  }
  for name, call in calls.items():
    f = getattr(linalg, name)
    with jax.numpy_dtype_promotion("strict"):
      typed = jaxtyped(f, typechecker=beartype)
      jax.eval_shape(lambda call=call, typed=typed: call(typed))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_unit_norm(dtype):
  x = jnp.array([[3.0, 4.0], [0.0, 0.0], [1e-3, 0.0]], dtype)
  got = jax.jit(linalg.unit_norm)(x)
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(got, [[0.6, 0.8], [0, 0], [1, 0]], rtol=1e-6)
  grad = jax.jit(jax.grad(lambda x: linalg.unit_norm(x).sum()))(x)
  assert jnp.isfinite(grad).all()
  np.testing.assert_allclose(
    linalg.unit_norm(x.T, axis=0), got.T, rtol=1e-6, atol=1e-7
  )
  with pytest.raises(TypeError, match="floating point"):
    linalg.unit_norm(jnp.arange(3))
