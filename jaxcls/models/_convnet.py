"""A small convolutional network for small images and slow machines."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcls.models import _layers, _net


class _ConvNet(nnx.Module):
  def __init__(
    self, channels, num_classes, widths, flat, hidden, pool, size, norm,
    dropout, samples, cosine_scale, tract_ridge, unfold, dtype, rngs,
  ):  # fmt: skip
    make_norm = _layers.make_norm(norm, rngs=rngs, dtype=dtype)
    ins = (channels, *widths)
    self.convs = nnx.List(
      [
        _layers.conv(
          a,
          b,
          size,
          rngs=rngs,
          dtype=dtype,
          tract_ridge=None if i else tract_ridge,
          unfold=unfold,
        )
        for i, (a, b) in enumerate(zip(ins, widths, strict=False))
      ]
    )
    self.norms = nnx.List([make_norm(width) for width in widths])
    self.hidden = (
      _layers.linear(flat, hidden, rngs=rngs, dtype=dtype) if hidden else None
    )
    self.dropout, self.samples = _layers.Dropout(dropout), samples
    self.head = _layers.head(
      hidden or flat, num_classes, rngs=rngs, cosine_scale=cosine_scale
    )
    self.flat, self.average, self.dtype = flat, pool == "average", dtype

  def __call__(self, x, *, key, tap):
    x = tap("stem", x.astype(self.dtype))
    for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
      # The maximum before the norm and the ReLU: both touch a quarter as much.
      x = conv(x) if self.average else _layers.max_pool_2x2(conv(x))
      x = jax.nn.relu(norm(x))
      x = _layers.average_pool_2x2(x) if self.average else x
      x = _layers.constrain_batch(tap(f"stage{i + 1}", x))
    maps = x
    # A number a channel, or all of them.
    if self.flat == x.shape[-1]:
      features = jnp.mean(x, axis=(1, 2))
    else:
      features = x.reshape(x.shape[0], -1)
    if self.hidden is not None:
      features = jax.nn.relu(self.hidden(features))
    outputs = _layers.classify(
      self.head, tap("head", features), self.dropout, self.samples, key
    )
    return {**outputs, "maps": maps}


def convnet(
  *,
  num_classes: int,
  input_shape: Sequence[int],
  widths: Sequence[int] = (32, 64),
  hidden: int | None = 128,
  flatten: bool = False,
  pool: str = "max",
  kernel_size: int = 3,
  norm: str = "batch",
  cosine_scale: float | None = None,
  dropout: float = 0.0,
  dropout_samples: int = 1,
  tract_ridge: float | None = None,
  unfold: bool = False,
  dtype: str = "float32",
) -> _net.Net:
  """Convolution, 2x2 max-pool, norm, ReLU for each width; then a head.

  With `hidden=None, flatten=True, pool="average", norm="instance"` it is the
  network of dataset condensation (Zhao et al. 2021, arXiv:2006.05929).

  Args:
    num_classes: width of `logits`.
    input_shape: (h, w, channels).
    widths: output channels of each stage; a stage halves height and width.
    hidden: width of a dense layer on the flattened maps; None: no such layer.
    flatten: without `hidden`, the head reads the flattened maps; False: their
      mean over the pixels, of which norm="instance" leaves next to nothing.
    pool: "max", before the norm, or "average", after the ReLU.
    kernel_size: side of the square kernels.
    norm: "batch", "group", "instance" or "layer".
    cosine_scale: the head gives scale * cos(features, w_c); None: a linear
      map.
    dropout: probability of dropping a feature in training.
    dropout_samples: masks that the head is trained on at once (multi-sample
      dropout, Inoue 2019, arXiv:1905.09788); adds `sample_logits` [b m c].
    tract_ridge: trains the first layer with TrAct's gradient; see
      `optim.tract_gradient`.
    unfold: convolutions as one matrix product of the shifted maps (im2col):
      the same values; on CPU faster inside loops and conditionals, such as
      condensation's (experiments/bench/unfold.py), with more memory.
    dtype: compute dtype; parameters stay float32.

  Returns:
    A Net with `features`, `logits` and `maps` [b h w widths[-1]]; taps
    "stem", "stage1", ..., "head".

  Raises:
    ValueError: the image is smaller than 2 ** len(widths), pool is unknown,
      or unfold is asked for with an even kernel_size or tract_ridge.
  """
  h, w, channels = input_shape
  shrink = 2 ** len(widths)
  if min(h, w) < shrink:
    raise ValueError(
      f"input_shape must be at least {shrink} pixels a side for "
      f"{len(widths)} stages, got {tuple(input_shape)}. Use fewer widths."
    )
  if pool not in ("max", "average"):
    raise ValueError(f"pool must be 'max' or 'average', got {pool!r}.")
  if unfold and (tract_ridge is not None or kernel_size % 2 == 0):
    raise ValueError(
      "unfold must be False with tract_ridge or an even kernel_size, got "
      f"tract_ridge={tract_ridge}, kernel_size={kernel_size}."
    )
  pixels = (h // shrink) * (w // shrink) if hidden or flatten else 1
  make = lambda rngs: _ConvNet(
    channels, num_classes, tuple(widths), pixels * widths[-1], hidden, pool,
    kernel_size, norm, dropout, dropout_samples, cosine_scale, tract_ridge,
    unfold, _layers.as_dtype(dtype), rngs,
  )  # fmt: skip
  return _net.Net(make, num_classes=num_classes, input_shape=input_shape)
