"""The preflight command: one table a phase."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import jax

from jaxcls.engine import _config, _preflight


def main(
  config: str,
  overrides: Sequence[str],
  target: str,
  effort: float,
  json_file: str | None = None,
) -> int:
  """The command: prints one table a phase; 1 if one does not fit."""
  from rich import console

  # A real TPU of this machine stays free.
  jax.config.update("jax_platforms", "cpu")
  loaded = _config.load_config(config, overrides)
  results = _preflight.preflight(loaded, target=target, effort=effort)
  if json_file:
    rows = [dataclasses.asdict(r) for r in results]
    pathlib.Path(json_file).write_text(json.dumps(rows, indent=2) + "\n")
  out = console.Console(highlight=False)
  for result in results:
    out.print(make_table(result))
    out.print(_assumptions(result), style="dim")
  return 0 if all(r.fits for r in results) else 1


def make_table(result: _preflight.Preflight):
  """A rich table of one result."""
  from rich import box, table

  axes = " ".join(f"{name}={n}" for name, n in result.mesh.items())
  out = table.Table(
    title=f"{result.phase} on {result.target}: {result.num_devices} x "
    f"{result.chip.name}, {axes}, {result.examples} examples a step",
    box=box.SIMPLE_HEAD,
    title_justify="left",
  )
  out.add_column("of one step")
  out.add_column("value", justify="right")
  out.add_column("", overflow="fold")
  for section in (_memory_rows, _cost_rows, _estimate_rows, _largest_rows):
    for row in section(result):
      out.add_row(*row)
    out.add_section()
  return out


def _memory_rows(result: _preflight.Preflight):
  limit = f"of {_size(result.chip.memory)}"
  verdict = "fits" if result.fits else "DOES NOT FIT"
  if result.memory is None:
    asked = _size(result.needed_bytes) if result.needed_bytes else "too much"
    yield "memory a device, needed", asked, f"{limit}: {verdict}"
    yield "  compiler says", "", result.message.splitlines()[0]
    return
  memory = result.memory
  yield "memory a device, peak", _size(memory.peak), f"{limit}: {verdict}"
  yield "  arguments", _size(memory.arguments), "state and batch"
  yield "  temporaries", _size(memory.temporaries), "activations, gradients"
  aliased = f"{_size(memory.alias)} of it over donated arguments"
  yield "  outputs", _size(memory.outputs), aliased


def _cost_rows(result: _preflight.Preflight):
  total = result.flops.total
  note = "matrix products and convolutions"
  if result.flops.open_loops:
    note += f"; {result.flops.open_loops} loops of unknown length count once"
  yield "FLOPs", _count(total, "FLOP"), note
  yield "  a device", _count(total / result.num_devices, "FLOP"), ""
  if result.hlo is None:
    return
  note = "read and written, by instruction"
  if result.hlo.open_loops:
    note += f"; {result.hlo.open_loops} loops of unknown length count once"
  yield "HBM traffic a device", _count(result.hlo.hbm_bytes, "B"), note
  for row in result.hlo.collectives:
    sent = f"{_count(row.link_bytes, 'B')} over its links"
    yield f"{row.kind} x {row.count}", _count(row.bytes, "B"), sent
  if not result.hlo.collectives:
    yield "collectives", "none", ""


def _estimate_rows(result: _preflight.Preflight):
  estimate = result.estimate
  if estimate is None:
    return
  note = f"estimate, bound by {estimate.bound}"
  yield "step time", _seconds(estimate.step_seconds), note
  yield "  compute", _seconds(estimate.compute_seconds), ""
  yield "  memory", _seconds(estimate.memory_seconds), ""
  yield "  links", _seconds(estimate.link_seconds), ""
  yield "examples/s", f"{estimate.examples_per_second:,.0f}", "estimate"


def _largest_rows(result: _preflight.Preflight):
  for leaf in result.state:
    yield "largest of the state", _size(leaf.bytes), leaf.name
  for buffer in result.hlo.largest if result.hlo else ():
    times = f"{buffer.count} x " if buffer.count > 1 else ""
    size = _size(buffer.bytes * buffer.count)
    yield "largest temporaries", size, times + buffer.name


def _assumptions(result: _preflight.Preflight) -> str:
  chip = result.chip
  card = (
    " JAX takes 75% of a card unless XLA_PYTHON_CLIENT_MEM_FRACTION is set."
  )
  return (
    f"Compiled in {result.compile_seconds:.0f} s, run nowhere. The estimate "
    f"assumes {_preflight.UTILIZATION:.0%} of {chip.flops / 1e12:.0f} TFLOP/s, "
    f"{chip.hbm_bandwidth / 1e9:.0f} GB/s of memory and "
    f"{chip.link_bandwidth / 1e9:.0f} GB/s of links a device, all three "
    "overlapped, no latency, input never waited for."
    f"{card if chip.platform == 'cuda' else ''}"
  )


def _size(count: float) -> str:
  """Memory, in powers of 1024."""
  for unit in ("B", "KiB", "MiB"):
    if count < 1024:
      return f"{count:.4g} {unit}"
    count /= 1024
  return f"{count:.2f} GiB"


def _count(value: float, unit: str) -> str:
  """A quantity, in powers of 1000."""
  for prefix in ("", "k", "M", "G", "T"):
    if value < 1000:
      return f"{value:.3g} {prefix}{unit}"
    value /= 1000
  return f"{value:,.3g} P{unit}"


def _seconds(value: float) -> str:
  for unit in ("s", "ms"):
    if value >= 1:
      return f"{value:.3g} {unit}"
    value *= 1000
  return f"{value:.3g} us"
