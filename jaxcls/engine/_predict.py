"""Whole splits through the model: evaluation and what learners may ask."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxcls import _lookup, data, evaluation, learners, scenarios
from jaxcls.engine import _mesh, _program


class Predictor:
  """Runs a split through the model: sharded, padded, one compiled program."""

  def __init__(self, program: _program.Program):
    """Compiles nothing yet."""
    self._program = program
    devices = program.mesh.devices.size
    asked = program.config["evaluation"]["batch_size"]
    size = asked or max(program.batch_sizes().values())
    if asked:
      _mesh.check_batch_size(asked, program.mesh, "evaluation.batch_size")
    self.batch_size = -(-size // devices) * devices
    self._stream = next(iter(program.streams.values()))
    self._compiled = {}

  def __call__(
    self,
    state: learners.State,
    source: data.Source,
    outputs: Sequence[str] = ("logits",),
  ) -> dict[str, np.ndarray]:
    """Predicts every example of a source once.

    Args:
      state: state to predict with.
      source: the examples.
      outputs: names of model outputs.

    Returns:
      The outputs, `label` and `id`, [n ...] in the order of source.ids, the
      same on every process.
    """
    return self._rows(self._predict(tuple(outputs)), state, source)

  def _rows(self, function, state, source) -> dict[str, np.ndarray]:
    """A function's results with `id` for every example of a source."""
    mesh, size = self._program.mesh, self.batch_size
    plan = data.SequentialPlan(source.ids, size)
    batches = data.host_batches(
      {"eval": plan},
      {"eval": source.fetch},
      rows={"eval": _mesh.local_rows(size, mesh)},
      workers=self._program.config["workers"],
    )
    chunks = []
    for batch in batches:
      batch = _mesh.put_batch(batch, mesh, {"eval": size})["eval"]
      chunks.append(function(state, batch))
      if len(chunks) > 1:  # Fetch one behind: the device never waits.
        chunks[-2] = jax.device_get(chunks[-2])
    chunks = jax.device_get(chunks)
    whole = jax.tree.map(lambda *rows: np.concatenate(rows), *chunks)
    keep = whole["id"] >= 0
    return {name: rows[keep] for name, rows in whole.items()}

  def _predict(self, outputs: tuple[str, ...]):
    if outputs not in self._compiled:

      def predict(state, batch):
        out = self._program.predict(state, self._stream.transform(batch))
        for name in outputs:
          if name not in out:
            raise ValueError(
              f"outputs must name what the model returns, got {name!r}."
              f"{_lookup.nearest(name, out)}"
            )
        chosen = {name: out[name] for name in outputs}
        return {**chosen, "label": batch["label"], "id": batch["id"]}

      self._compiled[outputs] = jax.jit(
        predict, out_shardings=_mesh.replicated(self._program.mesh)
      )
    return self._compiled[outputs]

  def evaluate(
    self,
    state: learners.State,
    stage: scenarios.Stage,
    splits: Sequence[str],
  ) -> tuple[dict[str, Any], dict[str, dict[str, np.ndarray]]]:
    """Computes the config's metrics and probes.

    Args:
      state: state to evaluate.
      stage: its evaluation sets; probes fit on its first training stream.
      splits: which of them.

    Returns:
      The record ("test/accuracy", versions) and the predictions by split.
    """
    section = self._program.config["evaluation"]
    further = ("features",) if section["probes"] else ()
    record = {"evaluator_version": evaluation.EVALUATOR_VERSION}
    predictions = {}
    for split in splits:
      source = stage.evals[split]
      # A split may be judged by another output than the logits.
      scores = section["outputs"].get(split, "logits")
      found = dict(self(state, source, (scores, *further)))
      found["logits"] = found.pop(scores)
      predictions[split] = found
      values = evaluation.evaluate_predictions(
        found["logits"], found["label"], metrics=section["metrics"],
        stage=_stage_inputs(stage) | _row_inputs(source),
      )  # fmt: skip
      record |= {f"{split}/{name}": value for name, value in values.items()}
      record[f"{split}/version"] = source.version
    if section["probes"]:
      record |= self._probe(state, stage, predictions, section["probes"])
    if section["explanations"]:
      record |= self._explain(state, stage, splits, section["explanations"])
    return record, predictions

  def _probe(self, state, stage, predictions, probes) -> dict[str, float]:
    """Fits each probe on training features, scores it on every split."""
    source = next(iter(stage.streams.values())).source
    train = self(state, source, ("features",))
    record = {}
    for split, found in predictions.items():
      for i, probe in enumerate(probes):
        values = _lookup.call(
          probe,
          evaluation,
          field=f"evaluation.probes[{i}]",
          train_features=train["features"],
          train_labels=train["label"],
          test_features=found["features"],
          test_labels=found["label"],
          num_classes=self._program.net.num_classes,
        )
        name = probe if isinstance(probe, str) else probe["name"]
        record |= {f"{split}/{name}/{k}": float(v) for k, v in values.items()}
    return record

  def _explain(self, state, stage, splits, section) -> dict[str, float]:
    """Means of what is measured of each explanation of the state's weights."""
    if "explain" not in self._compiled:
      explain = evaluation.make_explainer(self._program.net, section)

      def measure(state, batch):
        batch = self._stream.transform(batch)
        found = explain(state.params, state.stats, batch)
        return {**found, "id": batch["id"]}

      self._compiled["explain"] = jax.jit(
        measure, out_shardings=_mesh.replicated(self._program.mesh)
      )
    record = {}
    for split in section.get("splits", ("test",)):
      if split not in splits:
        continue
      source = stage.evals[split]
      if count := section.get("num_examples"):
        order = data.random_order(len(source), 0)[:count]
        source = source.subset(source.ids[np.sort(order)])
      found = self._rows(self._compiled["explain"], state, source)
      del found["id"]
      for name, values in found.items():
        kept = values[~np.isnan(values)]
        record[f"{split}/{name}"] = float(kept.mean()) if kept.size else np.nan
    return record


def _stage_inputs(stage: scenarios.Stage) -> dict[str, np.ndarray]:
  """What metrics may ask of a stage."""
  return {
    "seen": stage.seen,
    "new": stage.new,
    "task_of_class": stage.task_of_class,
    "class_counts": _class_counts(stage),
  }


def _row_inputs(source: data.Source) -> dict[str, np.ndarray]:
  """What metrics may ask of a split's rows."""
  columns = source.columns
  return {"bag": columns["bag"][source.ids]} if "bag" in columns else {}


def _class_counts(stage: scenarios.Stage) -> np.ndarray:
  """[c] int: labelled examples of each class in the first stream."""
  source = next(iter(stage.streams.values())).source
  labels = source.labels[source.labels >= 0]
  return np.bincount(labels, minlength=source.num_classes)


@dataclasses.dataclass
class Context:
  """What a learner may ask between steps.

  Attributes:
    stage: the stage being played.
    key: PRNG key of this call.
    queries: labels asked for so far in the run.
  """

  stage: scenarios.Stage
  key: jax.Array
  queries: int
  predictor: Predictor

  @property
  def class_counts(self) -> np.ndarray:
    """[c] int: labelled examples of each class in the first stream."""
    return _class_counts(self.stage)

  def predict(
    self,
    state: learners.State,
    name: str,
    outputs: Sequence[str] = ("features",),
  ) -> Mapping[str, np.ndarray]:
    """Model outputs and `id` of a whole stream or evaluation set but test.

    Args:
      state: state to predict with.
      name: a stream of the stage, or "val".
      outputs: names of model outputs.

    Raises:
      ValueError: no such set; "test" is never given.
    """
    sources = {k: s.source for k, s in self.stage.streams.items()}
    sources |= {k: v for k, v in self.stage.evals.items() if k == "val"}
    if name not in sources:
      raise ValueError(
        f"name must be a training stream or 'val', got {name!r}."
        f"{_lookup.nearest(name, sources)}"
      )
    found = self.predictor(state, sources[name], outputs)
    # Labels go through `labels`, which counts them.
    return {k: v for k, v in found.items() if k != "label"}

  def given_labels(self, stream: str, ids: np.ndarray) -> np.ndarray:
    """Labels that the stream's batches carry anyway: nothing is counted."""
    source = self.stage.streams[stream].source
    return source.all_labels[np.asarray(ids)]

  def labels(self, stream: str, ids: np.ndarray) -> np.ndarray:
    """Labels of training examples by id; every one asked for is counted."""
    ids = np.asarray(ids)
    self.queries += ids.size
    return self.stage.streams[stream].source.all_labels[ids]
