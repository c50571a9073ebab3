"""The relaxed permutation in plain jnp, a tile of its columns at a time."""

import jax
import jax.numpy as jnp

from jaxcls.ops.sorting import _fast, _relaxations


def tile_columns(network, swaps, tile_bytes):
  """Columns to work on at once, and the number of such tiles."""
  column = network.width * max(swaps.shape[-1], 1) * swaps.dtype.itemsize
  most = max(1, min(network.n, tile_bytes // column))
  tiles = -(-network.n // most)
  return -(-network.n // tiles), tiles


def _identity_tile(network, swaps, first, columns):
  """Columns first, first + 1, ... of the identity [n c batch]."""
  rows = jnp.arange(network.n)[:, None]
  tile = (rows == first + jnp.arange(columns)).astype(swaps.dtype)
  return tile[..., None] + _fast.nothing(swaps[0, 0])


def matrix(network, swaps, tile_bytes):
  """P [n n batch], a tile of columns at a time."""
  columns, tiles = tile_columns(network, swaps, tile_bytes)
  shares = _relaxations.decode(swaps)

  def tile(first):
    identity = _identity_tile(network, swaps, first, columns)
    return _fast.run(network, shares, identity, transpose=False)[0]

  if tiles == 1:
    return tile(0)
  out = jax.lax.map(tile, jnp.arange(tiles) * columns)
  out = out.swapaxes(0, 1).reshape(network.n, -1, swaps.shape[-1])
  return out[:, : network.n]


def matrix_backward(network, swaps, d_matrix, tile_bytes):
  """Cotangent of swaps from that of P [n n batch]; layers run again."""
  # Half of the bytes: the gaps of a few layers stand beside the wires.
  columns, tiles = tile_columns(network, swaps, tile_bytes // 2)
  shares, missing = _relaxations.decode(swaps), tiles * columns - network.n
  d_matrix = jnp.pad(d_matrix, ((0, 0), (0, missing), (0, 0)))

  def tile(total, first):
    identity = _identity_tile(network, swaps, first, columns)
    d_tile = jax.lax.dynamic_slice_in_dim(d_matrix, first, columns, axis=1)
    d_swaps, _ = _fast.run_backward(network, shares, identity, False, d_tile)
    return total + d_swaps, None

  if tiles == 1:
    return tile(_fast.nothing(swaps), 0)[0]
  firsts = jnp.arange(tiles) * columns
  return jax.lax.scan(tile, _fast.nothing(swaps), firsts)[0]
