"""The network in plain jnp: wires first, batch last, columns in tiles.

Arrays are [wire, batch] or [wire, column, batch], so that a comparator is
elementwise on long contiguous rows. A layer is a symmetric matrix M_l, hence
P = M_1 ... M_L, its transpose runs the layers forward, and a cotangent passes
through a layer as a value does. `swaps` are the coded shares of `_relaxations`;
the cotangent under that name is of the swapped share itself, which every
function here that reads or writes it knows. Layers are never inverted (M_l is
singular at ties): the backward pass runs the layers again and keeps b - a.
"""

import functools
import operator

import jax
import jax.numpy as jnp

from jaxcls.ops.sorting import _relaxations

# Layers in a turn of a loop; a network of at most twice as many is unrolled.
LAYERS_PER_TURN = 8
# So many columns are added one by one.
FEW_COLUMNS = 16


def pad(network, rows):
  """Adds the bitonic network's idle wires below wires [n ...]."""
  if not network.idle:
    return rows
  return jnp.pad(rows, [(network.idle, 0)] + [(0, 0)] * (rows.ndim - 1))


def pairs(network, wires, kind):
  """The compared wires a, b [slots ...]; kind is a parity or a stride."""
  stride = kind
  if network.name == "odd_even":
    stop = network.n - (network.n - kind) % 2
    wires, stride = wires[kind:stop], 1
  rest = wires.shape[1:]
  halves = wires.reshape(len(wires) // (2 * stride), 2, stride, *rest)
  slots = (len(wires) // 2, *rest)
  return halves[:, 0].reshape(slots), halves[:, 1].reshape(slots)


def move(network, wires, kind, shares, extra=None):
  """One layer: a' = keep a + swap b, b' = swap a + keep b.

  Weighted sums of numbers >= 0 stay >= 0 and exact when they are tiny, which
  a + swap (b - a) would not. extra is taken from a' and added to b'.
  """
  a, b = pairs(network, wires, kind)
  keep, swap = shares
  a, b = keep * a + swap * b, swap * a + keep * b
  if extra is not None:
    a, b = a - extra, b + extra
  stride = 1 if network.name == "odd_even" else kind
  rest = wires.shape[1:]
  fold = lambda rows: rows.reshape(len(rows) // stride, stride, *rest)
  both = jnp.stack([fold(a), fold(b)], axis=1).reshape(2 * len(a), *rest)
  if network.name == "bitonic":
    return both
  return jnp.concatenate([wires[:kind], both, wires[kind + len(both) :]])


def turns(network):
  """(number of turns, layers in a turn) of the loop; the rest is unrolled."""
  if network.name == "bitonic" or network.depth <= 2 * LAYERS_PER_TURN:
    return 0, 0
  return network.depth // LAYERS_PER_TURN, LAYERS_PER_TURN


def chunked(network, rows):
  """Rows [depth ...] as those of the loop [turns size ...] and the rest."""
  count, size = turns(network)
  if not count:
    return None, rows
  loop = rows[: count * size].reshape(count, size, *rows.shape[1:])
  return loop, rows[count * size :]


def chunked_all(network, arrays):
  """chunked of each of several arrays."""
  return tuple(zip(*(chunked(network, rows) for rows in arrays), strict=True))


def joined(chunks):
  """Inverse of chunked."""
  loop, rest = chunks
  if loop is None:
    return rest
  loop = loop.reshape(loop.shape[0] * loop.shape[1], *loop.shape[2:])
  return loop if rest is None else jnp.concatenate([loop, rest])


def walk(network, turn, carry, loop, rest, reverse=False):
  """Runs carry, y = turn(carry, x, kinds), kinds[i] that of layer i of x.

  loop is a pytree of arrays [turns ...] (None if there is no loop), rest one
  of what the turn after the loop gets; returns carry and the ys of loop and
  rest. A turn gets its x, and hands on its y, one turn late through the
  loop's carry: what a loop reads or writes at a moving index, XLA's CPU
  backend would else fuse into the arithmetic, which then takes 6 times as
  long.
  """
  count, size = turns(network)
  if network.name == "odd_even":
    kinds = tuple(layer % 2 for layer in range(network.depth))
  else:
    kinds = network.strides
  first, last = kinds[:size], kinds[count * size :]
  ys, end = None, None
  if last and reverse:
    carry, end = turn(carry, rest, last)
  if count:
    slot = lambda t: count - 1 - t if reverse else t
    at = lambda t: jax.tree.map(
      lambda x: jax.lax.dynamic_index_in_dim(x, slot(t), keepdims=False), loop
    )
    put = lambda ys, y, t: jax.tree.map(
      lambda ys, y: jax.lax.dynamic_update_index_in_dim(ys, y, slot(t), 0),
      ys,
      y,
    )

    def body(t, state):
      carry, x, y, ys = state
      # The first turn puts nothing, where the second puts what is meant.
      ys = put(ys, y, jnp.maximum(t - 1, 0))
      carry, y = turn(carry, x, first)
      return carry, at(jnp.minimum(t + 1, count - 1)), y, ys

    x = at(0)
    zero = nothing(jax.tree.leaves((carry, x))[0].ravel()[:1]).sum()
    shapes = jax.eval_shape(lambda c, x: turn(c, x, first)[1], carry, x)
    y = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype) + zero, shapes)
    ys = jax.tree.map(lambda y: jnp.broadcast_to(y, (count, *y.shape)), y)
    carry, _, y, ys = jax.lax.fori_loop(0, count, body, (carry, x, y, ys))
    ys = put(ys, y, count - 1)
  if last and not reverse:
    carry, end = turn(carry, rest, last)
  return carry, (ys, end)


def to_slots(network, rows):
  """Fills up a layer's comparators to the network's slots."""
  missing = network.slots - len(rows)
  if not missing:
    return rows
  return jnp.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1))


def _inputs(network, steepness, layer_signs, gap):
  """v of a layer's comparators, its derivatives by gap and by steepness."""
  if network.name == "odd_even":
    signed, stretch = _relaxations.stretched(
      gap, network.relaxation, network.art_lambda
    )
    return steepness * signed, steepness * stretch, signed
  signs = layer_signs[: len(gap), None].astype(gap.dtype)
  signed, stretch = _relaxations.stretched(
    signs * gap, network.relaxation, network.art_lambda
  )
  return steepness * signed, signs * steepness * stretch, signed


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def trace(network, x, steepness):
  """Sorted values [n batch] and coded shares [depth slots batch].

  x [n batch], steepness [batch].
  """
  share, _ = _relaxations.RELAXATIONS[network.relaxation]

  def turn(wires, signs, kinds):
    coded = []
    for i, kind in enumerate(kinds):
      a, b = pairs(network, wires, kind)
      v, _, _ = _inputs(network, steepness, signs[i], b - a)
      small = share(jnp.abs(v))
      if network.idle:
        small = small * jnp.abs(signs[i, :, None])
      coded.append(to_slots(network, _relaxations.encode(v, small)))
      wires = move(network, wires, kind, _relaxations.split(v, small))
    return wires, jnp.stack(coded)

  signs = chunked(network, jnp.asarray(network.signs(), x.dtype))
  wires, swaps = walk(network, turn, pad(network, x), *signs)
  return wires[network.idle :], joined(swaps)


def _trace_fwd(network, x, steepness):
  values, swaps = trace(network, x, steepness)
  return (values, swaps), (x, steepness, swaps)


def _trace_bwd(network, residuals, cotangents):
  x, steepness, swaps = residuals
  d_values, d_swaps = cotangents
  _, slope = _relaxations.RELAXATIONS[network.relaxation]

  def forward(wires, swaps, kinds):
    """The wires after some layers, and the gaps b - a of each."""
    gaps = []
    for i, kind in enumerate(kinds):
      a, b = pairs(network, wires, kind)
      gaps.append(b - a)
      shares = _relaxations.decode(swaps[i, : len(a)])
      wires = move(network, wires, kind, shares)
    return wires, gaps

  def turn(carry, rows, kinds):
    wires, d_steepness = carry
    signs, swaps, d_swaps, start = rows
    _, gaps = forward(start, swaps, kinds)
    for i, kind in reversed(list(enumerate(kinds))):
      d_a, d_b = pairs(network, wires, kind)
      gap, coded = gaps[i], swaps[i, : len(d_a)]
      v, by_gap, by_steepness = _inputs(network, steepness, signs[i], gap)
      d_v = (d_b - d_a) * gap - d_swaps[i, : len(d_a)]
      d_v = d_v * slope(jnp.abs(v), jnp.abs(coded))
      if network.idle:
        d_v = d_v * jnp.abs(signs[i, :, None])
      d_steepness = d_steepness + (d_v * by_steepness).sum(0)
      shares = _relaxations.decode(coded)
      wires = move(network, wires, kind, shares, d_v * by_gap)
    return (wires, d_steepness), None

  begin = lambda wires, swaps, kinds: (forward(wires, swaps, kinds)[0], wires)
  chunks = chunked(network, swaps)
  _, starts = walk(network, begin, pad(network, x), *chunks)
  signs = jnp.asarray(network.signs(), x.dtype)
  rows = chunked_all(network, (signs, swaps, d_swaps))
  loop, rest = (
    (*r, s) if r else None for r, s in zip(rows, starts, strict=True)
  )
  carry = pad(network, d_values), nothing(x[0])
  (wires, d_steepness), _ = walk(network, turn, carry, loop, rest, reverse=True)
  return wires[network.idle :], d_steepness


trace.defvjp(_trace_fwd, _trace_bwd)


def run(network, shares, columns, transpose, keep_starts=False):
  """P columns, or P^T columns, and the wires at the start of every turn.

  shares (keep, swap) [depth slots batch], columns and result [n c batch].
  """

  def turn(wires, shares, kinds):
    start = wires if keep_starts else None
    wires, _ = _run_turn(network, wires, shares, kinds, transpose)
    return wires, start

  wires, starts = walk(
    network,
    turn,
    pad(network, columns),
    *chunked_all(network, shares),
    reverse=not transpose,
  )
  return wires[network.idle :], starts


def _run_turn(network, wires, shares, kinds, transpose):
  """The wires after some layers, and the gaps b - a of each."""
  gaps = [None] * len(kinds)
  for i in range(len(kinds))[:: 1 if transpose else -1]:
    a, b = pairs(network, wires, kinds[i])
    gaps[i] = b - a
    wires = move(network, wires, kinds[i], _row(shares, i, len(a)))
  return wires, gaps


def _row(shares, layer, slots):
  """Shares of one layer, the same for all columns."""
  return tuple(share[layer, :slots, None] for share in shares)


def _sum_columns(rows):
  """[slots c batch] summed over c; XLA's CPU backend adds faster than sums."""
  if rows.shape[1] > FEW_COLUMNS:
    return rows.sum(1)
  return functools.reduce(
    operator.add, [rows[:, i] for i in range(rows.shape[1])]
  )


def run_backward(network, shares, columns, transpose, d_out):
  """Cotangents of swap [depth slots batch] and of columns [n c batch]."""

  def turn(wires, rows, kinds):
    shares, start = rows
    _, gaps = _run_turn(network, start, shares, kinds, transpose)
    d_swaps = [None] * len(kinds)
    for i in range(len(kinds))[:: -1 if transpose else 1]:
      d_a, d_b = pairs(network, wires, kinds[i])
      d_swaps[i] = to_slots(network, _sum_columns((d_a - d_b) * gaps[i]))
      wires = move(network, wires, kinds[i], _row(shares, i, len(d_a)))
    return wires, jnp.stack(d_swaps)

  _, starts = run(network, shares, columns, transpose, keep_starts=True)
  loop, rest = zip(chunked_all(network, shares), starts, strict=True)
  wires, d_swaps = walk(
    network, turn, pad(network, d_out), loop, rest, reverse=transpose
  )
  return joined(d_swaps), wires[network.idle :]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def apply(network, transpose, swaps, columns):
  """P columns, or P^T columns, with the gradient of `run_backward`."""
  return run(network, _relaxations.decode(swaps), columns, transpose)[0]


def _apply_fwd(network, transpose, swaps, columns):
  return apply(network, transpose, swaps, columns), (swaps, columns)


def _apply_bwd(network, transpose, residuals, d_out):
  swaps, columns = residuals
  shares = _relaxations.decode(swaps)
  return run_backward(network, shares, columns, transpose, d_out)


apply.defvjp(_apply_fwd, _apply_bwd)


def nothing(array):
  """Zeros that vary over the shard_map axes of an array; XLA folds them."""
  return (0 * array.astype(jnp.int32)).astype(array.dtype)
