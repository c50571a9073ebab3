"""Learning-rate schedules: step -> learning rate."""

import optax


def _warm(schedule: optax.Schedule, peak_lr: float, warmup_steps: int):
  """Puts a linear warm-up from 0 before a schedule."""
  if not warmup_steps:
    return schedule
  warmup = optax.linear_schedule(0.0, peak_lr, warmup_steps)
  return optax.join_schedules([warmup, schedule], [warmup_steps])


def constant(
  *, peak_lr: float, total_steps: int, warmup_steps: int = 0
) -> optax.Schedule:
  """Linear warm-up, then peak_lr."""
  _check(total_steps, warmup_steps)
  return _warm(optax.constant_schedule(peak_lr), peak_lr, warmup_steps)


def cosine(
  *,
  peak_lr: float,
  total_steps: int,
  warmup_steps: int = 0,
  final_lr: float = 0.0,
) -> optax.Schedule:
  """Linear warm-up, then half a cosine from peak_lr to final_lr.

  lr(t) = final + (peak - final) (1 + cos(pi t / T)) / 2, with t counted and T
  measured from the end of the warm-up.

  Source: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, no restarts.
  """
  length = _check(total_steps, warmup_steps)
  alpha = final_lr / peak_lr if peak_lr else 0.0
  decay = optax.cosine_decay_schedule(peak_lr, length, alpha)
  return _warm(decay, peak_lr, warmup_steps)


def linear(
  *,
  peak_lr: float,
  total_steps: int,
  warmup_steps: int = 0,
  final_lr: float = 0.0,
) -> optax.Schedule:
  """Linear warm-up, then a line from peak_lr to final_lr."""
  length = _check(total_steps, warmup_steps)
  decay = optax.linear_schedule(peak_lr, final_lr, length)
  return _warm(decay, peak_lr, warmup_steps)


def step_decay(
  *,
  peak_lr: float,
  total_steps: int,
  boundaries: tuple[float, ...],
  factor: float = 0.1,
  warmup_steps: int = 0,
) -> optax.Schedule:
  """Multiplies peak_lr by `factor` at each boundary.

  Args:
    peak_lr: first learning rate.
    total_steps: length of training.
    boundaries: fractions of total_steps in (0, 1), such as (0.5, 0.75).
    factor: multiplier at each boundary.
    warmup_steps: linear warm-up before; boundaries still count from 0.
  """
  _check(total_steps, warmup_steps)
  if not all(0 < b < 1 for b in boundaries):
    raise ValueError(
      "boundaries must be fractions of total_steps in (0, 1), "
      f"got {tuple(boundaries)}."
    )
  steps = {int(b * total_steps) - warmup_steps: factor for b in boundaries}
  decay = optax.piecewise_constant_schedule(peak_lr, steps)
  return _warm(decay, peak_lr, warmup_steps)


def _check(total_steps: int, warmup_steps: int) -> int:
  """Returns the steps after the warm-up."""
  if not 0 <= warmup_steps < total_steps:
    raise ValueError(
      f"warmup_steps must be in [0, total_steps), got {warmup_steps} "
      f"with total_steps {total_steps}."
    )
  return total_steps - warmup_steps
