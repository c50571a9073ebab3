"""What holds for every public function of a package, said once.

A package joins with a table (contract_losses.py, contract_cases.py): one Case
for each of its public functions. What takes no array of examples (sources,
plans, programs, accountants) stands in `HOST` instead and must occur in another
test. A public function in neither fails `test_every_public_name_has_a_row`.
"""

import functools
import inspect
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from contract_cases import HOST, TABLES
from contract_losses import NUM_CLASSES, example
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.test_util import check_grads
from jaxtyping import jaxtyped

ROWS = [(p, name) for p, (_, cases) in TABLES.items() for name in cases]
case_of = lambda row: TABLES[row[0]][1][row[1]]
PER_EXAMPLE = [row for row in ROWS if case_of(row).kind in ("value", "rows")]
BATCH = [row for row in ROWS if case_of(row).kind == "batch"]
# Further types only where logits come from a model in bfloat16.
EXTREME = [(*row, jnp.float32) for row in ROWS]
EXTREME += [(*row, jnp.bfloat16) for row in ROWS if row[0] == "losses"]
SMOOTH = [row for row in ROWS if case_of(row).gradient]
# Where examples meet, a batch has one axis, and several of them.
PLAIN = (((4,), jnp.float32), ((4,), jnp.bfloat16))
SHAPES = [
  pytest.param(*row, batch, dtype, id=f"{row[1]}-{batch}-{dtype.__name__}")
  for row in ROWS
  for batch, dtype in (
    *PLAIN,
    *(((2, 2), jnp.bfloat16), ((0,), jnp.float32)) * (row in PER_EXAMPLE),
  )
]


def takes_where(package, name):
  """Whether the public function has a keyword `where`."""
  f = getattr(TABLES[package][0], name)
  where = inspect.signature(f).parameters.get("where")
  keyword = where is not None and where.kind is inspect.Parameter.KEYWORD_ONLY
  return keyword and TABLES[package][1][name].mask is not None


MASKED = [row for row in ROWS if takes_where(*row)]
every_row = pytest.mark.parametrize(("package", "name"), ROWS)
every_per_example_row = pytest.mark.parametrize(
  ("package", "name"), PER_EXAMPLE
)


def public_functions(module):
  return {n for n, f in inspect.getmembers(module, inspect.isfunction)}


def bind(package, name, typed=False):
  """The case as a function of (logits, labels) only."""
  module, cases = TABLES[package]
  f = getattr(module, name)
  f = jaxtyped(f, typechecker=beartype) if typed else f
  return lambda x, y: cases[name].call(f, x, y)


@pytest.mark.parametrize("package", TABLES)
def test_every_public_name_has_a_row(package):
  module, cases = TABLES[package]
  host = HOST.get(package, set())
  assert public_functions(module) == set(cases) | host
  assert not host & set(cases)
  files = pathlib.Path(__file__).parent.glob("*/**/test_*.py")
  words = set(re.findall(r"\w+", "".join(p.read_text() for p in files)))
  assert host <= words


@pytest.mark.parametrize(("package", "name", "batch", "dtype"), SHAPES)
def test_shape_dtype_and_finite_grad(package, name, batch, dtype):
  case = TABLES[package][1][name]
  call = bind(package, name, typed=True)  # the annotations must hold
  f = jax.jit(
    lambda x, y: (call(x, y), jax.grad(lambda x: call(x, y).sum())(x))
  )
  promotion = "strict" if case.strict else "standard"
  with jax.numpy_dtype_promotion(promotion):
    value, grad = f(*example(batch, dtype))
  if case.kind == "scalar":
    assert value.shape == ()
  elif case.kind == "value":
    assert value.shape == batch
  else:
    assert value.shape[: len(batch)] == batch
  assert value.dtype == (dtype if case.keeps_dtype else jnp.float32)
  assert grad.dtype == dtype
  assert np.isfinite(value).all()
  assert np.isfinite(grad.astype(jnp.float32)).all()


@pytest.mark.parametrize(("package", "name", "dtype"), EXTREME)
def test_finite_at_extreme_logits(package, name, dtype):
  rows = [[1, -1, -1], [-1, 1, 1], [1, 1, 1], [-1, -1, -1], [0, 1, -1]]
  x = jnp.asarray(np.repeat(rows, NUM_CLASSES, axis=0) * 1e4, dtype)
  y = jnp.tile(jnp.arange(NUM_CLASSES), len(rows))
  call = bind(package, name)
  value, grad = jax.jit(
    lambda x, y: (call(x, y), jax.grad(lambda x: call(x, y).sum())(x))
  )(x, y)
  assert np.isfinite(value).all()
  assert np.isfinite(grad.astype(jnp.float32)).all()


@pytest.mark.parametrize(("package", "name"), SMOOTH)
def test_gradient_matches_finite_differences(package, name):
  x, y = example((4,))
  call = bind(package, name)
  f = jax.jit(lambda x: call(x, y).sum())
  # A wider step than the default: sums over images round more than losses.
  check_grads(f, (x,), order=1, modes=["rev"], atol=1e-2, rtol=1e-2, eps=1e-3)


@every_row
def test_jit_equals_eager(package, name):
  x, y = example((4,))
  f = bind(package, name)
  np.testing.assert_allclose(jax.jit(f)(x, y), f(x, y), rtol=1e-5, atol=1e-6)


@every_per_example_row
def test_vmap_equals_batch(package, name):
  x, y = example((4,))
  f = bind(package, name)
  np.testing.assert_allclose(
    jax.jit(jax.vmap(f))(x, y), jax.jit(f)(x, y), rtol=1e-5, atol=1e-6
  )


@every_per_example_row
def test_shard_map_equals_one_device(package, name):
  x, y = example((8,))
  f = bind(package, name)
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  rows = PartitionSpec("data")
  sharded = jax.shard_map(f, mesh=mesh, in_specs=(rows, rows), out_specs=rows)
  both = jax.jit(
    lambda x, y: (sharded(x, y), jax.grad(lambda x: sharded(x, y).sum())(x))
  )
  one = jax.jit(lambda x, y: (f(x, y), jax.grad(lambda x: f(x, y).sum())(x)))
  for got, expected in zip(both(x, y), one(x, y), strict=True):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("package", "name"), BATCH)
def test_split_over_devices_equals_one_device(package, name):
  x, y = example((8,))
  f = bind(package, name)
  both = jax.jit(lambda x, y: (f(x, y), jax.grad(lambda x: f(x, y).sum())(x)))
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  rows = NamedSharding(mesh, PartitionSpec("data"))
  split = both(jax.device_put(x, rows), jax.device_put(y, rows))
  for got, expected in zip(split, both(x, y), strict=True):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("package", "name"), MASKED)
def test_nothing_kept_gives_zero_and_no_gradient(package, name):
  module, cases = TABLES[package]
  x, y = example((4,))
  f = functools.partial(
    getattr(module, name), where=jnp.zeros(cases[name].mask, bool)
  )
  call = lambda x: cases[name].call(f, x, y)
  value, grad = jax.jit(
    lambda x: (call(x), jax.grad(lambda x: call(x).sum())(x))
  )(x)
  assert not value.any()
  assert not grad.any()
