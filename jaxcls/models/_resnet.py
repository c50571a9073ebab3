"""ResNet 18, 34, 50, 101 with ImageNet and small-image stems."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcls.models import _layers, _net

_STAGES = {
  10: ("basic", (1, 1, 1, 1)),
  18: ("basic", (2, 2, 2, 2)),
  34: ("basic", (3, 4, 6, 3)),
  50: ("bottleneck", (3, 4, 6, 3)),
  101: ("bottleneck", (3, 4, 23, 3)),
}


class _Block(nnx.Module):
  """Residual block; the last norm's scale starts at 0, so it is identity."""

  def __init__(self, kind, d_in, width, stride, make_norm, dtype, rngs):
    expansion = 4 if kind == "bottleneck" else 1
    conv = lambda a, b, size, step=1: _layers.conv(
      a, b, size, step, padding=[(size // 2, size // 2)] * 2, rngs=rngs,
      dtype=dtype,
    )  # fmt: skip
    d_out = width * expansion
    if kind == "bottleneck":
      # The stride sits in the 3x3 convolution ("v1.5"), as in torchvision.
      convs = [conv(d_in, width, 1), conv(width, width, 3, stride)]
      convs.append(conv(width, d_out, 1))
    else:
      convs = [conv(d_in, width, 3, stride), conv(width, width, 3)]
    self.convs = nnx.List(convs)
    widths = [width] * (len(convs) - 1)
    self.norms = nnx.List(
      [make_norm(width) for width in widths] + [make_norm(d_out, scale=0.0)]
    )
    reshapes = stride != 1 or d_in != d_out
    self.project = conv(d_in, d_out, 1, stride) if reshapes else None
    self.project_norm = make_norm(d_out) if reshapes else None

  def __call__(self, x):
    shortcut = x
    if self.project is not None:
      shortcut = self.project_norm(self.project(x))
    last = len(self.convs) - 1
    for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
      x = norm(conv(x))
      if i < last:
        x = jax.nn.relu(x)
    return jax.nn.relu(x + shortcut)


class _ResNet(nnx.Module):
  def __init__(
    self, channels, num_classes, depth, width, stem, norm, dropout, samples,
    cosine_scale, head_init, tract_ridge, dtype, rngs,
  ):  # fmt: skip
    kind, sizes = _STAGES[depth]
    make_norm = _layers.make_norm(norm, rngs=rngs, dtype=dtype)
    size, stride = (7, 2) if stem == "imagenet" else (3, 1)
    self.stem = _layers.conv(
      channels, width, size, stride, padding=[(size // 2, size // 2)] * 2,
      rngs=rngs, dtype=dtype, tract_ridge=tract_ridge,
    )  # fmt: skip
    self.stem_norm = make_norm(width)
    self.pool = stem == "imagenet"
    stages, d_in = [], width
    for i, num_blocks in enumerate(sizes):
      blocks = []
      for j in range(num_blocks):
        stride = 2 if i > 0 and j == 0 else 1
        d_out = width * 2**i
        blocks.append(_Block(kind, d_in, d_out, stride, make_norm, dtype, rngs))
        d_in = d_out * (4 if kind == "bottleneck" else 1)
      stages.append(nnx.List(blocks))
    self.stages = nnx.List(stages)
    self.dropout, self.samples = _layers.Dropout(dropout), samples
    self.head = _layers.head(
      d_in, num_classes, rngs=rngs, kernel_init=head_init,
      cosine_scale=cosine_scale,
    )  # fmt: skip
    self.dtype = dtype

  def __call__(self, x, *, key, tap):
    x = jax.nn.relu(self.stem_norm(self.stem(x.astype(self.dtype))))
    if self.pool:
      x = nnx.max_pool(x, (3, 3), (2, 2), padding=[(1, 1), (1, 1)])
    x = _layers.constrain_batch(tap("stem", x))
    for i, blocks in enumerate(self.stages):
      for block in blocks:
        x = _layers.constrain_batch(block(x))
      x = tap(f"stage{i + 1}", x)
    features = tap("head", jnp.mean(x, axis=(1, 2)))
    outputs = _layers.classify(
      self.head, features, self.dropout, self.samples, key
    )
    return {**outputs, "maps": x}


def resnet(
  *,
  num_classes: int,
  input_shape: Sequence[int],
  depth: int = 18,
  width: int = 64,
  stem: str = "small",
  norm: str = "batch",
  cosine_scale: float | None = None,
  head_init: str = "zeros",
  dropout: float = 0.0,
  dropout_samples: int = 1,
  tract_ridge: float | None = None,
  dtype: str = "float32",
) -> _net.Net:
  """Residual network.

  Args:
    num_classes: width of `logits`.
    input_shape: (h, w, channels).
    depth: 10, 18 or 34 (basic blocks), 50 or 101 (bottleneck blocks).
    width: channels of the stem; stage i has width * 2**i.
    stem: "imagenet" (7x7 stride 2, max-pool) or "small" (3x3 stride 1).
    norm: "batch" (global statistics under a sharded batch), "group" or
      "layer".
    cosine_scale: the head gives scale * cos(features, w_c); None: a linear
      map.
    head_init: of a linear head's kernel, "zeros" or "lecun_normal"; losses
      that ignore the scale of the logits (z_loss) cannot start at zero.
    dropout: probability of dropping a feature in training.
    dropout_samples: masks that the head is trained on at once (multi-sample
      dropout, Inoue 2019, arXiv:1905.09788); adds `sample_logits` [b m c].
    tract_ridge: trains the first layer with TrAct's gradient; see
      `optim.tract_gradient`.
    dtype: compute dtype; parameters and statistics stay float32.

  Returns:
    A Net with `features`, `logits` and `maps` [b h w d]; taps "stem",
    "stage1" to "stage4", "head".

  Raises:
    ValueError: unknown depth, stem or head_init.

  Source: He et al. 2016, arXiv:1512.03385; stride in the 3x3 convolution and
    zero last scale from Goyal et al. 2017, arXiv:1706.02677.
  """
  if depth not in _STAGES:
    raise ValueError(f"depth must be one of {tuple(_STAGES)}, got {depth}.")
  if stem not in ("imagenet", "small"):
    raise ValueError(f"stem must be 'imagenet' or 'small', got {stem!r}.")
  make = lambda rngs: _ResNet(
    input_shape[-1], num_classes, depth, width, stem, norm,
    dropout, dropout_samples, cosine_scale, head_init, tract_ridge,
    _layers.as_dtype(dtype), rngs,
  )  # fmt: skip
  return _net.Net(make, num_classes=num_classes, input_shape=input_shape)
