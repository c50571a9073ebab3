"""Evaluates and loads a checkpoint of an existing run."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from jaxcls import learners, models, scenarios
from jaxcls.engine import (
  _checkpoint,
  _config,
  _folder,
  _mesh,
  _predict,
  _program,
  _train,
)


def evaluate_run(
  workdir: str, *, checkpoint: str = "last", overrides: Sequence[str] = ()
) -> dict[str, Any]:
  """Evaluates a run's checkpoint on every split of its stage.

  Args:
    workdir: run folder.
    checkpoint: "last", "best" or a step.
    overrides: "evaluation.x=value" or "mesh.x=value"; nothing else may change.

  Returns:
    The record: `step`, metrics such as "test/accuracy", versions.

  Raises:
    RunFolderError: no run there, or no such checkpoint.
    ConfigError: an override of something else.
  """
  config = _load(workdir, overrides)
  mesh = _mesh.make_mesh(config["mesh"])
  with jax.set_mesh(mesh):
    program, state, stage = restore_run(workdir, config, mesh, checkpoint)
    predictor = _predict.Predictor(program)
    record, _ = predictor.evaluate(state, stage, list(stage.evals))
  return {"step": int(state.step), "stage": stage.name, **record}


class LoadedRun(NamedTuple):
  """A run's model and everything that training changed.

  Attributes:
    net: the model; `net(state.params, state.stats, images)`.
    state: parameters, statistics, the learner's memory.
    learner: `learner.predict(net, state, batch)` is what was evaluated.
    stage: streams and evaluation sets of the checkpoint's stage.
    transform: f(batch) -> batch as in evaluation: images to preprocessed
      float32.
  """

  net: models.Net
  state: learners.State
  learner: Any
  stage: scenarios.Stage
  transform: Any


def load_run(workdir: str, *, checkpoint: str = "last") -> LoadedRun:
  """Loads what a run has learned.

  Args:
    workdir: run folder.
    checkpoint: "last", "best" or a step.

  Returns:
    The model, its state, and what is needed to use them.

  Raises:
    RunFolderError: no run there, or no such checkpoint.
  """
  config = _load(workdir, ())
  mesh = _mesh.make_mesh(config["mesh"])
  with jax.set_mesh(mesh):
    program, state, stage = restore_run(workdir, config, mesh, checkpoint)
  stream = next(iter(stage.streams.values()))
  return LoadedRun(program.net, state, program.learner, stage, stream.transform)


def _load(workdir: str, overrides: Sequence[str]) -> dict[str, Any]:
  path = pathlib.Path(workdir).expanduser() / "config.json"
  if not path.is_file():
    raise _folder.RunFolderError(
      f"workdir must be a run folder, got {workdir!r}, which has no "
      "config.json. Train it first, or correct the path."
    )
  config = _config.plain(json.loads(path.read_text()))
  for override in overrides:
    if not override.startswith(("evaluation.", "mesh.")):
      raise _config.ConfigError(
        "an override of a finished run must be in evaluation or mesh, got "
        f"{override!r}."
      )
    _config.override(config, override)
  return _config.complete(config)


def restore_run(
  workdir: str, config, mesh, checkpoint: str = "last"
) -> tuple[_program.Program, learners.State, scenarios.Stage]:
  """Rebuilds the program, state and stage that a checkpoint belongs to."""
  kind = "best" if checkpoint == "best" else "checkpoints"
  folder = pathlib.Path(workdir).expanduser().absolute() / kind
  found = _checkpoint.Checkpoints(folder, keep=None)
  try:
    named = checkpoint in ("last", "best")
    step = found.latest() if named else int(checkpoint)
    if step is None or step not in found.steps():
      raise _folder.RunFolderError(
        f"checkpoint must be one of {found.steps()} in {folder}, "
        f"got {checkpoint!r}."
      )
    meta = found.meta(step)
    configs = _config.phase_configs(config)[: meta["phase"] + 1]
    chain = [_program.build(c, mesh) for c in configs]
    stages = chain[-1].scenario.stages(config["seed"])
    stage = next(s for i, s in enumerate(stages) if i == meta["stage"])
    program = chain[-1]
    # Only its state's structure matters here, not the schedule's length.
    tx = program.optimizer(program.total_steps())
    abstract = _train.abstract_state(chain, tx)
    return program, found.restore(step, abstract, mesh), stage
  finally:
    found.close()
