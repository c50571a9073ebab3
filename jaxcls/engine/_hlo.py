"""What a compiled program moves: bytes, collectives, large temporaries."""

import collections
import dataclasses
import math
import re
from collections.abc import Sequence

_COLLECTIVES = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "ragged-all-to-all",
  "collective-permute",
  "collective-broadcast",
)
# Moves no data: names, views, allocations, ends of asynchronous pairs.
_FREE = {
  "parameter", "constant", "get-tuple-element", "tuple", "bitcast", "while",
  "call", "conditional", "after-all", "partition-id", "replica-id",
  "opt-barrier", "async-start", "async-update", "async-done", "copy-done",
  *(f"{kind}-done" for kind in _COLLECTIVES),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Collective:
  """All collectives of one kind in a step.

  Attributes:
    kind: "all-reduce", "all-gather", ...
    count: how often a step runs one, loops multiplied out.
    bytes: payload a device and step: what is reduced, gathered or sent.
    link_bytes: what a ring sends a device and step: 2 (n-1)/n of the payload
      for an all-reduce over n devices, (n-1)/n for the others.
  """

  kind: str
  count: int
  bytes: float
  link_bytes: float


@dataclasses.dataclass(frozen=True)
class Buffer:
  """Arrays of one shape: `count` of them, of `bytes` each, on one device."""

  name: str
  bytes: int
  count: int = 1


@dataclasses.dataclass(frozen=True)
class HloCost:
  """What the compiled program of one device does in a step.

  Attributes:
    hbm_bytes: read and written, each instruction or fusion on its own.
    collectives: by kind.
    largest: temporaries that take most, first.
    open_loops: loops of unknown length that move more than a MiB a turn;
      their bodies count once.
  """

  hbm_bytes: float
  collectives: tuple[Collective, ...]
  largest: tuple[Buffer, ...]
  open_loops: int


def read_hlo(text: str, *, num_devices: int, top: int = 6) -> HloCost:
  """Reads the text of a compiled program (`compiled.as_text()`).

  Loops count as often as `known_trip_count` or the comparison of the counter
  with a constant says. A conditional counts all its branches. A fusion that
  only slices an operand, or updates it in place, moves the slice.

  Args:
    text: optimised HLO; the program of one of `num_devices`.
    num_devices: group size where the text names none.
    top: how many of the largest temporaries are kept.
  """
  module, entry = _parse(text)
  runs, open_loops = _count_runs(module, entry)
  inlined = _inlined(module)
  total, found = 0.0, {}
  for name, times in runs.items():
    for op in module[name].values():
      if name not in inlined:
        total += times * _moved_bytes(op, module[name], module)
      kind = op.opcode.removesuffix("-start")
      if kind in _COLLECTIVES:
        payload, sent = _collective(kind, op, module[name], num_devices)
        # The TPU compiler cuts one into several fusions of the same channel.
        channel = re.search(r"channel_id=\d+", op.rest)
        key = kind, channel[0] if channel else op
        found[key] = max(found.get(key, ()), (times, payload, sent))
  rows = tuple(
    Collective(
      kind,
      sum(times for times, _, _ in ops),
      sum(times * payload for times, payload, _ in ops),
      sum(times * sent for times, _, sent in ops),
    )
    for kind in _COLLECTIVES
    if (ops := [row for key, row in found.items() if key[0] == kind])
  )
  executed = [name for name in runs if name not in inlined]
  largest = _largest(module, entry, executed)[:top]
  return HloCost(total, rows, tuple(largest), open_loops)


@dataclasses.dataclass(frozen=True)
class _Array:
  dtype: str
  dims: tuple[int, ...]
  layout: str

  @property
  def in_hbm(self) -> bool:
    """Whether it lies in the main memory, not in one of the chip's own."""
    return not re.search(r"S\([1-9]", self.layout)

  @property
  def bytes(self) -> int:
    """Of the values alone."""
    return math.ceil(math.prod(self.dims) * _bits(self.dtype) / 8)

  @property
  def padded_bytes(self) -> int:
    """With the tiles of a TPU filled up: 3 channels may take 128 lanes."""
    found = re.match(r"\{([\d,]+):T\(([\d,]+)\)", self.layout)
    if not found:
      return self.bytes
    order, tile = ([int(n) for n in g.split(",")] for g in found.groups())
    sizes = [self.dims[i] for i in reversed(order)]
    for i in range(1, min(len(sizes), len(tile)) + 1):
      sizes[-i] = math.ceil(sizes[-i] / tile[-i]) * tile[-i]
    return math.ceil(math.prod(sizes) * _bits(self.dtype) / 8)

  def __str__(self) -> str:
    return f"{self.dtype}[{','.join(map(str, self.dims))}]"


def _bits(dtype: str) -> int:
  found = re.search(r"\d+", dtype)
  return int(found[0]) if found else 8 * (dtype == "pred")


@dataclasses.dataclass(frozen=True)
class _Op:
  name: str
  opcode: str
  arrays: tuple[_Array, ...]
  operands: tuple[str, ...]
  called: tuple[str, ...]
  is_root: bool
  rest: str

  @property
  def hbm_bytes(self) -> int:
    return sum(a.padded_bytes for a in self.arrays if a.in_hbm)


_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,<=]*)\](\{[^{}]*\})?")
_CALLED = re.compile(r"(calls|body|condition|to_apply)=%?([\w.\-]+)")
_BRANCHES = re.compile(
  r"branch_computations=\{([^}]*)\}|(?:true|false)_computation=%?([\w.\-]+)"
)
_TRIPS = re.compile(r'known_trip_count":\s*\{"n":\s*"?(\d+)')


def _parse(text: str) -> tuple[dict[str, dict[str, _Op]], str]:
  """Returns {computation: {instruction: op}} and the entry's name."""
  module, entry, ops = {}, "", {}
  for line in text.splitlines():
    header = None if line[:1] in (" ", "}") else _HEADER.match(line)
    if header:
      ops = module.setdefault(header[2], {})
      entry = header[2] if header[1] else entry
    elif found := _LINE.match(line):
      op = _parse_op(found)
      ops[op.name] = op
  return module, entry


def _parse_op(found: re.Match) -> _Op:
  root, name, type_text, opcode, rest = found.groups()
  depth, end = 1, 0
  while depth and end < len(rest):
    depth += {"(": 1, ")": -1}.get(rest[end], 0)
    end += 1
  inside, rest = rest[: end - 1], rest[end:]
  called = tuple(
    name for key, name in _CALLED.findall(rest) if key in _descends(opcode)
  )
  if opcode == "conditional":
    text = " ".join(" ".join(m) for m in _BRANCHES.findall(rest))
    called = tuple(re.findall(r"[\w.\-]+", text))
  arrays = tuple(
    _Array(
      dtype,
      tuple(int(n.lstrip("<=")) for n in dims.split(",") if n),
      layout,
    )
    for dtype, dims, layout in _ARRAY.findall(type_text)
  )
  # A parameter's number stands where others have operands.
  operands = tuple(re.findall(r"%([\w.\-]+)", inside)) or (inside,)
  return _Op(name, opcode, arrays, operands, called, bool(root), rest)


def _descends(opcode: str) -> tuple[str, ...]:
  """The attributes that name what an instruction runs as a program."""
  if opcode in ("fusion", "async-start"):
    return ("calls",)
  return {"while": ("condition", "body"), "call": ("to_apply",)}.get(opcode, ())


def _count_runs(module, entry) -> tuple[dict[str, float], int]:
  """How often each computation runs; how many loops have no known length."""
  runs, open_loops = collections.Counter(), 0
  queue = [(entry, 1)]
  while queue:
    name, times = queue.pop()
    runs[name] += times
    for op in module[name].values():
      trips = _trip_count(op, module) if op.opcode == "while" else 1
      open_loops += trips is None and _is_heavy(op, module)
      queue += [(c, times * (trips or 1)) for c in op.called if c in module]
  return runs, open_loops


def _is_heavy(op: _Op, module) -> bool:
  """Whether a turn of a loop matters; a rejection sampler's does not."""
  scopes = [module[name] for name in op.called if name in module]
  moved = (_moved_bytes(o, s, module) for s in scopes for o in s.values())
  return sum(moved) > 2**20


def _trip_count(op: _Op, module) -> int | None:
  """Trips of a while loop; None where the text does not say."""
  if known := _TRIPS.search(op.rest):
    return int(known[1])
  # The TPU compiler drops the annotation. JAX's loops count from 0 by 1.
  condition = module.get(dict(_CALLED.findall(op.rest)).get("condition"), {})
  constants = [
    int(o.operands[0])
    for o in condition.values()
    if o.opcode == "constant" and o.operands[0].isdigit()
  ]
  root = next((o for o in condition.values() if o.is_root), None)
  counts_up = root is not None and "direction=LT" in root.rest
  return constants[0] if counts_up and len(constants) == 1 else None


def _collective(kind, op, scope, num_devices) -> tuple[float, float]:
  """Payload and ring traffic in bytes."""
  sent = sum(
    a.bytes for o in op.operands if o in scope for a in scope[o].arrays
  )
  payload = sent
  if kind == "all-gather":
    payload = sum(a.bytes for a in op.arrays)
    payload -= sent if op.opcode.endswith("-start") else 0
  n = _group_size(op.rest, num_devices)
  ring = {"all-reduce": 2 * (n - 1) / n, "collective-permute": 1.0}
  return payload, payload * ring.get(kind, (n - 1) / n)


def _group_size(rest: str, num_devices: int) -> int:
  """Devices in one group, from any of the three notations.

  {{0,1},{2,3}}; [groups,size]<=[devices]; mesh['a'=8,'b'=2] {'a'}.
  """
  found = re.search(r"replica_groups=(.*)", rest)
  text = found[1] if found else ""
  if listed := re.match(r"\{\{([\d,]*)\}", text):
    return len(listed[1].split(","))
  if iota := re.match(r"\[\d+,(\d+)\]", text):
    return int(iota[1])
  if mesh := re.match(r"mesh\[([^\]]*)\][^{]*\{([^}]*)\}", text):
    sizes = {k: int(n) for k, n in re.findall(r"'(\w+)'=(\d+)", mesh[1])}
    axes = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", mesh[2])
    return math.prod(int(part) if part else sizes[a] for a, part in axes)
  return num_devices


_SLICING = ("dynamic-slice", "slice", "gather")


def _moved_bytes(op: _Op, scope, module) -> float:
  """Bytes of HBM that an instruction reads and writes."""
  if op.opcode in _FREE or "AllocateBuffer" in op.rest:
    return 0.0
  sizes = [scope[o].hbm_bytes for o in op.operands if o in scope]
  if op.opcode == "fusion" and op.called and op.called[0] in module:
    return _fusion_bytes(op, sizes, module)
  if op.opcode in _SLICING:
    return 2.0 * op.hbm_bytes
  if op.opcode == "dynamic-update-slice":
    return 2.0 * sizes[1]
  if op.opcode in (
    "copy-start",
    "all-gather-start",
    "collective-permute-start",
  ):
    return float(op.hbm_bytes)  # The result already names the operand.
  return float(op.hbm_bytes + sum(sizes))


def _fusion_bytes(op: _Op, sizes: Sequence[int], module) -> float:
  """Operands and results of a fusion, slices and in-place updates as such."""
  body = module[op.called[0]]
  parameters = _parameters(body)
  read = sum(
    _read_bytes(parameters[i], size, body, module)
    for i, size in enumerate(sizes)
    if i in parameters
  )
  root = next(inner for inner in body.values() if inner.is_root)
  results = [root]
  if root.opcode == "tuple":
    results = [body[o] for o in root.operands]
  written = sum(
    min(array.padded_bytes, _written_bytes(result, body, module))
    for array, result in zip(op.arrays, results, strict=False)
    if array.in_hbm
  )
  return float(read + written)


def _parameters(body) -> dict[int, str]:
  found = (op for op in body.values() if op.opcode == "parameter")
  return {int(op.operands[0]): op.name for op in found}


def _read_bytes(name: str, size: int, body, module) -> int:
  """What a fused computation reads of its value `name`, at most `size`."""
  total = 0
  for use in body.values():
    for i, operand in enumerate(use.operands):
      if operand != name or use.opcode == "parameter":
        continue
      if use.opcode == "bitcast":
        total += _read_bytes(use.name, size, body, module)
      elif use.opcode == "fusion" and use.called:
        inner = module[use.called[0]]
        inner_name = _parameters(inner)[i]
        total += _read_bytes(inner_name, size, inner, module)
      elif i == 0 and use.opcode in _SLICING:
        total += sum(a.padded_bytes for a in use.arrays)
      elif not (i == 0 and use.opcode == "dynamic-update-slice"):
        return size
  return min(size, total)


def _written_bytes(result: _Op, body, module) -> int:
  """What a fused computation writes for one result."""
  while True:
    if result.opcode == "bitcast" and result.operands[0] in body:
      result = body[result.operands[0]]
    elif result.opcode == "fusion" and result.called:
      body = module[result.called[0]]
      result = next(op for op in body.values() if op.is_root)
    else:
      break
  if result.opcode == "dynamic-update-slice":
    result = body[result.operands[1]]
  return sum(a.padded_bytes for a in result.arrays)


def _inlined(module) -> set[str]:
  """Computations that run as part of one instruction."""
  return {
    name
    for ops in module.values()
    for op in ops.values()
    if op.opcode in ("fusion", "async-start")
    for name in op.called
  }


def _largest(module, entry, executed) -> list[Buffer]:
  """Temporaries in HBM by shape, largest total first.

  A loop's state lives all at once, so it is counted whole; of the rest, which
  the compiler overlays, one of each shape.
  """
  counts, bytes_of = collections.Counter(), {}
  for name in executed:
    scope = module[name]
    root = next((op for op in scope.values() if op.is_root), None)
    kept = set(root.operands) if name == entry and root else set()
    for op in scope.values():
      arrays = [a for a in op.arrays if a.in_hbm]
      if op.opcode == "while":
        arrays = _loop_arrays(op, scope)
      elif op.opcode in _FREE or op.name in kept:
        continue
      shapes = collections.Counter(map(str, arrays))
      if op.opcode != "while":
        shapes = dict.fromkeys(shapes, 1)
      bytes_of |= {str(a): a.padded_bytes for a in arrays}
      for shape, count in shapes.items():
        counts[shape] = max(counts[shape], count)
  found = [Buffer(s, bytes_of[s], n) for s, n in counts.items()]
  return sorted(found, key=lambda b: (-b.bytes * b.count, b.name))


def _loop_arrays(op: _Op, scope) -> list[_Array]:
  """A loop's state in HBM, without what are the program's own arguments."""
  state = scope.get(op.operands[0])
  if state is None or state.opcode != "tuple":
    return [a for a in op.arrays if a.in_hbm]
  sources = (scope.get(o) for o in state.operands)
  passed = [s is not None and s.opcode == "parameter" for s in sources]
  pairs = zip(op.arrays, passed, strict=False)
  return [a for a, own in pairs if a.in_hbm and not own]
