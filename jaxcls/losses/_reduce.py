"""The one place where per-example values become a scalar."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def mean_where(
  values: Float[Array, "*b"], where: Bool[Array, "..."] | None = None
) -> Float[Array, ""]:
  """Mean of the kept values, and 0 when nothing is kept.

  mean = sum(values[where]) / max(count(where), 1).

  Inside shard_map the mean is over the rows of one device: divide a psum of
  sums by a psum of counts there. Under jit on sharded arrays it is global.

  Args:
    values: [*b], any float type; summed in float32.
    where: bool, broadcasts to values; True = keep. None keeps all.

  Returns:
    [] float32. A value that is not kept gets gradient 0, even a nan one.

  Raises:
    TypeError: where is not bool (a float mask would weight, not select).

  Source: no paper; numpy.mean(values, where=where).
  Differs: numpy gives nan and a warning when nothing is kept.

  >>> print(mean_where(jnp.array([1.0, 3.0, 9.0]), jnp.arange(3) < 2))
  2.0
  """
  values = values.astype(jnp.float32)
  if where is None:
    return values.sum() / max(values.size, 1)
  if where.dtype != jnp.bool_:
    raise TypeError(
      f"where must be bool, got {where.dtype}; compare with 0 first."
    )
  where = jnp.broadcast_to(where, values.shape)
  count = jnp.maximum(where.sum(dtype=jnp.float32), 1.0)
  return jnp.where(where, values, 0.0).sum() / count
