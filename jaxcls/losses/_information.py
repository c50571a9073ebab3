"""Divergences between predictions, and what predictions tell of one another."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcls.losses import _checks, _softmax

# Above float32's smallest normal number.
_TINY = 1e-37


def _log_probs(logits):
  """Log-softmax over classes in float32, whatever comes in."""
  return jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)


def soft_kl_divergence_loss(
  logits: Float[Array, "*b c"], targets: Float[Array, "*b c"]
) -> Float[Array, "*b"]:
  """Divergence of the prediction from a target distribution.

  loss = sum_k t_k (log t_k - log softmax(logits)_k), 0 log 0 = 0: soft
  cross-entropy minus the targets' entropy, so 0 is reached.

  Args:
    logits: [*b c], any float type; computed in float32.
    targets: [*b c], t, >= 0, rows sum to 1; not checked and not normalised.

  Returns:
    [*b] float32, nats, >= 0, one value per example, not reduced.

  Raises:
    ValueError: targets do not have the shape of logits.

  Source: Kullback & Leibler 1951, On information and sufficiency.
  Differs: takes logits; optax.losses.kl_divergence takes log-probabilities.

  >>> targets = jnp.array([[0.0, 1.0]])
  >>> print(soft_kl_divergence_loss(jnp.zeros((1, 2)), targets))
  [0.6931472]
  """
  _checks.check_same_shape("targets", targets, "logits", logits)
  x, t = _softmax.shifted(logits), targets.astype(jnp.float32)
  gaps = jnp.log(jnp.maximum(t, _TINY)) - x
  return (t * gaps).sum(axis=-1) + _softmax.log_sum_exp(x) * t.sum(axis=-1)


def relative_entropy(
  logits: Float[Array, "*b c"], other_logits: Float[Array, "*b c"]
) -> Float[Array, "*b"]:
  """Divergence of one prediction from another, with both gradients.

  KL(p || q) = sum_k p_k (log p_k - log q_k), p = softmax(logits),
  q = softmax(other_logits). Twice, in both orders, it is R-Drop's term; stop
  a gradient outside where that is wanted.

  Args:
    logits: [*b c], any float type; computed in float32.
    other_logits: [*b c].

  Returns:
    [*b] float32, nats, >= 0, one value per example, not reduced.

  Raises:
    ValueError: the two shapes differ.

  Source: Kullback & Leibler 1951, On information and sufficiency.
  Differs: nothing known.

  >>> logits = jnp.array([[100.0, 0.0]])
  >>> print(relative_entropy(logits, jnp.zeros((1, 2))))
  [0.6931472]
  """
  _checks.check_same_shape("other_logits", other_logits, "logits", logits)
  return _softmax.divergence(
    _softmax.shifted(logits), _softmax.shifted(other_logits)
  )


def jensen_shannon_divergence(
  logits: Float[Array, "*b c"], other_logits: Float[Array, "*b c"]
) -> Float[Array, "*b"]:
  """Mean divergence of two predictions from their mean.

  JS = (KL(p || m) + KL(q || m)) / 2, m = (p + q) / 2, p = softmax(logits),
  q = softmax(other_logits): symmetric, and bounded by log 2.

  Args:
    logits: [*b c], any float type; computed in float32.
    other_logits: [*b c].

  Returns:
    [*b] float32, nats, in [0, log 2], one value per example, not reduced.

  Raises:
    ValueError: the two shapes differ.

  Source: Lin 1991, Divergence measures based on the Shannon entropy.
  Differs: nothing known; equal weights.

  >>> logits = jnp.array([[100.0, 0.0]])
  >>> print(jensen_shannon_divergence(logits, -logits))
  [0.6931472]
  """
  _checks.check_same_shape("other_logits", other_logits, "logits", logits)
  log_p, log_q = _log_probs(logits), _log_probs(other_logits)
  p, q = jnp.exp(log_p), jnp.exp(log_q)
  m = (p + q) / 2.0
  # Where m underflows, so do p and q, and the terms are 0.
  log_m = jnp.log(jnp.maximum(m, _TINY))
  both = p * (log_p - log_m) + q * (log_q - log_m)
  return both.sum(axis=-1) / 2.0


def mutual_information(
  logits: Float[Array, "*b k c"], *, where: Bool[Array, "*b k"] | None = None
) -> Float[Array, "*b"]:
  """Information that knowing which prediction was drawn gives of the class.

  I = H(mean_k p_k) - mean_k H(p_k), p_k = softmax(logits_k). Over the members
  of an ensemble it is their disagreement (BALD); over the examples of a batch
  (k = b, no axis before) its negative is the information-maximisation loss.

  Args:
    logits: [*b k c], k predictions, any float type; computed in float32.
    where: [*b k] bool, True = keep; None keeps all.

  Returns:
    [*b] float32, nats, in [0, min(log c, log k)], 0 when nothing is kept. It
    couples the k predictions; those not kept get gradient 0, even nan ones.

  Raises:
    TypeError: where is not bool.
    ValueError: where is not of shape logits.shape[:-1].

  Source: Houlsby et al. 2011, arXiv:1112.5745 (BALD); over a batch: Krause
    et al. 2010, Discriminative clustering by regularized information
    maximization.
  Differs: nothing known.

  >>> print(mutual_information(jnp.array([[100.0, 0.0], [0.0, 100.0]])))
  0.6931472
  """
  if where is None:
    where = jnp.ones(logits.shape[:-1], bool)
  if where.dtype != jnp.bool_:
    raise TypeError(f"where must be bool, got {where.dtype}.")
  if where.shape != logits.shape[:-1]:
    raise ValueError(
      f"where must have shape {logits.shape[:-1]} to match logits "
      f"{logits.shape}, got {where.shape}."
    )
  if logits.shape[-2] == 0:
    return jnp.zeros(logits.shape[:-2], jnp.float32)
  keep = where[..., None]
  log_p = _log_probs(jnp.where(keep, logits, jnp.zeros_like(logits)))
  count = jnp.maximum(keep.sum(axis=-2, dtype=jnp.float32), 1.0)  # [*b 1]
  kept = jnp.where(keep, log_p, -1e30)
  log_mean = jax.nn.logsumexp(kept, axis=-2) - jnp.log(count)
  total = -(jnp.exp(log_mean) * log_mean).sum(axis=-1)
  entropies = -jnp.where(keep, jnp.exp(log_p) * log_p, 0.0).sum(axis=-1)
  return total - entropies.sum(axis=-1) / count[..., 0]
