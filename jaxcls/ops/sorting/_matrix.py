"""The relaxed permutation: which implementation runs, and its gradient."""

import functools

import jax

from jaxcls.ops.sorting import _pallas, _tiles

# The columns that are worked on at once: on a CPU they stay in a core's own
# cache; elsewhere they should fill the device.
CPU_TILE_BYTES = 512 << 10
TILE_BYTES = 4 << 20


def _choose(network, implementation, interpret, swaps, args, suffix):
  """The one place that decides: by name, else by platform, n and dtype."""
  kernel = functools.partial(getattr(_pallas, "matrix" + suffix), network)
  plain = functools.partial(getattr(_tiles, "matrix" + suffix), network)
  if implementation == "pallas":
    return kernel(swaps, *args, interpret=interpret)
  platforms = dict(
    cpu=functools.partial(plain, tile_bytes=CPU_TILE_BYTES),
    default=functools.partial(plain, tile_bytes=TILE_BYTES),
  )
  if implementation is None and _pallas.serves(network, swaps):
    platforms["tpu"] = kernel
  return jax.lax.platform_dependent(swaps, *args, **platforms)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def matrix(network, implementation, interpret, swaps):
  """P [n n batch] from swaps [depth slots batch], the only residual."""
  return _choose(network, implementation, interpret, swaps, (), "")


def _matrix_fwd(network, implementation, interpret, swaps):
  return matrix(network, implementation, interpret, swaps), swaps


def _matrix_bwd(network, implementation, interpret, swaps, d_out):
  return (
    _choose(network, implementation, interpret, swaps, (d_out,), "_backward"),
  )


matrix.defvjp(_matrix_fwd, _matrix_bwd)
