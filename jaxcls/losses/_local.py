"""Objectives of blocks that learn alone: NoProp and forward-forward."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def label_denoising_loss(
  predictions: Float[Array, "*b d"],
  embeddings: Float[Array, "*b d"],
  snr_gain: Float[Array, "..."],
) -> Float[Array, "*b"]:
  """Squared error of a predicted label embedding, weighted by the SNR gained.

  loss = snr_gain / 2 * ||u_hat - u||^2, with snr_gain = SNR(t) - SNR(t - 1) of
  block t, or SNR'(t) in continuous time.

  Args:
    predictions: [*b d], u_hat.
    embeddings: [*b d], u of the label.
    snr_gain: scalar or [*b], >= 0.

  Returns:
    [*b] float32, nats: the Kullback-Leibler divergence between the steps with
    u and with u_hat.

  Raises:
    ValueError: predictions and embeddings differ in shape.

  Source: Li et al. 2025, arXiv:2503.24322 (times eta there).
  Differs: nothing known.

  >>> one = jnp.ones((1, 2))
  >>> print(label_denoising_loss(0 * one, one, jnp.array(3.0)))
  [3.]
  """
  if predictions.shape != embeddings.shape:
    raise ValueError(
      f"predictions must have the embeddings' shape {embeddings.shape}, got "
      f"{predictions.shape}."
    )
  gap = predictions.astype(jnp.float32) - embeddings.astype(jnp.float32)
  return jnp.asarray(snr_gain, jnp.float32) / 2 * jnp.sum(gap**2, axis=-1)


def standard_normal_kl(
  embeddings: Float[Array, "*b d"], alpha_bar: Float[Array, "..."]
) -> Float[Array, "*b"]:
  """KL( N(sqrt(abar) u, (1 - abar) I) || N(0, I) ) in nats, float32.

  = (abar ||u||^2 - d abar - d log(1 - abar)) / 2.

  Args:
    embeddings: [*b d], u.
    alpha_bar: scalar or [*b], in [0, 1): how much of u is left in z_0.

  Source: Li et al. 2025, arXiv:2503.24322.
  Differs: nothing known.

  >>> print(standard_normal_kl(jnp.ones((1, 2)), jnp.array(0.0)))
  [0.]
  """
  alpha_bar = jnp.asarray(alpha_bar, jnp.float32)
  square = jnp.sum(embeddings.astype(jnp.float32) ** 2, axis=-1)
  d = embeddings.shape[-1]
  return (alpha_bar * (square - d) - d * jnp.log1p(-alpha_bar)) / 2


def forward_forward_loss(
  goodness: Float[Array, "*b"],
  positive: Float[Array, "*b"],
  *,
  threshold: float = 2.0,
) -> Float[Array, "*b"]:
  """Goodness above a threshold for real data, below it for negative data.

  loss = softplus(-(g - threshold)) if positive, else softplus(g - threshold).

  Args:
    goodness: [*b], mean square of a layer's activations.
    positive: [*b], 1 for real data, 0 for negative data.
    threshold: of the goodness.

  Returns:
    [*b] float32, nats.

  Raises:
    ValueError: the shapes differ.

  Source: Hinton 2022, arXiv:2212.13345.
  Differs: mean of the squares instead of their sum, as in its author's code.

  >>> print(forward_forward_loss(jnp.array([2.0]), jnp.array([1.0])))
  [0.6931472]
  """
  if goodness.shape != positive.shape:
    raise ValueError(
      f"positive must have the goodness's shape {goodness.shape}, got "
      f"{positive.shape}."
    )
  sign = 2 * positive.astype(jnp.float32) - 1
  return jax.nn.softplus(-sign * (goodness.astype(jnp.float32) - threshold))
