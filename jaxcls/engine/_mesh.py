"""The device mesh and where arrays live on it."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

BATCH = P(("data", "fsdp"))
# Arrays below this many elements are not worth a collective.
_MIN_SHARDED = 2**14


def make_mesh(
  shape: Mapping[str, int], devices: Sequence[Any] | None = None
) -> Mesh:
  """Builds the ("data", "fsdp") mesh of a config.

  Args:
    shape: {"data": n, "fsdp": m}; one of them may be -1, for the rest of the
      devices. The batch is split over both, parameters over "fsdp".
    devices: default: all devices of all processes.

  Raises:
    ValueError: the sizes do not multiply to the number of devices.
  """
  devices = np.asarray(jax.devices() if devices is None else devices)
  data, fsdp = shape.get("data", -1), shape.get("fsdp", 1)
  known = (data if data > 0 else 1) * (fsdp if fsdp > 0 else 1)
  rest = devices.size // known
  sizes = [rest if n == -1 else n for n in (data, fsdp)]
  if sizes[0] * sizes[1] != devices.size or min(sizes) < 1:
    raise ValueError(
      f"mesh must multiply to the {devices.size} devices there are, got "
      f"{dict(shape)}. Use data=-1 to take what is left."
    )
  axis_types = (jax.sharding.AxisType.Auto,) * 2
  return Mesh(devices.reshape(sizes), ("data", "fsdp"), axis_types=axis_types)


def leaf_spec(shape: Sequence[int], fsdp: int) -> P:
  """Splits the largest dimension that `fsdp` divides; small arrays stay whole.

  Ties go to the last dimension: the lanes of a TPU.
  """
  if fsdp == 1 or np.prod(shape, dtype=np.int64) < _MIN_SHARDED:
    return P()
  fits = [i for i, n in enumerate(shape) if n % fsdp == 0]
  if not fits:
    return P()
  best = max(fits, key=lambda i: (shape[i], i))
  return P(*[None] * best, "fsdp")


def state_shardings(state: Any, mesh: Mesh) -> Any:
  """One NamedSharding a leaf of a state: parameters and their moments."""
  fsdp = mesh.shape["fsdp"]

  def sharding(leaf):
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      return NamedSharding(mesh, P())
    return NamedSharding(mesh, leaf_spec(leaf.shape, fsdp))

  return jax.tree.map(sharding, state)


def replicated(mesh: Mesh) -> NamedSharding:
  """A whole copy on every device."""
  return NamedSharding(mesh, P())


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """The leading axis split over every device."""
  return NamedSharding(mesh, BATCH)


def check_batch_size(batch_size: int, mesh: Mesh, field: str) -> None:
  """Raises ValueError where the devices do not divide the batch."""
  if batch_size % mesh.devices.size:
    raise ValueError(
      f"{field} must be divisible by the {mesh.devices.size} devices of the "
      f"mesh, got {batch_size}."
    )


def local_rows(batch_size: int, mesh: Mesh) -> np.ndarray:
  """Positions in the global batch that this process's devices hold.

  Read off the sharding, not computed from the process index: meshes may
  reverse or interleave processes.
  """
  index_map = batch_sharding(mesh).addressable_devices_indices_map
  positions = np.arange(batch_size)
  rows = [positions[index] for index in index_map((batch_size,)).values()]
  return np.unique(np.concatenate(rows))


def put(tree: Any, shardings: Any) -> Any:
  """Places host arrays, equal on every process, as global arrays."""

  def place(array, sharding):
    if jax.process_count() == 1:
      return jax.device_put(array, sharding)
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
      data = np.asarray(jax.random.key_data(array))
      data = jax.make_array_from_callback(
        data.shape, sharding, lambda i: data[i]
      )
      return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
    host = np.asarray(array)
    return jax.make_array_from_callback(
      host.shape, sharding, lambda index: host[index]
    )

  return jax.tree.map(place, tree, shardings)


def put_batch(batch: Any, mesh: Mesh, sizes: Mapping[str, int]) -> Any:
  """Assembles the global batches from this process's rows.

  Args:
    batch: {stream: {field: local rows}}.
    mesh: the mesh.
    sizes: {stream: global batch size}.
  """
  sharding = batch_sharding(mesh)
  if jax.process_count() == 1:
    return jax.device_put(batch, sharding)
  return {
    name: {
      field: jax.make_array_from_process_local_data(
        sharding, rows, (sizes[name], *rows.shape[1:])
      )
      for field, rows in stream.items()
    }
    for name, stream in batch.items()
  }
