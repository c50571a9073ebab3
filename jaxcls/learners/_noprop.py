"""Blocks that denoise the label, each by itself."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax

from jaxcls import data, losses, ops
from jaxcls.learners import _training_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoProp:
  """Every block denoises the label by itself: no backward, no forward pass.

  The model is a `models.label_denoiser`; its `process` says which form:
  "discrete" NoProp-DT, "diffusion" NoProp-CT, "flow" NoProp-FM. Block t gets a
  draw of q(z_(t-1) | y) in place of what the block before it computes, so
  nothing ties the blocks but the label embeddings.

  loss = CE(z_T ~ q(z_T | y)) + KL(q(z_0 | y) || N(0, I))
  + eta sum_t label_denoising_loss(u_hat_t(z_(t-1), x), u_y,
  SNR(t) - SNR(t - 1)), with SNR'(t) at a random time in NoProp-CT; and in
  NoProp-FM ||v(z_t, x, t) - (u_y - z_0)||^2 + CE(z_t + (1 - t) v),
  z_t = t u_y + (1 - t) z_0.

  In NoProp-DT the blocks take their gradients one after another in one scan, so
  that a step holds the activations of one block whatever their number.

  Batch: `image` (or `x`) [b ...], `label` [b] int, `id` [b] in prediction.

  Attributes:
    eta: weight of the denoising term.
    sample: prediction draws z_0 and the steps' noise, from the example's id;
      False: z_0 = 0 and no noise.

  Source: Li et al. 2025, arXiv:2503.24322.
  Differs: all blocks learn from the same batch at once, the paper's loop over
    the blocks being independent anyway; image-shaped prototypes are left out.
  """

  eta: float = 0.1
  sample: bool = True

  def init(self, net, state, batch, key):
    """Checks the model; nothing is kept.

    Raises:
      ValueError: the model denoises no label embedding.
    """
    del batch, key
    if "embedding" not in net.param_shapes:
      raise ValueError(
        "model must be a label_denoiser for the NoProp learner, got one "
        "without a label embedding. Set model.name='label_denoiser'."
      )
    return {}

  def loss(self, net, params, state, batch, key):
    """The three terms, means over the batch."""
    inputs, labels = data.inputs(batch), batch["label"]
    targets = params["embedding"][labels]
    tap = _draws(net)(targets, key)
    out, stats = net(params, state.stats, inputs, train=True, key=key, tap=tap)
    task = losses.cross_entropy_loss(out["logits"], labels).mean()
    denoising, prior = tap.terms(out)
    eta = 1.0 if isinstance(tap, _Flow) else self.eta
    total = task + prior.mean() + eta * denoising.mean()
    metrics = {"task_loss": task, "denoising_loss": denoising.mean()}
    return total, _training_state.Aux(stats, metrics)

  def update(self, net, state, batch, key):
    """One step of every block."""
    if not hasattr(net, "block"):
      return _training_state.gradient_update(self, net, state, batch, key)
    inputs, labels = data.inputs(batch), batch["label"]
    blocks = _num_blocks(net)
    gain = jnp.diff(ops.signal_to_noise(ops.reversed_cosine_alpha_bar(blocks)))
    shared = {k: v for k, v in state.params.items() if k[:7] != "blocks/"}

    def denoising(own, shared, stats, t):
      targets = shared["embedding"][labels]
      draws = _Discrete(targets, key, blocks=blocks)
      tap = lambda name, x: draws.at(t, x) if name == "block0" else x
      out, stats = net.block(
        own | shared, stats, inputs, train=True, tap=tap,
        key=jax.random.fold_in(key, t),
      )  # fmt: skip
      values = losses.label_denoising_loss(
        out["predictions"][:, 0], targets, gain[t]
      )
      return self.eta * values.mean(), stats

    def step(total, block):
      f = jax.value_and_grad(denoising, argnums=(0, 1), has_aux=True)
      own, stats, t = block
      (value, stats), (grads, common) = f(own, shared, stats, t)
      total = jax.tree.map(jnp.add, total, (value, common))
      return total, (grads, stats)

    def ends(shared):
      """The terms of the first and the last draw."""
      targets = shared["embedding"][labels]
      draws = _Discrete(targets, key, blocks=blocks)
      z = draws.at(blocks, targets)
      logits = z @ shared["head/kernel"] + shared["head/bias"]
      prior = ops.reversed_cosine_alpha_bar(blocks)[0]
      task = losses.cross_entropy_loss(logits, labels).mean()
      return task + losses.standard_normal_kl(targets, prior).mean(), task

    (value, task), grads = jax.value_and_grad(ends, has_aux=True)(shared)
    rows = _stack(state.params, blocks), _stack(state.stats, blocks)
    start = jnp.zeros(()), jax.tree.map(jnp.zeros_like, shared)
    (denoised, common), (own, stats) = jax.lax.scan(
      step, start, (*rows, jnp.arange(blocks))
    )
    grads = jax.tree.map(jnp.add, grads, common) | _unstack(own, blocks)
    grads = {k: v for k, v in grads.items() if k in state.trained()}
    metrics = {
      "loss": value + denoised, "task_loss": task,
      "denoising_loss": denoised / self.eta,
      "grad_norm": optax.global_norm(grads),
    }  # fmt: skip
    state = state.apply_gradients(grads)
    return state.replace(stats=_unstack(stats, blocks)), metrics

  def predict(self, net, state, batch):
    """The model's outputs, all blocks one after another."""
    inputs = data.inputs(batch)
    if not self.sample:
      return net(state.params, state.stats, inputs)[0]
    ids = batch.get("id", jnp.arange(inputs.shape[0]))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), ids)
    tap = functools.partial(_sample, keys, _num_blocks(net))
    return net(state.params, state.stats, inputs, tap=tap)[0]


def _stack(flat, blocks):
  """{path under "blocks/0/": [blocks ...]} of what the blocks have alike."""
  first = [path for path in flat if path.startswith("blocks/0/")]
  name = lambda path, t: path.replace("blocks/0/", f"blocks/{t}/", 1)
  return {
    path: jnp.stack([flat[name(path, t)] for t in range(blocks)])
    for path in first
  }


def _unstack(stacked, blocks):
  """The inverse of `_stack`."""
  return {
    path.replace("blocks/0/", f"blocks/{t}/", 1): leaf[t]
    for path, leaf in stacked.items()
    for t in range(blocks)
  }


def _num_blocks(net) -> int:
  """Blocks of a discrete process; 0 for a continuous one."""
  blocks = sum(path.endswith("/join/kernel") for path in net.param_shapes)
  return 0 if "blocks/0/time/kernel" in net.param_shapes else blocks


def _draws(net):
  """What the model's process needs in place of a forward pass."""
  if blocks := _num_blocks(net):
    return functools.partial(_Discrete, blocks=blocks)
  return _Diffusion if "log_snr/ends" in net.param_shapes else _Flow


def _sample(keys, blocks, name, x):
  """The tap of prediction: z_0 and the noise of the steps, a key each row."""
  noise = lambda i: jax.vmap(
    lambda key: jax.random.normal(jax.random.fold_in(key, i), x.shape[1:])
  )(keys)
  if name == "block0":
    return noise(0)
  if not blocks or not (name == "head" or name.startswith("block")):
    return x
  alpha_bar = ops.reversed_cosine_alpha_bar(blocks)
  step = blocks if name == "head" else int(name.removeprefix("block"))
  variance = ops.denoising_coefficients(alpha_bar)[2][step - 1]
  return x + jnp.sqrt(variance) * noise(step)


class _Discrete:
  """Every block sees a draw of its own."""

  def __init__(self, targets, key, *, blocks):
    self.targets, self.key, self.blocks = targets, key, blocks
    self.alpha_bar = ops.reversed_cosine_alpha_bar(blocks)

  def __call__(self, name, x):
    last = name == "head"
    return self.at(self.blocks if last else int(name.removeprefix("block")), x)

  def at(self, step, x):
    """A draw of q(z_step | y) in the shape of x."""
    noise = jax.random.normal(jax.random.fold_in(self.key, step), x.shape)
    return ops.noise_embeddings(self.targets, self.alpha_bar[step], noise)

  def terms(self, out):
    """Denoising loss, summed over blocks, and the prior's divergence: [b]."""
    snr = ops.signal_to_noise(self.alpha_bar)
    found = out["predictions"]
    targets = jnp.broadcast_to(self.targets[:, None], found.shape)
    values = losses.label_denoising_loss(found, targets, jnp.diff(snr))
    prior = losses.standard_normal_kl(self.targets, self.alpha_bar[0])
    return values.sum(axis=1), prior


class _Diffusion:
  """A random time for each example; the schedule is the model's."""

  def __init__(self, targets, key):
    self.targets, self.keys = targets, jax.random.split(key, 3)

  def __call__(self, name, x):
    if name == "time":
      return jax.random.uniform(self.keys[0], x.shape)
    if name in ("log_snr_ends", "log_snr"):
      setattr(self, name, x)
      return x
    last = self.log_snr_ends[1]
    log_snr, key = (
      (last, self.keys[2]) if name == "head" else (self.log_snr, self.keys[1])
    )
    if name == "prediction":
      return x
    noise = jax.random.normal(key, x.shape)
    alpha_bar = jax.nn.sigmoid(log_snr)
    return ops.noise_embeddings(self.targets, alpha_bar, noise)

  def terms(self, out):
    """Denoising loss at the drawn times and the prior's divergence: [b]."""
    gain = jnp.exp(out["log_snr"]) * out["log_snr_rate"]
    found = out["predictions"][:, 0]
    values = losses.label_denoising_loss(found, self.targets, gain)
    first = jax.nn.sigmoid(out["log_snr_ends"][0])
    return values, losses.standard_normal_kl(self.targets, first)


class _Flow:
  """A random point of the straight line from noise to the embedding."""

  def __init__(self, targets, key):
    self.targets, self.keys = targets, jax.random.split(key)

  def __call__(self, name, x):
    if name == "time":
      self.time = jax.random.uniform(self.keys[0], x.shape)
      return self.time
    time = self.time[:, None]
    if name == "block0":
      self.noise = jax.random.normal(self.keys[1], x.shape)
      self.point = time * self.targets + (1 - time) * self.noise
      return self.point
    if name == "prediction":
      self.end = self.point + (1 - time) * x
      return x
    return self.end

  def terms(self, out):
    """Squared error of the velocity, and no prior term: [b]."""
    velocity = self.targets - self.noise
    gap = out["predictions"][:, 0] - velocity
    return jnp.sum(gap**2, axis=-1), jnp.zeros(gap.shape[0])
