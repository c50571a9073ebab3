"""Classifiers that are made or mended at the end of every stage."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcls import classifiers, data, losses, models, ops
from jaxcls.learners import _training_state

_HEAD = ("head/kernel", "head/bias")


def _features_of_stage(state, context):
  """Features [n d] and labels [n] of the stage's training examples."""
  found = context.predict(state, "train", ("features",))
  labels = context.given_labels("train", found["id"])
  return found["features"], labels


def _masked_loss(logits, labels, competing, metrics_where):
  """Mean cross-entropy among some classes, and the accuracy."""
  logits = models.mask_logits(logits, competing)
  values = losses.cross_entropy_loss(logits, jnp.maximum(labels, 0))
  right = (jnp.argmax(logits, -1) == labels).astype(jnp.float32)
  accuracy = losses.mean_where(right, metrics_where)
  return losses.mean_where(values, metrics_where), {"accuracy": accuracy}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrototypeClassifier:
  """Trains on the first stage; afterwards a class is its mean feature.

  At the end of a stage the columns of a cosine head (model.cosine_scale) of
  the new classes become the mean features of their training examples; after
  the first stage they are calibrated with the base classes' (TEEN). Play the
  later stages as "fit": nothing is trained in them.

  Batch: `image` (or `x`) [b ...]; `label` [b] int, -1 = left out.

  Attributes:
    tau, alpha: of `classifiers.calibrate_prototypes`; alpha 0 is the plain
      prototype classifier.

  Source: Wang et al. 2023, arXiv:2312.05229 (TEEN).
  Differs: nothing known.
  """

  tau: float = 16.0
  alpha: float = 0.5

  def init(self, net, state, batch, key):
    """Memory: `prototypes` [c d], `seen` and `base` [c] bool."""
    del batch, key
    if state.params.keys() & set(_HEAD) != {"head/kernel"}:
      raise ValueError(
        "model.cosine_scale must be set for a prototype classifier, whose "
        "head is a cosine; got a linear head."
      )
    return {
      "prototypes": jnp.zeros_like(state.params["head/kernel"].T),
      "seen": jnp.ones((net.num_classes,), bool),
      "base": jnp.zeros((net.num_classes,), bool),
    }

  def start_stage(self, net, state, context):
    """Notes which classes compete."""
    del net
    seen = jnp.asarray(context.stage.seen)
    return state.replace(memory={**state.memory, "seen": seen})

  def loss(self, net, params, state, batch, key):
    """Cross-entropy among the classes seen so far."""
    inputs = data.inputs(batch)
    out, stats = net(params, state.stats, inputs, train=True, key=key)
    loss, metrics = _masked_loss(
      out["logits"], batch["label"], state.memory["seen"], batch["label"] >= 0
    )
    return loss, _training_state.Aux(stats, metrics)

  def end_stage(self, net, state, context):
    """Puts the new classes' prototypes into memory and head."""
    features, labels = _features_of_stage(state, context)
    fitted = classifiers.fit_nearest_class_mean(
      features, labels, num_classes=net.num_classes
    )
    new, base = np.asarray(context.stage.new), np.asarray(state.memory["base"])
    rows = fitted["prototypes"][new]
    if base.any():
      known = state.memory["prototypes"][base]
      rows = classifiers.calibrate_prototypes(
        rows, known, tau=self.tau, alpha=self.alpha
      )
    prototypes = state.memory["prototypes"].at[new].set(rows)
    memory = {
      **state.memory,
      "prototypes": prototypes,
      "base": jnp.asarray(base if base.any() else new),
    }
    params = {**state.params, "head/kernel": prototypes.T}
    return state.replace(params=params, memory=memory)

  def predict(self, net, state, batch):
    """Outputs with the logits of unseen classes masked."""
    out, _ = net(state.params, state.stats, data.inputs(batch))
    logits = models.mask_logits(out["logits"], state.memory["seen"])
    return {**out, "logits": logits}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlignedClassifier:
  """Learns each stage's classes alone, then aligns the head on Gaussians.

  Training: cross-entropy among the classes of the stage. At its end every
  class of the stage leaves the mean and covariance of its features; after the
  first stage a copy of the head is trained on features drawn from all classes'
  Gaussians. The next stage goes on from the head before that. Give the body a
  small learning rate by `optimizer.groups` (SLCA's slow learner).

  Batch: `image` (or `x`) [b ...]; `label` [b] int, -1 = left out.

  Attributes:
    align: False leaves the head as it was trained (sequential fine-tuning).
    temperature: of `losses.logit_normalized_loss` in the alignment; None:
      plain cross-entropy.
    samples_per_class: features drawn of each class in an epoch.
    align_epochs, align_batch_size, align_lr: of SGD with momentum 0.9 and a
      cosine schedule.

  Source: Zhang et al. 2023, arXiv:2303.05118 (SLCA).
  Differs: batches of drawn features mix the classes at random, where the
    released code walks through shuffled ones; same expectation.
  """

  align: bool = True
  temperature: float | None = 0.1
  samples_per_class: int = 256
  align_epochs: int = 5
  align_batch_size: int = 128
  align_lr: float = 0.01

  def init(self, net, state, batch, key):
    """Memory: class Gaussians, tasks, masks and the head before alignment."""
    del batch, key
    if not set(_HEAD) <= state.params.keys():
      raise ValueError(
        "the model must have a linear head with a bias (cosine_scale=None) "
        "for its alignment, got another head."
      )
    d, c = state.params["head/kernel"].shape
    return {
      "means": jnp.zeros((c, d)),
      "covariances": jnp.zeros((c, d, d)),
      "task_of_class": jnp.full((c,), -1),
      "new": jnp.ones((c,), bool),
      "head": {name: jnp.copy(state.params[name]) for name in _HEAD},
    }

  def start_stage(self, net, state, context):
    """Notes the stage's classes; restores the head before alignment."""
    del net
    stage, memory = context.stage, dict(state.memory)
    tasks = jnp.asarray(stage.task_of_class, memory["task_of_class"].dtype)
    memory |= {"new": jnp.asarray(stage.new), "task_of_class": tasks}
    head = jax.tree.map(jnp.copy, memory["head"]) if tasks.max() > 0 else {}
    return state.replace(memory=memory, params={**state.params, **head})

  def loss(self, net, params, state, batch, key):
    """Cross-entropy among the stage's classes."""
    inputs = data.inputs(batch)
    out, stats = net(params, state.stats, inputs, train=True, key=key)
    loss, metrics = _masked_loss(
      out["logits"], batch["label"], state.memory["new"], batch["label"] >= 0
    )
    return loss, _training_state.Aux(stats, metrics)

  def end_stage(self, net, state, context):
    """Stores the new classes' Gaussians and aligns the head."""
    features, labels = _features_of_stage(state, context)
    found = ops.gaussian_statistics(
      jnp.asarray(features), jnp.asarray(labels), num_classes=net.num_classes
    )
    # Unbiased, as torch.cov; a class of one example has only the ridge.
    counts = jnp.maximum(found.counts - 1, 1)[:, None, None]
    ridge = 1e-4 * jnp.eye(features.shape[1])
    memory, new = dict(state.memory), jnp.asarray(context.stage.new)
    memory["means"] = jnp.where(new[:, None], found.means, memory["means"])
    memory["covariances"] = jnp.where(
      new[:, None, None], found.scatter / counts + ridge, memory["covariances"]
    )
    memory["head"] = {name: jnp.copy(state.params[name]) for name in _HEAD}
    params = state.params
    if self.align and memory["task_of_class"].max() > 0:
      params = {**params, **self._align(memory, context.key)}
    return state.replace(params=params, memory=memory)

  def _align(self, memory, key):
    """The head trained on drawn features; shapes do not depend on the task."""
    tasks = np.asarray(memory["task_of_class"])
    seen = np.flatnonzero(tasks >= 0)
    total = self.align_epochs * self.samples_per_class * len(seen)
    steps = max(1, total // self.align_batch_size)
    schedule = optax.cosine_decay_schedule(self.align_lr, steps)
    tx = optax.sgd(schedule, momentum=0.9)
    shrink = shrink_means(memory["means"], memory["task_of_class"])
    roots = jax.vmap(jnp.linalg.cholesky)(memory["covariances"][seen])
    train = functools.partial(self._align_step, tx, memory["task_of_class"])
    draw = (jnp.asarray(seen), shrink[seen], roots)

    @jax.jit
    def run(head, key):
      step = lambda carry, key: (train(carry, draw, key), None)
      carry = (head, tx.init(head))
      return jax.lax.scan(step, carry, jax.random.split(key, steps))[0][0]

    return run(memory["head"], key)

  def _align_step(self, tx, tasks, carry, draw, key):
    """One SGD step on a batch of drawn features."""
    (head, opt_state), (classes, means, roots) = carry, draw
    x, labels = draw_features(
      key, classes, means, roots, num_samples=self.align_batch_size
    )

    def loss(head):
      logits = x @ head["head/kernel"] + head["head/bias"]
      if self.temperature is None:
        logits = models.mask_logits(logits, tasks >= 0)
        return losses.cross_entropy_loss(logits, labels).mean()
      return losses.logit_normalized_loss(
        logits, labels, tasks, temperature=self.temperature
      ).mean()

    updates, opt_state = tx.update(jax.grad(loss)(head), opt_state, head)
    return optax.apply_updates(head, updates), opt_state

  def predict(self, net, state, batch):
    """Outputs with the logits of unseen classes masked."""
    out, _ = net(state.params, state.stats, data.inputs(batch))
    seen = state.memory["task_of_class"] >= 0
    return {**out, "logits": models.mask_logits(out["logits"], seen)}


def shrink_means(means: jax.Array, task_of_class: jax.Array) -> jax.Array:
  """Means of the drawn features, the older the closer to 0.

  (0.9 + 0.1 (t_c + 1) / (t + 1)) mu_c, t_c the class's task and t the last.

  Source: Zhang et al. 2023, arXiv:2303.05118, released code.
  """
  age = (task_of_class + 1) / (task_of_class.max() + 1)
  return (0.9 + 0.1 * age)[:, None] * means


def draw_features(
  key: jax.Array,
  classes: jax.Array,
  means: jax.Array,
  roots: jax.Array,
  *,
  num_samples: int,
) -> tuple[jax.Array, jax.Array]:
  """Features drawn from classes' Gaussians, the classes equally often.

  Args:
    key: PRNG key.
    classes: [k] int, class ids.
    means: [k d].
    roots: [k d d], lower Cholesky factors of the covariances.
    num_samples: n.

  Returns:
    Features [n d] and labels [n].
  """
  row_key, noise_key = jax.random.split(key)
  rows = jax.random.randint(row_key, (num_samples,), 0, classes.shape[0])
  noise = jax.random.normal(noise_key, (num_samples, means.shape[1]))
  x = means[rows] + jnp.einsum("nij,nj->ni", roots[rows], noise)
  return x, classes[rows]
