"""A conditional denoiser of images: a small diffusion transformer."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcls.models import _init, _layers, _net, _text, _vit


class _Block(nnx.Module):
  """Pre-norm block whose norms and branches the condition scales (adaLN)."""

  def __init__(self, width, num_heads, dtype, rngs):
    norm = lambda: _norm(width, dtype, rngs)
    self.norm1, self.norm2 = norm(), norm()
    self.attn = _vit._Attention(width, num_heads, dtype, rngs)
    self.mlp = _vit._FeedForward(width, 4 * width, dtype, rngs)
    self.modulation = _zero_linear(width, 6 * width, dtype, rngs)

  def __call__(self, x, condition):
    parts = jnp.split(self.modulation(condition)[:, None], 6, axis=-1)
    y = _modulate(self.norm1(x), *parts[:2])
    x = x + parts[2] * self.attn(y, y)
    y = _modulate(self.norm2(x), *parts[3:5])
    return _layers.constrain_batch(x + parts[5] * self.mlp(y))


def _norm(width, dtype, rngs):
  return nnx.LayerNorm(
    width, epsilon=1e-6, use_bias=False, use_scale=False, dtype=dtype, rngs=rngs
  )


def _zero_linear(d_in, d_out, dtype, rngs):
  return _layers.linear(
    d_in, d_out, rngs=rngs, dtype=dtype, kernel_init=_init.constant(0.0)
  )


def _modulate(x, shift, scale):
  return x * (1 + scale) + shift


class _Denoiser(nnx.Module):
  def __init__(self, shape, num_classes, patch, size, text, dtype, rngs):
    (h, w, channels), (width, depth, heads) = shape, size
    self.grid, self.patch = (h // patch, w // patch), patch
    self.num_classes, self.depth, self.dtype = num_classes, depth, dtype
    xavier = _init.xavier_uniform()
    linear = lambda a, b: _layers.linear(
      a, b, rngs=rngs, dtype=dtype, kernel_init=xavier
    )
    self.stem = linear(patch * patch * channels, width)
    param = lambda n: nnx.Param(_init.normal(0.02)(rngs.params(), (n, width)))
    self.positions = param(self.grid[0] * self.grid[1])
    self.time1, self.time2 = linear(width, width), linear(width, width)
    read = lambda: _text.TextTower(
      **text, soft=None, soft_dropout=0.0, embed_dim=width, dtype=dtype,
      rngs=rngs,
    )  # fmt: skip
    self.text = None if text is None else read()
    # The last row is the condition "anything".
    self.classes = param(1 if text is not None else num_classes + 1)
    for i in range(depth):
      setattr(self, f"block{i}", _Block(width, heads, dtype, rngs))
    self.norm = _norm(width, dtype, rngs)
    self.modulation = _zero_linear(width, 2 * width, dtype, rngs)
    self.out = _zero_linear(width, patch * patch * channels, dtype, rngs)

  def __call__(self, x, *, key, tap):
    del key
    b, h, w, channels = x.shape
    (rows, columns), p = self.grid, self.patch
    time = tap("time", jnp.zeros((b,), jnp.float32))
    classes = tap("condition", jnp.full((b,), self.num_classes))
    hidden = jax.nn.silu(self.time1(_waves(time, self.positions.shape[-1])))
    table = self.classes.get_value()
    if self.text is not None:
      table = jnp.concatenate([self.text(key=None, tap=tap), table])
    condition = self.time2(hidden) + table[classes].astype(self.dtype)
    condition = jax.nn.silu(condition)
    x = x.astype(self.dtype).reshape(b, rows, p, columns, p, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(b, rows * columns, -1)
    x = self.stem(x) + self.positions.get_value().astype(self.dtype)
    x = tap("stem", _layers.constrain_batch(x))
    for i in range(self.depth):
      x = tap(f"block{i}", getattr(self, f"block{i}")(x, condition))
    features = x.mean(axis=1)
    parts = jnp.split(self.modulation(condition)[:, None], 2, axis=-1)
    x = self.out(_modulate(self.norm(x), *parts)).astype(jnp.float32)
    x = x.reshape(b, rows, columns, p, p, channels).transpose(0, 1, 3, 2, 4, 5)
    return {"prediction": x.reshape(b, h, w, channels), "features": features}


def _waves(time, width):
  """Sines and cosines of 1,000 t: [b] -> [b width]."""
  rates = 10_000.0 ** -(jnp.arange(width // 2) / (width // 2))
  angles = 1000.0 * time[:, None] * rates
  return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def denoiser(
  *,
  num_classes: int,
  input_shape: Sequence[int],
  patch: int = 4,
  width: int = 64,
  depth: int = 3,
  num_heads: int = 4,
  prompts: Mapping[str, Any] | None = None,
  text_width: int = 64,
  text_depth: int = 2,
  text_heads: int = 2,
  dtype: str = "float32",
) -> _net.Net:
  """Predicts the noise (or velocity) in a noisy image of a known class.

  The time and the class are given by taps: "time" [b] in [0, 1] and "condition"
  [b] int, a class id, or num_classes for any; untapped, 0 and any.

  Args:
    num_classes: classes that it can be told.
    input_shape: (h, w, channels), multiples of the patch.
    patch: side of the square patches.
    width: of the tokens; a multiple of num_heads and of 2.
    depth: number of blocks.
    num_heads: attention heads.
    prompts: None: a vector learned for each class; else the arguments of
      `data.pair_classes`: the condition is a text tower's embedding of "a
      photo of <attribute> <object>", trained along.
    text_width: width of the text tower; likewise `text_depth`, `text_heads`.
    text_depth: number of its blocks.
    text_heads: its attention heads.
    dtype: compute dtype; parameters stay float32.

  Returns:
    A Net with `prediction` [b h w channels] float32 and `features` [b width];
    taps "time", "condition", "stem", "block0", ...; it has no logits of its
    own (see `learners.Diffusion`).

  Raises:
    ValueError: the patch does not divide the image, or the heads the width;
      the prompts do not name num_classes classes.

  Source: Peebles & Xie 2022, arXiv:2212.09748 (adaLN-Zero).
  Differs: learned positions; only the mean is predicted.
  """
  h, w, _ = input_shape
  if h % patch or w % patch:
    raise ValueError(
      f"patch must divide the image, got {patch} and {tuple(input_shape)}."
    )
  if width % num_heads or width % 2:
    raise ValueError(
      f"width must be a multiple of num_heads and of 2, got {width} and "
      f"{num_heads}."
    )
  text = None
  if prompts is not None:
    _text.check_prompts(prompts, num_classes)
    size = (text_width, text_depth, text_heads)
    text = dict(prompts=dict(prompts), size=size)
  make = lambda rngs: _Denoiser(
    tuple(input_shape), num_classes, patch, (width, depth, num_heads), text,
    _layers.as_dtype(dtype), rngs,
  )  # fmt: skip
  return _net.Net(make, num_classes=num_classes, input_shape=input_shape)
