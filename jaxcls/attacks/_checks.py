"""What every attack asks of its arguments, and norms of examples."""

import jax.numpy as jnp


def prepare(images, labels, lower, upper):
  """Images in float32; raises what the attacks say they raise."""
  if not lower < upper:
    raise ValueError(f"lower must be below upper, got {lower} and {upper}.")
  if not jnp.issubdtype(images.dtype, jnp.floating):
    raise TypeError(
      f"images must be floating point, got {images.dtype}. Divide bytes by 255."
    )
  if images.ndim < 2:
    raise ValueError(f"images must have shape [b ...], got {images.shape}.")
  if labels is not None and not jnp.issubdtype(labels.dtype, jnp.integer):
    raise TypeError(f"labels must be integer class ids, got {labels.dtype}.")
  if labels is not None and labels.shape != images.shape[:1]:
    raise ValueError(
      f"labels must have shape {images.shape[:1]}, one for each image, got "
      f"{labels.shape}."
    )
  return images.astype(jnp.float32)


def at_least(name, value, least):
  """Raises unless a number or count is large enough; traced ones pass."""
  if isinstance(value, int | float) and not value >= least:
    raise ValueError(f"{name} must be at least {least}, got {value}.")


def column(values, like):
  """[b] as [b 1 ...], to multiply images [b ...]."""
  return values.reshape(-1, *(1,) * (like.ndim - 1))


def squares(x):
  """[b ...] -> [b]: squared Euclidean norm of each example."""
  return jnp.square(x).sum(axis=tuple(range(1, x.ndim)))
