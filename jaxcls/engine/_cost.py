"""FLOPs of a jaxpr: matrix products and convolutions, loops multiplied."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Flops:
  """Floating-point operations of a jaxpr.

  Attributes:
    total: of all devices together; a multiply-add is two.
    open_loops: while loops with products inside whose length is not known
      before they run; their bodies count once.
  """

  total: float
  open_loops: int = 0


def count_flops(jaxpr: Any) -> Flops:
  """Counts the matrix products and convolutions of a jaxpr.

  A scan counts length times, a cond as its dearest branch, a shard_map body
  once a device. Elementwise work is left out. Zeros that padding or dilation
  put into a convolution are not counted, so a gradient costs what it must.

  Args:
    jaxpr: such as `jax.jit(f).trace(...).jaxpr`; nothing is run.
  """
  jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
  total, open_loops = 0.0, 0
  for eqn in jaxpr.eqns:
    name, params = eqn.primitive.name, eqn.params
    if name == "dot_general":
      total += _dot_flops(eqn)
    elif name == "conv_general_dilated":
      total += _conv_flops(eqn)
    elif name == "cond":
      branches = [count_flops(b) for b in params["branches"]]
      total += max(b.total for b in branches)
      open_loops += max(b.open_loops for b in branches)
    else:
      inner = [count_flops(j) for j in _inner_jaxprs(params)]
      flops = sum(i.total for i in inner)
      total += flops * _repeats(name, params)
      open_loops += sum(i.open_loops for i in inner)
      open_loops += name == "while" and flops > 0
  return Flops(total, open_loops)


def _inner_jaxprs(params: dict) -> Iterator[Any]:
  for value in params.values():
    for item in value if isinstance(value, tuple | list) else (value,):
      if hasattr(getattr(item, "jaxpr", item), "eqns"):
        yield item


def _repeats(name: str, params: dict) -> int:
  """How often an equation runs the jaxprs inside it."""
  if name == "scan":
    return params["length"]
  if name == "shard_map":
    mesh, axes = params["mesh"], params["newly_manual_axes"]
    return math.prod(mesh.shape[a] for a in axes)
  if name == "pallas_call":
    grid = params["grid_mapping"].grid
    return math.prod(n for n in grid if isinstance(n, int))
  return 1


def _dot_flops(eqn) -> float:
  (contracted, _), _ = eqn.params["dimension_numbers"]
  lhs, out = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
  return 2.0 * math.prod(out) * math.prod(lhs[i] for i in contracted)


def _conv_flops(eqn) -> float:
  """2 x batch x out features x in features a group x pairs that meet."""
  lhs, rhs = (v.aval.shape for v in eqn.invars)
  out, params = eqn.outvars[0].aval.shape, eqn.params
  numbers = params["dimension_numbers"]
  (_, _, *lhs_space), (_, rhs_in, *rhs_space) = numbers[0], numbers[1]
  out_batch, out_features, *out_space = numbers[2]
  flops = 2.0 * out[out_batch] * out[out_features] * rhs[rhs_in]
  for i in range(len(out_space)):
    # Where each output (row) meets each kernel element (column) in the input.
    at = np.arange(out[out_space[i]])[:, None] * params["window_strides"][i]
    at = at + np.arange(rhs[rhs_space[i]]) * params["rhs_dilation"][i]
    at = at - params["padding"][i][0]
    step = params["lhs_dilation"][i]
    inside = (at >= 0) & (at < lhs[lhs_space[i]] * step) & (at % step == 0)
    flops *= inside.sum()
  return float(flops)
