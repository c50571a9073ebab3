"""Tile by tile over similarities s_ij = scale * x_i . w_j + offset.

No function here is differentiable: `_sharded.py` joins forward and backward
in a custom VJP. A reduction f turns a row of similarities into one total
(log-sum-exp or sum of softplus); `matches` are plain sums of s_ij over the
pairs of equal labels. A pair with an item that is not kept counts for nothing.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Side(NamedTuple):
  """Items of one side: vectors [n d], keep [n] bool, labels [n] int or None."""

  vectors: jax.Array
  keep: jax.Array | None = None
  labels: jax.Array | None = None


class Cotangent(NamedTuple):
  """What the backward pass knows of one side's items, each [n].

  total: the forward result; d_total, d_matches: cotangents of the results.
  """

  total: jax.Array
  d_total: jax.Array
  d_matches: jax.Array | None = None


class Reduction(NamedTuple):
  """A row total that is built from one tile of similarities after another.

  start: identity, as a tuple of scalars; fold: (state, s, axis) -> state;
  finish: state -> total; merge: totals of two parts -> total of both;
  weight: (s, total) -> d total / d s.
  """

  start: tuple
  fold: Callable
  finish: Callable
  merge: Callable
  weight: Callable


def _fold_logsumexp(state, s, axis):
  top, total = state
  new_top = jnp.maximum(top, s.max(axis))
  # -inf - -inf is nan: a row that has seen nothing yet subtracts 0.
  safe = jnp.where(new_top == -jnp.inf, 0.0, new_top)
  tile = jnp.exp(s - jnp.expand_dims(safe, axis)).sum(axis)
  return new_top, total * jnp.exp(top - safe) + tile


LOGSUMEXP = Reduction(
  start=(-math.inf, 0.0),
  fold=_fold_logsumexp,
  finish=lambda state: state[0] + jnp.log(state[1]),
  merge=jnp.logaddexp,
  # A row without any pair has total -inf and must get weights 0, not nan.
  weight=lambda s, total: jnp.exp(
    s - jnp.where(total == -jnp.inf, jnp.inf, total)
  ),
)
SUM_SOFTPLUS = Reduction(
  start=(0.0,),
  fold=lambda state, s, axis: (state[0] + jax.nn.softplus(s).sum(axis),),
  finish=lambda state: state[0],
  merge=jnp.add,
  weight=lambda s, total: jax.nn.sigmoid(s),
)


def varying_zero(dtype, *trees):
  """Scalar 0 that varies over every mesh axis that one of the arrays does.

  Inside shard_map a loop's carry must start with the type it ends with.
  """
  zero = jnp.zeros((), dtype)
  for array in jax.tree.leaves(trees):
    zero = zero + jnp.zeros_like(array.ravel()[0]).astype(dtype)
  return zero


def _split(tree, n, block_size):
  """[n ...] -> [blocks size ...], padded with 0 (keep: with False)."""
  blocks = -(-n // block_size)
  multiple = math.gcd(block_size, 8) if blocks > 1 else 1
  size = -(-n // (blocks * multiple)) * multiple
  blocks = -(-n // size)
  pad = blocks * size - n

  def split(a):
    widths = [(0, pad)] + [(0, 0)] * (a.ndim - 1)
    a = jnp.pad(a, widths) if pad else a
    return a.reshape(blocks, size, *a.shape[1:])

  if isinstance(tree, Side) and pad and tree.keep is None:
    tree = tree._replace(keep=jnp.ones(n, bool))
  return jax.tree.map(split, tree)


def _join(a, n):
  """Undoes _split: [blocks size ...] -> [n ...]."""
  return a.reshape(-1, *a.shape[2:])[:n]


def _at(tree, i):
  """Block i of every array."""
  return jax.tree.map(
    lambda a: jax.lax.dynamic_index_in_dim(a, i, keepdims=False), tree
  )


def _put(tree, values, i):
  """Writes block i of every array."""
  return jax.tree.map(
    lambda a, v: jax.lax.dynamic_update_index_in_dim(a, v, i, 0), tree, values
  )


def _up(x, scale):
  """Vectors in the type of the sums."""
  return x.astype(scale.dtype)


def _tile(rows, columns, scale, offset, same=False):
  """Similarities [b c], -inf where a pair does not count, and equal labels.

  same: rows and columns are one block, an item is no pair with itself.
  """
  x = _up(rows.vectors, scale) * scale
  s = x @ _up(columns.vectors, scale).T
  if offset is not None:
    s = s + offset
  valid = None
  if rows.keep is not None:
    valid = rows.keep[:, None]
  if columns.keep is not None:
    valid = columns.keep & (True if valid is None else valid)
  if same:
    other = ~jnp.eye(s.shape[0], dtype=bool)
    valid = other if valid is None else other & valid
  equal = None
  if rows.labels is not None:
    equal = rows.labels[:, None] == columns.labels
    equal = equal if valid is None else equal & valid
  return s if valid is None else jnp.where(valid, s, -jnp.inf), equal


def _fold(reduction, state, s, equal, axis):
  """state: (reduction's state, matches or None)."""
  inner, matches = state
  if matches is not None:
    matches = matches + jnp.where(equal, s, 0.0).sum(axis)
  return reduction.fold(inner, s, axis), matches


def _start(reduction, shape, zero, match):
  inner = tuple(jnp.full(shape, v, zero.dtype) + zero for v in reduction.start)
  return inner, jnp.zeros(shape, zero.dtype) + zero if match else None


def _weight(reduction, s, equal, cotangent, axis):
  """Share of d loss / d s that comes through the items along `axis`."""
  total, d_total, d_matches = (
    None if a is None else jnp.expand_dims(a, axis) for a in cotangent
  )
  weight = d_total * reduction.weight(s, total)
  if d_matches is None:
    return weight
  return weight + jnp.where(equal, d_matches, 0.0)


def pair_forward(reduction, rows, columns, scale, offset, *, both, block_size):
  """Totals of every row over all columns, and with `both` of every column.

  Returns (row totals [n], row matches [n] or None, column totals [m] or
  None). A row that is not kept, or has no pair, gets reduction of nothing.
  """
  n, m = rows.vectors.shape[0], columns.vectors.shape[0]
  match = rows.labels is not None
  zero = varying_zero(scale.dtype, scale, offset, rows, columns)
  rows, columns = _split(rows, n, block_size), _split(columns, m, block_size)
  shape = columns.vectors.shape[:2]
  column_states = _start(reduction, shape, zero, False)[0] if both else ()

  def outer(column_states, row):
    def inner(state, column):
      column, column_state = column
      s, equal = _tile(row, column, scale, offset)
      if both:
        column_state = reduction.fold(column_state, s, 0)
      return _fold(reduction, state, s, equal, 1), column_state

    start = _start(reduction, row.vectors.shape[:1], zero, match)
    state, column_states = jax.lax.scan(inner, start, (columns, column_states))
    return column_states, (reduction.finish(state[0]), state[1])

  column_states, (totals, matches) = jax.lax.scan(outer, column_states, rows)
  return (
    _join(totals, n),
    _join(matches, n) if match else None,
    _join(reduction.finish(column_states), m) if both else None,
  )


def pair_backward(
  reduction, rows, columns, scale, offset, row_ct, column_ct, *, block_size,
  into_columns=True,
):  # fmt: skip
  """Gradients (rows [n d], columns [m d] or None, offset), each / scale.

  The weights T_ij = d loss / d s_ij are recomputed tile by tile.
  column_ct: None, or the cotangents of the column totals.
  """
  n, m = rows.vectors.shape[0], columns.vectors.shape[0]
  zero = varying_zero(scale.dtype, scale, offset, rows, columns)
  rows, columns = _split(rows, n, block_size), _split(columns, m, block_size)
  row_ct = _split(row_ct, n, block_size)
  column_ct = _split(column_ct, m, block_size)
  d_columns = None
  if into_columns:
    d_columns = jnp.zeros(columns.vectors.shape, scale.dtype) + zero

  def outer(carry, row):
    row, row_ct = row

    def inner(carry, column):
      j, column, column_ct = column
      d_row, d_columns, d_offset = carry
      s, equal = _tile(row, column, scale, offset)
      t = _weight(reduction, s, equal, row_ct, 1)
      if column_ct is not None:
        t = t + _weight(reduction, s, equal, column_ct, 0)
      d_row = d_row + t @ _up(column.vectors, scale)
      if into_columns:
        d_column = _at(d_columns, j) + t.T @ _up(row.vectors, scale)
        d_columns = _put(d_columns, d_column, j)
      if offset is not None:
        d_offset = d_offset + t.sum()
      return (d_row, d_columns, d_offset), None

    d_columns, d_offset = carry
    d_row = jnp.zeros(row.vectors.shape, scale.dtype) + zero
    blocks = jnp.arange(columns.vectors.shape[0])
    (d_row, d_columns, d_offset), _ = jax.lax.scan(
      inner, (d_row, d_columns, d_offset), (blocks, columns, column_ct)
    )
    return (d_columns, d_offset), d_row

  (d_columns, d_offset), d_rows = jax.lax.scan(
    outer, (d_columns, zero), (rows, row_ct)
  )
  return (
    _join(d_rows, n),
    _join(d_columns, m) if into_columns else None,
    d_offset,
  )


def _upper_half(blocks):
  """How a symmetric matrix of tiles is covered by its rows i of tiles.

  Row i takes tiles (i, i + k mod blocks) for k = 1 .. steps, each for both of
  its sides, so every trip count is static. With an even number of blocks the
  opposite tile is left over: both of its rows take it, each for itself.
  """
  return (blocks - 1) // 2, blocks // 2 if blocks % 2 == 0 else None


def self_forward(reduction, items, scale, *, block_size):
  """(totals [n], matches [n]) of every item over all other items."""
  n = items.vectors.shape[0]
  zero = varying_zero(scale.dtype, scale, items)
  items = _split(items, n, block_size)
  blocks, size = items.vectors.shape[:2]
  steps, opposite = _upper_half(blocks)
  states = _start(reduction, (blocks, size), zero, True)

  def outer(i, states):
    row = _at(items, i)
    state = _at(states, i)
    s, equal = _tile(row, row, scale, None, same=True)
    state = _fold(reduction, state, s, equal, 1)
    if opposite is not None:
      column = _at(items, (i + opposite) % blocks)
      s, equal = _tile(row, column, scale, None)
      state = _fold(reduction, state, s, equal, 1)

    def inner(k, carry):
      state, states = carry
      j = (i + 1 + k) % blocks
      s, equal = _tile(row, _at(items, j), scale, None)
      other = _fold(reduction, _at(states, j), s, equal, 0)
      return _fold(reduction, state, s, equal, 1), _put(states, other, j)

    state, states = jax.lax.fori_loop(0, steps, inner, (state, states))
    return _put(states, state, i)

  states, matches = jax.lax.fori_loop(0, blocks, outer, states)
  return _join(reduction.finish(states), n), _join(matches, n)


def self_backward(reduction, items, scale, cotangent, *, block_size):
  """Gradient [n d] / scale: both ends of every pair, each tile once."""
  n = items.vectors.shape[0]
  zero = varying_zero(scale.dtype, scale, items)
  items = _split(items, n, block_size)
  cotangent = _split(cotangent, n, block_size)
  blocks = items.vectors.shape[0]
  steps, opposite = _upper_half(blocks)
  d_items = jnp.zeros(items.vectors.shape, scale.dtype) + zero

  def outer(i, d_items):
    row, row_ct = _at((items, cotangent), i)

    def weights(column, column_ct, same=False):
      s, equal = _tile(row, column, scale, None, same)
      t = _weight(reduction, s, equal, row_ct, 1)
      return t + _weight(reduction, s, equal, column_ct, 0)

    d_row = weights(row, row_ct, same=True) @ _up(row.vectors, scale)
    if opposite is not None:
      column, column_ct = _at((items, cotangent), (i + opposite) % blocks)
      d_row = d_row + weights(column, column_ct) @ _up(column.vectors, scale)

    def inner(k, carry):
      d_row, d_items = carry
      j = (i + 1 + k) % blocks
      column, column_ct = _at((items, cotangent), j)
      t = weights(column, column_ct)
      d_row = d_row + t @ _up(column.vectors, scale)
      d_column = _at(d_items, j) + t.T @ _up(row.vectors, scale)
      return d_row, _put(d_items, d_column, j)

    d_row, d_items = jax.lax.fori_loop(0, steps, inner, (d_row, d_items))
    return _put(d_items, _at(d_items, i) + d_row, i)

  return _join(jax.lax.fori_loop(0, blocks, outer, d_items), n)
