"""Training the small networks that tell copies of a classifier apart."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcls import data, losses
from jaxcls.learners import _training_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tracers:
  """Tracers whose outputs turn with a little noise on the image.

  For the model `tracer_copies`, whose classifier is trained before and is not
  changed here (the config's `trainable` is "^tracers/"). The loss is the sum
  over the tracers of noise_weight * losses.noise_sensitive_loss(T_i(x),
  T_i(x + n)) + label_weight * cross-entropy of T_i's logits on x; n is normal,
  the same for all tracers, and both images go through together.

  Batch: `image` (or `x`) [b ...]; `label` [b] int, -1 = unlabelled.

  Attributes:
    noise_weight: >= 0; 0 leaves copies that differ in their start alone.
    label_weight: >= 0; 0 uses no label.
    noise_std: of n, > 0, in the units of the images as the model takes them.
    angle_degrees: see `losses.noise_sensitive_loss`.

  Source: Fang et al. 2022, arXiv:2301.01218.
  Differs: no auto-encoder in the loss, which the version of ICCV 2023 adds;
    that the tracers learn the labels too is an option (the paper's do not).
  """

  noise_weight: float = 1.0
  label_weight: float = 0.0
  noise_std: float = 8 / 255
  angle_degrees: float = 75.0

  def __post_init__(self):
    """Checks the numbers."""
    for name in ("noise_weight", "label_weight"):
      if not getattr(self, name) >= 0:
        raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}.")
    if not self.noise_std > 0:
      raise ValueError(f"noise_std must be > 0, got {self.noise_std}.")
    if not 0 <= self.angle_degrees <= 180:
      raise ValueError(
        f"angle_degrees must be in [0, 180], got {self.angle_degrees}."
      )

  def init(self, net, state, batch, key):
    """No memory; checks that the model has tracers."""
    del state, batch, key
    if not hasattr(net, "copies"):
      raise ValueError(
        "model.name must be 'tracer_copies' for learner 'tracers', got a model "
        "without tracers."
      )
    return {}

  def loss(self, net, params, state, batch, key):
    """Means over the rows, summed over the tracers."""
    noise_key, net_key = jax.random.split(key)
    x = data.inputs(batch)
    noised = x + self.noise_std * jax.random.normal(noise_key, x.shape, x.dtype)
    out, stats = net(
      params, state.stats, jnp.concatenate([x, noised]), train=True, key=net_key
    )
    clean, moved = jnp.split(out["tracer_outputs"], 2)
    turn = losses.noise_sensitive_loss(
      clean, moved, angle_degrees=self.angle_degrees
    )
    labels, where = batch["label"], batch["label"] >= 0
    logits = out["tracer_logits"][: len(x)]
    task = losses.cross_entropy_loss(
      logits, jnp.maximum(labels, 0)[:, None].repeat(net.copies, axis=1)
    )
    task = losses.mean_where(task.sum(axis=1), where)
    turn = turn.sum(axis=1).mean()
    right = (logits.argmax(axis=-1) == labels[:, None]).mean(axis=1)
    metrics = {
      "noise_sensitive_loss": turn / net.copies,
      "classification_loss": task / net.copies,
      "tracer_accuracy": losses.mean_where(right, where),
    }
    loss = self.noise_weight * turn + self.label_weight * task
    return loss, _training_state.Aux(stats, metrics)
