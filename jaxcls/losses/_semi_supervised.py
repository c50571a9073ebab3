"""Targets and objectives for unlabelled images, some of no known class."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls.losses import _checks, _softmax


def one_vs_all_loss(
  logits: Float[Array, "*b c 2"], labels: Int[Array, "*b"]
) -> Float[Array, "*b"]:
  """One-vs-all loss with the hardest negative class only.

  With r_k = softmax(logits_k) = (no, yes) of class k:
  loss = -log(r_y[yes] + 1e-8) + max_{k != y} -log(r_k[no] + 1e-8).

  Args:
    logits: [*b c 2], c >= 2, any float type; computed in float32. Entry 0 of
      the last axis says "not this class", entry 1 "this class".
    labels: [*b], class ids in [0, c); not checked, the values are traced.

  Returns:
    [*b] float32, nats, one value per example.

  Raises:
    ValueError: logits are not pairs of at least two classes.

  Source: Saito & Saenko 2021, arXiv:2104.03344 (OVANet), as used by Li
    et al. 2023, arXiv:2308.13168 (IOMatch).
  Differs: nothing known.

  >>> x = jnp.zeros((1, 3, 2))
  >>> print(one_vs_all_loss(x, jnp.array([0])))
  [1.3862944]
  """
  if logits.ndim < 2 or logits.shape[-1] != 2 or logits.shape[-2] < 2:
    raise ValueError(
      f"logits must have shape [*b c 2] with c >= 2, got {logits.shape}."
    )
  _checks.check_labels(logits[..., 0], labels)
  logits = logits.astype(jnp.float32)
  inlier = logits[..., 1] - logits[..., 0]
  # Of the others only the least sure outlier counts, r falls with its logit.
  rivals = jnp.where(_softmax.is_label(inlier, labels), -jnp.inf, inlier)
  # log(r + 1e-8), finite gradient however small r is.
  floored = lambda x: jnp.logaddexp(jax.nn.log_sigmoid(x), jnp.log(1e-8))
  return -floored(_softmax.pick(inlier, labels)) - floored(-rivals.max(-1))


def open_set_targets(
  probs: Float[Array, "*b c"], inlier_probs: Float[Array, "*b c"]
) -> Float[Array, "*b c+1"]:
  """Soft targets over the known classes and "none of them".

  q_k = probs_k * inlier_probs_k for the c classes and
  q_c = sum_k probs_k (1 - inlier_probs_k), the outlier score.

  Args:
    probs: [*b c], rows sum to 1; computed in float32.
    inlier_probs: [*b c], in [0, 1]: how sure one-vs-all classifier k is that
      an example of class k it is.

  Returns:
    [*b c + 1] float32; rows sum to 1.

  Raises:
    ValueError: the shapes differ.

  Source: Li et al. 2023, arXiv:2308.13168 (IOMatch).
  Differs: nothing known.

  >>> p, inlier = jnp.array([[0.75, 0.25]]), jnp.array([[1.0, 0.0]])
  >>> print(open_set_targets(p, inlier))
  [[0.75 0.   0.25]]
  """
  _checks.check_same_shape("inlier_probs", inlier_probs, "probs", probs)
  p, r = probs.astype(jnp.float32), inlier_probs.astype(jnp.float32)
  outlier = (p * (1 - r)).sum(-1, keepdims=True)
  return jnp.concatenate([p * r, outlier], axis=-1)


def align_distribution(
  probs: Float[Array, "*b c"], running_mean: Float[Array, " c"]
) -> Float[Array, "*b c"]:
  """Scales predictions so that on average all classes are as likely.

  q_k is proportional to p_k (1 / c + 1e-6) / (running_mean_k + 1e-6).

  Args:
    probs: [*b c], rows sum to 1; computed in float32.
    running_mean: [c], mean of earlier predictions.

  Returns:
    [*b c] float32; rows sum to 1.

  Raises:
    ValueError: running_mean is not of shape (c,).

  Source: Berthelot et al. 2020, arXiv:1911.09785 (ReMixMatch).
  Differs: towards the uniform distribution, as IOMatch has it.

  >>> p = jnp.array([[0.5, 0.5]])
  >>> print(align_distribution(p, jnp.array([0.75, 0.25])).round(4))
  [[0.25 0.75]]
  """
  num_classes = probs.shape[-1]
  if running_mean.shape != (num_classes,):
    raise ValueError(
      f"running_mean must have shape ({num_classes},) to match probs, got "
      f"{running_mean.shape}."
    )
  p = probs.astype(jnp.float32)
  p = p * (1 / num_classes + 1e-6) / (running_mean.astype(jnp.float32) + 1e-6)
  return p / jnp.maximum(p.sum(-1, keepdims=True), 1e-30)
