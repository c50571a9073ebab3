"""Fine-tuning with a contrastive regulariser on the features."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxcls import _lookup, data, losses, ops
from jaxcls.learners import _training_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTune:
  """Cross-entropy plus a supervised contrastive loss of a projection.

  loss = cross-entropy + weight * mean over the rows with positives of the
  contrastive loss. With `hard_pairs` both are of the features before the
  head and of their mixtures, by `data.hard_pair_mixup`; rows with equal mixed
  labels are positives.

  Batch: `image` (or `x`) [b ...]; `label` [b] int, -1 = left out.

  Attributes:
    objective: None, or a loss of (embeddings, labels) of `jaxcls.losses` or
      `jaxcls.ops`: a name, or a mapping with `name` and hyperparameters.
    weight: of that loss, >= 0.
    embedding: the output that is compared, such as a projection of
      `model.heads`; divided by its norm.
    hard_pairs: None, or the settings of `data.draw_hard_pairs` (alpha,
      min_weight) and maybe `released`.

  Source: Zhang et al. 2021, arXiv:2102.06605 (Core-tuning).
  Differs: the classifier has the bias that the model gives it.
  """

  objective: str | Mapping[str, Any] | None = None
  weight: float = 1.0
  embedding: str = "projection"
  hard_pairs: Mapping[str, Any] | None = None

  def __post_init__(self):
    """Resolves every name now, so that a typo fails before any compile."""
    if self.weight < 0:
      raise ValueError(f"weight must be >= 0, got {self.weight}.")
    self._objective  # noqa: B018
    if self.hard_pairs is not None:
      _lookup.check_fields(
        self.hard_pairs, data.draw_hard_pairs, field="learner.hard_pairs",
        supplied=("key", "size"), extra=("released",),
      )  # fmt: skip

  @functools.cached_property
  def _objective(self):
    if self.objective is None:
      return None
    return _lookup.bind(
      self.objective, losses, ops, field="learner.objective",
      supplied=("embeddings", "labels", "where"),
    )  # fmt: skip

  def _mix(self, features, labels, key, num_classes):
    """`data.HardPairs` of the batch's features."""
    settings = dict(self.hard_pairs)
    released = settings.pop("released", False)
    draw = data.draw_hard_pairs(key, labels.shape[0], **settings)
    return data.hard_pair_mixup(
      features, labels, draw, num_classes=num_classes, released=released
    )

  def loss(self, net, params, state, batch, key):
    """Cross-entropy and the weighted contrastive loss; rows are coupled."""
    pair_key, net_key = jax.random.split(key)
    labels, where = batch["label"], batch["label"] >= 0
    targets = jax.nn.one_hot(labels, net.num_classes)
    found = []

    def tap(name, x):
      if name != "head" or self.hard_pairs is None:
        return x
      found.append(self._mix(x, labels, pair_key, net.num_classes))
      return found[0].features

    out, stats = net(
      params, state.stats, data.inputs(batch), train=True, key=net_key, tap=tap
    )
    pairs = found[0] if found else data.HardPairs(None, targets, labels, where)
    values = losses.soft_cross_entropy_loss(out["logits"], pairs.targets)
    loss = losses.mean_where(values, pairs.where)
    right = out["logits"][: labels.shape[0]].argmax(-1) == labels
    metrics = {
      "classification_loss": loss,
      "accuracy": losses.mean_where(right.astype(jnp.float32), where),
    }
    if self._objective is not None:
      metrics["contrastive_loss"] = self._contrast(out, pairs)
      loss = loss + self.weight * metrics["contrastive_loss"]
    return loss, _training_state.Aux(stats, metrics)

  def _contrast(self, out, pairs):
    """Mean contrastive loss of the rows that have positives."""
    if self.embedding not in out:
      raise ValueError(
        f"learner.embedding must name an output, got {self.embedding!r}."
        f"{_lookup.nearest(self.embedding, out)} Add it to model.heads."
      )
    z, groups = ops.unit_norm(out[self.embedding]), pairs.groups
    values = self._objective(z, groups, where=pairs.where)
    equal = (groups[:, None] == groups) & pairs.where
    anchors = pairs.where & (equal.sum(axis=1) > 1)
    return losses.mean_where(values, anchors)
