"""Fine-tuning a network whose filters are switched off by example."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import data, losses
from jaxcls.learners import _training_state

_CHOICES = ("top", "random")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilterGates:
  """Cross-entropy of the gated network, and its gates learn what they miss.

  With model.gates rule "predicted": loss = CE + weight * sum over the gates of
  the binary cross-entropy between a gate's logits and `losses.top_mass_targets`
  of the unmasked maps: no label and no pruned filter takes part in that. With
  rule "fixed" the masks are chosen once, as the stage begins, with as many
  filters as the targets have on average on the training images: those with
  the most mass, or random ones (the static baselines).

  Batch: `image` [b h w c]; `label` [b] int, -1 = left out.

  Attributes:
    ratio: of the targets, in (0, 1].
    weight: of the gates' loss, >= 0.
    fixed: "top" or "random", for rule "fixed".

  Source: Elkerdawy et al. 2021, arXiv:2110.08232 (Fire Together Wire
    Together).
  Differs: the mass of a filter is the sum of its map.
  """

  ratio: float
  weight: float = 1.0
  fixed: str = "top"

  def __post_init__(self):
    """Checks the numbers."""
    if not 0 < self.ratio <= 1:
      raise ValueError(f"ratio must be in (0, 1], got {self.ratio}.")
    if not self.weight >= 0:
      raise ValueError(f"weight must be >= 0, got {self.weight}.")
    if self.fixed not in _CHOICES:
      raise ValueError(f"fixed must be one of {_CHOICES}, got {self.fixed!r}.")

  def init(self, net, state, batch, key):
    """No memory; checks that the model has gates."""
    del state, batch, key
    if not hasattr(net, "gates"):
      raise ValueError(
        "model.gates must be set for learner 'filter_gates', got none."
      )
    return {}

  def start_stage(self, net, state, context):
    """Chooses fixed masks from the training images."""
    if net.rule != "fixed":
      return state
    stream = next(iter(context.stage.streams))
    names = tuple(f"{tap}_mass" for tap in net.gates)
    found = context.predict(state, stream, names)
    stats = dict(state.stats)
    for i, tap in enumerate(net.gates):
      mass = jnp.asarray(found[f"{tap}_mass"])
      needed = losses.top_mass_targets(mass, ratio=self.ratio)
      count = round(float(needed.sum(axis=1).mean()))
      scores = np.asarray(mass.mean(axis=0))
      if self.fixed == "random":
        key = jax.random.fold_in(context.key, i)
        scores = np.asarray(jax.random.uniform(key, scores.shape))
      mask = np.zeros(scores.shape, np.float32)
      mask[np.argsort(-scores)[:count]] = 1.0
      stats[f"gates/{tap}/mask"] = jnp.asarray(mask)
    return state.replace(stats=stats)

  def loss(self, net, params, state, batch, key):
    """Mean over the labelled rows; the gates learn from all rows."""
    labels, where = batch["label"], batch["label"] >= 0
    out, stats = net(
      params, state.stats, data.inputs(batch), train=True, key=key
    )
    values = losses.cross_entropy_loss(out["logits"], jnp.maximum(labels, 0))
    loss = losses.mean_where(values, where)
    right = (out["logits"].argmax(axis=-1) == labels).astype(jnp.float32)
    kept = [out[f"{tap}_mask"].mean() for tap in net.gates]
    metrics = {
      "classification_loss": loss,
      "accuracy": losses.mean_where(right, where),
      "kept_filters": sum(kept) / len(kept),
    }
    if net.rule == "predicted":
      gates = 0.0
      for tap in net.gates:
        needed = losses.top_mass_targets(out[f"{tap}_mass"], ratio=self.ratio)
        gates += losses.binary_cross_entropy_loss(
          out[f"{tap}_mask_logits"], needed.astype(jnp.float32)
        ).mean()
      metrics["gate_loss"] = gates
      loss = loss + self.weight * gates
    return loss, _training_state.Aux(stats, metrics)
