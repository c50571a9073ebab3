"""Regularised evolution of optimiser programs."""

import collections
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxcls.optim import _program


class Candidate(NamedTuple):
  """A program and what it was found to be worth; lower is better."""

  value: float
  program: _program.Program


def mutate_program(
  program: _program.Program, rng: np.random.Generator
) -> _program.Program:
  """Inserts, deletes or changes one statement at random.

  An inserted statement reads variables that are set before it, or constants,
  and sets a new variable or an old one; a change swaps one input for another
  variable or constant, or scales a constant by 2**normal.

  Args:
    program: from `parse_program`; kept as it is.
    rng: numpy generator.

  Returns:
    A valid program that differs by one statement.

  Source: Chen et al. 2023, arXiv:2302.06675.
  Differs: nothing known.

  >>> program = _program.parse_program("update = mul(g, lr)")
  >>> len(mutate_program(program, np.random.default_rng(0))) in (1, 2)
  True
  """
  kinds = (_insert, _delete, _change, _change)
  while True:
    new = kinds[rng.integers(len(kinds))](list(program), rng)
    if new != program and _is_valid(new):
      return new


def _is_valid(program):
  """Every variable is set before it is read, and the update is set."""
  known = set(_program.INPUTS)
  for statement in program:
    if any(isinstance(x, str) and x not in known for x in statement.inputs):
      return False
    known.add(statement.output)
  return "update" in known


def _variables(statements):
  return sorted({*_program.INPUTS, *(s.output for s in statements)})


def _draw_input(statements, rng):
  """A constant one time in three, else a variable."""
  if rng.random() < 1 / 3:
    return float(rng.choice(_program.CONSTANTS))
  return str(rng.choice(_variables(statements)))


def _insert(statements, rng):
  at = int(rng.integers(len(statements) + 1))
  operation = str(rng.choice(list(_program.OPERATIONS)))
  arity = _program.OPERATIONS[operation].arity
  inputs = tuple(_draw_input(statements[:at], rng) for _ in range(arity))
  names = [n for n in _variables(statements) if n not in ("w", "lr")]
  fresh = f"x{len(statements)}"
  output = fresh if rng.random() < 0.5 else str(rng.choice(names))
  statements.insert(at, _program.Statement(output, operation, inputs))
  return tuple(statements)


def _delete(statements, rng):
  del statements[int(rng.integers(len(statements)))]
  return tuple(statements)


def _change(statements, rng):
  at = int(rng.integers(len(statements)))
  inputs = list(statements[at].inputs)
  slot = int(rng.integers(len(inputs)))
  old = inputs[slot]
  if isinstance(old, float) and rng.random() < 0.5:
    inputs[slot] = float(old * 2 ** rng.normal())
  else:
    inputs[slot] = _draw_input(statements[:at], rng)
  statements[at] = statements[at]._replace(inputs=tuple(inputs))
  return tuple(statements)


def regularized_evolution(
  evaluate: Callable[[_program.Program], float],
  start: _program.Program,
  *,
  num_evaluations: int,
  seed: int = 0,
  population_size: int = 100,
  tournament_size: int = 10,
  max_statements: int = 20,
) -> list[Candidate]:
  """Mutates the best of a tournament, forgets the oldest.

  The population starts as mutants of `start`. A child that computes what a
  program before it did (`program_signature`) takes its value without an
  evaluation, so that none is spent twice.

  Args:
    evaluate: value of a program, lower is better; not finite = useless.
    start: the first program.
    num_evaluations: calls of `evaluate`, the start's included.
    seed: of all choices.
    population_size: programs alive.
    tournament_size: programs of which the best has the child.
    max_statements: longer children are drawn again.

  Returns:
    Every evaluated program, best first, dead statements removed.

  Raises:
    ValueError: a number below 1, or a start longer than max_statements.

  Source: Chen et al. 2023, arXiv:2302.06675; Real et al. 2019,
    arXiv:1802.01548 (ageing).
  Differs: one process; restarts from the best are the caller's.

  >>> from jaxcls import optim
  >>> start = optim.parse_program("update = mul(g, lr)")
  >>> found = regularized_evolution(len, start, num_evaluations=3)
  >>> found[0].value
  1.0
  """
  for name, value in (
    ("num_evaluations", num_evaluations),
    ("population_size", population_size),
    ("tournament_size", tournament_size),
  ):
    if value < 1:
      raise ValueError(f"{name} must be at least 1, got {value}.")
  if len(start) > max_statements:
    raise ValueError(
      f"start must have at most max_statements = {max_statements} statements, "
      f"got {len(start)}."
    )
  rng, values, found = np.random.default_rng(seed), {}, []

  def measure(program):
    live = _program.remove_dead_statements(program)
    signature = _program.program_signature(live)
    if signature not in values:
      value = float(evaluate(live))
      values[signature] = value if np.isfinite(value) else np.inf
      found.append(Candidate(values[signature], live))
    return Candidate(values[signature], program)

  alive = collections.deque([measure(start)], maxlen=population_size)
  # Most children repeat: a bound on draws, or a tiny space would never end.
  for _ in range(100 * num_evaluations):
    if len(found) >= num_evaluations:
      break
    if len(alive) < population_size:
      parent = alive[0]
    else:
      rivals = rng.integers(len(alive), size=tournament_size)
      parent = min((alive[i] for i in rivals), key=lambda c: c.value)
    child = mutate_program(parent.program, rng)
    if len(child) <= max_statements:
      alive.append(measure(child))
  return sorted(found, key=lambda c: c.value)


def simplify_program(
  program: _program.Program,
  evaluate: Callable[[_program.Program], float],
  *,
  tolerance: float = 0.0,
) -> _program.Program:
  """Drops statements one by one while the value stays.

  Args:
    program: from `parse_program`.
    evaluate: value of a program, lower is better.
    tolerance: how much the value may grow in all, >= 0.

  Returns:
    A program without dead statements, whose value is at most
    evaluate(program) + tolerance and from which no single statement can go.

  Raises:
    ValueError: tolerance < 0.

  Source: Chen et al. 2023, arXiv:2302.06675 (simplification).
  Differs: the paper also rewrites by hand.

  >>> from jaxcls import optim
  >>> program = optim.parse_program("x = abs(g)\\nupdate = mul(g, lr)")
  >>> print(optim.format_program(simplify_program(program, lambda p: 0.0)))
  update = mul(g, lr)
  """
  if not tolerance >= 0:
    raise ValueError(f"tolerance must be at least 0, got {tolerance}.")
  program = _program.remove_dead_statements(program)
  bound = evaluate(program) + tolerance
  at = len(program) - 1
  while at >= 0:
    shorter = program[:at] + program[at + 1 :]
    if _is_valid(shorter) and evaluate(shorter) <= bound:
      program = _program.remove_dead_statements(shorter)
      at = len(program)
    at -= 1
  return program


def select_by_funnel(
  candidates: Sequence[_program.Program],
  evaluations: Sequence[Callable[[_program.Program], float]],
  *,
  keep: Sequence[int],
) -> list[Candidate]:
  """Keeps the best at each of several ever larger tasks.

  Args:
    candidates: programs, more than the first of `keep`.
    evaluations: value of a program at each task, lower is better, the
      cheapest task first.
    keep: how many go on after each task.

  Returns:
    The last survivors with their values at the last task, best first.

  Raises:
    ValueError: no candidates, or not one `keep` for each task.

  Source: Chen et al. 2023, arXiv:2302.06675 (funnel selection).
  Differs: nothing known.

  >>> from jaxcls import optim
  >>> programs = [optim.parse_program("update = mul(g, lr)")]
  >>> len(select_by_funnel(programs, [len, len], keep=(1, 1)))
  1
  """
  if not candidates or len(keep) != len(evaluations):
    raise ValueError(
      "there must be candidates and one keep for each evaluation, got "
      f"{len(candidates)}, {len(keep)} and {len(evaluations)}."
    )
  alive = [Candidate(np.inf, program) for program in candidates]
  for evaluate, count in zip(evaluations, keep, strict=True):
    values = [float(evaluate(c.program)) for c in alive]
    values = [v if np.isfinite(v) else np.inf for v in values]
    alive = [
      Candidate(v, c.program) for v, c in zip(values, alive, strict=True)
    ]
    alive = sorted(alive, key=lambda c: c.value)[:count]
  return alive
