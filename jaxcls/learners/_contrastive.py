"""Encoders that learn which images belong together."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import _lookup, data, losses, ops
from jaxcls.learners import _subclasses, _training_state

_SUPPLIED = (
  "embeddings", "labels", "subclasses", "class_temperatures", "queries",
  "keys", "query_labels", "key_labels", "where", "key_where", "axis_name",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrastive:
  """Minimises a contrastive loss of the embeddings of several views.

  What the objective takes decides how it is called: `embeddings` [b v d]
  (nt_xent_loss, groco_loss: no label is read); `embeddings` [b*v d] and
  `labels` (supcon_loss); `subclasses` and `class_temperatures` as well
  (subclass_contrastive_loss); `queries` and `keys` (info_nce_loss: the keys
  are other views in the averaged encoder).

  Subclasses are found by `refresh`: a class of n_c examples is split into
  ceil(n_c / M) clusters of the embeddings, equally large up to one, M =
  max(smallest class, min_subclass_size); until the end of the warm-up every
  class is one subclass, for which the loss is supcon_loss.

  Batch: `views` [b v h w c]; `label` [b] int, -1 = left out where labels are
  used; `id` [b].

  Attributes:
    objective: public name of `jaxcls.losses` or `jaxcls.ops`, or a mapping
      with `name` and its hyperparameters.
    embedding: the output that is compared, such as a projection of
      `model.heads`; divided by its norm.
    ema_decay: 0 keeps no average; else predictions, and the keys of
      info_nce_loss, come from the averaged encoder.
    refresh_every_steps: steps between clusterings, for subclasses.
    warmup_steps: no clustering before that step of the run.
    min_subclass_size: least bound M of the size of a subclass.
    num_examples: of the source before any subset: ids are below it.
    alpha: of `dynamic_temperatures`.

  Source: Chen et al. 2020, arXiv:2002.05709 (nt_xent_loss: SimCLR);
    Shvetsova et al. 2023, arXiv:2301.02009 (groco_loss); Khosla et al. 2020,
    arXiv:2004.11362 (supcon_loss); Hou et al. 2023, arXiv:2306.15925
    (subclass_contrastive_loss: SBCL).
  Differs: SBCL's released code clusters by plain k-means, into floor(n_c / M)
    parts; here the sizes are bounded, as the paper has it.
  """

  objective: str | Mapping[str, Any] = dataclasses.field(
    default_factory=lambda: dict(name="nt_xent_loss", temperature=0.1)
  )
  embedding: str = "projection"
  ema_decay: float = 0.0
  refresh_every_steps: int = 0
  warmup_steps: int = 0
  min_subclass_size: int = 10
  num_examples: int = 0
  alpha: float = 10.0

  def __post_init__(self):
    """Resolves the objective now, so that a typo fails before any compile."""
    if not 0 <= self.ema_decay < 1:
      raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}.")
    if "keys" in self._takes and not self.ema_decay:
      raise ValueError(
        "ema_decay must be above 0 for an objective of queries and keys, got "
        "0: the averaged encoder makes the keys."
      )
    if "subclasses" in self._takes:
      for name in ("refresh_every_steps", "num_examples", "min_subclass_size"):
        if getattr(self, name) < 1:
          raise ValueError(
            f"{name} must be at least 1 for an objective of subclasses, got "
            f"{getattr(self, name)}."
          )
    elif self.refresh_every_steps:
      raise ValueError(
        "refresh_every_steps must be 0 for an objective without subclasses, "
        f"got {self.refresh_every_steps}."
      )

  @functools.cached_property
  def _objective(self):
    return _lookup.bind(
      self.objective, losses, ops, field="learner.objective",
      supplied=_SUPPLIED,
    )  # fmt: skip

  @functools.cached_property
  def _takes(self):
    return _lookup.parameters(self._objective)

  def init(self, net, state, batch, key):
    """Memory: `ema` (params, stats); `subclass` [n], `temperature` [c]."""
    del key
    if "views" not in batch:
      raise ValueError(
        "scenario.views must list the operations of each view for the "
        "learner 'contrastive', got none."
      )
    memory = {}
    if self.ema_decay:
      copy = functools.partial(jax.tree.map, jnp.copy)
      memory["ema"] = {"params": copy(state.params), "stats": copy(state.stats)}
    if "subclasses" in self._takes:
      memory["subclass"] = jnp.full((self.num_examples,), -1, jnp.int32)
      memory["temperature"] = jnp.full((net.num_classes,), self._temperature)
    return memory

  @property
  def _temperature(self):
    return jnp.float32(dict(self.objective)["temperature"])

  def loss(self, net, params, state, batch, key):
    """Mean objective over the views; the batch's examples are coupled."""
    z, stats = self._embed(net, params, state.stats, batch["views"], key)
    values, where = self._values(net, state, batch, z)
    loss = losses.mean_where(values, where)
    # |sum of the views|^2 is the sum of their squares and of twice all pairs.
    pairs = (z.sum(axis=1) ** 2).sum(-1) - (z**2).sum((1, 2))
    cosine = pairs / max(z.shape[1] * (z.shape[1] - 1), 1)
    metrics = {"view_cosine": cosine.mean()}
    return loss, _training_state.Aux(stats, metrics)

  def _embed(self, net, params, stats, views, key, train=True):
    """Unit embeddings [b v d]; all views pass through in one batch."""
    b, v = views.shape[:2]
    flat = views.reshape(b * v, *views.shape[2:])
    out, stats = net(params, stats, flat, train=train, key=key)
    return self._unit(out).reshape(b, v, -1), stats

  def _unit(self, out):
    if self.embedding not in out:
      raise ValueError(
        f"learner.embedding must name an output, got {self.embedding!r}."
        f"{_lookup.nearest(self.embedding, out)} Add it to model.heads."
      )
    return ops.unit_norm(out[self.embedding])

  def _values(self, net, state, batch, z):
    """The objective's values and which of them count."""
    b, v, d = z.shape
    if "keys" in self._takes:
      return self._against_keys(net, state, batch, z), None
    if "labels" not in self._takes:
      return self._objective(z), None
    labels = jnp.repeat(batch["label"], v)
    where, flat = labels >= 0, z.reshape(b * v, d)
    if "subclasses" not in self._takes:
      return self._objective(flat, labels, where=where), where
    found = jnp.repeat(state.memory["subclass"][batch["id"]], v)
    subclasses = jnp.where(found < 0, labels, found)
    values = self._objective(
      flat, labels, subclasses, state.memory["temperature"], where=where
    )
    return values, where

  def _against_keys(self, net, state, batch, z):
    """Every view against the next one in the averaged encoder, [b v]."""
    known = state.memory["ema"]
    keys, _ = self._embed(
      net, known["params"], known["stats"], batch["views"], None, train=False
    )
    keys = jax.lax.stop_gradient(jnp.roll(keys, -1, axis=1))
    return jax.vmap(self._objective, in_axes=1, out_axes=1)(z, keys)

  def after_update(self, net, state, aux):
    """Moves the averaged encoder."""
    del net, aux
    if not self.ema_decay:
      return state.memory
    new = {"params": state.params, "stats": state.stats}
    average = _training_state.ema(state.memory["ema"], new, self.ema_decay)
    return {**state.memory, "ema": average}

  def predict(self, net, state, batch):
    """Outputs in evaluation mode and the unit `embedding`."""
    own = {"params": state.params, "stats": state.stats}
    weights = state.memory.get("ema", own)
    out, _ = net(weights["params"], weights["stats"], data.inputs(batch))
    return {**out, "embedding": self._unit(out)}

  def refresh(self, net, state, context):
    """Clusters every class into subclasses, after the warm-up."""
    if int(state.step) < self.warmup_steps:
      return state
    name = next(iter(context.stage.streams))
    found = context.predict(state, name, ("embedding",))
    z, ids = found["embedding"], found["id"]
    if ids.max() >= self.num_examples:
      raise ValueError(
        f"learner.num_examples must be above every example id, got "
        f"{self.num_examples} and the id {ids.max()}."
      )
    labels = context.given_labels(name, ids)
    subclasses = _subclasses.split_classes(
      z, labels, min_size=self.min_subclass_size, key=context.key
    )
    table = np.full((self.num_examples,), -1, np.int32)
    # Above every label, which stands for a whole class.
    kept = subclasses >= 0
    table[ids[kept]] = net.num_classes + subclasses[kept]
    temperature = _subclasses.dynamic_temperatures(
      jnp.asarray(z), jnp.asarray(labels), num_classes=net.num_classes,
      temperature=self._temperature, alpha=self.alpha,
    )  # fmt: skip
    memory = {"subclass": jnp.asarray(table), "temperature": temperature}
    return state.replace(memory={**state.memory, **memory})
