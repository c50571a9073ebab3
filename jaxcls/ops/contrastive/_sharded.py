"""Forward and backward joined, on one device or around a ring of them.

Under shard_map every device keeps its own rows and passes its columns on, with
what has been summed for them, until they are home again. Results are those of
the local items, never a global scalar: what a caller does with them is
differentiated by JAX, with its own rules for replicated values.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxcls.ops.contrastive import _blockwise


class Config(NamedTuple):
  """What is fixed when the loss is traced.

  both: totals of the columns too; axis_name: of the ring, None for none.
  """

  reduction: _blockwise.Reduction
  block_size: int
  axis_name: str | None
  both: bool = False


def _pass_on(tree, axis_name):
  """Every device hands the tree to the next one of the ring."""
  size = jax.lax.axis_size(axis_name)
  ring = [(i, (i + 1) % size) for i in range(size)]
  return jax.tree.map(lambda a: jax.lax.ppermute(a, axis_name, ring), tree)


def _around(step, carry, traveller, axis_name):
  """carry, traveller = step(carry, traveller) on every device, then home."""
  if axis_name is None:
    return step(carry, traveller)

  def body(_, state):
    carry, traveller = step(*state)
    return carry, _pass_on(traveller, axis_name)

  size = jax.lax.axis_size(axis_name)
  return jax.lax.fori_loop(0, size, body, (carry, traveller))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def pair_totals(config, rows, columns, scale, offset):
  """(row totals [n], row matches [n] or None, column totals [m] or None).

  rows, columns: _blockwise.Side; s_ij = scale * x_i . w_j + offset (or None).
  Inside shard_map n and m are one device's, the totals go over all devices;
  every array must vary over the same mesh axes.
  """
  return _pair_forward(config, rows, columns, scale, offset)[0]


def _pair_forward(config, rows, columns, scale, offset):
  reduction = config.reduction
  zero = _blockwise.varying_zero(scale.dtype, scale, offset, rows, columns)
  nothing = reduction.finish(
    tuple(jnp.asarray(v, scale.dtype) for v in reduction.start)
  )
  start = lambda side: jnp.zeros(side.vectors.shape[0], scale.dtype) + zero
  match = rows.labels is not None
  carry = start(rows) + nothing, start(rows) if match else None
  totals = start(columns) + nothing if config.both else None

  def step(carry, traveller):
    columns, column_totals = traveller
    part = _blockwise.pair_forward(
      reduction, rows, columns, scale, offset,
      both=config.both, block_size=config.block_size,
    )  # fmt: skip
    row_totals = reduction.merge(carry[0], part[0])
    row_matches = carry[1] + part[1] if match else None
    if config.both:
      column_totals = reduction.merge(column_totals, part[2])
    return (row_totals, row_matches), (columns, column_totals)

  carry, (_, totals) = _around(step, carry, (columns, totals), config.axis_name)
  return (*carry, totals), (rows, columns, scale, offset, carry[0], totals)


def _pair_backward(config, residuals, cotangents):
  rows, columns, scale, offset, row_totals, column_totals = residuals
  d_totals, d_matches, d_column_totals = cotangents
  # d s / d x_i = scale * w_j: the scale goes into [n], not into [n d].
  d_totals, d_matches, d_column_totals = jax.tree.map(
    lambda a: a * scale, (d_totals, d_matches, d_column_totals)
  )
  row_ct = _blockwise.Cotangent(row_totals, d_totals, d_matches)
  column_ct = None
  if config.both:
    column_ct = _blockwise.Cotangent(column_totals, d_column_totals)
  zero = _blockwise.varying_zero(scale.dtype, scale, offset, rows, columns)
  zeros = lambda side: jnp.zeros(side.vectors.shape, scale.dtype) + zero

  def step(carry, traveller):
    d_rows, d_offset = carry
    columns, column_ct, d_columns = traveller
    part = _blockwise.pair_backward(
      config.reduction, rows, columns, scale, offset, row_ct, column_ct,
      block_size=config.block_size,
    )  # fmt: skip
    carry = d_rows + part[0], d_offset + part[2]
    return carry, (columns, column_ct, d_columns + part[1])

  (d_rows, d_offset), (_, _, d_columns) = _around(
    step,
    (zeros(rows), zero),
    (columns, column_ct, zeros(columns)),
    config.axis_name,
  )
  d_scale = (rows.vectors.astype(scale.dtype) * d_rows).sum() / scale
  return (
    _blockwise.Side(d_rows.astype(rows.vectors.dtype)),
    _blockwise.Side(d_columns.astype(columns.vectors.dtype)),
    d_scale,
    None if offset is None else d_offset / scale,
  )


pair_totals.defvjp(_pair_forward, _pair_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def self_totals(config, items, scale):
  """(totals [n], matches [n]) of every item over all the others.

  items: _blockwise.Side with labels; s_ij = scale * z_i . z_j, i != j. Inside
  shard_map n is one device's and the others are those of all devices.
  """
  return _self_forward(config, items, scale)[0]


def _others(step, carry, traveller, axis_name):
  """carry = step(carry, traveller) for the blocks of all other devices."""
  if axis_name is None:
    return carry

  def body(_, state):
    carry, traveller = state
    traveller = _pass_on(traveller, axis_name)
    return step(carry, traveller), traveller

  size = jax.lax.axis_size(axis_name)
  return jax.lax.fori_loop(1, size, body, (carry, traveller))[0]


def _self_forward(config, items, scale):
  reduction, block_size = config.reduction, config.block_size
  own = _blockwise.self_forward(reduction, items, scale, block_size=block_size)

  def step(carry, others):
    totals, matches, _ = _blockwise.pair_forward(
      reduction, items, others, scale, None, both=False, block_size=block_size
    )
    return reduction.merge(carry[0], totals), carry[1] + matches

  totals, matches = _others(step, own, items, config.axis_name)
  return (totals, matches), (items, scale, totals)


def _self_backward(config, residuals, cotangents):
  items, scale, totals = residuals
  cotangent = _blockwise.Cotangent(totals, *(a * scale for a in cotangents))
  own = _blockwise.self_backward(
    config.reduction, items, scale, cotangent, block_size=config.block_size
  )

  # Similarities are symmetric: what the others owe to this device's items is
  # computed here, from their totals, so that no gradient has to travel.
  def step(d_items, traveller):
    others, other_cotangent = traveller
    part, _, _ = _blockwise.pair_backward(
      config.reduction, items, others, scale, None, cotangent,
      other_cotangent, block_size=config.block_size, into_columns=False,
    )  # fmt: skip
    return d_items + part

  d_items = _others(step, own, (items, cotangent), config.axis_name)
  # Every pair is in d_items of both its ends.
  vectors = items.vectors.astype(scale.dtype)
  d_scale = (vectors * d_items).sum() / (2 * scale)
  return _blockwise.Side(d_items.astype(items.vectors.dtype)), d_scale


self_totals.defvjp(_self_forward, _self_backward)


def same_axes(*trees):
  """The trees, every array varying over the union of their mesh axes.

  Adding a varying 0 lets JAX transpose the step to the psum it stands for.
  """
  zero = _blockwise.varying_zero(jnp.float32, trees)

  def vary(a):
    return a ^ (zero != 0) if a.dtype == jnp.bool_ else a + zero.astype(a.dtype)

  return jax.tree.map(vary, trees)


def gather(a, axis_name):
  """All devices' rows of an array or None; the same without an axis."""
  if a is None or axis_name is None:
    return a
  return jax.lax.all_gather(a, axis_name, tiled=True)


def count_matches(labels, others, keep):
  """How many kept items of `others` carry each label: [n], [m], [m] -> [n]."""
  order = jnp.argsort(others)
  ordered = others[order]
  kept = jnp.ones_like(others) if keep is None else keep.astype(others.dtype)
  below = jnp.concatenate([jnp.zeros_like(kept[:1]), jnp.cumsum(kept[order])])
  first = jnp.searchsorted(ordered, labels, side="left")
  last = jnp.searchsorted(ordered, labels, side="right")
  return below[last] - below[first]
