"""One stage of a run: the loop over steps."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import _lookup, data, learners, scenarios
from jaxcls.engine import (
  _config,
  _folder,
  _log,
  _mesh,
  _predict,
  _program,
)


class Diverged(FloatingPointError):
  """The loss is no longer finite; names the step and the last checkpoint."""


class Stopped(Exception):
  """The run was asked to stop; its checkpoint is complete."""


@dataclasses.dataclass(frozen=True)
class Position:
  """Where a run stands; stored in every checkpoint.

  Attributes:
    phase: index of the phase.
    stage: index of the stage within it.
    stage_step: steps done of the stage.
    done: the stage is over, its evaluation written.
    best: best value of the selection metric so far in the stage.
    tally: sum over steps of the prequential accuracy.
    queries: labels that learners asked for.
  """

  phase: int = 0
  stage: int = 0
  stage_step: int = 0
  done: bool = False
  best: float | None = None
  tally: float = 0.0
  queries: int = 0

  def replace(self, **changes: Any) -> "Position":
    """Returns a copy with some fields changed."""
    return dataclasses.replace(self, **changes)

  def next_stage(self) -> "Position":
    """Start of the next stage."""
    return Position(self.phase, self.stage + 1, queries=self.queries)

  def next_phase(self) -> "Position":
    """Start of the next phase."""
    return Position(self.phase + 1, queries=self.queries)


def count_steps(program: _program.Program, stage: scenarios.Stage) -> int:
  """Steps of a stage: its own number, or the config's; 0 where it only fits."""
  if stage.play == "fit":
    return 0
  if not program.takes_steps():
    raise _config.ConfigError(
      f"a stage must be played as 'fit' for {type(program.learner).__name__}, "
      f"which takes no steps, got {stage.play!r}. Set scenario.play to 'fit'."
    )
  source = next(iter(stage.streams.values())).source
  return stage.total_steps or program.total_steps(len(source))


def first_batch(
  program: _program.Program, stage: scenarios.Stage, *, seed: int
) -> Any:
  """One global batch, for learners that look at one to start."""
  batches = open_batches(program, stage.streams, 1, seed=seed, start=0)
  return _mesh.put_batch(next(batches), program.mesh, program.batch_sizes())


def open_batches(
  program: _program.Program,
  streams: Mapping[str, data.Stream],
  total_steps: int,
  *,
  seed: int,
  start: int,
) -> Iterator[Any]:
  """This process's rows of every step's batches from `start` on."""
  sizes, mesh = program.batch_sizes(), program.mesh
  plans = {}
  for i, (name, stream) in enumerate(streams.items()):
    plans[name] = stream.plan(
      batch_size=sizes[name], num_steps=total_steps, seed=seed + i
    )
    got = len(plans[name][0])
    if got != sizes[name]:
      raise _config.ConfigError(
        f"batch_size of stream {name!r} must be the {got} examples that its "
        f"sampler draws, got {sizes[name]}."
      )
  return data.host_batches(
    plans,
    {name: stream.source.fetch for name, stream in streams.items()},
    start=start,
    rows={name: _mesh.local_rows(size, mesh) for name, size in sizes.items()},
    workers=program.config["workers"],
  )


@dataclasses.dataclass(kw_only=True)
class StagePlay:
  """Plays one stage of an open run.

  Attributes:
    run: the open run: folder, checkpoints, metrics, position, stop flag.
    program: the phase.
    stage: what is played.
    predictor: for evaluation and the learner's questions.
    total_steps: steps of the stage.
    step_fn: compiled step (state, batches) -> (state, metrics).
  """

  run: Any
  program: _program.Program
  stage: scenarios.Stage
  predictor: _predict.Predictor
  total_steps: int
  step_fn: Callable

  def __post_init__(self):
    """Reads every interval, in steps."""
    config, learner = self.program.config, self.program.learner
    source = next(iter(self.stage.streams.values())).source
    epoch = self.program.steps_per_epoch(len(source))
    section = config["evaluation"]
    self.log_every = self.run.config["log_every_steps"]
    self.save_every = self.run.config["checkpoint"]["every_steps"]
    self.eval_every = _config.steps_of(section, "every", epoch)
    self.refresh_every = getattr(learner, "refresh_every_steps", 0)
    self.select = section["select"]
    self.examples = sum(self.program.batch_sizes().values())
    # Jitted: op by op, a cosine compiles a dozen programs at its first call.
    length = self.total_steps or self.program.total_steps()
    self.schedule = jax.jit(self.program.make_schedule(length))
    self.clock = _log.Clock()
    # Metrics stay on the device for one more log interval: fetching them at
    # once would make every log step wait for the device.
    self.pending = None
    self.losses: list[tuple[int, jax.Array]] = []

  def play(self, state: learners.State, *, fresh: bool):
    """Plays the stage from the run's position to its end.

    Args:
      state: state at that position; donated.
      fresh: the stage begins now, so the learner's hooks have not run.

    Returns:
      The state after the stage and the record of its evaluation.
    """
    if fresh:
      state = self._hook("start_stage", state)
    description = f"{self.program.config['name']}/{self.stage.name}"
    bar = _log.Progress(description, self.total_steps, self.run.at.stage_step)
    with bar as self.bar:
      if self.stage.play != "fit":
        state = self._steps(state)
      self._flush()
      return self._finish(state)

  def _steps(self, state):
    """The loop."""
    start = self.run.at.stage_step
    batches, first = None, int(state.step) - start
    tally = jnp.float32(self.run.at.tally)
    for i in range(start, self.total_steps):
      if self.refresh_every and i % self.refresh_every == 0:
        state, batches = self._hook("refresh", state), None
      if batches is None:
        batches = self._open_batches(state, i)
      batch = _mesh.put_batch(
        next(batches), self.run.mesh, self.program.batch_sizes()
      )
      state, metrics = self.step_fn(state, batch)
      if "prequential_accuracy" in metrics:
        tally = tally + metrics["prequential_accuracy"]
        metrics["prequential_accuracy"] = tally / (i + 1)
      step = first + i + 1
      self.run.at = self.run.at.replace(stage_step=i + 1, tally=tally)
      if "loss" in metrics:
        self.losses.append((step, metrics["loss"]))
      if (i + 1) % self.log_every == 0 or i + 1 == self.total_steps:
        self._log(step, i, metrics)
      if i + 1 == self.total_steps:
        break
      if self.eval_every and (i + 1) % self.eval_every == 0:
        self._evaluate(step, state)
      if (i + 1) % self.save_every == 0:
        self._save(step, state)
      if self._asked_to_stop(step):
        self._save(step, state)
        self.run.checkpoints.wait()
        raise Stopped(
          f"Stopped at step {step}; the checkpoint is complete. Run the same "
          "command to go on."
        )
    _close(batches)
    return state

  def _open_batches(self, state, start):
    """Batches from step `start` on; a learner may choose the sampler."""
    streams, learner = dict(self.stage.streams), self.program.learner
    if hasattr(learner, "sampler"):
      for name, stream in streams.items():
        sampler = learner.sampler(self.program.net, state, name)
        if sampler is not None:
          streams[name] = dataclasses.replace(stream, sampler=sampler)
    at = self.run.at
    words = [self.run.config["seed"], at.phase, at.stage]
    seed = int(np.random.SeedSequence(words).generate_state(1)[0])
    return open_batches(
      self.program, streams, self.total_steps, seed=seed, start=start
    )

  def _hook(self, name, state):
    """Runs a learner's method between steps; checks and places its state."""
    learner = self.program.learner
    if not hasattr(learner, name):
      return state
    key = jax.random.fold_in(state.key, state.step)
    context = _predict.Context(
      self.stage, key, self.run.at.queries, self.predictor
    )
    new = getattr(learner, name)(self.program.net, state, context)
    self.run.at = self.run.at.replace(queries=context.queries)
    if _shapes(new) != _shapes(state):
      raise ValueError(
        f"{type(learner).__name__}.{name} must keep the structure, shapes and "
        "dtypes of the state. Reserve capacity in init and mask what is unused."
      )
    return _mesh.put(new, _mesh.state_shardings(state, self.run.mesh))

  def _log(self, step, i, metrics):
    """Queues this step's metrics and writes the ones before."""
    lap = self.clock.lap(step, self.examples)
    ready, self.pending = self.pending, (step, i, metrics, lap)
    self._write(ready)

  def _write(self, entry):
    if entry is None:
      return
    step, i, metrics, lap = entry
    self._check_finite(step)
    record = {
      f"train/{k}": float(v) for k, v in jax.device_get(metrics).items()
    }
    record["train/learning_rate"] = float(self.schedule(i))
    record |= lap
    self.run.metrics.write(step, record)
    self.bar.update(i + 1, record)

  def _flush(self):
    """Writes what is pending; afterwards the log is up to date."""
    ready, self.pending = self.pending, None
    self._write(ready)
    if self.losses:
      self._check_finite(self.losses[-1][0])

  def _check_finite(self, until):
    """Raises Diverged if a loss up to step `until` is not finite."""
    checked = [(s, x) for s, x in self.losses if s <= until]
    self.losses = self.losses[len(checked) :]
    for step, value in jax.device_get(checked):
      if not math.isfinite(value):
        self.run.checkpoints.wait()
        good, where = (
          self.run.checkpoints.latest(),
          "there is no checkpoint yet",
        )
        if good is not None:
          path = self.run.checkpoints.folder / str(good)
          where = f"the last good checkpoint is {path}"
        raise Diverged(
          f"the loss must be finite, got {value} at step {step}; {where}. "
          "Lower schedule.peak_lr, set optimizer.clip_norm, or look for "
          "non-finite inputs in the batch of that step."
        )

  def _evaluate(self, step, state):
    """Evaluates on val within the stage, and keeps the best if asked to."""
    self._flush()
    splits = [s for s in self.stage.evals if s == "val"]
    if not splits:
      return
    record, _ = self.predictor.evaluate(state, self.stage, splits)
    self._write_evaluation(step, record)
    self._keep_best(step, state, record)
    self.clock.skip()

  def _write_evaluation(self, step, record):
    self.run.metrics.write(step, record)
    shown = [f"{k} {v:.4f}" for k, v in record.items() if isinstance(v, float)]
    self.bar.say(f"step {step}: {', '.join(shown)}")

  def _keep_best(self, step, state, record):
    if not self.select:
      return
    metric, mode = self.select["metric"], self.select.get("mode", "max")
    if metric not in record:
      raise _config.ConfigError(
        f"evaluation.select.metric must be one that is evaluated, got "
        f"{metric!r}.{_lookup.nearest(metric, record)}"
      )
    value, best = record[metric], self.run.at.best
    if best is not None and (value <= best if mode == "max" else value >= best):
      return
    self.run.at = self.run.at.replace(best=value)
    # The ordinary checkpoint first: a restart then never precedes the best.
    self._save(step, state)
    self.run.checkpoints.wait()
    self.run.best.save(step, state, self._meta())
    self.run.best.wait()

  def _meta(self):
    at = self.run.at
    return dataclasses.asdict(at.replace(tally=float(at.tally)))

  def _save(self, step, state):
    """Saves unless this step is saved; the log is complete before it."""
    self._flush()
    if self.run.checkpoints.latest() != step:
      self.run.metrics.sync()
      self.run.checkpoints.save(step, state, self._meta())
      self.clock.skip()

  def _asked_to_stop(self, step):
    if jax.process_count() > 1:
      return self.run.checkpoints.reached_preemption(step)
    return self.run.stop["asked"]

  def _finish(self, state):
    """End of the stage: the learner's last word, test, checkpoint."""
    if self.stage.play == "fit":
      state = state.replace(step=state.step + 1)
    step = int(state.step)
    splits = [s for s in self.stage.evals if s == "val"]
    if self.select and splits:
      self._evaluate(step, state)
      self.run.best.wait()
      chosen = self.run.best.latest()
      state = self.run.best.restore(chosen, state, self.run.mesh)
      state = state.replace(step=jnp.full_like(state.step, step))
    state = self._hook("end_stage", state)
    record, predictions = self.predictor.evaluate(
      state, self.stage, list(self.stage.evals)
    )
    if self.select and splits:
      record["selected_step"] = chosen
    if self.stage.play == "prequential":
      tally = float(self.run.at.tally) / self.total_steps
      record["prequential_accuracy"] = tally
    record = {"stage": self.stage.name, **record}
    if self.run.at.queries:
      record["label_queries"] = self.run.at.queries
    self._write_evaluation(step, record)
    if jax.process_index() == 0:
      _folder.save_predictions(self.run.folder, predictions)
    self.run.at = self.run.at.replace(done=True)
    self.run.metrics.sync()
    self.run.checkpoints.save(step, state, self._meta(), force=True)
    self.run.checkpoints.wait()
    return state, {"step": step, **record}


def _shapes(state):
  """Structure, shapes and dtypes, comparable."""
  describe = lambda a: (np.shape(a), jax.dtypes.result_type(a))
  return jax.tree.map(describe, state)


def _close(batches):
  """Stops a loader's threads now, not when it is collected."""
  if hasattr(batches, "close"):
    batches.close()
