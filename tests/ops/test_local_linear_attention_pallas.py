"""The TPU kernels: numbers in interpret mode, lowering ahead of time."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxcls import _targets, ops

lla = ops.local_linear_attention


# 20 queries in tiles of 8, 21 keys padded to 128.
@pytest.mark.parametrize(
  ("options", "masked", "dtype"),
  [
    (dict(kernel="rbf", ridge_scale="absolute"), True, jnp.float32),
    (dict(causal=True), True, jnp.bfloat16),
  ],
  ids=["rbf", "causal"],
)
def test_interpreted_kernels_match_jnp(options, masked, dtype):
  rng = np.random.default_rng(0)
  shapes = (2, 20, 2, 5), (2, 21, 2, 5), (2, 21, 2, 4)
  q, k, v = (jnp.asarray(rng.normal(size=n), dtype) for n in shapes)
  where = jnp.asarray(rng.random((2, 21)) < 0.7).at[1].set(False)
  ridge = jnp.array([0.5, 1.0])
  if masked:
    options = options | dict(where=where)

  def f(**how):
    def loss(*arrays):
      out = lla(*arrays[:3], ridge=arrays[3], iterations=6, **options, **how)
      return (out.astype(jnp.float32) ** 2).sum(), out

    grads = jax.value_and_grad(loss, argnums=(0, 1, 2, 3), has_aux=True)
    return jax.tree.leaves(jax.jit(grads)(q, k, v, ridge))

  got = f(implementation="pallas", interpret=True, block_size=8)
  tolerance = 1e-5 if dtype == jnp.float32 else 1e-2
  for a, b in zip(got, f(implementation="jnp"), strict=True):
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max())


def test_pallas_by_name_raises_where_it_cannot_run():
  q = jnp.ones((1, 8, 1, 8))
  call = functools.partial(lla, ridge=1.0, implementation="pallas")
  with pytest.raises(ValueError, match="interpret mode"):
    call(q, q, q)
  with pytest.raises(NotImplementedError, match="block sizes that 8 divides"):
    call(q, q, q, block_size=12)
  half = q.astype(jnp.float16)
  with pytest.raises(NotImplementedError, match="got float16"):
    call(half, half, half)
  long = jnp.ones((1, 32768, 1, 8))
  with pytest.raises(NotImplementedError, match="MiB of VMEM for 32768 keys"):
    call(q, long, long)


@pytest.fixture
def chips():
  if importlib.util.find_spec("libtpu") is None:
    pytest.skip("needs libtpu, the TPU compiler")
  # Without a device nothing can be loaded from the cache: a second run of the
  # suite would warn.
  with _targets.no_compilation_cache():
    yield lambda chip: _targets.open_target(f"{chip}:2x2")[1]


def count_kernels(chips, chip, f, shape, dtype, devices=1, shard_map=False):
  """Pallas kernels in the compiled value and gradient of f(q, k, v)."""
  mesh = Mesh(np.array(chips(chip)[:devices]), ("data",))
  rows = PartitionSpec("data")
  if shard_map:
    f = jax.shard_map(f, mesh=mesh, in_specs=rows, out_specs=rows)
  array = jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, rows))
  loss = lambda *a: (f(*a).astype(jnp.float32) ** 2).sum()
  step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
  with jax.set_mesh(mesh):
    traced = step.trace(*[array] * 3)
    compiled = traced.lower(lowering_platforms=("tpu",)).compile()
  return compiled.as_text().count('custom_call_target="tpu_custom_call"')


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("chip", ["v5e", "v6e"])
def test_compiles_for_tpu(chips, chip, dtype):
  f = lambda q, k, v: lla(q, k, v, ridge=1.0, iterations=2)
  assert count_kernels(chips, chip, f, (1, 70, 2, 64), dtype) == 2
  where = jnp.ones((1, 70), bool).at[:, 0].set(False)
  f = lambda q, k, v: lla(
    q, k, v, ridge=1.0, iterations=2, where=where, causal=True, kernel="rbf",
    ridge_scale="absolute",
  )  # fmt: skip
  assert count_kernels(chips, chip, f, (1, 70, 2, 64), dtype) == 2


@pytest.mark.slow
def test_rule_on_several_chips(chips):
  # An automatic mesh and shard_map both run the kernels on a device's share.
  f = lambda q, k, v: lla(q, k, v, ridge=1.0, iterations=2)
  count = functools.partial(count_kernels, chips, "v5e", f, devices=4)
  assert count((4, 128, 2, 64), jnp.float32) == 2
  assert count((4, 128, 2, 64), jnp.float32, shard_map=True) == 2
