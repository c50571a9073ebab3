"""Features held against the Gaussians that the classes had at home."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcls.losses import _reduce


def class_aware_alignment_loss(
  distances: Float[Array, "b c"],
  logits: Float[Array, "b c"],
  *,
  where: Bool[Array, " b"] | None = None,
) -> Float[Array, " b"]:
  """Near the Gaussian of the predicted class, far from those of the others.

  With y_i = argmax logits_i and D_ic the squared Mahalanobis distance of
  feature i to class c: d_in = mean_i D_{i y_i}, d_out the mean of D_ic over i
  and all c != y_i, and loss = log d_in - log d_out. It does not change under
  an invertible linear map of the features (and of the Gaussians with them).

  Args:
    distances: [b c], >= 0, from `ops.mahalanobis`; computed in float32.
    logits: [b c]; only their argmax is used.
    where: [b], True = keep; None keeps all.

  Returns:
    [b] float32, no unit: the batch's one value for every example; coupled over
    the (global) batch. 0 when nothing is kept.

  Raises:
    ValueError: the shapes differ or there is only one class.

  Source: Jung et al. 2022, arXiv:2206.00205 (CAFA).
  Differs: distances to the other classes are averaged over all of them and
    the batch before the logarithm.

  >>> d, x = jnp.array([[1.0, 4.0]]), jnp.array([[2.0, 0.0]])
  >>> print(class_aware_alignment_loss(d, x))
  [-1.3862944]
  """
  if distances.shape != logits.shape or logits.shape[-1] < 2:
    raise ValueError(
      "distances and logits must have one shape [b c] with c >= 2, got "
      f"{distances.shape} and {logits.shape}."
    )
  d = distances.astype(jnp.float32)
  own = jax.nn.one_hot(logits.argmax(axis=-1), d.shape[-1], dtype=bool)
  keep = jnp.ones(d.shape[0], bool) if where is None else where
  inside = _reduce.mean_where(jnp.where(own, d, 0.0).sum(-1), keep)
  others = jnp.where(own, 0.0, d).sum(-1) / (d.shape[-1] - 1)
  outside = _reduce.mean_where(others, keep)
  tiny = 1e-12
  value = jnp.log(jnp.maximum(inside, tiny)) - jnp.log(
    jnp.maximum(outside, tiny)
  )
  return jnp.broadcast_to(jnp.where(keep.any(), value, 0.0), d.shape[:1])
