"""Classifiers that are fitted, not trained."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import _lookup, classifiers, data

_SCALINGS = (None, "min_max", "standard")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClosedForm:
  """Fits a classifier of `jaxcls.classifiers` to frozen features, once.

  Play its stages as "fit" (`scenario.play`): the features of the whole stage
  are computed by the model as it is, from an earlier phase or `init_from`,
  and the classifier is fitted to them at the end. An `mlp` without hidden
  layers gives the inputs themselves.

  Batch: `image` (or `x`) [b ...]; `label` [b] int, -1 = left out.

  Attributes:
    classifier: what follows `fit_` and `predict_` in `jaxcls.classifiers`:
      "naive_bayes", "ridge", "knn", ...
    fit_options, predict_options: keyword arguments of the two functions.
    output: the model output that it is fitted to, [b d].
    scaling: "min_max" maps each feature of the training rows to [0, 1],
      "standard" to mean 0 and variance 1; None leaves them.
    capacity: rows kept for a classifier that stores them (knn,
      singular_kernel), at least the stage's; None: the others.

  Source: the classifiers'; scaling: sklearn.preprocessing.
  Differs: nothing known.
  """

  classifier: str
  fit_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  predict_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  output: str = "features"
  scaling: str | None = None
  capacity: int | None = None

  def __post_init__(self):
    """Resolves both names and their options now."""
    if self.scaling not in _SCALINGS:
      raise ValueError(
        f"scaling must be one of {_SCALINGS}, got {self.scaling!r}."
      )
    self._fit, self._predict  # noqa: B018

  def _bind(self, verb, options, supplied):
    field = f"learner.{verb}_options"
    _lookup.find(
      f"{verb}_{self.classifier}", classifiers, field="learner.classifier"
    )
    section = {"name": f"{verb}_{self.classifier}", **options}
    return _lookup.bind(section, classifiers, field=field, supplied=supplied)

  @functools.cached_property
  def _fit(self):
    supplied = ("features", "labels", "num_classes", "where", "key")
    return self._bind("fit", self.fit_options, supplied)

  @functools.cached_property
  def _predict(self):
    options = self.predict_options
    return self._bind("predict", options, ("params", "features"))

  def init(self, net, state, batch, key):
    """Memory: `params` of the classifier, `shift` and `scale` [d]."""
    out, _ = net(state.params, state.stats, data.inputs(batch))
    width = out[self.output].shape[-1]
    rows = self.capacity or 2
    fit = functools.partial(self._fitted, num_classes=net.num_classes)
    shapes = jax.eval_shape(
      fit, jnp.zeros((rows, width)), jnp.zeros((rows,), jnp.int32), key
    )
    zeros = lambda s: jnp.zeros(s.shape, s.dtype)
    return {
      "params": jax.tree.map(zeros, shapes),
      "shift": jnp.zeros((width,)),
      "scale": jnp.ones((width,)),
    }

  def _fitted(self, features, labels, key, *, num_classes):
    extra = {"key": key} if "key" in _lookup.parameters(self._fit) else {}
    return self._fit(features, labels, num_classes=num_classes, **extra)

  def end_stage(self, net, state, context):
    """Fits to the features of the stage's training examples."""
    found = context.predict(state, "train", (self.output,))
    features = jnp.asarray(found[self.output], jnp.float32)
    labels = np.asarray(context.given_labels("train", found["id"]))
    shift, scale = self._scaling(features)
    features, labels = self._padded((features - shift) / scale, labels)
    fit = functools.partial(self._fitted, num_classes=net.num_classes)
    params = jax.jit(fit)(features, labels, context.key)
    memory = {"params": params, "shift": shift, "scale": scale}
    return state.replace(memory=memory)

  def predict(self, net, state, batch):
    """Outputs of the model, with the classifier's logits."""
    out, _ = net(state.params, state.stats, data.inputs(batch))
    memory = state.memory
    features = out[self.output].astype(jnp.float32)
    features = (features - memory["shift"]) / memory["scale"]
    return {**out, "logits": self._predict(memory["params"], features)}

  def _scaling(self, features):
    """(shift, scale) [d]; a constant feature keeps its scale."""
    shift, scale = jnp.zeros(features.shape[1]), jnp.ones(features.shape[1])
    if self.scaling == "min_max":
      shift = features.min(axis=0)
      scale = features.max(axis=0) - shift
    elif self.scaling == "standard":
      shift, scale = features.mean(axis=0), features.std(axis=0)
    return shift, jnp.where(scale > 0, scale, 1.0)

  def _padded(self, features, labels):
    """Rows and labels, filled up to the capacity with unlabelled rows."""
    labels = jnp.asarray(labels, jnp.int32)
    if self.capacity is None:
      return features, labels
    missing = self.capacity - len(labels)
    if missing < 0:
      raise ValueError(
        f"learner.capacity must be at least the stage's {len(labels)} "
        f"examples, got {self.capacity}."
      )
    features = jnp.pad(features, ((0, missing), (0, 0)))
    return features, jnp.pad(labels, (0, missing), constant_values=-1)
