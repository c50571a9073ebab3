"""The network in plain jnp: wires first, batch last, columns in tiles.

Arrays are [wire, batch] or [wire, column, batch], so that a comparator is
elementwise on long contiguous rows. The share `swap` of a comparator moves
d = swap (b - a) from wire b to wire a. A layer is a symmetric matrix M_l,
hence P = M_1 ... M_L, its transpose runs the layers forward, and a cotangent
passes through a layer as a value does. Layers are never inverted (M_l is
singular at ties): the backward pass runs the layers again and keeps b - a.
"""

import functools

import jax
import jax.numpy as jnp

from jaxcls.ops.sorting import _relaxations

# Loops of at most this many layers are unrolled.
UNROLLED_LAYERS = 16


def split(network, wires):
  """The state of a network: for odd_even the even and the odd wires."""
  if network.name == "odd_even":
    return wires[::2], wires[1::2]
  padding = [(network.idle, 0)] + [(0, 0)] * (wires.ndim - 1)
  return jnp.pad(wires, padding) if network.idle else wires


def merge(network, state):
  """The wires [n ...] of a state."""
  if network.name == "bitonic":
    return state[network.idle :]
  even, odd = state
  pairs = jnp.stack([even[: len(odd)], odd], axis=1)
  pairs = pairs.reshape(2 * len(odd), *odd.shape[1:])
  return jnp.concatenate([pairs, even[len(odd) :]])


def pairs(state, kind):
  """The compared wires a, b [slots ...]; kind is a parity or a stride."""
  if isinstance(state, tuple):
    even, odd = state
    if kind == 0:
      return even[: len(odd)], odd
    return odd[: len(even) - 1], even[1:]
  halves = state.reshape(-1, 2, kind, *state.shape[1:])
  slots = (-1, *state.shape[1:])
  return halves[:, 0].reshape(slots), halves[:, 1].reshape(slots)


def move(state, kind, d):
  """Moves d from wire b to wire a of every comparator."""
  a, b = pairs(state, kind)
  a, b = a + d, b - d
  if isinstance(state, tuple):
    even, odd = state
    if kind == 0:
      return jnp.concatenate([a, even[len(odd) :]]), b
    return jnp.concatenate([even[:1], b]), jnp.concatenate([a, odd[len(a) :]])
  fold = lambda rows: rows.reshape(-1, kind, *state.shape[1:])
  return jnp.stack([fold(a), fold(b)], axis=1).reshape(state.shape)


def walk(network, layer, state, xs, reverse=False):
  """Runs state, y = layer(state, kind, x) over the layers; xs, ys [depth ...].

  Two layers of odd_even are one turn of a loop; a bitonic network, which is
  shallow and has no two layers alike in a row, is written out.
  """
  if network.name == "odd_even":
    groups = [(network.depth // 2, (0, 1)), (network.depth % 2, (0,))]
  else:
    groups = [(1, network.strides)]
  starts = [0, groups[0][0] * len(groups[0][1])]
  outputs = []
  order = list(zip(groups, starts, strict=False))
  for (turns, kinds), start in order[::-1] if reverse else order:
    stop = start + turns * len(kinds)
    if stop == start:
      continue
    shape = (turns, len(kinds))
    chunk = jax.tree.map(
      lambda x, start=start, stop=stop, shape=shape: x[start:stop].reshape(
        *shape, *x.shape[1:]
      ),
      xs,
    )

    def turn(state, x, kinds=kinds):
      ys = [None] * len(kinds)
      for i in reversed(range(len(kinds))) if reverse else range(len(kinds)):
        part = jax.tree.map(lambda x, i=i: x[i], x)
        state, ys[i] = layer(state, kinds[i], part)
      return state, jax.tree.map(lambda *y: jnp.stack(y), *ys)

    unroll = turns if network.depth <= UNROLLED_LAYERS else 1
    state, ys = jax.lax.scan(turn, state, chunk, reverse=reverse, unroll=unroll)
    flat = lambda y, stop=stop, start=start: y.reshape(
      stop - start, *y.shape[2:]
    )
    outputs.append(jax.tree.map(flat, ys))
  outputs = outputs[::-1] if reverse else outputs
  return state, jax.tree.map(lambda *y: jnp.concatenate(y), *outputs)


def to_slots(network, rows):
  """Pads the comparators of a layer to the network's slots."""
  missing = network.slots - len(rows)
  if not missing:
    return rows
  return jnp.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1))


def _swap(network, steepness, signs, gap):
  """The swapped share and the derivative of the share by the gap."""
  share, slope = _relaxations.RELAXATIONS[network.relaxation]
  signs = signs[: len(gap), None].astype(gap.dtype)
  signed, stretch = _relaxations.stretched(
    signs * gap, network.relaxation, network.art_lambda
  )
  v = steepness * signed
  swap = share(v)
  by_v = -slope(v, swap)
  keep = jnp.abs(signs)
  return keep * swap, by_v * stretch * steepness * signs, by_v * signed * keep


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def trace(network, x, steepness):
  """Sorted values [n batch] and swapped shares [depth slots batch].

  x [n batch], steepness [batch].
  """

  def layer(state, kind, signs):
    a, b = pairs(state, kind)
    gap = b - a
    swap, _, _ = _swap(network, steepness, signs, gap)
    return move(state, kind, swap * gap), to_slots(network, swap)

  state, swaps = walk(
    network, layer, split(network, x), jnp.asarray(network.signs())
  )
  return merge(network, state), swaps


def _trace_fwd(network, x, steepness):
  return trace(network, x, steepness), (x, steepness)


def _trace_bwd(network, residuals, cotangents):
  x, steepness = residuals
  d_values, d_swaps = cotangents
  signs = jnp.asarray(network.signs())

  def forward(state, kind, signs):
    a, b = pairs(state, kind)
    gap = b - a
    swap, _, _ = _swap(network, steepness, signs, gap)
    return move(state, kind, swap * gap), to_slots(network, gap)

  def backward(carry, kind, row):
    state, d_steepness = carry
    signs, gap, d_swap = row
    d_a, d_b = pairs(state, kind)
    d_gap, gap = d_b - d_a, gap[: len(d_a)]
    swap, by_gap, by_steepness = _swap(network, steepness, signs, gap)
    d_swap = d_swap[: len(d_a)] - d_gap * gap
    d_steepness = d_steepness + (d_swap * by_steepness).sum(0)
    moved = swap * d_gap - d_swap * by_gap
    return (move(state, kind, moved), d_steepness), None

  _, gaps = walk(network, forward, split(network, x), signs)
  carry = split(network, d_values), nothing(x[0])
  (state, d_steepness), _ = walk(
    network, backward, carry, (signs, gaps, d_swaps), reverse=True
  )
  return merge(network, state), d_steepness


trace.defvjp(_trace_fwd, _trace_bwd)


def run(network, swaps, columns, transpose, keep_gaps=False):
  """P columns, or P^T columns; columns and result [n c batch]."""

  def layer(state, kind, swap):
    a, b = pairs(state, kind)
    gap = b - a
    state = move(state, kind, swap[: len(gap), None] * gap)
    return state, to_slots(network, gap) if keep_gaps else None

  state, gaps = walk(
    network, layer, split(network, columns), swaps, reverse=not transpose
  )
  return merge(network, state), gaps


def run_backward(network, swaps, columns, transpose, d_out):
  """Cotangents of swaps [depth slots batch] and columns [n c batch]."""

  def layer(state, kind, row):
    swap, gap = row
    d_a, d_b = pairs(state, kind)
    d_gap = d_b - d_a
    d_swap = -(d_gap * gap[: len(d_gap)]).sum(1)
    state = move(state, kind, swap[: len(d_gap), None] * d_gap)
    return state, to_slots(network, d_swap)

  _, gaps = run(network, swaps, columns, transpose, keep_gaps=True)
  state, d_swaps = walk(
    network, layer, split(network, d_out), (swaps, gaps), reverse=transpose
  )
  return d_swaps, merge(network, state)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def apply(network, transpose, swaps, columns):
  """P columns, or P^T columns, with the gradient of `run_backward`."""
  return run(network, swaps, columns, transpose)[0]


def _apply_fwd(network, transpose, swaps, columns):
  return apply(network, transpose, swaps, columns), (swaps, columns)


def _apply_bwd(network, transpose, residuals, d_out):
  return run_backward(network, *residuals, transpose, d_out)


apply.defvjp(_apply_fwd, _apply_bwd)


def tile_columns(network, swaps, tile_bytes, history):
  """Columns to work on at once, and the number of such tiles."""
  rows = network.depth * network.slots if history else network.width
  column = rows * max(swaps.shape[-1], 1) * swaps.dtype.itemsize
  most = max(1, min(network.n, tile_bytes // max(column, 1)))
  tiles = -(-network.n // most)
  return -(-network.n // tiles), tiles


def _identity_tile(network, swaps, first, columns):
  """Columns first, first + 1, ... of the identity [n c batch]."""
  rows = jnp.arange(network.n)[:, None]
  tile = (rows == first + jnp.arange(columns)).astype(swaps.dtype)
  return tile[..., None] + nothing(swaps[0, 0])


def nothing(array):
  """Zeros that vary over the shard_map axes of an array; nan stays nan."""
  return 0 * array


def matrix(network, swaps, tile_bytes):
  """P [n n batch], a tile of columns at a time."""
  columns, tiles = tile_columns(network, swaps, tile_bytes, history=False)

  def tile(first):
    identity = _identity_tile(network, swaps, first, columns)
    return run(network, swaps, identity, transpose=False)[0]

  if tiles == 1:
    return tile(0)
  out = jax.lax.map(tile, jnp.arange(tiles) * columns)
  out = out.swapaxes(0, 1).reshape(network.n, -1, swaps.shape[-1])
  return out[:, : network.n]


def matrix_backward(network, swaps, d_matrix, tile_bytes):
  """Cotangent of swaps from that of P [n n batch]; layers run again."""
  columns, tiles = tile_columns(network, swaps, tile_bytes, history=True)
  missing = tiles * columns - network.n
  d_matrix = jnp.pad(d_matrix, ((0, 0), (0, missing), (0, 0)))

  def tile(total, first):
    identity = _identity_tile(network, swaps, first, columns)
    d_tile = jax.lax.dynamic_slice_in_dim(d_matrix, first, columns, axis=1)
    d_swaps, _ = run_backward(network, swaps, identity, False, d_tile)
    return total + d_swaps, None

  if tiles == 1:
    return tile(nothing(swaps), 0)[0]
  firsts = jnp.arange(tiles) * columns
  return jax.lax.scan(tile, nothing(swaps), firsts)[0]
