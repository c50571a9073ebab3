"""Layers that learn from their own activations alone."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcls import data, losses
from jaxcls.learners import _training_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForwardForward:
  """Every layer alone tells real (image, label) pairs from false ones.

  A layer's goodness is the mean square of its activations; the next layer sees
  them at unit norm and passes no gradient back. loss = sum over layers of
  `losses.forward_forward_loss` for the true label and for a random other one.
  The prediction is the label of the greatest goodness, without the first
  layer's.

  The model is an `mlp`; its output layer is not used.

  Batch: `image` (or `x`) [b ...], `label` [b] int.

  Attributes:
    threshold: goodness that parts real from false.

  Source: Hinton 2022, arXiv:2212.13345.
  Differs: the label replaces the first inputs of the flattened image, as
    there; negative labels are uniform over the other classes.
  """

  threshold: float = 2.0

  def init(self, net, state, batch, key):
    """Nothing is kept."""
    del net, state, batch, key
    return {}

  def loss(self, net, params, state, batch, key):
    """Sum over layers; positive and negative pairs in one pass."""
    inputs, labels = data.inputs(batch), batch["label"]
    other = jax.random.randint(key, labels.shape, 1, net.num_classes)
    wrong = (labels + other) % net.num_classes
    pairs = jnp.concatenate(
      [
        _write_label(inputs, labels, net.num_classes),
        _write_label(inputs, wrong, net.num_classes),
      ]
    )
    goodness, stats = _goodness(net, params, state.stats, pairs, train=True)
    real = jnp.arange(pairs.shape[0]) < labels.shape[0]
    values = losses.forward_forward_loss(
      goodness,
      jnp.broadcast_to(real[:, None].astype(jnp.float32), goodness.shape),
      threshold=self.threshold,
    )
    above = (goodness > self.threshold) == real[:, None]
    metrics = {"separated": above.mean()}
    return values.sum(axis=1).mean(), _training_state.Aux(stats, metrics)

  def predict(self, net, state, batch):
    """`logits` [b c]: goodness with each label, later layers summed."""
    inputs = data.inputs(batch)

    def score(label):
      labels = jnp.full(inputs.shape[0], label)
      pairs = _write_label(inputs, labels, net.num_classes)
      goodness, _ = _goodness(net, state.params, state.stats, pairs)
      return goodness[:, min(1, goodness.shape[1] - 1) :].sum(axis=1)

    return {"logits": jax.lax.map(score, jnp.arange(net.num_classes)).T}


def _write_label(inputs, labels, num_classes):
  """The flattened image with the label, one-hot, in its first inputs."""
  flat = inputs.reshape(inputs.shape[0], -1)
  top = jnp.max(jnp.abs(flat), axis=-1, keepdims=True)
  mark = top * jax.nn.one_hot(labels, num_classes)
  flat = jnp.concatenate([mark, flat[:, num_classes:]], axis=-1)
  return flat.reshape(inputs.shape)


def _goodness(net, params, stats, inputs, train=False):
  """Mean square of every layer's activations [b layers]; the new stats."""
  found = []

  def tap(name, x):
    if name.startswith("block"):
      found.append(jnp.mean(x**2, axis=-1))
    if name == "head":
      return x
    norm = jnp.linalg.norm(x + 1e-12, axis=-1, keepdims=True)
    return jax.lax.stop_gradient(x / norm * x.shape[-1] ** 0.5)

  _, stats = net(params, stats, inputs, train=train, tap=tap)
  return jnp.stack(found, axis=1), stats
