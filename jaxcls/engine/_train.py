"""A run: phases and stages in order, resumable at any step."""

import contextlib
import functools
import json
import re
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxcls import evaluation, learners
from jaxcls.engine import (
  _checkpoint,
  _config,
  _folder,
  _log,
  _loop,
  _mesh,
  _predict,
  _program,
)


def train(config: Mapping[str, Any], workdir: str) -> dict[str, Any]:
  """Trains a config in a run folder; called again, goes on where it stopped.

  Args:
    config: from `load_config` or `complete`.
    workdir: run folder: config.json, environment.json, metrics.jsonl,
      checkpoints, predictions, curves.png, summary.json.

  Returns:
    The last evaluation's record, as in summary.json.

  Raises:
    ConfigError, RunFolderError: what to change in the config or the folder.
    Diverged: the loss became NaN or infinite.
    Stopped: SIGTERM or SIGINT came; the checkpoint is written.
  """
  config = _config.complete(config)
  mesh = _mesh.make_mesh(config["mesh"])
  programs = [_program.build(c, mesh) for c in _config.phase_configs(config)]
  folder = _folder.open_folder(workdir, config)
  summary = folder / "summary.json"
  if summary.exists():
    return json.loads(summary.read_text())
  with contextlib.ExitStack() as stack:
    stack.enter_context(_folder.hold(folder))
    stack.enter_context(jax.set_mesh(mesh))
    run = _Run(config, folder, mesh, stack)
    record = run.play(programs)
  if jax.process_index() == 0:
    _folder.plot_curves(folder)
    _folder.write(summary, json.dumps(record, indent=2) + "\n")
  return record


class _Run:
  """One open run folder and the position in it."""

  def __init__(self, config, folder, mesh, stack):
    self.config, self.folder, self.mesh = config, folder, mesh
    keep = config["checkpoint"]["keep"]
    self.checkpoints = _checkpoint.Checkpoints(
      folder / "checkpoints", keep=keep
    )
    self.best = _checkpoint.Checkpoints(folder / "best", keep=1)
    stack.callback(self.best.close)
    stack.callback(self.checkpoints.close)
    self.latest = self.checkpoints.latest()
    self.at = _loop.Position()
    if self.latest is not None:
      self.at = _loop.Position(**self.checkpoints.meta(self.latest))
    self.metrics = _log.Metrics(folder, keep_until=self.latest or 0)
    stack.callback(self.metrics.close)
    self.stop = stack.enter_context(_stop_signal())

  def play(self, programs) -> dict[str, Any]:
    """Plays what is left of every phase; returns the last evaluation."""
    state, record = None, {}
    for i in range(len(programs)):
      if i < self.at.phase:
        continue
      if i > self.at.phase:
        self.at = self.at.next_phase()
      state, record = self._play_phase(programs[: i + 1], state)
    return record

  def _play_phase(self, chain, state):
    program, record = chain[-1], {}
    predictor = _predict.Predictor(program)
    # Stages of equal length share optimiser and compiled step.
    optimizer = functools.cache(program.optimizer)
    step_fns = {}
    for i, stage in enumerate(program.scenario.stages(self.config["seed"])):
      if i < self.at.stage:
        continue
      if i > self.at.stage:
        self.at = self.at.next_stage()
      steps = _loop.count_steps(program, stage)
      tx, fresh = optimizer(steps or program.total_steps()), self.latest is None
      if fresh:
        state = self._begin(program, stage, tx, state)
      else:
        abstract = abstract_state(chain, tx)
        state = self.checkpoints.restore(self.latest, abstract, self.mesh)
        self.latest = None
        if self.at.done:
          record = _log.read_metrics(self.folder)[-1]
          continue
      kind = (stage.play == "prequential", steps)
      if kind not in step_fns:
        step = program.make_step(prequential=kind[0])
        step_fns[kind] = program.compile_step(step, state)
      play = _loop.StagePlay(
        run=self, program=program, stage=stage, predictor=predictor,
        total_steps=steps, step_fn=step_fns[kind],
      )  # fmt: skip
      state, record = play.play(state, fresh=fresh)
    stages = [r for r in _log.read_metrics(self.folder) if "stage" in r]
    return state, record | evaluation.summarize_stages(stages[-(i + 1) :])

  def _begin(self, program, stage, tx, previous) -> learners.State:
    """The state at the start of a stage: fresh, handed over, or gone on."""
    if previous is not None and self.at.stage > 0:
      trained = previous.trained()
      abstract = jax.eval_shape(tx.init, trained)
      shardings = _mesh.state_shardings(abstract, self.mesh)
      opt_state = jax.jit(tx.init, out_shardings=shardings)(trained)
      return previous.replace(tx=tx, opt_state=opt_state)
    key = jax.random.key(self.config["seed"])
    if self.at.phase:
      key = jax.random.fold_in(key, self.at.phase)
    params, stats = program.net.init(key)
    weights, path = None, program.config["init_from"]
    if previous is not None:
      weights = {**previous.params, **previous.stats}
    elif path:
      weights = _checkpoint.load_weights(path)
    receives = hasattr(program.learner, "receive")
    if weights is not None and not receives:
      pattern = program.config["inherit"]
      weights = {k: v for k, v in weights.items() if re.search(pattern, k)}
      if previous is None:
        text = _check_weights(path, weights, params)
        self.metrics.write(0, {"init_from": text})
      params, stats = (_program.inherit(x, weights) for x in (params, stats))
    step = np.int32(0) if previous is None else previous.step
    memory = {} if previous is None else previous.memory
    batch = _loop.first_batch(program, stage, seed=self.config["seed"])
    start = functools.partial(program.start, tx=tx)
    place = lambda tree: _mesh.put(tree, _mesh.state_shardings(tree, self.mesh))
    inputs = (*place((params, stats, key, step)), memory, batch)
    shardings = _mesh.state_shardings(jax.eval_shape(start, *inputs), self.mesh)
    state = jax.jit(start, out_shardings=shardings)(*inputs)
    if weights is None or not receives:
      return state
    state = program.learner.receive(program.net, state, weights)
    return _mesh.put(state, shardings)


def abstract_state(chain, tx) -> learners.State:
  """Shapes of the last phase's state, memory handed through all before."""
  abstract = None
  for program in chain:
    abstract = program.abstract_state(tx, abstract)
  return abstract


def _check_weights(path: str, found: dict, params: dict) -> str:
  """Says which of the model's weights another run has, by path and shape.

  Raises:
    ConfigError: less than half of the model is there.
  """
  fits = lambda k: k in found and found[k].shape == params[k].shape
  fresh = [k for k in params if not fits(k)]
  taken = len(params) - len(fresh)
  text = f"{taken} of the model's {len(params)} parameters are in {path!r}"
  if taken < len(fresh):
    raise _config.ConfigError(
      f"init_from must hold weights of this model, but only {text}; missing "
      f"or of another shape: {', '.join(fresh[:3])}."
    )
  return f"{text}; fresh: {', '.join(fresh[:5])}" if fresh else text


@contextlib.contextmanager
def _stop_signal() -> Iterator[dict[str, bool]]:
  """Turns SIGTERM and the first SIGINT into a flag read between steps.

  With several processes JAX's own handler makes them agree on the step.
  """
  stop = {"asked": False}
  if jax.process_count() > 1:
    yield stop
    return

  def ask(number, frame):
    del number, frame
    if stop["asked"]:
      raise KeyboardInterrupt
    stop["asked"] = True

  try:
    old = {s: signal.signal(s, ask) for s in (signal.SIGTERM, signal.SIGINT)}
  except ValueError:  # Not the main thread: signals stay as they are.
    yield stop
    return
  try:
    yield stop
  finally:
    for number, handler in old.items():
      signal.signal(number, handler)
