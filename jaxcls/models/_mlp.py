"""Multi-layer perceptron."""

from collections.abc import Sequence

import jax
import numpy as np
from flax import nnx

from jaxcls.models import _layers, _net


class _MLP(nnx.Module):
  def __init__(self, d_in, num_classes, hidden, dropout, dtype, rngs):
    widths = (d_in, *hidden)
    self.layers = nnx.List(
      [
        _layers.linear(a, b, rngs=rngs, dtype=dtype)
        for a, b in zip(widths, widths[1:], strict=False)
      ]
    )
    self.dropout = _layers.Dropout(dropout)
    self.head = _layers.head(widths[-1], num_classes, rngs=rngs)
    self.dtype = dtype

  def __call__(self, x, *, key, tap):
    x = tap("stem", x.reshape(x.shape[0], -1).astype(self.dtype))
    for i, layer in enumerate(self.layers):
      layer_key = None if key is None else jax.random.fold_in(key, i)
      x = self.dropout(jax.nn.relu(layer(x)), layer_key)
      x = _layers.constrain_batch(tap(f"block{i}", x))
    features = tap("head", x)
    return {"features": features, "logits": self.head(features)}


def mlp(
  *,
  num_classes: int,
  input_shape: Sequence[int],
  hidden: Sequence[int] = (512, 512),
  dropout: float = 0.0,
  dtype: str = "float32",
) -> _net.Net:
  """Fully connected network with ReLU; inputs are flattened.

  Args:
    num_classes: width of `logits`.
    input_shape: shape of one example, any rank.
    hidden: width of each hidden layer; empty is a linear classifier.
    dropout: probability of dropping a hidden unit in training.
    dtype: compute dtype; parameters stay float32.

  Returns:
    A Net with `features` [b hidden[-1]] and `logits` [b c]; taps "stem",
    "block0", ..., "head".
  """
  d_in = int(np.prod(input_shape))
  make = lambda rngs: _MLP(
    d_in, num_classes, tuple(hidden), dropout, _layers.as_dtype(dtype), rngs
  )
  return _net.Net(make, num_classes=num_classes, input_shape=input_shape)
