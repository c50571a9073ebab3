"""Log-sum-exp and one logit of features @ kernel + bias, a block at a time."""

import functools

import jax
import jax.numpy as jnp


def _blocks(step, carry, num_classes, block_size):
  """carry = step(carry, first class, size) for blocks that cover the classes.

  The last one is smaller where block_size does not divide: no padded copy of
  the kernel, and no mask.
  """
  full, rest = divmod(num_classes, block_size)
  carry = jax.lax.fori_loop(
    0, full, lambda j, carry: step(carry, j * block_size, block_size), carry
  )
  return step(carry, num_classes - rest, rest) if rest else carry


def _slice(a, first, size):
  """Classes first .. first + size of [... c]."""
  return jax.lax.dynamic_slice_in_dim(a, first, size, axis=-1)


def _logits(features, kernel, bias, first, size):
  """[n size] in the type of features."""
  logits = features @ _slice(kernel, first, size).astype(features.dtype)
  if bias is None:
    return logits
  return logits + _slice(bias, first, size).astype(features.dtype)


def _zero(dtype, *arrays):
  """Scalar 0 that varies over every mesh axis that one of the arrays does."""
  zero = jnp.zeros((), dtype)
  for array in jax.tree.leaves(arrays):
    zero = zero + jnp.zeros_like(array.ravel()[0]).astype(dtype)
  return zero


def same_axes(*arrays):
  """The arrays (or None), all varying over the union of their mesh axes."""
  zero = _zero(jnp.float32, arrays)
  return jax.tree.map(lambda a: a + zero.astype(a.dtype), arrays)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def totals(block_size, features, kernel, labels, bias):
  """(logsumexp of the logits [n], logit of the label [n], 0 if outside).

  features: [n d] in the type of the sums; kernel: [d c]; labels: [n] int;
  bias: [c] or None. All vary over the same mesh axes.
  """
  return _forward(block_size, features, kernel, labels, bias)[0]


def _forward(block_size, features, kernel, labels, bias):
  n, num_classes = features.shape[0], kernel.shape[1]
  zero = _zero(features.dtype, features, kernel, labels, bias)

  def step(carry, first, size):
    top, total = carry
    logits = _logits(features, kernel, bias, first, size)
    new_top = jnp.maximum(top, logits.max(1))
    tile = jnp.exp(logits - new_top[:, None]).sum(1)
    return new_top, total * jnp.exp(top - new_top) + tile

  start = (
    jnp.full(n, -jnp.inf, features.dtype) + zero,
    jnp.zeros_like(features[:, 0]) + zero,
  )
  top, total = _blocks(step, start, num_classes, block_size)
  lse = top + jnp.log(total)
  inside = (labels >= 0) & (labels < num_classes)
  nearest = jnp.clip(labels, 0, num_classes - 1)
  picked = (features * kernel[:, nearest].astype(features.dtype).T).sum(1)
  if bias is not None:
    picked = picked + bias[nearest].astype(features.dtype)
  out = lse, jnp.where(inside, picked, 0)
  return out, (features, kernel, labels, bias, lse)


def _backward(block_size, residuals, cotangents):
  features, kernel, labels, bias, lse = residuals
  d_lse, d_picked = cotangents
  zero = _zero(features.dtype, features, kernel, labels, bias)

  def step(carry, first, size):
    d_features, d_kernel, d_bias = carry
    logits = _logits(features, kernel, bias, first, size)
    weights = d_lse[:, None] * jnp.exp(logits - lse[:, None])
    is_label = jnp.arange(size) == (labels - first)[:, None]
    weights = weights + jnp.where(is_label, d_picked[:, None], 0)
    part = _slice(kernel, first, size).astype(features.dtype)
    d_features = d_features + weights @ part.T
    write = lambda a, v: jax.lax.dynamic_update_slice_in_dim(
      a, v.astype(a.dtype), first, axis=-1
    )
    d_kernel = write(d_kernel, features.T @ weights)
    if bias is not None:
      d_bias = write(d_bias, weights.sum(0))
    return d_features, d_kernel, d_bias

  start = jax.tree.map(
    lambda a: jnp.zeros_like(a) + zero.astype(a.dtype),
    (features, kernel, bias),
  )
  d_features, d_kernel, d_bias = _blocks(
    step, start, kernel.shape[1], block_size
  )
  return d_features, d_kernel, None, d_bias


totals.defvjp(_forward, _backward)
