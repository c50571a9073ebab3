"""Learners that know the labels of bags only."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcls import data, losses, ops
from jaxcls.learners import _training_state


def _score(out):
  """Log-odds [n] of the positive class."""
  logits = out["logits"].astype(jnp.float32)
  return logits[:, 1] - logits[:, 0]


def _as_logits(score):
  """Two columns whose difference is the score."""
  return jnp.stack([jnp.zeros_like(score), score], axis=-1)


def _bag_loss(score, labels, bags, where):
  """Mean over bags of the cross-entropy of their scores."""
  values = losses.cross_entropy_loss(_as_logits(score), labels)
  size = ((bags[:, None] == bags[None, :]) & where[None, :]).sum(axis=1)
  weights = where / jnp.maximum(size, 1)
  return (weights * values).sum() / jnp.maximum(weights.sum(), 1e-9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BagClassifier:
  """Pools the examples of a bag and learns from the bag's label (ABMIL).

  loss = cross-entropy of the bag's score, `losses.bag_scores` of the examples'
  log-odds. Pooling "attention" takes the head "attention" of width 1.

  Batch: `image` (or `x`) [n ...], `label` [n], `bag` [n], `id` [n], repeated
  ids being padding: play it on `scenarios.Bags`.

  Predictions, of every example alone: `logits` [n 2], for "attention" zeros
  and the attention's logits, which is what an attention-based model says of
  examples; `evidence` [n 2]: the attention's logits (else zeros) and the
  log-odds, as the metrics that pool bags take them.

  Attributes:
    pooling: "attention", "max" or "mean".

  Source: Ilse et al. 2018, arXiv:1802.04712.
  Differs: the attention network is the model's head, with ReLU for tanh.
  """

  pooling: str = "attention"

  def __post_init__(self):
    """Checks the pooling."""
    if self.pooling not in losses.POOLINGS:
      raise ValueError(
        f"learner.pooling must be one of {losses.POOLINGS}, got "
        f"{self.pooling!r}."
      )

  def init(self, net, state, batch, key):
    """Nothing is kept."""
    del net, state, batch, key
    return {}

  def _attention(self, out):
    if self.pooling != "attention":
      return None
    if "attention" not in out:
      raise ValueError(
        "model.heads must have a head 'attention' of width 1 for pooling "
        "'attention', got none."
      )
    return out["attention"][:, 0].astype(jnp.float32)

  def loss(self, net, params, state, batch, key):
    """Mean over the bags of the batch."""
    inputs = data.inputs(batch)
    out, stats = net(params, state.stats, inputs, train=True, key=key)
    where = losses.first_in_batch(batch["id"])
    score = losses.bag_scores(
      _score(out), batch["bag"], pooling=self.pooling,
      attention=self._attention(out), where=where,
    )  # fmt: skip
    loss = _bag_loss(score, batch["label"], batch["bag"], where)
    right = (score > 0) == (batch["label"] == 1)
    metrics = {"bag_accuracy": losses.mean_where(right * 1.0, where)}
    return loss, _training_state.Aux(stats, metrics)

  def predict(self, net, state, batch):
    """Outputs of every example; see the class."""
    out, _ = net(state.params, state.stats, data.inputs(batch))
    score, attention = _score(out), self._attention(out)
    if attention is None:
      logits = _as_logits(score)
      return {**out, "logits": logits, "evidence": logits}
    evidence = jnp.stack([attention, score], axis=-1)
    return {**out, "logits": _as_logits(attention), "evidence": evidence}


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceClassifier:
  """A classifier of the examples themselves, from bag labels alone (INS).

  Examples of negative bags are negative; those of positive bags have a soft
  pseudo-label s_i, in a table by id. loss = CE(view 1, s_i) +
  contrastive_weight * `losses.partial_label_contrastive_loss` (unit
  projections of view 1 against those of view 2 by the averaged encoder and a
  queue of them, labelled by the classifier within the candidates; at first the
  other view is the only positive) + bag_weight * cross-entropy of the bag's
  log-odds, pooled by bag_pooling.
  Two prototypes follow the projections, mu_c <- prototype_decay mu_c +
  (1 - prototype_decay) q for the predicted class (negative: true negatives
  only), and after the warm-up s_i <- m s_i + (1 - m) onehot(argmax_c q . mu_c),
  m falling from label_decay[0] to label_decay[1] over the phase's decay_steps.

  Batch: `views` [n 2 ...], `label` [n] of the bag, `bag`, `id` [n], repeated
  ids being padding: play it on `scenarios.Bags` with two views.

  Attributes:
    num_examples: above every example id.
    queue_size: projections that are kept, a multiple of the batch size.
    warmup_steps: until then s_i is the bag's label.
    contrastive_weight, bag_weight, temperature: of the loss.
    bag_pooling: "mean", or "max" where positives are rare in their bags.
    ema_decay: of the averaged encoder.
    prototype_decay, label_decay, decay_steps: see above.
    embedding: output that is compared, such as a projection.

  Source: Qu et al. 2023, arXiv:2307.02249.
  Differs: the bag term is part of every step, in the released code a step of
    its own; the averaged encoder sees the batch in evaluation mode; anchors are
    not compared with each other.
  """

  num_examples: int
  queue_size: int = 8192
  warmup_steps: int = 0
  contrastive_weight: float = 0.5
  bag_weight: float = 1.0
  bag_pooling: str = "mean"
  temperature: float = 0.07
  ema_decay: float = 0.999
  prototype_decay: float = 0.9
  label_decay: tuple[float, float] = (0.95, 0.8)
  decay_steps: int = 1000
  embedding: str = "projection"

  def __post_init__(self):
    """Checks the pooling."""
    if self.bag_pooling not in ("mean", "max"):
      raise ValueError(
        f"learner.bag_pooling must be 'mean' or 'max', got "
        f"{self.bag_pooling!r}."
      )

  def init(self, net, state, batch, key):
    """Memory: averaged encoder, queue, prototypes and pseudo-labels.

    Raises:
      ValueError: two classes, two views and a fitting queue are not there.
    """
    del key
    if net.num_classes != 2 or "views" not in batch:
      raise ValueError(
        "scenario must give two classes and two views for the instance "
        f"classifier, got {net.num_classes} classes and fields {sorted(batch)}."
      )
    size = batch["label"].shape[0]
    if self.queue_size % size:
      raise ValueError(
        f"learner.queue_size must be a multiple of the batch size {size}, got "
        f"{self.queue_size}."
      )
    out = jax.eval_shape(
      lambda p, s, x: net(p, s, x)[0], state.params, state.stats,
      batch["views"][:, 0],
    )  # fmt: skip
    width = out[self.embedding].shape[-1]
    copy = lambda tree: jax.tree.map(jnp.copy, tree)
    return {
      "ema": {"params": copy(state.params), "stats": copy(state.stats)},
      "queue": jnp.zeros((self.queue_size, width)),
      "queue_labels": jnp.full((self.queue_size,), -1, jnp.int32),
      "position": jnp.int32(0),
      "prototypes": jnp.zeros((2, width)),
      "pseudo_labels": jnp.full((self.num_examples, 2), -1.0),
    }

  def _embed(self, out):
    return ops.unit_norm(out[self.embedding])

  def loss(self, net, params, state, batch, key):
    """The three terms, and what the memory takes from this batch."""
    memory, labels, ids = state.memory, batch["label"], batch["id"]
    where = losses.first_in_batch(ids)
    views = batch["views"]
    out, stats = net(params, state.stats, views[:, 0], train=True, key=key)
    known = memory["ema"]
    keys = self._embed(net(known["params"], known["stats"], views[:, 1])[0])
    z, score = self._embed(out), _score(out)
    # A negative bag leaves one candidate.
    predicted = jnp.where(labels == 0, 0, (score > 0).astype(jnp.int32))
    bag_label = jax.nn.one_hot(labels, 2)
    table = memory["pseudo_labels"][ids]
    settled = (table[:, 0] >= 0) & (labels == 1)
    targets = jnp.where(settled[:, None], table, bag_label)
    task = losses.soft_cross_entropy_loss(out["logits"], targets)
    started = state.step >= self.warmup_steps
    # Predictions say little at first: then only the other view is positive.
    alone = 2 + jnp.arange(len(labels))
    mine = jnp.where(started, predicted, alone)
    contrastive = losses.partial_label_contrastive_loss(
      z,
      jnp.concatenate([keys, memory["queue"]]),
      mine,
      jnp.concatenate([mine, memory["queue_labels"]]),
      temperature=self.temperature,
      key_where=jnp.concatenate([where, memory["queue_labels"] >= 0]),
    )
    bags = losses.bag_scores(
      score, batch["bag"], pooling=self.bag_pooling, where=where
    )
    parts = {
      "task_loss": losses.mean_where(task, where),
      "contrastive_loss": losses.mean_where(contrastive, where),
      "bag_loss": _bag_loss(bags, labels, batch["bag"], where),
    }
    total = (
      parts["task_loss"]
      + self.contrastive_weight * parts["contrastive_loss"]
      + self.bag_weight * parts["bag_loss"]
    )
    extras = {
      "queries": z, "keys": keys, "predicted": predicted, "where": where,
      "labels": labels, "ids": ids, "targets": targets,
    }  # fmt: skip
    extras = jax.lax.stop_gradient(extras)
    return total, _training_state.Aux(stats, parts, extras)

  def after_update(self, net, state, aux):
    """Moves prototypes, pseudo-labels, queue and the averaged encoder."""
    del net
    memory, new = dict(state.memory), aux.extras
    memory["prototypes"] = self._move_prototypes(memory["prototypes"], new)
    started = state.step >= self.warmup_steps
    labels = self._move_labels(memory["prototypes"], new, state.step)
    labels = jnp.where(started, labels, new["targets"])
    # Padding goes past the end of the table, where nothing is written.
    rows = jnp.where(new["where"], new["ids"], self.num_examples)
    table = memory["pseudo_labels"]
    memory["pseudo_labels"] = table.at[rows].set(labels, mode="drop")
    size, at = new["keys"].shape[0], memory["position"]
    place = lambda a, b: jax.lax.dynamic_update_slice_in_dim(a, b, at, 0)
    kept = jnp.where(new["where"], new["predicted"], -1)
    memory["queue"] = place(memory["queue"], new["keys"])
    memory["queue_labels"] = place(memory["queue_labels"], kept)
    memory["position"] = (at + size) % self.queue_size
    own = {"params": state.params, "stats": state.stats}
    memory["ema"] = _training_state.ema(memory["ema"], own, self.ema_decay)
    return memory

  def _move_prototypes(self, prototypes, new):
    """mu_c <- decay mu_c + (1 - decay) q, one row after another, unit norm."""
    negative = new["predicted"] == 0
    allowed = ~negative | (new["labels"] == 0)
    used = new["where"] & allowed

    def step(prototypes, row):
      z, label, use = row
      moved = self.prototype_decay * prototypes[label]
      moved += (1 - self.prototype_decay) * z
      return prototypes.at[label].set(
        jnp.where(use, moved, prototypes[label])
      ), None

    rows = new["queries"], new["predicted"], used
    prototypes, _ = jax.lax.scan(step, prototypes, rows)
    norm = jnp.linalg.norm(prototypes, axis=-1, keepdims=True)
    return prototypes / jnp.maximum(norm, 1e-12)

  def _move_labels(self, prototypes, new, step):
    """s <- m s + (1 - m) onehot of the nearest prototype; negatives stay."""
    start, end = self.label_decay
    share = jnp.clip((step - self.warmup_steps) / self.decay_steps, 0, 1)
    decay = start + (end - start) * share
    nearest = jnp.argmax(new["queries"] @ prototypes.T, axis=-1)
    moved = decay * new["targets"] + (1 - decay) * jax.nn.one_hot(nearest, 2)
    sure = jnp.array([1.0, 0.0])
    return jnp.where((new["labels"] == 1)[:, None], moved, sure)

  def predict(self, net, state, batch):
    """Outputs, and `evidence`: zeros and the log-odds."""
    out, _ = net(state.params, state.stats, data.inputs(batch))
    return {**out, "evidence": _as_logits(_score(out))}
