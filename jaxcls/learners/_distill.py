"""A student that learns from labels and from a frozen teacher."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxcls import _lookup, classifiers, data, losses, models
from jaxcls.learners import _training_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distill:
  """Cross-entropy, a distillation loss, and the teacher's feature directions.

  loss = task_weight * CE + weight * objective + direction_weight * L_nd.
  The teacher's weights come from the phase before, or from `init_from`; they
  never change and are kept in the memory.

  Batch: `image` (or `x`) [b ...]; `label` [b] int, -1 = unlabelled: only the
  objective sees it, and only if it takes no labels.

  Attributes:
    teacher: the teacher's model section.
    objective: public name of `jaxcls.losses`, or a mapping with `name` and its
      hyperparameters; a function of student_logits and teacher_logits, and of
      labels if it takes them.
    task_weight: of the cross-entropy.
    weight: of the objective; 0 leaves it out.
    direction_weight: of `losses.norm_direction_loss`; 0 leaves it out.
    features: the student's output that is held against the teacher's features:
      a head of the teacher's width where the widths differ.

  Source: Hinton et al. 2015, arXiv:1503.02531; directions: Wang et al. 2023,
    arXiv:2305.17007 (with direction_weight 2: KD++).
  Differs: nothing known.
  """

  teacher: Mapping[str, Any]
  objective: str | Mapping[str, Any] = dataclasses.field(
    default_factory=lambda: dict(name="kl_divergence_loss", temperature=4.0)
  )
  task_weight: float = 1.0
  weight: float = 1.0
  direction_weight: float = 0.0
  features: str = "features"

  def __post_init__(self):
    """Resolves the objective now, so that a typo fails before any compile."""
    self._objective  # noqa: B018

  @functools.cached_property
  def _objective(self):
    return _lookup.bind(
      self.objective,
      losses,
      field="learner.objective",
      supplied=("student_logits", "teacher_logits", "labels", "where"),
    )

  def _teacher(self, net: models.Net) -> models.Net:
    return _lookup.call(
      self.teacher,
      models,
      field="learner.teacher",
      num_classes=net.num_classes,
      input_shape=net.input_shape,
    )

  def _ask_teacher(self, net, state, inputs):
    known = state.memory["teacher"]
    out, _ = self._teacher(net)(known["params"], known["stats"], inputs)
    return jax.lax.stop_gradient(out)

  def init(self, net, state, batch, key):
    """Memory: `teacher` (params, stats), `class_means` [c d]."""
    del state, key
    teacher = self._teacher(net)
    zeros = functools.partial(
      jax.tree.map, lambda a: jnp.zeros(a.shape, a.dtype)
    )
    memory = {"params": teacher.param_shapes, "stats": teacher.stats_shapes}
    out = jax.eval_shape(
      lambda p, s, x: teacher(p, s, x)[0],
      teacher.param_shapes,
      teacher.stats_shapes,
      data.inputs(batch),
    )
    width = out["features"].shape[-1]
    means = jnp.zeros((net.num_classes, width))
    return {"teacher": zeros(memory), "class_means": means}

  def receive(self, net, state, weights):
    """Takes the teacher's weights; the student starts afresh.

    Raises:
      ValueError: they are not those of the teacher's model.
    """
    teacher, found = self._teacher(net), {}
    shapes = {"params": teacher.param_shapes, "stats": teacher.stats_shapes}
    for kind, wanted in shapes.items():
      for path, leaf in wanted.items():
        if path not in weights or weights[path].shape != leaf.shape:
          got = weights[path].shape if path in weights else "nothing"
          raise ValueError(
            f"learner.teacher must be the model that was trained, but for "
            f"{path!r} of shape {leaf.shape} it holds {got}."
          )
      found[kind] = {path: weights[path] for path in wanted}
    return state.replace(memory={**state.memory, "teacher": found})

  def start_stage(self, net, state, context):
    """Computes the class means of the teacher's features.

    Raises:
      ValueError: no teacher was trained or loaded.
    """
    params = state.memory["teacher"]["params"]
    if not any(jnp.any(leaf) for leaf in params.values()):
      raise ValueError(
        "learner.teacher must have weights, from a phase before this one or "
        "from init_from, but it was given none."
      )
    name = next(iter(context.stage.streams))
    found = context.predict(state, name, ("teacher_features",))
    labels = context.given_labels(name, found["id"])
    fitted = classifiers.fit_nearest_class_mean(
      found["teacher_features"], labels, num_classes=net.num_classes
    )
    means = fitted["prototypes"]
    return state.replace(memory={**state.memory, "class_means": means})

  def loss(self, net, params, state, batch, key):
    """The weighted sum; its parts are metrics."""
    inputs, labels = data.inputs(batch), jnp.maximum(batch["label"], 0)
    where = batch["label"] >= 0
    out, stats = net(params, state.stats, inputs, train=True, key=key)
    teacher = self._ask_teacher(net, state, inputs)
    task = losses.cross_entropy_loss(out["logits"], labels)
    parts = {"task_loss": (self.task_weight, losses.mean_where(task, where))}
    if self.weight:
      value = self._distillation(
        out["logits"], teacher["logits"], labels, where
      )
      parts["distillation_loss"] = self.weight, value
    if self.direction_weight:
      values = losses.norm_direction_loss(
        out[self.features], teacher["features"], labels,
        state.memory["class_means"],
      )  # fmt: skip
      mean = losses.mean_where(values, where)
      parts["direction_loss"] = self.direction_weight, mean
    correct = (jnp.argmax(out["logits"], -1) == labels).astype(jnp.float32)
    norms = jnp.linalg.norm(out[self.features].astype(jnp.float32), axis=-1)
    metrics = {name: value for name, (_, value) in parts.items()}
    metrics["accuracy"] = losses.mean_where(correct, where)
    metrics["feature_norm"] = norms.mean()
    means = state.memory["class_means"][labels]
    if means.shape == out[self.features].shape:
      cosine = optax.cosine_similarity(out[self.features], means, epsilon=1e-6)
      metrics["direction_cosine"] = losses.mean_where(cosine, where)
    total = sum(weight * value for weight, value in parts.values())
    return total, _training_state.Aux(stats, metrics)

  def _distillation(self, student, teacher, labels, where):
    """Mean objective: over the labelled rows if it takes labels, else all."""
    takes = _lookup.parameters(self._objective)
    if "labels" not in takes:
      return self._objective(student, teacher).mean()
    values = self._objective(student, teacher, labels)
    return losses.mean_where(values, where)

  def predict(self, net, state, batch):
    """The student's outputs, and `teacher_logits`, `teacher_features`."""
    out, _ = net(state.params, state.stats, data.inputs(batch))
    teacher = self._ask_teacher(net, state, data.inputs(batch))
    return {
      **out,
      "teacher_logits": teacher["logits"],
      "teacher_features": teacher["features"],
    }
