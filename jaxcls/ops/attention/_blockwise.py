"""Local linear attention in jnp: one tile of queries after another.

Arrays are [heads, length, width]. A tile holds the weights of some queries of
some heads to all keys, so memory is O(block_size s), not O(t s), and conjugate
gradients read the weights instead of computing them again.
"""

import jax
import jax.numpy as jnp

from jaxcls.ops.attention import _tile


def _sizes(heads, t, s, block_size, tile_bytes):
  """(heads, rows) of a tile: even shares, rows <= block_size."""
  blocks = -(-t // block_size)
  rows = -(-t // blocks)
  fit = max(tile_bytes // (rows * s * 4), 1)
  groups = -(-heads // min(fit, heads))
  return -(-heads // groups), rows


def _split(array, sizes):
  """[heads t *] -> [groups, blocks, heads of a tile, rows, *], padded."""
  pad = [(0, -n % m) for n, m in zip(array.shape, sizes, strict=False)]
  pad += [(0, 0)] * (array.ndim - len(pad))
  array = jnp.pad(array, pad) if any(p for _, p in pad) else array
  (heads, t, *rest), (g, rows) = array.shape, sizes
  return array.reshape(heads // g, g, t // rows, rows, *rest).swapaxes(1, 2)


def _join(array, heads, t):
  """Undoes _split."""
  groups, blocks, g, rows, *rest = array.shape
  array = array.swapaxes(1, 2).reshape(groups * g, blocks * rows, *rest)
  return array[:heads, :t]


def _tiles(spec, q, k, v, ridge, keep, sizes):
  """What a loop over tiles reads: by group and block, and by group."""
  s = k.shape[1]
  rows = _split(q, sizes), _split(ridge, sizes)
  keys = [_split(a, (sizes[0], s))[:, 0] for a in (k, v)]
  keys.append(None if keep is None else _split(keep, (sizes[0], s))[:, 0])
  return rows, tuple(keys)


def _over_heads(f, first_row, rows, keys):
  """f on every head of a tile; `rows` and `keys` have a leading head axis."""

  def one(q, ridge, k, v, keep, *rest):
    up = lambda a: a.astype(ridge.dtype)
    keep = None if keep is None else keep[None]
    return f(
      up(q), up(k), up(v), ridge[:, None], keep, first_row, *map(up, rest)
    )

  q, ridge, *rest = rows
  return jax.vmap(one)(q, ridge, *keys, *rest)


def forward(spec, q, k, v, ridge, keep, *, block_size, tile_bytes):
  """(o, x): [heads t e] as v, and the solution [heads t d] as ridge.

  q [heads t d], k [heads s d], v [heads s e], ridge [heads t] in the type of
  the sums, keep [heads s] bool or None.
  """
  heads, t, _ = q.shape
  sizes = _sizes(heads, t, k.shape[1], block_size, tile_bytes)
  f = lambda *a: _tile.forward(spec, *a)

  def block(keys, i, rows):
    o, x = _over_heads(f, i * sizes[1], rows, keys)
    return o.astype(v.dtype), x

  def group(args):
    rows, keys = args
    blocks = jnp.arange(rows[0].shape[0])
    return jax.lax.map(lambda a: block(keys, *a), (blocks, rows))

  o, x = jax.lax.map(group, _tiles(spec, q, k, v, ridge, keep, sizes))
  return _join(o, heads, t), _join(x, heads, t)


def backward(spec, q, k, v, ridge, keep, x, g, *, block_size, tile_bytes):
  """Cotangents of q, k, v, ridge from g [heads t e], each as its primal."""
  heads, t, _ = q.shape
  sizes = _sizes(heads, t, k.shape[1], block_size, tile_bytes)
  rows, keys = _tiles(spec, q, k, v, ridge, keep, sizes)
  rows = (*rows, _split(x, sizes), _split(g, sizes))
  f = lambda *a: _tile.backward(spec, *a)

  def group(args):
    rows, keys = args

    def block(sums, args):
      i, rows = args
      d_q, d_k, d_v, d_ridge = _over_heads(f, i * sizes[1], rows, keys)
      sums = sums[0] + d_k, sums[1] + d_v
      return sums, (d_q.astype(q.dtype), d_ridge[..., 0])

    # The carry starts with the type it ends with, inside shard_map too.
    zeros = lambda a: jnp.zeros_like(a, ridge.dtype)
    start = zeros(keys[0]), zeros(keys[1])
    blocks = jnp.arange(rows[0].shape[0])
    sums, (d_q, d_ridge) = jax.lax.scan(block, start, (blocks, rows))
    d_k, d_v = sums[0].astype(k.dtype), sums[1].astype(v.dtype)
    return d_q, d_k, d_v, d_ridge

  d_q, d_k, d_v, d_ridge = jax.lax.map(group, (rows, keys))
  flat = lambda a: a.reshape(-1, *a.shape[2:])[:heads]
  return _join(d_q, heads, t), flat(d_k), flat(d_v), _join(d_ridge, heads, t)
