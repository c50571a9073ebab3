"""The relaxed permutation and its gradient as TPU kernels.

Arrays are [wire, column, batch]: wires lead, eight columns are the sublanes
and 128 examples the lanes, so a comparator is two loads, six vector
operations and two stores, without a shuffle. All layers of a tile run in
VMEM; so does the gradient's history, the gaps b - a of every comparator.

Ahead-of-time compiled for v5e and v6e (tests): both networks, n = 32 to 128,
float32, any batch. float64, n < 32 (nothing to gain) and n > 128 (the history
would not fit in VMEM) are left to the jnp path. No device timing exists.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from jaxcls.ops.sorting import _relaxations

LANES, SUBLANES = 128, 8
HISTORY_BYTES = 9 << 20
MAX_N, MIN_N = 128, 32


def serves(network, swaps) -> bool:
  """Whether the automatic choice takes these kernels on a TPU.

  A kernel is not split over the devices of an automatic mesh: there the jnp
  path runs. Inside shard_map, or with one device, the kernels do.
  """
  mesh = jax.sharding.get_abstract_mesh()
  local = mesh.empty or mesh.size == 1 or mesh.are_all_axes_manual
  fits = MIN_N <= network.n and network.width <= MAX_N
  return local and fits and swaps.dtype == jnp.float32


def _layers(network, body, reverse):
  """Calls body(layer, slot, a, b) for every comparator, in loops."""
  slots = network.slots
  # Comparators of a layer are independent: several to an iteration.
  step = next(k for k in (8, 4, 2, 1) if slots % k == 0)

  def layer_of(layer, first_wire):
    def some(i, _):
      for k in range(step):
        slot = i * step + k
        body(layer, slot, *first_wire(slot))
      return 0

    jax.lax.fori_loop(0, slots // step, some, 0)

  if network.name == "odd_even":

    def turn(i, _):
      layer = network.depth - 1 - i if reverse else i
      # Wire n, where a layer's last slot may point, is a row of zeros.
      layer_of(layer, lambda p: (2 * p + (layer & 1), 2 * p + (layer & 1) + 1))
      return 0

    jax.lax.fori_loop(0, network.depth, turn, 0)
    return
  layers = list(enumerate(network.strides))
  for layer, stride in layers[::-1] if reverse else layers:
    shift = stride.bit_length() - 1

    def wires(p, stride=stride, shift=shift):
      a = ((p >> shift) << (shift + 1)) | (p & (stride - 1))
      return a, a + stride

    layer_of(layer, wires)


def _mix(wires_ref, a, b, low, high, coded):
  keep, swap = _relaxations.decode(coded)
  wires_ref[a] = keep * low + swap * high
  wires_ref[b] = swap * low + keep * high


def _permute(network, swaps_ref, wires_ref, first_column, gaps_ref=None):
  """Fills wires_ref [width + 1 columns lanes] with a tile of P.

  P = M_1 ... M_L applied to columns of the identity: the last layer first.
  """
  columns = wires_ref.shape[1]
  column = jax.lax.broadcasted_iota(jnp.int32, (columns, LANES), 0)

  def start(wire, _):
    one = column == wire - network.idle - first_column
    wires_ref[wire] = jnp.where(one, 1.0, 0.0)
    return 0

  jax.lax.fori_loop(0, network.width, start, 0)
  wires_ref[network.width] = jnp.zeros((columns, LANES), jnp.float32)

  def compare(layer, slot, a, b):
    low, high = wires_ref[a], wires_ref[b]
    if gaps_ref is not None:
      gaps_ref[layer * network.slots + slot] = high - low
    _mix(wires_ref, a, b, low, high, swaps_ref[layer, pl.ds(slot, 1), :])

  _layers(network, compare, reverse=True)


def _forward_kernel(swaps_ref, out_ref, wires_ref, *, network):
  # swaps [depth slots lanes]; out [n columns lanes].
  first = pl.program_id(1) * out_ref.shape[1]
  _permute(network, swaps_ref, wires_ref, first)
  out_ref[...] = wires_ref[network.idle : network.width]


def _backward_kernel(
  swaps_ref, d_out_ref, d_swaps_ref, wires_ref, gaps_ref, *, network
):
  # swaps, d_swaps [depth slots lanes]; d_out [n columns lanes];
  # gaps [depth * slots, columns lanes]. d_swaps sums over the column tiles.
  tile = pl.program_id(1)
  _permute(network, swaps_ref, wires_ref, tile * d_out_ref.shape[1], gaps_ref)
  if network.idle:
    idle = (network.idle, *wires_ref.shape[1:])
    wires_ref[: network.idle] = jnp.zeros(idle, jnp.float32)
  wires_ref[network.idle : network.width] = d_out_ref[...]
  wires_ref[network.width] = jnp.zeros(wires_ref.shape[1:], jnp.float32)

  @pl.when(tile == 0)
  def _():
    d_swaps_ref[...] = jnp.zeros_like(d_swaps_ref)

  def compare(layer, slot, a, b):
    low, high = wires_ref[a], wires_ref[b]
    by_swap = (high - low) * gaps_ref[layer * network.slots + slot]
    row = (layer, pl.ds(slot, 1), slice(None))
    d_swaps_ref[row] = d_swaps_ref[row] - by_swap.sum(0, keepdims=True)
    _mix(wires_ref, a, b, low, high, swaps_ref[row])

  _layers(network, compare, reverse=False)


def _padded(array, size, axis):
  missing = -array.shape[axis] % size
  widths = [(0, missing if i == axis else 0) for i in range(array.ndim)]
  return jnp.pad(array, widths) if missing else array


def _blocks(network, swaps, columns):
  """Padded swaps, the specs of swaps and of wires, and the grid."""
  swaps = _padded(swaps, LANES, axis=2)
  per_swap = pl.BlockSpec(
    (network.depth, network.slots, LANES), lambda i, j: (0, 0, i)
  )
  per_wire = pl.BlockSpec((network.n, columns, LANES), lambda i, j: (0, j, i))
  grid = (swaps.shape[2] // LANES, pl.cdiv(network.n, columns))
  return swaps, per_swap, per_wire, grid


def _params(network, columns, blocks, history, semantics):
  """Compiler parameters with room for double-buffered blocks and scratch."""
  tile = columns * LANES * 4
  swaps = network.depth * -(-network.slots // SUBLANES) * SUBLANES * LANES * 4
  scratch = (network.width + 1) * tile + history
  need = 2 * (blocks * swaps + network.n * tile) + scratch
  return pltpu.CompilerParams(
    dimension_semantics=semantics,
    vmem_limit_bytes=max(16 << 20, need + need // 4),
  )


def _shape(like, *shape):
  """float32 of a shape that varies over the mesh axes that `like` does."""
  varying = getattr(jax.typeof(like), "manual_axis_type", None)
  if varying is None:
    return jax.ShapeDtypeStruct(shape, jnp.float32)
  return jax.ShapeDtypeStruct(shape, jnp.float32, manual_axis_type=varying)


def matrix(network, swaps, *, columns=None, interpret=False):
  """P [n n batch] from swaps [depth slots batch] float32.

  columns: of P that a tile holds, a multiple of 8; None for at most 64.
  """
  _check_columns(columns)
  if columns is None:
    columns = min(-(-network.n // SUBLANES) * SUBLANES, 64)
  batch = swaps.shape[2]
  if not batch:
    return jnp.zeros((network.n, network.n, 0), jnp.float32)
  swaps, per_swap, per_wire, grid = _blocks(network, swaps, columns)
  padded = grid[1] * columns
  out = pl.pallas_call(
    functools.partial(_forward_kernel, network=network),
    grid=grid,
    in_specs=[per_swap],
    out_specs=per_wire,
    out_shape=_shape(swaps, network.n, padded, swaps.shape[2]),
    scratch_shapes=[
      pltpu.VMEM((network.width + 1, columns, LANES), jnp.float32)
    ],
    compiler_params=_params(network, columns, 1, 0, ("parallel", "parallel")),
    interpret=interpret,
    name="soft_permutation",
  )(swaps)
  return out[:, : network.n, :batch]


def matrix_backward(network, swaps, d_out, *, columns=None, interpret=False):
  """Cotangent of swaps from d_out [n n batch]; columns as in `matrix`."""
  _check_columns(columns)
  slots = network.depth * network.slots
  if columns is None:
    # A divisor of n where there is one: else d_out is copied to be padded.
    fit = max(HISTORY_BYTES // (slots * LANES * 4), SUBLANES)
    most = -(-network.n // SUBLANES) * SUBLANES
    choices = range(SUBLANES, min(fit, most) + 1, SUBLANES)
    columns = max(c for c in choices if most % c == 0)
  batch = swaps.shape[2]
  if not batch:
    return jnp.zeros_like(swaps)
  swaps, per_swap, per_wire, grid = _blocks(network, swaps, columns)
  d_out = _padded(_padded(d_out, LANES, axis=2), columns, axis=1)
  history = slots * columns * LANES * 4
  d_swaps = pl.pallas_call(
    functools.partial(_backward_kernel, network=network),
    grid=grid,
    in_specs=[per_swap, per_wire],
    out_specs=per_swap,
    out_shape=_shape(swaps, *swaps.shape),
    scratch_shapes=[
      pltpu.VMEM((network.width + 1, columns, LANES), jnp.float32),
      pltpu.VMEM((slots, columns, LANES), jnp.float32),
    ],
    compiler_params=_params(
      network, columns, 2, history, ("parallel", "arbitrary")
    ),
    interpret=interpret,
    name="soft_permutation_backward",
  )(swaps, d_out)
  return d_swaps[:, :, :batch]


def _check_columns(columns):
  if columns is not None and (columns % SUBLANES or columns <= 0):
    raise ValueError(
      f"columns must be a positive multiple of {SUBLANES}, got {columns}."
    )
