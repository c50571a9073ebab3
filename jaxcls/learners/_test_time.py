"""Adapts a trained classifier to the stream that it predicts."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxcls import _lookup, data, losses, ops
from jaxcls.learners import _training_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestTimeAdaptation:
  """Batch statistics, and one step a batch on an unlabelled objective.

  Play it on `scenarios.TestTime` after a phase that trains the model, with
  `trainable` set to the normalisation's scales and biases. Every stage starts
  from the weights of that phase. Labels are never read.

  Batch: `image` (or `x`) [b ...].

  Attributes:
    objective: a loss of `logits` alone ("entropy": TENT), of `distances` and
      `logits` ("class_aware_alignment_loss": CAFA), "cross_entropy_loss" (of
      the model's own predictions: pseudo-labels), or None: no step is taken.
    batch_statistics: normalise by the batch's own statistics; with False and
      no objective the model is left as it is. A model with dropout is not for
      this learner: batch statistics turn it on.
    tied: one covariance for all classes instead of one each.

  Source: TENT: Wang et al. 2021, arXiv:2006.10726; CAFA: Jung et al. 2022,
    arXiv:2206.00205; batch statistics: Schneider et al. 2020,
    arXiv:2006.16971.
  Differs: Ledoit-Wolf shrinkage of the covariances.
  """

  # Not a test, whatever its name looks like to pytest.
  __test__ = False

  objective: str | Mapping[str, Any] | None = None
  batch_statistics: bool = True
  tied: bool = False

  def __post_init__(self):
    """Resolves the objective now, so that a typo fails before any compile."""
    self._objective  # noqa: B018

  @functools.cached_property
  def _objective(self):
    if self.objective is None:
      return None
    supplied = ("logits", "labels", "distances", "where")
    return _lookup.bind(
      self.objective, losses, field="learner.objective", supplied=supplied
    )

  def init(self, net, state, batch, key):
    """Memory: `source` weights, class `means` and `roots`, `adapting`."""
    del batch, key
    x = jax.ShapeDtypeStruct((1, *net.input_shape), jnp.float32)
    out = jax.eval_shape(
      lambda p, s, x: net(p, s, x)[0], state.params, state.stats, x
    )
    d, c = out["features"].shape[-1], net.num_classes
    return {
      "source": jax.tree.map(jnp.copy, state.trained()),
      "means": jnp.zeros((c, d)),
      "roots": jnp.broadcast_to(jnp.eye(d), (d, d) if self.tied else (c, d, d)),
      "adapting": jnp.zeros((), bool),
    }

  def start_stage(self, net, state, context):
    """Goes back to the source's weights; adapts unless the stage only fits."""
    del net
    adapting = jnp.asarray(context.stage.play == "prequential")
    params = {**state.params, **jax.tree.map(jnp.copy, state.memory["source"])}
    memory = {**state.memory, "adapting": adapting}
    return state.replace(params=params, memory=memory)

  def end_stage(self, net, state, context):
    """After the source stage: the class Gaussians of its features."""
    if context.stage.play != "fit":
      return state
    found = context.predict(state, "train", ("features",))
    labels = context.given_labels("train", found["id"])
    statistics = ops.gaussian_statistics(
      jnp.asarray(found["features"]),
      jnp.asarray(labels),
      num_classes=net.num_classes,
    )
    covariances = ops.gaussian_covariance(
      statistics, shrinkage="ledoit_wolf", ridge=1e-4, tied=self.tied
    )
    memory = {
      **state.memory,
      "means": statistics.means,
      "roots": jnp.linalg.cholesky(covariances),
    }
    return state.replace(memory=memory)

  def _forward(self, net, params, stats, inputs):
    """Outputs with the batch's own statistics, if those are wanted."""
    # The key is for models with dropout, which the docstring warns of.
    out, _ = net(
      params, stats, inputs, train=self.batch_statistics, key=jax.random.key(0)
    )
    return out

  def loss(self, net, params, state, batch, key):
    """The objective on the batch that was just predicted."""
    del key
    out = self._forward(net, params, state.stats, data.inputs(batch))
    if self._objective is None:
      return jnp.zeros(()), _training_state.Aux(state.stats)
    takes = _lookup.parameters(self._objective)
    if "distances" in takes:
      distances = ops.mahalanobis(
        out["features"], state.memory["means"], state.memory["roots"],
        kind="cholesky",
      )  # fmt: skip
      values = self._objective(distances, out["logits"])
    elif "labels" in takes:
      values = self._objective(out["logits"], out["logits"].argmax(-1))
    else:
      values = self._objective(out["logits"])
    return values.mean(), _training_state.Aux(state.stats)

  def update(self, net, state, batch, key):
    """One step, or none without an objective."""
    if self._objective is None:
      return state, {}
    return _training_state.gradient_update(self, net, state, batch, key)

  def predict(self, net, state, batch):
    """Outputs as the stream is predicted; before it, in evaluation mode."""
    inputs = data.inputs(batch)
    own = lambda: net(state.params, state.stats, inputs)[0]
    adapted = lambda: self._forward(net, state.params, state.stats, inputs)
    return jax.lax.cond(state.memory["adapting"], adapted, own)
