"""Multi-layer perceptron."""

from collections.abc import Sequence

import jax
import numpy as np
from flax import nnx

from jaxcls.models import _init, _layers, _net

_ACTIVATIONS = {
  "relu": jax.nn.relu,
  "sigmoid": jax.nn.sigmoid,
  "tanh": jax.nn.tanh,
  "gelu": jax.nn.gelu,
  "silu": jax.nn.silu,
  "square": jax.numpy.square,
  "identity": jax.nn.identity,
}


class _MLP(nnx.Module):
  def __init__(
    self,
    d_in,
    num_classes,
    hidden,
    dropout,
    init,
    cosine_scale,
    tract_ridge,
    activation,
    dtype,
    rngs,
  ):
    kernel_init, head_init = _initializers(init)
    widths = (d_in, *hidden)
    self.layers = nnx.List(
      [
        _layers.linear(
          a,
          b,
          rngs=rngs,
          dtype=dtype,
          kernel_init=kernel_init,
          tract_ridge=None if i else tract_ridge,
        )
        for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
      ]
    )
    self.dropout = _layers.Dropout(dropout)
    self.activation = _ACTIVATIONS[activation]
    self.head = _layers.head(
      widths[-1],
      num_classes,
      rngs=rngs,
      kernel_init=head_init,
      cosine_scale=cosine_scale,
    )
    self.dtype = dtype

  def __call__(self, x, *, key, tap):
    x = tap("stem", x.reshape(x.shape[0], -1).astype(self.dtype))
    for i, layer in enumerate(self.layers):
      layer_key = None if key is None else jax.random.fold_in(key, i)
      x = self.dropout(self.activation(layer(x)), layer_key)
      x = _layers.constrain_batch(tap(f"block{i}", x))
    features = tap("head", x)
    return {"features": features, "logits": self.head(features)}


def _initializers(init):
  """Initialisers of the hidden kernels and of the head's."""
  if isinstance(init, str):
    if init not in ("lecun_normal", "he_normal"):
      raise ValueError(
        "init must be 'lecun_normal', 'he_normal' or a standard deviation, "
        f"got {init!r}."
      )
    return getattr(_init, init)(), None
  return _init.normal(init), _init.normal(init)


def mlp(
  *,
  num_classes: int,
  input_shape: Sequence[int],
  hidden: Sequence[int] = (512, 512),
  dropout: float = 0.0,
  cosine_scale: float | None = None,
  init: str | float = "lecun_normal",
  tract_ridge: float | None = None,
  activation: str = "relu",
  dtype: str = "float32",
) -> _net.Net:
  """Fully connected network; inputs are flattened.

  Args:
    num_classes: width of `logits`.
    input_shape: shape of one example, any rank.
    hidden: width of each hidden layer; empty is a linear classifier.
    dropout: probability of dropping a hidden unit in training.
    cosine_scale: the head gives scale * cos(features, w_c); None: a linear
      map.
    init: of the hidden kernels, "lecun_normal" or "he_normal" (the head then
      starts at zero), or the standard deviation of every kernel's normal.
    tract_ridge: trains the first layer with TrAct's gradient; see
      `optim.tract_gradient`.
    activation: of the hidden layers, such as "relu", "sigmoid" or "square".
    dtype: compute dtype; parameters stay float32.

  Returns:
    A Net with `features` [b hidden[-1]] and `logits` [b c]; taps "stem",
    "block0", ..., "head".

  Raises:
    ValueError: an unknown activation.
  """
  if activation not in _ACTIVATIONS:
    raise ValueError(
      f"activation must be one of {', '.join(_ACTIVATIONS)}, got "
      f"{activation!r}."
    )
  d_in = int(np.prod(input_shape))
  make = lambda rngs: _MLP(
    d_in, num_classes, tuple(hidden), dropout, init, cosine_scale, tract_ridge,
    activation, _layers.as_dtype(dtype), rngs,
  )  # fmt: skip
  return _net.Net(make, num_classes=num_classes, input_shape=input_shape)
