"""Compiles a config's real training step for a pod slice it does not have."""

import dataclasses
import math
import re
import time
from collections.abc import Mapping
from typing import Any

import jax

from jaxcls import _targets
from jaxcls.engine import _config, _cost, _hlo, _mesh, _program, _train

# Share of the peak FLOPs that a well-shaped step is assumed to reach.
UTILIZATION = 0.45


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
  chip: _targets.Chip
  mesh: dict[str, int]
  examples: int
  fits: bool
  needed_bytes: int
  memory: _targets.Memory | None
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
  chip, devices = _targets.open_target(target)
  mesh = _mesh.make_mesh(config["mesh"], devices)
  phases = _config.phase_configs(config)
  programs = [_program.build(phase, mesh) for phase in phases]
  return [
    _preflight_phase(programs[: i + 1], target, chip, effort)
    for i in range(len(programs))
  ]


def _preflight_phase(chain, target: str, chip: _targets.Chip, effort: float):
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
      with _targets.no_compilation_cache():
        compiled = lowered.compile(_targets.compiler_options(chip, effort))
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
    memory = _targets.read_memory(compiled)
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


def _estimate(
  flops: float, hlo, chip: _targets.Chip, examples: int
) -> Estimate:
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
