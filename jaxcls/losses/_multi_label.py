"""Losses with one sigmoid per class, for targets with many rare positives."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls.losses import _bernoulli, _checks


def sigmoid_focal_loss(
  logits: Float[Array, "*b c"],
  targets: Float[Array, "*b c"],
  *,
  gamma: float,
  alpha: float | None = None,
) -> Float[Array, "*b"]:
  """Focal loss with one sigmoid per class, mean over classes.

  loss = (1 / c) sum_k a_k (1 - q_k)**gamma * BCE_k, s = sigmoid(logits),
  q = t s + (1 - t) (1 - s), a = alpha t + (1 - alpha) (1 - t) or 1.

  Args:
    logits: [*b c], any float type; computed in float32.
    targets: [*b c], t, each in [0, 1]; rows need not sum to 1.
    gamma: focusing strength, >= 0, no unit; 0 is binary cross-entropy.
    alpha: weight of positives, in [0, 1]; None weights all alike, by 1.

  Returns:
    [*b] float32, nats, one value per example: the mean over its c classes.

  Raises:
    ValueError: targets do not have the shape of logits, gamma < 0, or alpha
      is not in [0, 1].

  Source: Lin et al. 2017, arXiv:1708.02002, sec. 3, alpha-balanced form.
  Differs: mean over classes; optax.losses.sigmoid_focal_loss returns them.

  >>> targets = jnp.array([[1.0, 0.0]])
  >>> print(sigmoid_focal_loss(jnp.zeros((1, 2)), targets, gamma=2.0))
  [0.1732868]
  """
  _checks.check_same_shape("targets", targets, "logits", logits)
  _checks.check_number("gamma", gamma, "at least 0", lambda v: v >= 0)
  _checks.check_number("alpha", alpha, "in [0, 1]", lambda v: 0 <= v <= 1)
  x, t = logits.astype(jnp.float32), targets.astype(jnp.float32)
  rest = t * jax.nn.sigmoid(-x) + (1.0 - t) * jax.nn.sigmoid(x)  # 1 - q
  loss = _bernoulli.power(rest, gamma) * _bernoulli.nll(x, t)
  if alpha is not None:
    loss = loss * (alpha * t + (1.0 - alpha) * (1.0 - t))
  return loss.mean(axis=-1)


def asymmetric_loss(
  logits: Float[Array, "*b c"],
  targets: Float[Array, "*b c"],
  *,
  gamma_positive: float,
  gamma_negative: float,
  clip: float,
) -> Float[Array, "*b"]:
  """Multi-label loss that focuses negatives more than positives.

  loss = -(1 / c) sum_k t_k (1 - p_k)**gamma_positive log p_k
  + (1 - t_k) m_k**gamma_negative log(1 - m_k), p = sigmoid(logits) and
  m = max(p - clip, 0): negatives below the clip cost nothing.

  Args:
    logits: [*b c], any float type; computed in float32.
    targets: [*b c], t, each 0 or 1; other values mix the two terms.
    gamma_positive: >= 0, no unit; 1 in the released code.
    gamma_negative: >= 0, no unit; 4 in the released code.
    clip: in [0, 1), a number, probability; 0.05 in the released code.

  Returns:
    [*b] float32, nats, one value per example: the mean over its c classes.

  Raises:
    ValueError: targets do not have the shape of logits, a gamma < 0, or clip
      is not in [0, 1).

  Source: Ridnik et al. 2021, arXiv:2009.14119, ASL.
  Differs: mean over classes, the released code sums over classes and batch;
    nothing is clamped at 1e-8.

  >>> f, logits, targets = asymmetric_loss, jnp.zeros((1, 1)), jnp.ones((1, 1))
  >>> print(f(logits, targets, gamma_positive=1, gamma_negative=4, clip=0.05))
  [0.3465736]
  """
  _checks.check_same_shape("targets", targets, "logits", logits)
  for name, value in (
    ("positive", gamma_positive),
    ("negative", gamma_negative),
  ):
    _checks.check_number(f"gamma_{name}", value, "at least 0", lambda v: v >= 0)
  _checks.check_number("clip", clip, "in [0, 1)", lambda v: 0 <= v < 1)
  x, t = logits.astype(jnp.float32), targets.astype(jnp.float32)
  positive = _bernoulli.power(jax.nn.sigmoid(-x), gamma_positive)
  positive = positive * _bernoulli.nll(x, jnp.ones_like(t))
  if clip == 0:
    m, cost = jax.nn.sigmoid(x), _bernoulli.nll(x, jnp.zeros_like(t))
  else:
    m = jnp.maximum(jax.nn.sigmoid(x) - clip, 0.0)
    cost = -jnp.log1p(-m)
  negative = _bernoulli.power(m, gamma_negative) * cost
  return (t * positive + (1.0 - t) * negative).mean(axis=-1)
