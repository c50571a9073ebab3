"""Kernels on arrays that are split over several devices."""

from collections.abc import Callable

import jax


def per_device(kernel: Callable, leading: int) -> Callable | None:
  """The kernel as it may run on the mesh in context; None where it may not.

  A Pallas kernel cannot be split automatically. Rows of the leading axis are
  independent here, so on an automatic mesh every device takes its share of
  them, which is how a batch is split anyway. Inside shard_map the kernel runs
  on what a device holds.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.size == 1 or mesh.are_all_axes_manual:
    return kernel
  if not mesh.are_all_axes_auto or leading % mesh.size:
    return None
  rows = jax.sharding.PartitionSpec(mesh.axis_names)
  # The kernels of libraries do not say over which axes their outputs vary.
  return jax.shard_map(kernel, in_specs=rows, out_specs=rows, check_vma=False)
