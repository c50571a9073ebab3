"""Local linear attention as printed: one dense solve for every query."""

import jax
import jax.numpy as jnp


def local_linear_attention(
  query, key, value, ridge, where, *, kernel, ridge_scale, causal, scale
):
  """query [*b t h d], key [*b s h d], value [*b s h e], ridge [*b t h].

  With z_j = k_j - q: om = sum w, mu = sum w z, S = sum w z z^T + lambda I,
  rho = S^-1 mu and o = sum_j w_j (1 - z_j . rho) v_j / (om - mu . rho).
  where: [*b s] bool or None. O(t s d) memory; differentiable.
  """
  offset = key[..., None, :, :, :] - query[..., :, None, :, :]  # [*b t s h d]
  if kernel == "dot":
    logits = scale * jnp.einsum("...thd,...shd->...tsh", query, key)
  else:
    logits = -0.5 * scale * (offset**2).sum(-1)
  keep = jnp.ones(logits.shape[-3:-1], bool)
  if causal:
    keep = jnp.tril(keep)
  if where is not None:
    keep = keep & where[..., None, :]
  keep = jnp.broadcast_to(keep[..., None], logits.shape)
  some = keep.any(-2, keepdims=True)
  # A query without keys is computed as if it had all, then set to 0.
  top = jnp.where(keep | ~some, logits, -jnp.inf).max(-2, keepdims=True)
  top = jax.lax.stop_gradient(top)
  weights = jnp.exp(jnp.where(keep | ~some, logits - top, -jnp.inf))
  total = weights.sum(-2)  # [*b t h]
  # Dividing all weights by exp(top) divides an absolute ridge too.
  relative = ridge_scale == "relative"
  ridge = ridge * (total if relative else jnp.exp(-top[..., 0, :]))
  mu = jnp.einsum("...tsh,...tshd->...thd", weights, offset)
  second = jnp.einsum(
    "...tsh,...tshd,...tshc->...thdc", weights, offset, offset
  )
  second = second + ridge[..., None, None] * jnp.eye(key.shape[-1])
  rho = jnp.linalg.solve(second, mu[..., None])[..., 0]
  share = 1 - jnp.einsum("...tshd,...thd->...tsh", offset, rho)
  share = weights * share / (total - (mu * rho).sum(-1))[..., None, :]
  return jnp.einsum("...tsh,...she->...the", jnp.where(some, share, 0), value)
