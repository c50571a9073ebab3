"""Training in which the examples that are learned late come more often."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import _lookup, data, losses, ops

_CHOICES = ("slow", "random", "none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Upsampled:
  """Another learner from scratch, on a set with some examples repeated.

  The weights come from the phase before, a short warm-up of the same model:
  every class is split in two by k-means on the warm-up model's outputs, and
  the examples outside the cluster with the lower mean loss come `repeats`
  times an epoch. The length of the stage does not change.

  Batch: that of the other learner, and `id`.

  Attributes:
    base: the other learner: a mapping with `name` and its fields. It must
      have a `loss`, and no `update` or `refresh`.
    num_examples: of the source before any subset: ids are below it.
    choose: "slow", the examples outside the fast clusters; "random", as many
      of each class by lot (a control); "none", nothing is repeated.
    repeats: times that a chosen example comes in an epoch, >= 1.
    output: output of the warm-up model that is clustered.

  Source: Nguyen et al. 2024, arXiv:2404.17768 (USEFUL).
  Differs: the stage keeps its number of steps, where the paper keeps the
    number of epochs.
  """

  base: Mapping[str, Any]
  num_examples: int
  choose: str = "slow"
  repeats: int = 2
  output: str = "logits"

  def __post_init__(self):
    """Resolves the other learner now, so that a typo fails at once."""
    if self.choose not in _CHOICES:
      raise ValueError(
        f"choose must be one of {_CHOICES}, got {self.choose!r}."
      )
    for name in ("num_examples", "repeats"):
      if getattr(self, name) < 1:
        raise ValueError(
          f"{name} must be at least 1, got {getattr(self, name)}."
        )
    for hook in ("update", "refresh"):
      if hasattr(self._base, hook):
        raise ValueError(
          f"learner.base must be a learner without {hook!r}, got "
          f"{self.base['name']!r}."
        )

  @functools.cached_property
  def _base(self):
    from jaxcls import learners  # Not at import: it imports this file.

    return _lookup.call(self.base, learners, field="learner.base")

  def init(self, net, state, batch, key):
    """Memory: `base`, `warmup` (params, stats), `repeats` [n], `found` [3].

    found: mean warm-up loss of the fast and of the slow clusters, and the
    share of the slow examples.
    """
    memory = {
      "base": {},
      "warmup": jax.tree.map(
        lambda a: jnp.zeros(a.shape, a.dtype),
        {"params": net.param_shapes, "stats": net.stats_shapes},
      ),
      "repeats": jnp.ones((self.num_examples,), jnp.int32),
      "found": jnp.zeros((3,)),
    }
    if hasattr(self._base, "init"):
      memory["base"] = self._base.init(net, state, batch, key)
    return memory

  def receive(self, net, state, weights):
    """Takes the warm-up model; what is trained starts afresh.

    Raises:
      ValueError: the weights are not those of this model.
    """
    shapes = {"params": net.param_shapes, "stats": net.stats_shapes}
    found = {}
    for kind, wanted in shapes.items():
      for path, leaf in wanted.items():
        if path not in weights or weights[path].shape != leaf.shape:
          raise ValueError(
            "the phase before learner 'upsampled' must train the same model, "
            f"but it has no {path!r} of shape {leaf.shape}."
          )
      found[kind] = {path: weights[path] for path in wanted}
    return state.replace(memory={**state.memory, "warmup": found})

  def start_stage(self, net, state, context):
    """Clusters the examples and sets how often each comes.

    Raises:
      ValueError: no warm-up model was received, or an id is too large.
    """
    if not any(map(jnp.any, state.memory["warmup"]["params"].values())):
      raise ValueError(
        "learner 'upsampled' must have a warm-up model, from a phase before "
        "this one or from init_from, but it was given none."
      )
    name = next(iter(context.stage.streams))
    outputs = tuple({"warmup_logits", f"warmup_{self.output}"})
    found = context.predict(state, name, outputs)
    ids = found["id"]
    if ids.max() >= self.num_examples:
      raise ValueError(
        f"learner.num_examples must be above every example id, got "
        f"{self.num_examples} and the id {ids.max()}."
      )
    labels = context.given_labels(name, ids)
    values = np.asarray(
      losses.cross_entropy_loss(
        jnp.asarray(found["warmup_logits"]), jnp.asarray(labels).clip(0)
      )
    )
    slow = slow_examples(
      found[f"warmup_{self.output}"], labels, values, key=context.key
    )
    mean = lambda kept: values[kept].mean() if kept.any() else 0.0
    fast = ~slow & (labels >= 0)
    told = jnp.array([mean(fast), mean(slow), slow.mean()], jnp.float32)
    chosen = slow
    if self.choose == "random":
      chosen = _by_lot(slow, labels, context.key)
    repeats = np.ones((self.num_examples,), np.int32)
    if self.choose != "none":
      repeats[ids[chosen]] = self.repeats
    memory = {**state.memory, "repeats": jnp.asarray(repeats), "found": told}
    state = state.replace(memory=memory)
    return self._call("start_stage", net, state, context)

  def end_stage(self, net, state, context):
    """As the other learner."""
    return self._call("end_stage", net, state, context)

  def _call(self, hook, net, state, context):
    """The other learner's hook on its part of the memory."""
    if not hasattr(self._base, hook):
      return state
    new = getattr(self._base, hook)(net, self._own(state), context)
    return new.replace(memory={**state.memory, "base": new.memory})

  def _own(self, state):
    """The state as the other learner knows it."""
    return state.replace(memory=state.memory["base"])

  def sampler(self, net, state, name):
    """Every example as often an epoch as `repeats` says."""
    del net, name
    repeats = np.asarray(state.memory["repeats"])
    return dict(name="repeated_plan", repeats=repeats)

  def loss(self, net, params, state, batch, key):
    """The other learner's, with what the clusters showed as metrics."""
    loss, aux = self._base.loss(net, params, self._own(state), batch, key)
    names = ("fast_loss", "slow_loss", "slow_share")
    found = dict(zip(names, state.memory["found"], strict=True))
    return loss, aux._replace(metrics={**aux.metrics, **found})

  def take_gradient(self, value_and_grad, params, *args):
    """As the other learner."""
    if hasattr(self._base, "take_gradient"):
      return self._base.take_gradient(value_and_grad, params, *args)
    return value_and_grad(params, *args)

  def after_update(self, net, state, aux):
    """As the other learner."""
    if not hasattr(self._base, "after_update"):
      return state.memory
    own = self._base.after_update(net, self._own(state), aux)
    return {**state.memory, "base": own}

  def predict(self, net, state, batch):
    """Outputs of the other learner, and `warmup_<output>` of the warm-up's."""
    own, inputs = self._own(state), data.inputs(batch)
    if hasattr(self._base, "predict"):
      out = self._base.predict(net, own, batch)
    else:
      out, _ = net(state.params, state.stats, inputs)
    known = state.memory["warmup"]
    before, _ = net(known["params"], known["stats"], inputs)
    return {**out, **{f"warmup_{name}": x for name, x in before.items()}}


def slow_examples(
  outputs: np.ndarray, labels: np.ndarray, values: np.ndarray, *, key: jax.Array
) -> np.ndarray:
  """Bool [n]: examples outside the cluster of their class that is easier.

  Each class becomes two clusters of its outputs by k-means; the one with the
  lower mean value is the fast one. Runs on the host; every class goes through
  one compiled program.

  Args:
    outputs: [n d], of a model early in training.
    labels: [n], class ids, -1 = unlabelled: never slow.
    values: [n], losses.
    key: of k-means.

  Source: Nguyen et al. 2024, arXiv:2404.17768 (USEFUL).
  Differs: the best of 5 starts of k-means.
  """
  slow = np.zeros(labels.shape, bool)
  present, counts = np.unique(labels[labels >= 0], return_counts=True)
  limit = int(counts.max(initial=2))
  for i, label in enumerate(present):
    rows = np.flatnonzero(labels == label)
    x = np.zeros((limit, outputs.shape[1]), np.float32)
    x[: rows.size] = outputs[rows]
    where = jnp.arange(limit) < rows.size
    split = _halves(x, where, jax.random.fold_in(key, i))
    second = np.asarray(split)[: rows.size] == 1
    if second.all() or not second.any():
      continue
    later = values[rows][second].mean() > values[rows][~second].mean()
    slow[rows] = second if later else ~second
  return slow


@jax.jit
def _halves(x, where, key):
  """Cluster, 0 or 1, of each kept row."""
  return ops.kmeans(
    x, num_clusters=2, where=where, num_inits=5, key=key
  ).assignments


def _by_lot(slow, labels, key):
  """As many rows of each class as are slow, drawn anew."""
  chosen = np.zeros(labels.shape, bool)
  lots = np.asarray(jax.random.uniform(key, labels.shape))
  for label in np.unique(labels[slow]):
    rows = np.flatnonzero(labels == label)
    count = slow[rows].sum()
    chosen[rows[np.argsort(lots[rows])[:count]]] = True
  return chosen
