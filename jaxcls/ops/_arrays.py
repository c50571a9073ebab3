"""Checks, float types, blocks and mesh axes that several ops need."""

import functools

import jax
import jax.numpy as jnp

from jaxcls import _precision

# On TPU and on some GPUs float32 products are rounded unless asked for.
matmul = functools.partial(jnp.matmul, precision="highest")


def wide(name, array, *shape):
  """The array in float32 (float64 stays); raises unless it fits `shape`.

  shape: one entry an axis, a size or a letter that takes any size; none at
  all allows any shape.
  """
  check_shape(name, array, *shape)
  if not jnp.issubdtype(array.dtype, jnp.floating):
    raise TypeError(f"{name} must be floating point, got {array.dtype}.")
  return array.astype(_precision.wide(array))


def check_shape(name, array, *shape):
  """Raises ValueError unless array has the shape; a letter takes any size."""
  fits = len(shape) == array.ndim and all(
    isinstance(want, str) or want == got
    for want, got in zip(shape, array.shape, strict=True)
  )
  if shape and not fits:
    wanted = " ".join(str(want) for want in shape)
    raise ValueError(f"{name} must have shape [{wanted}], got {array.shape}.")


def check_where(where, *shape):
  """Raises unless where is None or bool of that shape."""
  if where is None:
    return
  if where.dtype != jnp.bool_:
    raise TypeError(f"where must be bool, got {where.dtype}.")
  check_shape("where", where, *shape)


def check_labels(labels, *shape):
  """Raises unless labels are integers of that shape."""
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise TypeError(f"labels must be integer class ids, got {labels.dtype}.")
  check_shape("labels", labels, *shape)


def check_number(name, value, condition, holds):
  """Raises ValueError unless holds(value); a traced value is not checked."""
  if isinstance(value, int | float) and not holds(value):
    raise ValueError(f"{name} must be {condition}, got {value}.")


def check_choice(name, value, choices):
  """Raises ValueError unless value is one of the choices."""
  if value not in choices:
    raise ValueError(f"{name} must be one of {choices}, got {value!r}.")


def total(tree, axis_name):
  """The tree, summed over the devices of axis_name unless that is None."""
  return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def num_devices(axis_name):
  """Devices of axis_name; 1 without one."""
  return 1 if axis_name is None else jax.lax.axis_size(axis_name)


def gather(array, axis_name):
  """All devices' rows, in order; the array itself without an axis."""
  if axis_name is None:
    return array
  return jax.lax.all_gather(array, axis_name, tiled=True)


def varying_zero(dtype, *trees):
  """Scalar 0 that varies over every mesh axis that one of the arrays does.

  Inside shard_map a loop's carry must start with the type it ends with.
  """
  zero = jnp.zeros((), dtype)
  for array in jax.tree.leaves(trees):
    # A sum, which an array without entries has as well.
    first = array.ravel()[:1].sum()
    zero = zero + jnp.zeros_like(first).astype(dtype)
  return zero


def split(array, size, fill=0):
  """[n ...] -> [blocks size ...], the last block padded with `fill`."""
  size = max(1, min(size, array.shape[0]))
  pad = [(0, -array.shape[0] % size)] + [(0, 0)] * (array.ndim - 1)
  padded = jnp.pad(array, pad, constant_values=fill)
  return padded.reshape(-1, size, *array.shape[1:])


def unit(x):
  """Rows of unit norm; a zero row stays 0, with gradient 0."""
  squares = (x**2).sum(axis=-1, keepdims=True)
  zero = squares == 0
  return jnp.where(zero, 0, x * jax.lax.rsqrt(jnp.where(zero, 1, squares)))
