"""Few labels, many unlabelled images: confident weak views teach strong."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxcls import _lookup, data, losses
from jaxcls.learners import _mix, _training_state

# Outputs of the heads that tell known from unknown classes.
BINARY, OPEN = "binary", "open"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemiSupervised:
  """FixMatch, and with open_set IOMatch.

  loss = CE(labelled) + unlabeled_weight * mean_i [max p_i >= threshold]
  [i is an inlier] CE(strong view i, p_i), p the aligned prediction for the weak
  view. IOMatch adds the one-vs-all loss on labelled images and the open-set
  loss mean_i [max q_i >= open_threshold] CE(open head of strong view i, q_i).

  Batch: `labeled` with `image` [b ...] and `label`; `unlabeled` with `views`
  [u 2 ...]: weak, strong. Labels of `unlabeled` are never read.

  Attributes:
    threshold: least confidence of a pseudo-label.
    unlabeled_weight: of the consistency loss.
    soft_targets: p itself as target instead of its argmax.
    alignment_queue: batches whose mean prediction is aligned to the uniform
      distribution; 0 leaves predictions alone.
    open_set: True: IOMatch; the model needs a head "binary" of width 2 c and,
      with an open_weight, a head "open" of width c + 1. Without one the
      open-set targets themselves tell what is unknown.
    open_threshold, binary_weight, open_weight: of IOMatch.
    open_start_steps: the open-set loss counts from this step of the run on.
    unknown_threshold: without open_set, predictions below this confidence
      count as unknown in `open_logits`.
    ema_decay: evaluation uses the averaged weights; 0 keeps no average.
    objective: of `jaxcls.losses`, of logits and targets: the labelled images'
      loss, CE above.
    mixing: None, or a mapping with `name` (mixup, cutmix, resizemix, ...) and
      its hyperparameters: mixes the labelled images with one another.

  Source: Sohn et al. 2020, arXiv:2001.07685 (FixMatch); Li et al. 2023,
    arXiv:2308.13168 (IOMatch).
  Differs: nothing known.
  """

  threshold: float = 0.95
  unlabeled_weight: float = 1.0
  soft_targets: bool = False
  alignment_queue: int = 0
  open_set: bool = False
  open_threshold: float = 0.5
  binary_weight: float = 1.0
  open_weight: float = 1.0
  open_start_steps: int = 0
  unknown_threshold: float = 0.95
  ema_decay: float = 0.999
  objective: str | Mapping[str, Any] = "soft_cross_entropy_loss"
  mixing: Mapping[str, Any] | None = None

  def __post_init__(self):
    """Resolves every name now, so that a typo fails before any compile."""
    self._objective, self._mixing  # noqa: B018

  @functools.cached_property
  def _objective(self):
    supplied = ("logits", "labels", "targets")
    found = _lookup.bind(
      self.objective, losses, field="learner.objective", supplied=supplied
    )
    if "targets" not in _lookup.parameters(found):
      raise ValueError(
        "learner.objective must be a loss of targets, got "
        f"{self.objective!r}. Use 'soft_cross_entropy_loss'."
      )
    return found

  @functools.cached_property
  def _mixing(self):
    return _mix.find_mixing(self.mixing)

  def init(self, net, state, batch, key):
    """Memory: `ema`, and the alignment `queue` [n c] with its position."""
    del batch, key
    memory = {}
    if self.ema_decay:
      copy = lambda tree: jax.tree.map(jnp.copy, tree)
      memory["ema"] = {"params": copy(state.params), "stats": copy(state.stats)}
    if self.alignment_queue:
      rows = (self.alignment_queue, net.num_classes)
      memory |= {"queue": jnp.zeros(rows), "position": jnp.zeros((), jnp.int32)}
    return memory

  def loss(self, net, params, state, batch, key):
    """All views in one pass, so that batch statistics are shared."""
    labeled, views = batch["labeled"], batch["unlabeled"]["views"]
    b, u = labeled["label"].shape[0], views.shape[0]
    images, targets = data.inputs(labeled), None
    if self._mixing is not None:
      targets = jax.nn.one_hot(labeled["label"], net.num_classes)
      mix_key, key = jax.random.split(key)
      mixed = self._mixing(images, targets, mix_key)
      images, targets = mixed.inputs, mixed.targets
    inputs = jnp.concatenate([images, views[:, 0], views[:, 1]])
    out, stats = net(params, state.stats, inputs, train=True, key=key)
    split = lambda x: jnp.split(x, [b, b + u])
    names = ["logits"]
    if self.open_set:
      names += [BINARY, OPEN] if self.open_weight else [BINARY]
    outputs = {name: split(out[name]) for name in names}
    parts, queue = self.parts(outputs, labeled["label"], state, targets)
    weights = {
      "labeled_loss": 1.0,
      "consistency_loss": self.unlabeled_weight,
      "binary_loss": self.binary_weight,
      "open_loss": self.open_weight,
    }
    total = sum(weights[k] * v for k, v in parts.items() if k in weights)
    return total, _training_state.Aux(stats, parts, queue)

  def parts(
    self, outputs, labels, state, mixed=None
  ) -> tuple[dict[str, Any], Any]:
    """The terms of the loss and the new alignment queue.

    Args:
      outputs: {name: [labelled, weak, strong]} of "logits", "binary", "open".
      labels: [b] of the labelled images.
      state: of which the memory and the step are read.
      mixed: [b c], targets of mixed labelled images.
    """
    weak = jax.lax.stop_gradient(outputs["logits"][1].astype(jnp.float32))
    probs = jax.nn.softmax(weak)
    queue = _push(state.memory, probs) if self.alignment_queue else {}
    if self.alignment_queue:
      probs = losses.align_distribution(probs, queue["queue"].mean(axis=0))
    confident = probs.max(-1) >= self.threshold
    inlier = jnp.ones_like(confident)
    logits = outputs["logits"][0]
    if mixed is None:
      mixed = jax.nn.one_hot(labels, logits.shape[-1])
    task = self._objective(logits, mixed)
    parts = {"labeled_loss": task.mean()}
    if self.open_set:
      found, inlier = self._open(outputs, labels, probs, state.step)
      parts |= found
    targets = probs
    if not self.soft_targets:
      targets = jax.nn.one_hot(probs.argmax(-1), probs.shape[-1])
    values = losses.soft_cross_entropy_loss(outputs["logits"][2], targets)
    chosen = (confident & inlier).astype(jnp.float32)
    parts["consistency_loss"] = (chosen * values).mean()
    parts["chosen"] = chosen.mean()
    return parts, queue

  def _open(self, outputs, labels, probs, step):
    """IOMatch's two further terms, and which unlabelled are inliers."""
    binary = losses.one_vs_all_loss(_pairs(outputs[BINARY][0]), labels)
    parts = {"binary_loss": binary.mean()}
    weak = jax.lax.stop_gradient(outputs[BINARY][1])
    targets = _targets(probs, weak)
    if self.open_weight:
      sure = (targets.max(-1) >= self.open_threshold).astype(jnp.float32)
      values = losses.soft_cross_entropy_loss(outputs[OPEN][2], targets)
      started = jnp.where(step >= self.open_start_steps, 1.0, 0.0)
      parts["open_loss"] = started * (sure * values).mean()
    return parts, targets[..., -1] < 0.5

  def after_update(self, net, state, aux):
    """Moves the averaged weights and the queue."""
    del net
    memory = {**state.memory, **aux.extras}
    if self.ema_decay:
      new = {"params": state.params, "stats": state.stats}
      memory["ema"] = _training_state.ema(memory["ema"], new, self.ema_decay)
    return memory

  def predict(self, net, state, batch):
    """Outputs of the averaged weights, and `open_logits` [b c + 1]."""
    own = {"params": state.params, "stats": state.stats}
    weights = state.memory.get("ema", own)
    out, _ = net(weights["params"], weights["stats"], data.inputs(batch))
    if self.open_set and self.open_weight:
      return {**out, "open_logits": out[OPEN]}
    log_probs = jax.nn.log_softmax(out["logits"].astype(jnp.float32))
    if self.open_set:
      targets = _targets(jnp.exp(log_probs), out[BINARY])
      return {**out, "open_logits": jnp.log(jnp.maximum(targets, 1e-30))}
    bar = jnp.full((*log_probs.shape[:-1], 1), jnp.log(self.unknown_threshold))
    return {**out, "open_logits": jnp.concatenate([log_probs, bar], axis=-1)}


def _pairs(x):
  """[b 2 * c] -> [b c 2]: first the c "no" logits, then the c "yes"."""
  return jnp.stack(jnp.split(x, 2, axis=-1), axis=-1)


def _targets(probs, binary):
  """Open-set targets [b c + 1] of predictions and the one-vs-all head."""
  yes = jax.nn.softmax(_pairs(binary).astype(jnp.float32))[..., 1]
  return losses.open_set_targets(probs, yes)


def _push(memory: Mapping[str, Any], probs) -> dict[str, Any]:
  """The queue with the mean of this batch in the place of its oldest row."""
  position = memory["position"]
  queue = memory["queue"].at[position].set(probs.mean(axis=0))
  return {"queue": queue, "position": (position + 1) % queue.shape[0]}
