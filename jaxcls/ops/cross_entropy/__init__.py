"""Softmax cross-entropy of a linear layer whose logits are never stored."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import _precision
from jaxcls.ops.cross_entropy import _blockwise

# Logits of a tile when block_size is None: 4 MiB of float32.
_TILE = 2**20


def _check(features, kernel, labels, bias, where, label_smoothing, block_size):
  """Raises for what would broadcast, or be wrong, in silence."""
  if features.ndim != 2 or kernel.ndim != 2:
    raise ValueError(
      "features and kernel must have shapes [n d] and [d c], got "
      f"{features.shape} and {kernel.shape}."
    )
  n, d = features.shape
  if kernel.shape[0] != d or kernel.size == 0:
    raise ValueError(
      f"kernel must have shape [{d} c] with c and d >= 1, got {kernel.shape}."
    )
  for name, array in (("features", features), ("kernel", kernel)):
    if not jnp.issubdtype(array.dtype, jnp.floating):
      raise TypeError(f"{name} must be floating point, got {array.dtype}.")
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise TypeError(f"labels must be integer class ids, got {labels.dtype}.")
  if labels.shape != (n,):
    raise ValueError(f"labels must have shape ({n},), got {labels.shape}.")
  if bias is not None and bias.shape != kernel.shape[1:]:
    raise ValueError(
      f"bias must have shape {kernel.shape[1:]}, got {bias.shape}."
    )
  if where is not None and where.dtype != jnp.bool_:
    raise TypeError(f"where must be bool, got {where.dtype}.")
  if where is not None and where.shape != (n,):
    raise ValueError(f"where must have shape ({n},), got {where.shape}.")
  if not 0 <= label_smoothing <= 1:
    raise ValueError(
      f"label_smoothing must be in [0, 1], got {label_smoothing}."
    )
  if block_size is not None and block_size < 1:
    raise ValueError(f"block_size must be >= 1, got {block_size}.")


def linear_cross_entropy(
  features: Float[Array, "n d"],
  kernel: Float[Array, "d c"],
  labels: Int[Array, " n"],
  *,
  bias: Float[Array, " c"] | None = None,
  label_smoothing: float = 0.0,
  where: Bool[Array, " n"] | None = None,
  axis_name: str | None = None,
  block_size: int | None = None,
) -> Float[Array, " n"]:
  """Cross-entropy of logits = features @ kernel + bias, c very large.

  loss_i = -sum_k t_ik * log softmax(logits_i)_k,
  t_ik = (1 - label_smoothing) * [k == label_i] + label_smoothing / c.

  A block of classes at a time, in both directions: memory beside arguments
  and gradients is O(n * block_size). The backward pass computes the logits
  again. Products follow jax.default_matmul_precision, all else is float32
  (float64 for float64).

  Args:
    features: [n d], any float type; reshape tokens to rows first.
    kernel: [d c], any float type.
    labels: [n], class ids in [0, c), not checked; with where=False, any.
    bias: [c] or None.
    label_smoothing: probability spread evenly over all c classes, in [0, 1].
    where: [n], True = keep. Other rows have loss and gradient 0 and their
      features may be nan.
    axis_name: under jax.shard_map, the mesh axis over which the CLASSES are
      split: kernel and bias are one device's, in the order of the devices,
      features and labels those of all classes (the same on every device of
      the axis), labels ids in [0, c * devices).
    block_size: classes in a block; None: a power of two that makes the tile
      of logits about 4 MiB, at least 128.

  Returns:
    [n] float32, nats, one value per row, not reduced; the same on every
    device of axis_name. A nan in a kept row makes that row's loss nan. n = 0
    gives [0].

  Raises:
    TypeError: features or kernel are not floating point, labels not
      integers, or where not bool.
    ValueError: a shape does not match, label_smoothing is outside [0, 1], or
      block_size < 1.

  Source: no paper; log-sum-exp in one pass: Milakov & Gimelshein 2018,
    arXiv:1805.02867, algorithm 3.
  Differs: the sum over blocks is of classes, not of tokens, so gradients of
    any weighting of the rows stay exact.

  >>> loss = linear_cross_entropy(jnp.ones((1, 2)), jnp.eye(2), jnp.array([1]))
  >>> print(loss.round(4))
  [0.6931]
  """
  _check(features, kernel, labels, bias, where, label_smoothing, block_size)
  dtype = _precision.wide(features, kernel)
  n, num_classes = features.shape[0], kernel.shape[1]
  if n == 0:
    return jnp.zeros(0, dtype)
  if block_size is None:
    block_size = max(128, 2 ** ((_TILE // n) | 1).bit_length() // 2)
  if where is not None:
    features = jnp.where(where[:, None], features, 0)
  features = features.astype(dtype)
  if axis_name is not None:
    labels = labels - num_classes * jax.lax.axis_index(axis_name)
  features, kernel, labels, bias = _blockwise.same_axes(
    features, kernel, labels, bias
  )
  lse, picked = _blockwise.totals(
    min(block_size, num_classes), features, kernel, labels, bias
  )
  mean = None
  if label_smoothing:
    mean = features @ kernel.astype(dtype).mean(1)
    mean = mean if bias is None else mean + bias.astype(dtype).mean()
  if axis_name is not None:
    # Any shift will do; pmax has no gradient and needs none.
    top = jax.lax.pmax(jax.lax.stop_gradient(lse), axis_name)
    lse = top + jnp.log(jax.lax.psum(jnp.exp(lse - top), axis_name))
    picked = jax.lax.psum(picked, axis_name)
    mean = None if mean is None else jax.lax.pmean(mean, axis_name)
  loss = lse - (1.0 - label_smoothing) * picked
  loss = loss if mean is None else loss - label_smoothing * mean
  return loss if where is None else jnp.where(where, loss, 0)
