"""A classifier that denoises a label embedding, given the image."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcls import _lookup, ops
from jaxcls.models import _init, _layers, _net


class _Block(nnx.Module):
  """(image, z, time) -> an output of the trunk's width."""

  def __init__(self, trunk, width, d_in, d_out, with_time, rngs):
    f32 = dict(rngs=rngs, dtype=jnp.float32, kernel_init=_init.he_normal())
    self.trunk = trunk.make(rngs)
    self.embed = _layers.linear(d_in, width, **f32)
    self.time = _layers.linear(16, width, **f32) if with_time else None
    joined = width * (3 if with_time else 2)
    self.join = _layers.linear(joined, width, **f32)
    self.out = _layers.linear(width, d_out, rngs=rngs, dtype=jnp.float32)

  def encode(self, x, key):
    """What depends on the image alone."""
    out = self.trunk(x, key=key, tap=_net.identity)
    return out["features"].astype(jnp.float32), out["logits"]

  def __call__(self, encoded, z, time):
    features, direct = encoded
    parts = [features, jax.nn.relu(self.embed(z))]
    if self.time is not None:
      parts.append(jax.nn.relu(self.time(_waves(time))))
    hidden = jax.nn.relu(self.join(jnp.concatenate(parts, axis=-1)))
    return direct + self.out(hidden)


class _LabelDenoiser(nnx.Module):
  def __init__(
    self, trunk, width, num_classes, dim, process, steps, ends, rngs
  ):  # fmt: skip
    d_out = dim if process == "flow" else num_classes
    self.blocks = nnx.List(
      [
        _Block(trunk, width, dim, d_out, process != "discrete", rngs)
        for _ in range(steps if process == "discrete" else 1)
      ]
    )
    table = _init.identity() if dim == num_classes else _init.normal(dim**-0.5)
    self.embedding = nnx.Param(table(rngs.params(), (num_classes, dim)))
    if process == "diffusion":
      self.log_snr = _LogSNR(ends, rngs)
    # Starts as the nearest embedding: from zero, backpropagation through
    # the softmax of every block ends in a few shared codes.
    nearest = lambda *_: 10.0 * self.embedding.get_value().T
    self.head = _layers.head(dim, num_classes, rngs=rngs, kernel_init=nearest)
    self.process, self.steps = process, steps

  def __call__(self, x, *, key, tap):
    z = jnp.zeros((x.shape[0], self.embedding.get_value().shape[1]))
    if self.process == "discrete":
      z, outputs = self._blocks(x, z, key, tap)
    else:
      z, outputs = self._integrate(x, z, key, tap)
    z = tap("head", z)
    return {"features": z, "logits": self.head(z), **outputs}

  def _embed(self, output):
    """A block's output as a label embedding."""
    if self.process == "flow":
      return output
    return jax.nn.softmax(output) @ self.embedding.get_value()

  def _blocks(self, x, z, key, tap):
    a, b, _ = ops.denoising_coefficients(
      ops.reversed_cosine_alpha_bar(self.steps)
    )
    found, block_logits = [], []
    for t, block in enumerate(self.blocks):
      z = tap(f"block{t}", z)
      own = None if key is None else jax.random.fold_in(key, t)
      output = block(block.encode(x, own), z, None)
      block_logits.append(output)
      found.append(self._embed(output))
      z = a[t] * found[-1] + b[t] * z
    outputs = {
      "predictions": jnp.stack(found, axis=1),
      "block_logits": jnp.stack(block_logits, axis=1),
    }
    return z, outputs

  def _integrate(self, x, z, key, tap):
    """Euler steps of the field from time 0 to 1."""
    (block,) = self.blocks
    encoded = block.encode(x, key)
    outputs = {}
    time = tap("time", jnp.zeros(x.shape[0]))
    if self.process == "diffusion":
      log_snr, rate = self.log_snr.with_rate(time)
      ends = tap("log_snr_ends", self.log_snr(jnp.arange(2.0)))
      outputs = {"log_snr": tap("log_snr", log_snr), "log_snr_rate": rate}
      outputs["log_snr_ends"] = ends
    z = tap("block0", z)
    first = self._embed(block(encoded, z, time))
    outputs["predictions"] = tap("prediction", first)[:, None]

    def step(i, z):
      time = jnp.full(x.shape[0], i / self.steps)
      found = self._embed(block(encoded, z, time))
      if self.process == "diffusion":
        log_snr, rate = self.log_snr.with_rate(time)
        alpha_bar = jax.nn.sigmoid(log_snr)[:, None]
        pull = jnp.sqrt(alpha_bar) * found - alpha_bar * z
        found = rate[:, None] / 2 * pull
      return z + found / self.steps

    return jax.lax.fori_loop(0, self.steps, step, z), outputs


class _LogSNR(nnx.Module):
  """A growing function of time: log SNR(t), its ends learned too."""

  def __init__(self, ends, rngs):
    draw = lambda: _init.normal(1.0)(rngs.params(), (16,))
    self.ends = nnx.Param(jnp.array(ends, jnp.float32))
    self.slopes, self.shifts = nnx.Param(draw()), nnx.Param(draw())
    self.weights = nnx.Param(draw())

  def _rise(self, time):
    slopes = jax.nn.softplus(self.slopes.get_value())
    weights = jax.nn.softplus(self.weights.get_value() - 2)
    angles = slopes * (time[..., None] - 0.5) * 4 + self.shifts.get_value()
    return time + jnp.sum(weights * jax.nn.sigmoid(angles), axis=-1)

  def __call__(self, time):
    start, end = self._rise(jnp.zeros(())), self._rise(jnp.ones(()))
    low, high = self.ends.get_value()
    share = (self._rise(time) - start) / (end - start)
    return low + (high - low) * share

  def with_rate(self, time):
    """log SNR and its derivative."""
    return jax.jvp(self, (time,), (jnp.ones_like(time),))


def _waves(time):
  """Sines and cosines of [b] times in [0, 1]: [b 16]."""
  angles = time[:, None] * 2.0 ** jnp.arange(-1, 7) * jnp.pi
  return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def label_denoiser(
  *,
  num_classes: int,
  input_shape: Sequence[int],
  trunk: Mapping[str, Any],
  process: str = "discrete",
  steps: int = 10,
  embedding_dim: int | None = None,
  log_snr_ends: Sequence[float] = (-5.0, 5.0),
) -> _net.Net:
  """Turns noise z_0 into the embedding of the image's class; NoProp's model.

  process "discrete": T blocks, each with a trunk of its own; block t predicts
  u_hat = softmax(...) W and z_t = a_t u_hat + b_t z_(t-1).
  process "diffusion": one block that is also told the time, Euler steps of
  dz/dt = (log SNR)'(t) / 2 (sqrt(abar) u_hat - abar z), abar = sigmoid(log SNR)
  with a learned growing log SNR.
  process "flow": one block that predicts the velocity, dz/dt = v.
  Without taps z_0 is 0 and no noise is added.

  Args:
    num_classes: c.
    input_shape: of one image.
    trunk: model section: the network that sees the image; its features join
      with those of z (and of the time), its own logits are added.
    process: "discrete", "diffusion" or "flow".
    steps: number of blocks, or of Euler steps.
    embedding_dim: d of the label embeddings W; None: c, starting at the
      identity. They are trained unless `trainable` leaves "embedding" out.
    log_snr_ends: of "diffusion", where log SNR(0) and log SNR(1) start.

  Returns:
    A Net with `features` [b d] (z at the end), `logits` [b c],
    `predictions` [b T d] (T = 1 if not discrete), and for "discrete"
    `block_logits` [b T c]; for "diffusion" `log_snr`, `log_snr_rate` [b] at
    the tapped time and `log_snr_ends` [2]. A discrete net's `block` is the net
    of one block, for learners that train them one after another. Taps
    "block0", ...: z before a block; "time", "log_snr_ends", "log_snr",
    "prediction" of the first Euler step; "head".

  Raises:
    ValueError: an unknown process, steps < 1, or ends that do not grow.

  Source: Li et al. 2025, arXiv:2503.24322 (NoProp).
  """
  # The package is complete only when the model is made.
  from jaxcls import models

  if process not in ("discrete", "diffusion", "flow"):
    raise ValueError(
      f"process must be 'discrete', 'diffusion' or 'flow', got {process!r}."
    )
  if steps < 1:
    raise ValueError(f"steps must be at least 1, got {steps}.")
  if not log_snr_ends[0] < log_snr_ends[1]:
    raise ValueError(f"log_snr_ends must grow, got {tuple(log_snr_ends)}.")
  dim = embedding_dim or num_classes
  body = _lookup.call(
    trunk,
    models,
    field="model.trunk",
    num_classes=dim if process == "flow" else num_classes,
    input_shape=input_shape,
  )
  x = jax.ShapeDtypeStruct((1, *body.input_shape), jnp.float32)
  shapes = jax.eval_shape(
    lambda p, s, x: body(p, s, x)[0], body.param_shapes, body.stats_shapes, x
  )
  width = shapes["features"].shape[-1]

  def build(count):
    make = lambda rngs: _LabelDenoiser(
      body, width, num_classes, dim, process, count, tuple(log_snr_ends), rngs
    )
    return _net.Net(make, num_classes=num_classes, input_shape=input_shape)

  net = build(steps)
  if process == "discrete":
    net.block = build(1)
  return net
