"""Compiles a config's real training step for a pod slice it does not have."""

import contextlib
import dataclasses
import importlib.resources
import importlib.util
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from jaxcls import _lookup
from jaxcls.engine import _config, _cost, _hlo, _mesh, _program, _train

_GIB = 2**30
# Share of the peak FLOPs that a well-shaped step is assumed to reach.
UTILIZATION = 0.45


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


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A roofline, not a measurement: the slowest of three, as if they overlap.

  Attributes:
    compute_seconds: FLOPs at the assumed share of the peak.
    memory_seconds: HBM bytes at full bandwidth.
    link_seconds: collectives' bytes at full link bandwidth, no latency.
    step_seconds: the largest of the three.
    examples_per_second: of all devices together.
    bound: "compute", "memory" or "links": which is the largest.
    utilization: the assumed share of the peak.
  """

  compute_seconds: float
  memory_seconds: float
  link_seconds: float
  step_seconds: float
  examples_per_second: float
  bound: str
  utilization: float = UTILIZATION


@dataclasses.dataclass(frozen=True)
class Preflight:
  """What the compiler says of one phase on one target.

  Attributes:
    phase: the phase's name.
    target: such as "v5e:4x4".
    chip: the device's figures.
    mesh: axis sizes.
    examples: in a global batch, all streams together.
    fits: whether a device's memory holds the step.
    needed_bytes: the peak, or what the compiler asked for in vain.
    memory: None where the step does not compile because it does not fit.
    flops: of one step, all devices together; matrix products and
      convolutions.
    hlo: bytes, collectives, temporaries of one device; None like `memory`.
    estimate: None like `memory`.
    state: the largest leaves of the state, bytes on one device.
    compile_seconds: tracing, lowering and compiling.
    message: the compiler's, where it refused.
  """

  phase: str
  target: str
  chip: Chip
  mesh: dict[str, int]
  examples: int
  fits: bool
  needed_bytes: int
  memory: Memory | None
  flops: _cost.Flops
  hlo: _hlo.HloCost | None
  estimate: Estimate | None
  state: tuple[_hlo.Buffer, ...]
  compile_seconds: float
  message: str = ""

  @property
  def num_devices(self) -> int:
    """Devices of the target."""
    return math.prod(self.mesh.values())


def preflight(
  config: Mapping[str, Any], *, target: str, effort: float = -1.0
) -> list[Preflight]:
  """Compiles the donated training step of every phase; needs no accelerator.

  The step, its shardings and its mesh are those of `train`. Sets environment
  variables that tell libtpu to look for no hardware: start no real TPU in
  the same process.

  Args:
    config: from `load_config` or `complete`.
    target: "v5e:4x4", "v5p:2x2x4", ..., "h100:8".
    effort: of the TPU compiler, in [-1, 1]; -1 compiles five times faster
      than 0 and its memory is a few percent higher.

  Returns:
    One result a phase.

  Raises:
    ValueError: unknown target, a mesh or batch that the devices do not
      divide, a compiler that is not installed.
  """
  if not -1 <= effort <= 1:
    raise ValueError(f"effort must be in [-1, 1], got {effort}.")
  config = _config.complete(config)
  chip, devices = _open_target(target)
  mesh = _mesh.make_mesh(config["mesh"], devices)
  phases = _config.phase_configs(config)
  programs = [_program.build(phase, mesh) for phase in phases]
  return [
    _preflight_phase(programs[: i + 1], target, chip, effort)
    for i in range(len(programs))
  ]


def _preflight_phase(chain, target: str, chip: Chip, effort: float):
  """Compiles the step of the last program of a chain of phases."""
  program, start = chain[-1], time.perf_counter()
  tx = program.optimizer(program.total_steps())
  state = _train.abstract_state(chain, tx)
  shardings = _mesh.state_shardings(state, program.mesh)
  state = jax.tree.map(_placed, state, shardings)
  rows = _mesh.batch_sharding(program.mesh)
  batch = jax.tree.map(lambda x: _placed(x, rows), program.abstract_batch())
  message, memory, hlo = "", None, None
  with jax.set_mesh(program.mesh):
    step = program.compile_step(program.make_step(), state)
    traced = step.trace(state, batch)
    lowered = traced.lower(lowering_platforms=(chip.platform,))
    try:
      with no_compilation_cache():
        compiled = lowered.compile(_compiler_options(chip, effort))
    except jax.errors.JaxRuntimeError as error:
      if "RESOURCE_EXHAUSTED" not in str(error):
        raise
      message = str(error)
  seconds = time.perf_counter() - start
  num_devices = program.mesh.devices.size
  flops = _cost.count_flops(traced.jaxpr)
  if message:
    needed = _needed_bytes(message)
  else:
    memory = _read_memory(compiled)
    needed = memory.peak
    hlo = _hlo.read_hlo(compiled.as_text(), num_devices=num_devices)
  examples = sum(program.batch_sizes().values())
  return Preflight(
    phase=program.config["name"],
    target=target,
    chip=chip,
    mesh=dict(program.mesh.shape),
    examples=examples,
    fits=not message and needed <= chip.memory,
    needed_bytes=needed,
    memory=memory,
    flops=flops,
    hlo=hlo,
    estimate=hlo and _estimate(flops.total / num_devices, hlo, chip, examples),
    state=_largest_leaves(state),
    compile_seconds=seconds,
    message=message,
  )


def _placed(leaf, sharding) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _open_target(target: str) -> tuple[Chip, Sequence[Any]]:
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
  folder = importlib.resources.files("jaxcls.engine")
  devices = topologies.get_topology_desc(
    platform="cuda",
    topology_name="h100",
    topology=f"1x{hosts}x{cards}",
    target_config=(folder / "h100.txtpb").read_text(),
  ).devices
  if hosts > 1:
    chip = dataclasses.replace(chip, link_bandwidth=_H100_NETWORK)
  return chip, devices


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


def _compiler_options(chip: Chip, effort: float) -> dict[str, Any]:
  if chip.platform == "cuda":
    # Triton's matrix products choose their tiles on the card itself.
    return {"xla_gpu_enable_triton_gemm": "False"}
  return {"exec_time_optimization_effort": effort}


def _read_memory(compiled) -> Memory:
  found = compiled.memory_analysis()
  return Memory(
    arguments=found.argument_size_in_bytes,
    temporaries=found.temp_size_in_bytes,
    outputs=found.output_size_in_bytes,
    alias=found.alias_size_in_bytes,
    peak=found.peak_memory_in_bytes,
  )


def _needed_bytes(message: str) -> int:
  """What a compiler that ran out of memory asked for; 0 if it did not say."""
  found = re.search(r"\(([\d.]+)([KMGT])\) exceeds", message)
  found = found or re.search(r"Used ([\d.]+)([KMGT])i?B? of", message)
  if not found:
    return 0
  power = "KMGT".index(found[2]) + 1
  return int(float(found[1]) * 1024**power)


def _largest_leaves(state, top: int = 6) -> tuple[_hlo.Buffer, ...]:
  """The state's largest leaves by the bytes that one device holds."""
  rows = []
  for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      continue
    size = math.prod(leaf.sharding.shard_shape(leaf.shape))
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    rows.append(_hlo.Buffer(name, size * leaf.dtype.itemsize))
  return tuple(sorted(rows, key=lambda r: -r.bytes)[:top])


def _estimate(flops: float, hlo, chip: Chip, examples: int) -> Estimate:
  """The roofline of one device's FLOPs and bytes."""
  link_bytes = sum(c.link_bytes for c in hlo.collectives)
  seconds = {
    "compute": flops / (chip.flops * UTILIZATION),
    "memory": hlo.hbm_bytes / chip.hbm_bandwidth,
    "links": link_bytes / chip.link_bandwidth,
  }
  bound = max(seconds, key=seconds.get)
  step = seconds[bound]
  return Estimate(
    *seconds.values(),
    step_seconds=step,
    examples_per_second=examples / step if step else math.inf,
    bound=bound,
  )
