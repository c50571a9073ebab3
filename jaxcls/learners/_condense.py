"""A few synthetic images in place of a training set."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxcls import data, losses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Condense:
  """Learns images on which a network's gradients are those on real data.

  A step is one of the inner loop: the synthetic images S take a step on
  `losses.gradient_matching_loss` between the gradients of the network on S and
  on the real batch, then the network takes `net_steps` on S. Every
  `inner_steps` steps the network is drawn anew. Class by class this is DC; with
  `contrastive` all classes are matched at once, sum_c grad CE(T_c) / C with
  grad CE(S), once the outer loop has done `outer_warmup` rounds or the inner
  loop `inner_warmup` steps: DCC.

  At the end of the stage a fresh network is trained on S alone: what is
  evaluated is that network. The config's optimizer takes no part.

  Batch: `image` (or `x`) [c n ...] in any order, n of every class (sampler
  episodic_plan with all classes); `label` [c n].

  Attributes:
    images_per_class: of S.
    match: False leaves S as it was drawn from the first batch: the baseline
      of random real images.
    contrastive: DCC; False: DC.
    outer_warmup, inner_warmup: see above.
    inner_steps: steps for one network.
    net_steps, net_lr: the network's SGD steps on S in each step.
    image_lr, image_momentum: SGD on S.
    augment: operations, the same draw for all images of S and the real batch
      (DSA).
    final_steps, final_lr: of the fresh network: SGD with momentum 0.9, weight
      decay 5e-4 and all of S in a step; the rate falls to a tenth half-way.

  Source: Zhao et al. 2021, arXiv:2006.05929 (DC); Lee et al. 2022,
    arXiv:2202.02916 (DCC); Zhao & Bilen 2021, arXiv:2102.08259 (DSA).
  Differs: the real batch is the same for all terms of a step; S is always one
    batch.
  """

  images_per_class: int
  match: bool = True
  contrastive: bool = True
  outer_warmup: int = 250
  inner_warmup: int = 10
  inner_steps: int = 10
  net_steps: int = 50
  net_lr: float = 0.01
  image_lr: float = 0.1
  image_momentum: float = 0.5
  augment: Sequence[Mapping[str, Any]] = ()
  final_steps: int = 300
  final_lr: float = 0.01

  @property
  def _image_optimizer(self):
    return optax.sgd(self.image_lr, momentum=self.image_momentum)

  def init(self, net, state, batch, key):
    """Memory: `images` [c m ...] from the batch, and their optimiser's state.

    Raises:
      ValueError: the model keeps batch statistics, or the batch is not made of
        equally many of every class, at least images_per_class.
    """
    del key
    if state.stats:
      raise ValueError(
        "model must keep no batch statistics under the condense learner, got "
        f"{sorted(state.stats)[:2]}. Use norm='instance' or 'group'."
      )
    images = self._by_class(net, batch)
    if images.shape[1] < self.images_per_class:
      raise ValueError(
        f"batch_size must hold images_per_class = {self.images_per_class} of "
        f"each class, got {images.shape[1]}."
      )
    images = images[:, : self.images_per_class].astype(jnp.float32)
    return {"images": images, "moments": self._image_optimizer.init(images)}

  def _by_class(self, net, batch):
    """The batch's images [c n ...]."""
    labels, inputs = batch["label"], data.inputs(batch)
    if labels.shape[0] % net.num_classes:
      raise ValueError(
        f"batch_size must be a multiple of the {net.num_classes} classes, got "
        f"{labels.shape[0]}. Use sampler episodic_plan with all classes."
      )
    order = jnp.argsort(labels, stable=True)
    return inputs[order].reshape(net.num_classes, -1, *inputs.shape[1:])

  def update(self, net, state, batch, key):
    """One step on S, then the network's on S."""
    inner = state.step % self.inner_steps
    fresh, _ = net.init(jax.random.fold_in(key, 0))
    params = jax.tree.map(
      lambda new, old: jnp.where(inner == 0, new, old), fresh, state.params
    )
    images, memory = state.memory["images"], dict(state.memory)
    value = jnp.zeros(())
    if self.match:
      siamese = functools.partial(self._siamese, jax.random.fold_in(key, 1))
      real = siamese(self._by_class(net, batch))
      outer = state.step // self.inner_steps
      late = (outer >= self.outer_warmup) | (inner >= self.inner_warmup)
      at_once = jnp.bool_(self.contrastive) & late
      value, grads = jax.value_and_grad(
        lambda s: matching_loss(net, params, siamese(s), real, at_once)
      )(images)
      updates, moments = self._image_optimizer.update(grads, memory["moments"])
      images = optax.apply_updates(images, updates)
      memory = {"images": images, "moments": moments}
    sgd = optax.sgd(self.net_lr)
    params = _fit(net, params, images, sgd, self.net_steps)
    metrics = {"loss": value}
    return state.replace(params=params, memory=memory), metrics

  def _siamese(self, key, images):
    """Augments [c n ...]; every image gets the same draw."""
    if not self.augment:
      return images
    augment = data.make_augment(self.augment)
    one = lambda image: augment(image[None], key)[0]
    return jax.vmap(jax.vmap(one))(images)

  def end_stage(self, net, state, context):
    """Trains a fresh network on the synthetic images."""
    del context
    half = self.final_steps // 2
    schedule = optax.piecewise_constant_schedule(self.final_lr, {half: 0.1})
    optimizer = optax.chain(
      optax.add_decayed_weights(5e-4), optax.sgd(schedule, momentum=0.9)
    )
    params, _ = net.init(jax.random.fold_in(state.key, 0xF17A1))
    fit = jax.jit(lambda p, s: _fit(net, p, s, optimizer, self.final_steps))
    return state.replace(params=fit(params, state.memory["images"]))


def matching_loss(net, params, synthetic, real, at_once):
  """Distance between the gradients on synthetic and on real images.

  With g(X) the gradient of the mean cross-entropy on X, T the real images and D
  = `losses.gradient_matching_loss`: DC is sum_c D(g(S_c), g(T_c)), DCC is
  D(g(S), g(T)); g(T) is the mean of g(T_c), all classes being as large.

  Args:
    net: the model, without batch statistics.
    params: its weights.
    synthetic: [c m ...], m images of every class.
    real: [c n ...]; no gradient flows to them.
    at_once: [] bool, traced. True (DCC): the gradients of all classes are
      averaged before they are compared. False (DC): the distances of the
      classes are summed.

  Returns:
    [] float32, no unit.

  Source: Zhao et al. 2021, arXiv:2006.05929 (DC); Lee et al. 2022,
    arXiv:2202.02916 (DCC).
  Differs: nothing known; both match the official code (tests).
  """
  classes = jnp.arange(synthetic.shape[0])

  def loss(params, images, labels):
    out, _ = net(params, {}, images)
    return losses.cross_entropy_loss(out["logits"], labels).mean()

  def of_class(images, label):
    labels = jnp.full(images.shape[0], label)
    return jax.grad(loss)(params, images, labels)

  def of_all(images):
    labels = jnp.repeat(classes, images.shape[1])
    flat = images.reshape(-1, *images.shape[2:])
    return jax.grad(loss)(params, flat, labels)

  def together(synthetic):
    targets = jax.lax.stop_gradient(of_all(real))
    return losses.gradient_matching_loss(of_all(synthetic), targets)

  def apart(synthetic):
    targets = jax.lax.stop_gradient(jax.vmap(of_class)(real, classes))
    gradients = jax.vmap(of_class)(synthetic, classes)
    return jax.vmap(losses.gradient_matching_loss)(gradients, targets).sum()

  return jax.lax.cond(at_once, together, apart, synthetic)


def _fit(net, params, images, optimizer, steps):
  """The weights after some steps on all of the images [c m ...]."""
  labels = jnp.repeat(jnp.arange(images.shape[0]), images.shape[1])
  flat = images.reshape(-1, *images.shape[2:])

  def loss(params):
    out, _ = net(params, {}, flat)
    return losses.cross_entropy_loss(out["logits"], labels).mean()

  def step(_, carry):
    params, opt_state = carry
    updates, opt_state = optimizer.update(
      jax.grad(loss)(params), opt_state, params
    )
    return optax.apply_updates(params, updates), opt_state

  start = params, optimizer.init(params)
  return jax.lax.fori_loop(0, steps, step, start)[0]
