"""Optimisers as short programs: run, mutated, simplified, turned into optax."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

# What a program is given; `update`, `m` and `v` are what it gives back.
INPUTS = ("w", "g", "m", "v", "lr")
RESULTS = ("update", "m", "v")
CONSTANTS = (0.0, 0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0, 2.0)


class Operation(NamedTuple):
  """An operation: its number of inputs and f(xp, *inputs), xp numpy or jnp."""

  arity: int
  function: Callable[..., Any]


OPERATIONS = {
  "add": Operation(2, lambda xp, a, b: a + b),
  "sub": Operation(2, lambda xp, a, b: a - b),
  "mul": Operation(2, lambda xp, a, b: a * b),
  "div": Operation(2, lambda xp, a, b: xp.divide(a, b)),
  "maximum": Operation(2, lambda xp, a, b: xp.maximum(a, b)),
  "minimum": Operation(2, lambda xp, a, b: xp.minimum(a, b)),
  # (1 - c) a + c b: c is the weight of the second.
  "interp": Operation(3, lambda xp, a, b, c: (1 - c) * a + c * b),
  "clip": Operation(3, lambda xp, a, b, c: xp.clip(a, b, c)),
  "abs": Operation(1, lambda xp, a: xp.abs(a)),
  "sign": Operation(1, lambda xp, a: xp.sign(a)),
  "square": Operation(1, lambda xp, a: a * a),
  "sqrt": Operation(1, lambda xp, a: xp.sqrt(a)),
  "exp": Operation(1, lambda xp, a: xp.exp(a)),
  "log": Operation(1, lambda xp, a: xp.log(a)),
  "tanh": Operation(1, lambda xp, a: xp.tanh(a)),
  "norm": Operation(1, lambda xp, a: xp.sqrt(xp.sum(a * a))),
}


class Statement(NamedTuple):
  """output = operation(*inputs); an input is a variable's name or a number."""

  output: str
  operation: str
  inputs: tuple[str | float, ...]


Program = tuple[Statement, ...]


def parse_program(text: str) -> Program:
  """Reads a program, one statement a line: `m = interp(g, m, 0.9)`.

  Variables: w (weight), g (gradient), m and v (memory, zero at first), lr
  (schedule); a program sets `update`, which is subtracted from the weight,
  and may set m and v. Operations: add, sub, mul, div, maximum, minimum,
  interp(a, b, c) = (1 - c) a + c b, clip(a, low, high), abs, sign, square,
  sqrt, exp, log, tanh, norm.

  Args:
    text: the lines; blank ones are passed over.

  Returns:
    A tuple of Statement.

  Raises:
    ValueError: a line that is no statement, an unknown operation or variable,
      a wrong number of inputs, `update` never set.

  Source: Chen et al. 2023, arXiv:2302.06675.
  Differs: 16 operations; the paper has more.

  >>> parse_program("update = mul(g, lr)")
  (Statement(output='update', operation='mul', inputs=('g', 'lr')),)
  """
  program, known = [], set(INPUTS)
  for line in filter(str.strip, text.splitlines()):
    output, _, rest = map(str.strip, line.partition("="))
    operation, _, inside = rest.partition("(")
    if operation not in OPERATIONS or not rest.endswith(")"):
      raise ValueError(
        f"a statement must look like m = interp(g, m, 0.9), with one of "
        f"{', '.join(OPERATIONS)}; got {line.strip()!r}."
      )
    inputs = tuple(map(_operand, inside[:-1].split(",")))
    for name in inputs:
      if isinstance(name, str) and name not in known:
        raise ValueError(
          f"a variable must be set before it is used, got {name!r} in "
          f"{line.strip()!r}."
        )
    if len(inputs) != OPERATIONS[operation].arity:
      raise ValueError(
        f"{operation} must have {OPERATIONS[operation].arity} inputs, got "
        f"{line.strip()!r}."
      )
    program.append(Statement(output, operation, inputs))
    known.add(output)
  if "update" not in known:
    raise ValueError("a program must set update, got none.")
  return tuple(program)


def _operand(text):
  try:
    return float(text)
  except ValueError:
    return text.strip()


def format_program(program: Program) -> str:
  """The text that `parse_program` reads.

  Args:
    program: from `parse_program`.

  Returns:
    One line a statement.

  Source: Chen et al. 2023, arXiv:2302.06675.
  Differs: nothing known.

  >>> print(format_program(parse_program("update=mul(g,lr)")))
  update = mul(g, lr)
  """
  show = lambda x: x if isinstance(x, str) else f"{x:.6g}"
  return "\n".join(
    f"{s.output} = {s.operation}({', '.join(map(show, s.inputs))})"
    for s in program
  )


def run_program(
  program: Program, w: Any, g: Any, m: Any, v: Any, lr: Any, *, xp: Any = jnp
) -> tuple[Any, Any, Any]:
  """Runs a program on one array of weights.

  Args:
    program: from `parse_program`.
    w, g, m, v: arrays of one shape: weight, gradient, two memories.
    lr: number.
    xp: the array module, jax.numpy or numpy.

  Returns:
    (update, new m, new v); the new weight is w - update.

  Source: Chen et al. 2023, arXiv:2302.06675.
  Differs: nothing known.

  >>> program = parse_program("update = mul(g, lr)")
  >>> print(run_program(program, 1.0, 3.0, 0.0, 0.0, 0.5)[0])
  1.5
  """
  values = dict(zip(INPUTS, (w, g, m, v, lr), strict=True))
  for statement in program:
    inputs = [values.get(x, x) for x in statement.inputs]
    function = OPERATIONS[statement.operation].function
    values[statement.output] = function(xp, *inputs)
  return tuple(values[name] for name in RESULTS)


def scale_by_program(
  learning_rate: optax.ScalarOrSchedule, *, program: str | Program
) -> optax.GradientTransformation:
  """A program as an optax optimiser; norms are of each array alone.

  Args:
    learning_rate: what the program sees as lr: number or schedule.
    program: a program or its text.

  Returns:
    A transformation with memories m and v in float32; `update` needs the
    parameters.

  Raises:
    ValueError: the text is no program.

  Source: Chen et al. 2023, arXiv:2302.06675.
  Differs: nothing known.

  >>> tx, w = scale_by_program(0.1, program="update = mul(g, lr)"), jnp.ones(1)
  >>> print(tx.update(jnp.array([3.0]), tx.init(w), w)[0])
  [-0.3]
  """
  program = parse_program(program) if isinstance(program, str) else program

  def init(params):
    zeros = lambda p: jnp.zeros(p.shape, jnp.float32)
    memory = jax.tree.map(zeros, params)
    return {"m": memory, "v": memory, "count": jnp.zeros((), jnp.int32)}

  def update(grads, state, params):
    count = state["count"]
    lr = learning_rate(count) if callable(learning_rate) else learning_rate

    def one(w, g, m, v):
      wide = lambda x: x.astype(jnp.float32)
      step, m, v = run_program(program, wide(w), wide(g), m, v, lr)
      shaped = lambda x: jnp.broadcast_to(x, w.shape).astype(jnp.float32)
      return -shaped(step).astype(w.dtype), shaped(m), shaped(v)

    found = jax.tree.map(one, params, grads, state["m"], state["v"])
    pick = lambda i: jax.tree.map(
      lambda f: f[i], found, is_leaf=lambda x: isinstance(x, tuple)
    )
    return pick(0), {"m": pick(1), "v": pick(2), "count": count + 1}

  return optax.GradientTransformation(init, update)


def remove_dead_statements(program: Program) -> Program:
  """Drops statements that no result depends on.

  Args:
    program: from `parse_program`.

  Returns:
    The statements that reach `update`, or m and v of the next step's update.

  Source: Chen et al. 2023, arXiv:2302.06675 (redundant statements).
  Differs: nothing known.

  >>> program = parse_program("x = square(g)\\nupdate = mul(g, lr)")
  >>> print(format_program(remove_dead_statements(program)))
  update = mul(g, lr)
  """
  # A memory lives only if an update, now or later, reads it.
  wanted = {"update"}
  while True:
    kept, needed = [], set(wanted)
    for statement in reversed(program):
      if statement.output in needed:
        needed.discard(statement.output)
        needed |= {x for x in statement.inputs if isinstance(x, str)}
        kept.append(statement)
    # What the first line needs of m or v is what the last line must leave.
    more = wanted | (needed & {"m", "v"})
    if more == wanted:
      return tuple(reversed(kept))
    wanted = more


def program_signature(program: Program) -> bytes:
  """What a program does to fixed random numbers: equal programs agree.

  Args:
    program: from `parse_program`.

  Returns:
    The updates of three steps, rounded to 5 digits; programs that compute the
    same function share it, others hardly ever.

  Source: Chen et al. 2023, arXiv:2302.06675 (functional hash).
  Differs: the paper's hash is of abstract execution.

  >>> one = parse_program("update = mul(g, lr)")
  >>> two = parse_program("update = mul(lr, g)")
  >>> program_signature(one) == program_signature(two)
  True
  """
  rng = np.random.default_rng(0)
  w, m, v, seen = rng.normal(size=6), np.zeros(6), np.zeros(6), []
  with np.errstate(all="ignore"):
    for _ in range(3):
      g = rng.normal(size=6)
      update, m, v = run_program(program, w, g, m, v, 0.1, xp=np)
      w = w - update
      seen.append(np.broadcast_to(update, 6))
  return ",".join(f"{x:.4e}" for x in np.concatenate(seen)).encode()
