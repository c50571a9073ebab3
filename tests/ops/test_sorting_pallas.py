"""The TPU kernels: numbers in interpret mode, lowering ahead of time."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxcls import _targets, ops
from jaxcls.ops.sorting import _pallas


def permutation(x, network, implementation=None, interpret=False):
  return ops.soft_sort(
    x,
    steepness=4.0,
    network=network,
    implementation=implementation,
    interpret=interpret,
  ).matrix()


# n = 10: a slot without a comparator, and two tiles of the gradient's columns.
@pytest.mark.parametrize(("network", "n"), [("odd_even", 10), ("bitonic", 3)])
def test_interpreted_kernels_match_jnp(network, n, monkeypatch):
  monkeypatch.setattr(_pallas, "HISTORY_BYTES", 1)  # Eight columns a tile.
  rng = np.random.default_rng(0)
  x, weights = rng.normal(size=(3, n)), rng.normal(size=(3, n, n))

  def f(implementation, interpret):
    def loss(x):
      p = permutation(x, network, implementation, interpret)
      return (p * weights).sum(), p

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(
      jnp.asarray(x, jnp.float32)
    )

  for a, b in zip(
    jax.tree.leaves(f("pallas", True)),
    jax.tree.leaves(f("jnp", False)),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_pallas_by_name_raises_without_a_tpu():
  with pytest.raises(ValueError, match="interpret mode"):
    permutation(jnp.ones((2, 32)), "odd_even", "pallas")


def test_tile_must_be_whole_sublanes():
  with pytest.raises(ValueError, match="multiple of 8, got 12"):
    _pallas.matrix(None, None, columns=12)


@pytest.fixture
def chips():
  if importlib.util.find_spec("libtpu") is None:
    pytest.skip("needs libtpu, the TPU compiler")
  # Without a device nothing can be loaded from the cache: a second run of the
  # suite would warn.
  with _targets.no_compilation_cache():
    yield lambda chip: _targets.open_target(f"{chip}:2x2")[1]


def compiled(chips, chip, network, n, devices=1, shard_map=False):
  """The compiled gradient of a sum of squares of P, and P."""
  mesh = Mesh(np.array(chips(chip)[:devices]), ("data",))
  rows = PartitionSpec("data")
  f = lambda x: permutation(x, network)
  if shard_map:
    f = jax.shard_map(f, mesh=mesh, in_specs=rows, out_specs=rows)
  shape = jax.ShapeDtypeStruct(
    (256, n), jnp.float32, sharding=NamedSharding(mesh, rows)
  )
  loss = lambda x: (f(x) ** 2).sum()
  with jax.set_mesh(mesh):
    return jax.jit(jax.value_and_grad(loss)).lower(shape).compile()


@pytest.mark.slow
@pytest.mark.parametrize("network", ["odd_even", "bitonic"])
def test_compiles_for_tpu(chips, network):
  text = compiled(chips, "v6e", network, 32).as_text()
  assert text.count('custom_call_target="tpu_custom_call"') == 2


@pytest.mark.slow
def test_rule_on_several_chips(chips):
  # shard_map runs the kernels; an automatic mesh, which cannot, the jnp path.
  inside = compiled(chips, "v5e", "bitonic", 32, devices=4, shard_map=True)
  assert inside.as_text().count('target="tpu_custom_call"') == 2
  automatic = compiled(chips, "v5e", "bitonic", 32, devices=4)
  assert "tpu_custom_call" not in automatic.as_text()


@pytest.mark.slow
def test_small_n_stays_with_jnp(chips):
  text = compiled(chips, "v5e", "bitonic", 8).as_text()
  assert "tpu_custom_call" not in text
