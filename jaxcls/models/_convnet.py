"""A small convolutional network for small images and slow machines."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcls.models import _layers, _net


class _ConvNet(nnx.Module):
  def __init__(
    self, channels, num_classes, widths, hidden, size, norm, dropout, samples,
    cosine_scale, tract_ridge, dtype, rngs,
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
        )
        for i, (a, b) in enumerate(zip(ins, widths, strict=False))
      ]
    )
    self.norms = nnx.List([make_norm(width) for width in widths])
    self.hidden = (
      _layers.linear(hidden[0], hidden[1], rngs=rngs, dtype=dtype)
      if hidden
      else None
    )
    self.dropout, self.samples = _layers.Dropout(dropout), samples
    width = hidden[1] if hidden else widths[-1]
    self.head = _layers.head(
      width, num_classes, rngs=rngs, cosine_scale=cosine_scale
    )
    self.dtype = dtype

  def __call__(self, x, *, key, tap):
    x = tap("stem", x.astype(self.dtype))
    for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
      # Pool before the norm and the ReLU: both then touch a quarter as much.
      x = _layers.max_pool_2x2(conv(x))
      x = _layers.constrain_batch(tap(f"stage{i + 1}", jax.nn.relu(norm(x))))
    maps = x
    if self.hidden is None:
      features = jnp.mean(x, axis=(1, 2))
    else:
      features = jax.nn.relu(self.hidden(x.reshape(x.shape[0], -1)))
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
  kernel_size: int = 3,
  norm: str = "batch",
  cosine_scale: float | None = None,
  dropout: float = 0.0,
  dropout_samples: int = 1,
  tract_ridge: float | None = None,
  dtype: str = "float32",
) -> _net.Net:
  """Convolution, 2x2 max-pool, norm, ReLU for each width; then a head.

  Args:
    num_classes: width of `logits`.
    input_shape: (h, w, channels).
    widths: output channels of each stage; a stage halves height and width.
    hidden: width of a dense layer on the flattened maps; None pools the maps
      to their mean instead.
    kernel_size: side of the square kernels.
    norm: "batch", "group", "instance" or "layer".
    cosine_scale: the head gives scale * cos(features, w_c); None: a linear
      map.
    dropout: probability of dropping a feature in training.
    dropout_samples: masks that the head is trained on at once (multi-sample
      dropout, Inoue 2019, arXiv:1905.09788); adds `sample_logits` [b m c].
    tract_ridge: trains the first layer with TrAct's gradient; see
      `optim.tract_gradient`.
    dtype: compute dtype; parameters stay float32.

  Returns:
    A Net with `features`, `logits` and `maps` [b h w widths[-1]]; taps
    "stem", "stage1", ..., "head".

  Raises:
    ValueError: the image is smaller than 2 ** len(widths).
  """
  h, w, channels = input_shape
  shrink = 2 ** len(widths)
  if min(h, w) < shrink:
    raise ValueError(
      f"input_shape must be at least {shrink} pixels a side for "
      f"{len(widths)} stages, got {tuple(input_shape)}. Use fewer widths."
    )
  flat = (h // shrink) * (w // shrink) * widths[-1]
  make = lambda rngs: _ConvNet(
    channels, num_classes, tuple(widths), hidden and (flat, hidden),
    kernel_size, norm, dropout, dropout_samples, cosine_scale, tract_ridge,
    _layers.as_dtype(dtype), rngs,
  )  # fmt: skip
  return _net.Net(make, num_classes=num_classes, input_shape=input_shape)
