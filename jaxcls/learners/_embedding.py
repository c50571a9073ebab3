"""Embeddings whose classes are the means of a few examples."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxcls import _lookup, classifiers, data, losses, models, ops
from jaxcls.learners import _training_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddingClassifier:
  """Learns an embedding; a class is the mean direction of its examples.

  Training minimises a loss of the unit embeddings and the labels
  (triplet_loss, pair_loss, supcon_loss), or one of logits and labels: with a
  cosine head on the embedding, cross-entropy is the normalised softmax. At the
  end of a stage its new classes get templates, their mean unit embeddings
  divided by their norm; predictions are cosines to the templates of the classes
  seen so far. Play later stages as "fit": nothing is trained in them.

  Batch: `image` (or `x`) [b ...]; `label` [b] int, -1 = left out.

  Attributes:
    objective: public name of `jaxcls.losses` or `jaxcls.ops`, or a mapping
      with `name` and its hyperparameters.
    embedding: the output that is compared, such as one of `model.heads`;
      divided by its norm.
    scores: the output that a loss of logits takes; classes that no stage has
      brought are masked.
    temperature: > 0: predicted logits are cosines divided by it.

  Source: Pereira et al. 2021, arXiv:2102.03243 (normalised softmax for novel
    classes); Snell et al. 2017, arXiv:1703.05175 (means as prototypes).
  Differs: the templates of trained classes are means of their examples too,
    in every arm, not the head's vectors.
  """

  objective: str | Mapping[str, Any] = "cross_entropy_loss"
  embedding: str = "features"
  scores: str = "logits"
  temperature: float = 0.0625

  def __post_init__(self):
    """Resolves the objective now, so that a typo fails before any compile."""
    if not self.temperature > 0:
      raise ValueError(f"temperature must be above 0, got {self.temperature}.")
    self._objective  # noqa: B018

  @functools.cached_property
  def _objective(self):
    return _lookup.bind(
      self.objective, losses, ops, field="learner.objective",
      supplied=("embeddings", "logits", "labels", "where"),
    )  # fmt: skip

  def _output(self, out, field):
    """The output that a field names."""
    name = getattr(self, field)
    if name not in out:
      raise ValueError(
        f"learner.{field} must name an output, got {name!r}."
        f"{_lookup.nearest(name, out)}"
      )
    return out[name]

  def _unit(self, out):
    return ops.unit_norm(self._output(out, "embedding"))

  def init(self, net, state, batch, key):
    """Memory: `templates` [c d], `seen` [c] bool."""
    del key
    run = lambda p, s, x: self._unit(net(p, s, x)[0])
    z = jax.eval_shape(run, state.params, state.stats, data.inputs(batch))
    c = net.num_classes
    return {
      "templates": jnp.zeros((c, z.shape[-1])),
      "seen": jnp.ones((c,), bool),
    }

  def start_stage(self, net, state, context):
    """Notes which classes compete."""
    del net
    seen = jnp.asarray(context.stage.seen)
    return state.replace(memory={**state.memory, "seen": seen})

  def loss(self, net, params, state, batch, key):
    """Mean objective over the labelled rows, which it may couple."""
    labels, where = batch["label"], batch["label"] >= 0
    out, stats = net(
      params, state.stats, data.inputs(batch), train=True, key=key
    )
    if "embeddings" in _lookup.parameters(self._objective):
      values = self._objective(self._unit(out), labels, where=where)
    else:
      logits = self._output(out, "scores")
      logits = models.mask_logits(logits, state.memory["seen"])
      values = self._objective(logits, jnp.maximum(labels, 0))
    loss = losses.mean_where(values, where)
    return loss, _training_state.Aux(stats, {})

  def end_stage(self, net, state, context):
    """Makes the new classes' templates from the stage's examples."""
    found = context.predict(state, "train", ("embedding",))
    fitted = classifiers.fit_nearest_class_mean(
      jnp.asarray(found["embedding"]),
      jnp.asarray(context.given_labels("train", found["id"])),
      num_classes=net.num_classes,
    )
    new = jnp.asarray(context.stage.new)[:, None]
    means = ops.unit_norm(fitted["prototypes"])
    templates = jnp.where(new, means, state.memory["templates"])
    return state.replace(memory={**state.memory, "templates": templates})

  def predict(self, net, state, batch):
    """Outputs; `embedding`, and `logits` from the templates."""
    out, _ = net(state.params, state.stats, data.inputs(batch))
    z = self._unit(out)
    logits = z @ state.memory["templates"].T / self.temperature
    logits = models.mask_logits(logits, state.memory["seen"])
    return {**out, "embedding": z, "logits": logits}
