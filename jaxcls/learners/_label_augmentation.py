"""Learning from copies of each image under known transformations."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcls import _lookup, data, losses
from jaxcls.learners import _training_state

_LABELS = ("joint", "separate", "class")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelAugmentation:
  """Labels that say the class and the transformation of a copy.

  All m copies of an image are in the batch. With labels
    "joint": the head `joint` [c * m] tells class and transformation at once:
      joint_label_loss (SLA);
    "separate": the model's logits tell the class of every copy, the head
      `transformation` [m] which copy it is; the sum of both (multi-task);
    "class": only the class of every copy (data augmentation).
  With "joint" and distill the model's own logits, of the untouched image, learn
  the class and the aggregated prediction (SLA+SD):
  loss = L_SLA + CE(logits, y) + T^2 KL(softmax(aggregated / T) || logits / T).

  Batch: `image` [b h w c]; `label` [b] int, -1 = left out.

  Attributes:
    transformations: names of `jaxcls.data` or mappings with `name` and
      settings, such as rotations; of several, every combination.
    labels: what is told of a copy, as above.
    distill: the self-distillation; for joint labels.
    temperature: T of the distillation.

  Source: Lee et al. 2020, arXiv:1910.05872; its baselines DA and
    MT.
  Differs: nothing known.
  """

  transformations: Sequence[str | Mapping[str, Any]] = ("rotations",)
  labels: str = "joint"
  distill: bool = False
  temperature: float = 1.0

  def __post_init__(self):
    """Resolves the transformations, so that a typo fails before a compile."""
    if self.labels not in _LABELS:
      raise ValueError(f"labels must be one of {_LABELS}, got {self.labels!r}.")
    if self.distill and self.labels != "joint":
      raise ValueError(
        f"distill must be False for labels {self.labels!r}, got True."
      )
    self._transformations  # noqa: B018

  @functools.cached_property
  def _transformations(self):
    found = []
    for i, section in enumerate(self.transformations):
      field = f"learner.transformations[{i}]"
      found.append(
        _lookup.bind(section, data, field=field, supplied=("images",))
      )
    return found

  def init(self, net, state, batch, key):
    """No memory; checks the width of the head that is trained.

    Raises:
      ValueError: the model lacks the head, or it has another width.
    """
    del key
    count = jax.eval_shape(self._copies, data.inputs(batch)).shape[1]
    heads = dict(joint=net.num_classes * count, transformation=count)
    name = dict(joint="joint", separate="transformation").get(self.labels)
    if name is None:
      return {}
    call = lambda p, s, x: net(p, s, x)[0]
    out = jax.eval_shape(call, state.params, state.stats, data.inputs(batch))
    width = out[name].shape[-1] if name in out else "no such head"
    if width != heads[name]:
      raise ValueError(
        f"model.heads.{name}.width must be {heads[name]} for {count} copies "
        f"of {net.num_classes} classes, got {width}."
      )
    return {}

  def loss(self, net, params, state, batch, key):
    """The sum of the losses; its parts are metrics."""
    where, labels = batch["label"] >= 0, jnp.maximum(batch["label"], 0)
    call = functools.partial(net, params, state.stats, train=True, key=key)
    out, stats = self._forward(call, data.inputs(batch))
    parts = self._losses(out, labels)
    parts = {k: losses.mean_where(v, where) for k, v in parts.items()}
    alone = jax.tree.map(lambda x: x[:, 0], out)
    guesses = self._single(alone, out["logits"].shape[1]).argmax(axis=-1)
    correct = (guesses == labels).astype(jnp.float32)
    metrics = {**parts, "accuracy": losses.mean_where(correct, where)}
    return sum(parts.values()), _training_state.Aux(stats, metrics)

  def _losses(self, out, labels):
    """Named losses [b]."""
    if self.labels == "joint":
      parts = {"joint_loss": losses.joint_label_loss(out["joint"], labels)}
      if self.distill:
        single = out["logits"][:, 0]
        parts["class_loss"] = losses.cross_entropy_loss(single, labels)
        parts["distillation_loss"] = losses.kl_divergence_loss(
          single, losses.aggregate_joint_logits(out["joint"]),
          temperature=self.temperature,
        )  # fmt: skip
      return parts
    b, m = out["logits"].shape[:2]
    every = jnp.broadcast_to(labels[:, None], (b, m))
    values = losses.cross_entropy_loss(out["logits"], every)
    parts = {"class_loss": values.mean(axis=1)}
    if self.labels == "separate":
      turn = jnp.broadcast_to(jnp.arange(m), (b, m))
      values = losses.cross_entropy_loss(out["transformation"], turn)
      parts["transformation_loss"] = values.mean(axis=1)
    return parts

  def predict(self, net, state, batch):
    """`logits` of the image alone, `aggregated_logits` of all its copies."""
    call = functools.partial(net, state.params, state.stats)
    # Two passes: who asks for one of the results does not pay for the other.
    alone, _ = call(data.inputs(batch))
    out, _ = self._forward(call, data.inputs(batch))
    if self.labels == "joint":
      together = losses.aggregate_joint_logits(out["joint"])
    else:
      together = out["logits"].astype(jnp.float32).mean(axis=1)
    logits = self._single(alone, out["logits"].shape[1])
    return {**alone, "logits": logits, "aggregated_logits": together}

  def _single(self, alone, num_copies):
    """Class logits [b c] from the outputs [b ...] of untouched images."""
    if self.labels == "joint" and not self.distill:
      return alone["joint"][:, ::num_copies]
    return alone["logits"]

  def _copies(self, images):
    """Every combination of the transformations: [b m h w c]."""
    copies = images[:, None]
    for transform in self._transformations:
      flat = copies.reshape(-1, *copies.shape[2:])
      copies = transform(flat).reshape(len(images), -1, *images.shape[1:])
    return copies

  def _forward(self, call, images):
    """Outputs [b m ...] of all copies, in one batch, and the statistics."""
    copies = self._copies(images)
    b, m = copies.shape[:2]
    out, stats = call(copies.reshape(b * m, *copies.shape[2:]))
    split = lambda x: x.reshape(b, m, *x.shape[1:])
    return jax.tree.map(split, out), stats
