"""Supervised training with any objective, mixing, regularisers and EMA."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxcls import _lookup, data, losses, models, optim
from jaxcls.learners import _filters, _mix, _regularizers, _training_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class Supervised:
  """Minimises the mean of a per-example loss on labelled images.

  Batch: `image` (or `x`) [b ...]; `label` [b] int, -1 = left out.

  Attributes:
    objective: public name of `jaxcls.losses`, or a mapping with `name` and
      its hyperparameters. Its second parameter says what it wants: `labels`
      or `targets`. A `class_prior` parameter is filled from the stage.
    label_smoothing: for losses of `targets`: uniform share in [0, 1).
    mixing: None, or a mapping with `name` (mixup, cutmix, resizemix,
      mixup_or_cutmix) and its hyperparameters. A loss of labels is mixed by
      weight.
    mixing_at: where a batch is mixed: "input" or names of the model's taps
      ("stage1", "block0", ...); of several, one is drawn for each batch
      (manifold mixup).
    regularizers: mappings with `name` (a loss of logits alone), `weight` and
      hyperparameters; weight * mean is added. A negative weight on `entropy`
      is the confidence penalty. `output` names another output [b ... c] that
      it is of, summed over the axes between (`log_paths` of a mixture of
      experts).
    gradient: None, or a mapping with `name`, a function of `jaxcls.optim` of
      (value_and_grad, params, *args), sam_gradient or private_value_and_grad
      (DP-SGD), and its hyperparameters: how the gradient is taken.
    ema_decay: 0 keeps no average; else evaluation uses the averaged weights
      and statistics.
    frozen_stats: the network trains in evaluation mode: statistics as they
      are, no dropout. For a classifier on features that must not change.
    scores: None, or a function of `jaxcls.losses` of logits alone whose result
      stands for the logits in predictions: spherical_log_softmax and
      taylor_log_softmax, whose losses do not rank classes by the logit.
    filters: None, or a mapping with `name` (random_filters, gabor_filters,
      dct_filters, pca_filters, kmeans_filters, ... of `jaxcls.models`), its
      hyperparameters, and maybe `path` of the kernel, `num_patches` and
      `num_images`: what the first layer starts from when the run begins.
      The config's `trainable` "^(?!convs/0/)" keeps it so.
    mask_unseen: hides classes that no stage has brought yet, in the loss and
      in predictions.

  Source: EMA: Polyak & Juditsky 1992; confidence penalty: Pereyra et al.
    2017, arXiv:1701.06548; manifold mixup: Verma et al. 2018,
    arXiv:1806.05236.
  Differs: the EMA starts at the initial weights and has no bias correction.
  """

  objective: str | Mapping[str, Any] = "cross_entropy_loss"
  label_smoothing: float = 0.0
  mixing: Mapping[str, Any] | None = None
  mixing_at: tuple[str, ...] = ("input",)
  regularizers: tuple[Mapping[str, Any], ...] = ()
  gradient: Mapping[str, Any] | None = None
  ema_decay: float = 0.0
  frozen_stats: bool = False
  scores: str | Mapping[str, Any] | None = None
  filters: Mapping[str, Any] | None = None
  mask_unseen: bool = False

  def __post_init__(self):
    """Resolves every name now, so that a typo fails before any compile."""
    takes = _lookup.parameters(self._objective)
    if self.label_smoothing and "targets" not in takes:
      raise ValueError(
        "label_smoothing must be 0 for an objective of integer labels, got "
        f"{self.label_smoothing}. Use soft_cross_entropy_loss, or the "
        "objective's own label_smoothing."
      )
    if not 0 <= self.label_smoothing < 1:
      raise ValueError(
        f"label_smoothing must be in [0, 1), got {self.label_smoothing}."
      )
    if not 0 <= self.ema_decay < 1:
      raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}.")
    if isinstance(self.mixing_at, str) or not self.mixing_at:
      raise ValueError(
        "mixing_at must be a sequence of at least one name, such as "
        f"('input',), got {self.mixing_at!r}."
      )
    self._mixing, self._regularizers, self._gradient, self._scores  # noqa: B018
    if self.filters is not None:
      _filters.find_filters(self.filters)

  @functools.cached_property
  def _objective(self):
    return _lookup.bind(
      self.objective,
      losses,
      field="learner.objective",
      supplied=("logits", "labels", "targets", "class_prior", "where"),
    )

  @functools.cached_property
  def _mixing(self):
    return _mix.find_mixing(self.mixing)

  @functools.cached_property
  def _regularizers(self):
    return _regularizers.find_regularizers(self.regularizers)

  @functools.cached_property
  def _scores(self):
    if self.scores is None:
      return lambda logits: logits
    return _lookup.bind(
      self.scores, losses, field="learner.scores", supplied=("logits",)
    )

  @functools.cached_property
  def _gradient(self):
    if self.gradient is None:
      return None
    supplied = ("value_and_grad", "params")
    found = _lookup.bind(
      self.gradient, optim, field="learner.gradient", supplied=supplied
    )
    if not _lookup.parameters(found).keys() >= set(supplied):
      raise ValueError(
        "learner.gradient.name must be a function of (value_and_grad, params, "
        f"*args), got {self.gradient['name']!r}. Use 'sam_gradient'."
      )
    return found

  def init(self, net, state, batch, key):
    """Memory: `ema` (params, stats), `class_prior` [c], `seen` [c] bool."""
    del batch, key
    memory, c = {}, net.num_classes
    if self.ema_decay:
      copy = functools.partial(jax.tree.map, jnp.copy)
      memory["ema"] = {"params": copy(state.params), "stats": copy(state.stats)}
    if "class_prior" in _lookup.parameters(self._objective):
      memory["class_prior"] = jnp.full((c,), 1.0 / c)
    if self.mask_unseen:
      memory["seen"] = jnp.ones((c,), bool)
    return memory

  def start_stage(self, net, state, context):
    """Fills `class_prior` and `seen`; sets the filters as the run begins."""
    if self.filters is not None and int(state.step) == 0:
      make, place = _filters.find_filters(self.filters)
      state = _filters.set_filters(make, place, state, context)
      # The averaged weights start at the same filters.
      memory = self.init(net, state, None, None)
      state = state.replace(memory={**state.memory, **memory})
    memory = dict(state.memory)
    if "class_prior" in memory:
      # One pseudo-count: a class without examples keeps a finite log prior.
      counts = jnp.asarray(context.class_counts, jnp.float32) + 1.0
      memory["class_prior"] = counts / counts.sum()
    if "seen" in memory:
      memory["seen"] = jnp.asarray(context.stage.seen)
    return state.replace(memory=memory)

  def loss(self, net, params, state, batch, key):
    """Mean objective over the labelled rows, plus the regularisers."""
    where, labels = batch["label"] >= 0, jnp.maximum(batch["label"], 0)
    targets = self._targets(labels, net.num_classes)
    out, stats, mixed = self._forward(
      net, params, state.stats, data.inputs(batch), targets, key
    )
    targets = targets if mixed is None else mixed.targets
    logits = self._hide_unseen(out["logits"], state.memory)
    value = lambda x: self._values(
      x, labels, targets, mixed, state.memory, where
    )
    if "sample_logits" in out:  # Multi-sample dropout: the mean of losses.
      samples = self._hide_unseen(out["sample_logits"], state.memory)
      values = jax.vmap(value, in_axes=1)(samples).mean(axis=0)
    else:
      values = value(logits)
    loss = losses.mean_where(values, where)
    correct = (jnp.argmax(logits, -1) == labels).astype(jnp.float32)
    metrics = {"accuracy": losses.mean_where(correct, where)}
    terms, means = _regularizers.regularize(
      self._regularizers, {**out, "logits": logits}, where
    )
    metrics |= means
    return loss + terms, _training_state.Aux(stats, metrics)

  def _forward(self, net, params, stats, inputs, targets, key):
    """Outputs, statistics, and the mixed batch (None without mixing)."""
    mix_key, net_key = jax.random.split(key)
    net = functools.partial(
      net, params, stats, train=not self.frozen_stats, key=net_key
    )
    if self._mixing is None:
      return *net(inputs), None
    mixer = _mix.Mixer(self._mixing, self.mixing_at, targets, mix_key)
    inputs = mixer("input", inputs)
    # Without a tap a model may run its blocks as one loop.
    inside = set(self.mixing_at) - {"input"}
    out, stats = net(inputs, tap=mixer) if inside else net(inputs)
    return out, stats, mixer.mixed()

  def take_gradient(self, value_and_grad, params, *args):
    """((loss, aux), grads), as `gradient` says."""
    if self._gradient is None:
      return value_and_grad(params, *args)
    return self._gradient(value_and_grad, params, *args)

  def after_update(self, net, state, aux):
    """Moves the averaged weights."""
    del net, aux
    if not self.ema_decay:
      return state.memory
    new = {"params": state.params, "stats": state.stats}
    average = _training_state.ema(state.memory["ema"], new, self.ema_decay)
    return {**state.memory, "ema": average}

  def predict(self, net, state, batch):
    """Outputs in evaluation mode, of the averaged weights if there are any."""
    own = {"params": state.params, "stats": state.stats}
    weights = state.memory.get("ema", own)
    out, _ = net(weights["params"], weights["stats"], data.inputs(batch))
    logits = self._hide_unseen(out["logits"], state.memory)
    return {**out, "logits": self._scores(logits)}

  def _targets(self, labels, num_classes):
    targets = jax.nn.one_hot(labels, num_classes)
    smooth = self.label_smoothing
    return (1 - smooth) * targets + smooth / num_classes

  def _hide_unseen(self, logits, memory):
    if "seen" not in memory:
      return logits
    return models.mask_logits(logits, memory["seen"])

  def _values(self, logits, labels, targets, mixed, memory, where):
    """Per-example objective; one of labels is mixed by the images' weight."""
    takes = _lookup.parameters(self._objective)
    prior = (memory["class_prior"],) if "class_prior" in takes else ()
    # A loss that couples the batch must know which rows count.
    coupled = {"where": where} if "where" in takes else {}
    if "targets" in takes:
      return self._objective(logits, targets, *prior, **coupled)
    values = self._objective(logits, labels, *prior, **coupled)
    if mixed is None:
      return values
    other = labels[mixed.partner]
    partner = self._objective(logits, other, *prior, **coupled)
    return mixed.weight * values + (1 - mixed.weight) * partner
