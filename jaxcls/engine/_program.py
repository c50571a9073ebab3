"""From a config to the one jitted step; knows no method by name."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxcls import (
  _lookup,
  data,
  evaluation,
  learners,
  models,
  optim,
  scenarios,
)
from jaxcls.engine import _config, _mesh

# What the engine passes to a probe.
PROBE_INPUTS = (
  "train_features", "train_labels", "test_features", "test_labels",
  "num_classes",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Program:
  """One phase of a config, built: what is needed to compile its step.

  Attributes:
    config: the phase's whole config.
    scenario: yields stages.
    streams: the scenario's stream templates; shapes only.
    net: the model.
    learner: the learner.
    mesh: the device mesh.
    make_schedule: total steps -> learning-rate schedule.
  """

  config: Mapping[str, Any]
  scenario: Any
  streams: Mapping[str, data.Stream]
  net: models.Net
  learner: Any
  mesh: Mesh
  make_schedule: Callable[[int], optax.Schedule]

  def batch_sizes(self) -> dict[str, int]:
    """Global batch size of each stream."""
    size = self.config["batch_size"]
    return {k: s.batch_size or size for k, s in self.streams.items()}

  def steps_per_epoch(self, num_examples: int) -> float:
    """Steps in which the first stream sees `num_examples`."""
    return num_examples / next(iter(self.batch_sizes().values()))

  def total_steps(self, num_examples: int | None = None) -> int:
    """Steps of a stage with that many examples; default: the template's."""
    if num_examples is None:
      num_examples = next(iter(self.streams.values())).source.num_train
    epoch = self.steps_per_epoch(num_examples)
    return _config.steps_of(self.config, "total", epoch)

  def optimizer(self, total_steps: int) -> optax.GradientTransformation:
    """The optimiser with its schedule over `total_steps`."""
    return optim.make_optimizer(
      learning_rate=self.make_schedule(total_steps),
      **{"seed": self.config["seed"], **self.config["optimizer"]},
    )

  def abstract_batch(self) -> Any:
    """Shapes of the batches by stream, as they leave the host."""
    size = self.config["batch_size"]
    return {k: data.abstract_batch(s, size) for k, s in self.streams.items()}

  def transform(self, batch: Any, key: jax.Array | None) -> Any:
    """Augments every stream; a single one becomes a flat batch."""
    out = {}
    for i, (name, stream) in enumerate(self.streams.items()):
      stream_key = None if key is None else jax.random.fold_in(key, i)
      out[name] = stream.transform(batch[name], stream_key)
    return next(iter(out.values())) if len(out) == 1 else out

  def abstract_state(
    self,
    tx: optax.GradientTransformation,
    previous: learners.State | None = None,
  ) -> learners.State:
    """Shapes of the phase's first state; no FLOPs, no memory, no data.

    Args:
      tx: the optimiser.
      previous: state of the phase before, abstract or not.
    """
    start = functools.partial(self.start, tx=tx)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(
      start,
      inherit(self.net.param_shapes, previous and previous.params),
      inherit(self.net.stats_shapes, previous and previous.stats),
      key,
      jax.ShapeDtypeStruct((), jnp.int32),
      previous.memory if previous else {},
      self.abstract_batch(),
    )

  def start(
    self, params, stats, key, step, memory, batch, *, tx
  ) -> learners.State:
    """The state at the start of a phase, from weights and one raw batch."""
    state = learners.State(
      step=step,
      params=params,
      stats=stats,
      opt_state=tx.init(models.select(params, self.config["trainable"])),
      memory=memory,
      key=key,
      tx=tx,
      trainable=self.config["trainable"],
    )
    if not hasattr(self.learner, "init"):
      return state
    keys = jax.random.split(jax.random.fold_in(key, 0x1217))
    batch = self.transform(batch, keys[0])
    memory = self.learner.init(self.net, state, batch, keys[1])
    return state.replace(memory=memory)

  def takes_steps(self) -> bool:
    """Whether the learner learns from batches, or only fits whole stages."""
    return hasattr(self.learner, "update") or hasattr(self.learner, "loss")

  def make_step(
    self, *, prequential: bool = False
  ) -> Callable[[learners.State, Any], tuple[learners.State, dict]]:
    """The training step as a pure function of (state, raw batches).

    Args:
      prequential: also predict the first stream's batch before learning it,
        and report `prequential_accuracy`.
    """

    def step(state, batch):
      keys = jax.random.split(jax.random.fold_in(state.key, state.step))
      extra = {}
      if prequential:
        extra["prequential_accuracy"] = self._test_first(state, batch)
      batch = self.transform(batch, keys[0])
      if hasattr(self.learner, "update"):
        new, metrics = self.learner.update(self.net, state, batch, keys[1])
      elif not self.takes_steps():
        # What a learner that only fits does with a batch is to predict it.
        new, metrics = state, {"logits": self.predict(state, batch)["logits"]}
      else:
        new, metrics = learners.gradient_update(
          self.learner, self.net, state, batch, keys[1],
          accumulation_steps=self.config["accumulation_steps"],
        )  # fmt: skip
      return new.replace(step=state.step + 1), {**metrics, **extra}

    return step

  def _test_first(self, state, batch):
    name, stream = next(iter(self.streams.items()))
    out = self.predict(state, stream.transform(batch[name]))
    labels = batch[name]["label"]
    right = jnp.argmax(out["logits"], axis=-1) == labels
    return jnp.mean(right.astype(jnp.float32))

  def predict(self, state: learners.State, batch: Any) -> dict[str, jax.Array]:
    """The learner's outputs in evaluation mode for a transformed batch."""
    if hasattr(self.learner, "predict"):
      return self.learner.predict(self.net, state, batch)
    return self.net(state.params, state.stats, data.inputs(batch))[0]

  def compile_step(
    self, step: Callable, state: learners.State
  ) -> Callable[[learners.State, Any], tuple[learners.State, dict]]:
    """Jits a step: donated state, shardings by rule."""
    shardings = _mesh.state_shardings(state, self.mesh)
    out = (shardings, _mesh.replicated(self.mesh))
    return jax.jit(step, donate_argnums=0, out_shardings=out)


def inherit(own: Mapping, previous: Mapping | None) -> dict:
  """Takes an earlier phase's arrays where path and shape agree."""
  fits = lambda k: k in previous and previous[k].shape == own[k].shape
  previous = previous or {}
  return {k: previous[k] if fits(k) else own[k] for k in own}


def build(config: Mapping[str, Any], mesh: Mesh | None = None) -> Program:
  """Builds a phase from its config; loads no data and no weights.

  Args:
    config: one of `phase_configs`.
    mesh: None builds the config's over all devices.

  Raises:
    ValueError: a section names something unknown or has a bad field.
  """
  mesh = _mesh.make_mesh(config["mesh"]) if mesh is None else mesh
  scenario = _lookup.call(config["scenario"], scenarios, field="scenario")
  streams = scenario.templates()
  first = next(iter(streams.values()))
  input_shape = data.transformed_shape(
    first.source.input_shape, first.source.dtype, first.preprocess
  )
  net = _make_net(config["model"], first.source.num_classes, input_shape)
  learner = _lookup.call(config["learner"], learners, field="learner")
  schedule = dict(config["schedule"])
  program = Program(
    config, scenario, streams, net, learner, mesh,
    lambda total_steps: _schedule(program, schedule, total_steps),
  )  # fmt: skip
  for name, size in program.batch_sizes().items():
    _mesh.check_batch_size(size, mesh, f"batch_size of stream {name!r}")
  # All of these name a bad field at once, before any data is read.
  program.optimizer(program.total_steps())
  key = jax.eval_shape(lambda: jax.random.key(0))
  jax.eval_shape(program.transform, program.abstract_batch(), key)
  models.select(net.param_shapes, config["trainable"])
  evaluation.check_metrics(config["evaluation"]["metrics"])
  for i, probe in enumerate(config["evaluation"]["probes"]):
    field = f"evaluation.probes[{i}]"
    _lookup.bind(probe, evaluation, field=field, supplied=PROBE_INPUTS)
  if explanations := config["evaluation"]["explanations"]:
    explain = evaluation.make_explainer(net, explanations)
    batch = first.transform, data.abstract_batch(first, mesh.devices.size)
    batch = jax.eval_shape(*batch)
    jax.eval_shape(explain, net.param_shapes, net.stats_shapes, batch)
  return program


def _make_net(section, num_classes, input_shape):
  """The model, with gates and further heads if the section has them."""
  section = dict(section)
  heads, gates = section.pop("heads", None), section.pop("gates", None)
  net = _lookup.call(
    section, models, field="model", num_classes=num_classes,
    input_shape=input_shape,
  )  # fmt: skip
  if gates:
    field = "model.gates"
    _lookup.check_fields(
      gates, models.add_filter_gates, field=field, supplied=("net",)
    )
    net = models.add_filter_gates(net, **gates)
  return models.add_heads(net, heads) if heads else net


def _schedule(program, section, total_steps) -> optax.Schedule:
  """Turns `warmup_epochs` into steps and calls the named schedule."""
  if not program.takes_steps():
    return optax.constant_schedule(0.0)
  num_examples = next(iter(program.streams.values())).source.num_train
  epoch = program.steps_per_epoch(num_examples)
  section = dict(section)
  warmup = _config.steps_of(section, "warmup", epoch)
  section.pop("warmup_epochs", None)
  if warmup is not None:
    section["warmup_steps"] = warmup
  return _lookup.call(section, optim, field="schedule", total_steps=total_steps)
