"""Devices that need not be here: their figures, and compiling for them."""

import contextlib
import dataclasses
import functools
import importlib.resources
import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jaxcls import _lookup

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
  """Public figures of one device, as JAX lists devices.

  Attributes:
    name: what a reader knows it as.
    platform: "tpu" or "cuda".
    flops: dense bfloat16 peak, 1/s.
    memory: bytes that a program may use.
    hbm_bandwidth: bytes/s.
    link_bandwidth: bytes/s that it sends to its neighbours, all links
      together, one direction.
  """

  name: str
  platform: str
  flops: float
  memory: int
  hbm_bandwidth: float
  link_bandwidth: float


def _tpu(name, tera_flops, gib, hbm_gigabytes, link_gigabits) -> Chip:
  return Chip(
    name, "tpu", tera_flops * 1e12, int(gib * _GIB), hbm_gigabytes * 1e9,
    link_gigabits / 8 * 1e9,
  )  # fmt: skip


# Google's and NVIDIA's data sheets; `memory` is what the compiler says it may
# use. JAX lists a v4 chip as two devices, so its figures are half a chip's.
CHIPS = {
  "v4": _tpu("half a TPU v4", 137.5, 15.25, 614, 1200),
  "v5e": _tpu("TPU v5e", 197, 15.75, 819, 1600),
  "v5p": _tpu("TPU v5p", 459, 95.74, 2765, 4800),
  "v6e": _tpu("TPU v6e", 918, 31.25, 1600, 3200),
  "h100": Chip("H100 SXM 80GB", "cuda", 989e12, 84942979072, 3.352e12, 450e9),
}
# Beyond one host: one 400 Gbit/s adapter a card.
_H100_NETWORK = 50e9


@dataclasses.dataclass(frozen=True)
class Memory:
  """Bytes on one device; `peak` is what must fit.

  Attributes:
    arguments: state and batch.
    temporaries: what the step needs beside them.
    outputs: new state and metrics.
    alias: share of the outputs that is written over donated arguments.
    peak: most that lives at once.
  """

  arguments: int
  temporaries: int
  outputs: int
  alias: int
  peak: int

  @property
  def hbm(self) -> int:
    """Without a TPU's VMEM, which `peak` counts."""
    return self.arguments + self.outputs + self.temporaries - self.alias


def open_target(target: str) -> tuple[Chip, Sequence[Any]]:
  """The figures of a target and its devices, none of which need exist."""
  kind, _, shape = target.partition(":")
  if kind not in CHIPS:
    raise ValueError(
      f"target must be <kind>:<slice>, such as v5e:4x4 or h100:8, got "
      f"{target!r}.{_lookup.nearest(kind, CHIPS)}"
    )
  chip = CHIPS[kind]
  if chip.platform == "cuda":
    return _open_gpus(target, shape, chip)
  return chip, _open_tpu(target, shape)


def _open_tpu(target: str, shape: str) -> Sequence[Any]:
  if not re.fullmatch(r"\d+(x\d+){1,2}", shape):
    raise ValueError(
      f"target must name a slice of chips, such as v5e:4x4, got {target!r}."
    )
  installed = importlib.util.find_spec("libtpu")
  if installed is None and not os.environ.get("TPU_LIBRARY_PATH"):
    raise ValueError(
      f"target {target} needs the TPU compiler libtpu, which is not "
      'installed. Run: pip install "jaxcls[tpu]" (Linux; no TPU needed).'
    )
  for name, value in (
    ("TPU_SKIP_MDS_QUERY", "1"),
    # Else a second process aborts on the first one's lock file.
    ("ALLOW_MULTIPLE_LIBTPU_LOAD", "1"),
    ("TPU_WORKER_HOSTNAMES", "localhost"),
    ("TPU_ACCELERATOR_TYPE", "v5litepod-4"),
    ("TPU_STDERR_LOG_LEVEL", "3"),
  ):
    os.environ.setdefault(name, value)
  from jax.experimental import topologies

  try:
    return topologies.get_topology_desc(
      platform="tpu", topology_name=target
    ).devices
  except jax.errors.JaxRuntimeError as error:
    raise ValueError(
      f"target must be a slice that libtpu knows, such as v5e:4x4 or "
      f"v5p:4x4x4, got {target!r}. It says: {error}"
    ) from None


def _open_gpus(target: str, shape: str, chip: Chip):
  count = int(shape) if shape.isdigit() else 0
  if not 1 <= count <= 8 and (count < 1 or count % 8):
    raise ValueError(
      "target must name 1 to 8 cards or whole hosts of 8, such as h100:8, "
      f"got {target!r}."
    )
  plugins = ("jax_cuda13_plugin", "jax_cuda12_plugin")
  if not any(map(importlib.util.find_spec, plugins)):
    raise ValueError(
      f"target {target} needs JAX's CUDA compiler, which is not installed. "
      "Run: pip install --no-deps jax-cuda13-plugin jax-cuda13-pjrt, in the "
      "version of jax (Linux; no GPU needed)."
    )
  from jax.experimental import topologies

  hosts, cards = (1, count) if count <= 8 else (count // 8, 8)
  folder = importlib.resources.files("jaxcls")
  devices = topologies.get_topology_desc(
    platform="cuda",
    topology_name="h100",
    topology=f"1x{hosts}x{cards}",
    target_config=(folder / "h100.txtpb").read_text(),
  ).devices
  if hosts > 1:
    chip = dataclasses.replace(chip, link_bandwidth=_H100_NETWORK)
  return chip, devices


def compile_for(
  target: str,
  f: Callable,
  *arrays: Any,
  num_devices: int = 1,
  effort: float = -1.0,
):
  """A function compiled for devices that need not exist.

  Args:
    target: as of `open_target`.
    f: a function of arrays; with num_devices > 1 it runs under `jax.shard_map`
      over the mesh axis "data", and every array and output is split by rows.
    *arrays: a pytree of `jax.ShapeDtypeStruct` for each argument.
    num_devices: how many of the target's devices are used.
    effort: as of `compiler_options`.
  """
  chip, devices = open_target(target)
  mesh = jax.sharding.Mesh(np.array(devices[:num_devices]), ("data",))
  spec = jax.sharding.PartitionSpec(*(["data"] if num_devices > 1 else []))
  if num_devices > 1:
    f = jax.shard_map(f, mesh=mesh, in_specs=spec, out_specs=spec)
  place = functools.partial(
    jax.ShapeDtypeStruct, sharding=jax.sharding.NamedSharding(mesh, spec)
  )
  arrays = jax.tree.map(lambda a: place(a.shape, a.dtype), arrays)
  with jax.set_mesh(mesh), no_compilation_cache():
    lowered = (
      jax.jit(f).trace(*arrays).lower(lowering_platforms=(chip.platform,))
    )
    return lowered.compile(compiler_options(chip, effort))


@contextlib.contextmanager
def no_compilation_cache() -> Iterator[None]:
  """Passes the cache over: without a device nothing can be loaded from it."""
  from jax.experimental.compilation_cache import compilation_cache

  before = jax.config.jax_enable_compilation_cache
  try:
    jax.config.update("jax_enable_compilation_cache", False)
    # JAX looks at the switch once; a reset makes it look again.
    compilation_cache.reset_cache()
    yield
  finally:
    jax.config.update("jax_enable_compilation_cache", before)
    compilation_cache.reset_cache()


def compiler_options(chip: Chip, effort: float) -> dict[str, Any]:
  if chip.platform == "cuda":
    # Triton's matrix products choose their tiles on the card itself.
    return {"xla_gpu_enable_triton_gemm": "False"}
  return {"exec_time_optimization_effort": effort}


def read_memory(compiled) -> Memory:
  found = compiled.memory_analysis()
  return Memory(
    arguments=found.argument_size_in_bytes,
    temporaries=found.temp_size_in_bytes,
    outputs=found.output_size_in_bytes,
    alias=found.alias_size_in_bytes,
    peak=found.peak_memory_in_bytes,
  )
