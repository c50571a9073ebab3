"""Bi-tempered logistic loss: bounded, and with a heavy-tailed softmax."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls.losses import _checks, _softmax

# Newton steps to float32 precision for t2 up to 4, see the tests.
_STEPS = 6


def bi_tempered_loss(
  logits: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  *,
  t1: float,
  t2: float,
) -> Float[Array, "*b"]:
  """Bi-tempered logistic loss of integer labels.

  loss = -log_t1(p_label) - (1 - sum_k p_k**(2 - t1)) / (2 - t1),
  log_t(p) = (p**(1 - t) - 1) / (1 - t); p is the tempered softmax
  p_k = exp_t2(logits_k - l), exp_t the inverse of log_t and l such that p sums
  to 1. t1 < 1 bounds the loss, t2 > 1 makes the tails of p heavy.

  Args:
    logits: [*b c], any float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    t1: in [0, 1], no unit; with t2 = 1, t1 = 1 is plain cross-entropy.
    t2: >= 1, no unit.

  Returns:
    [*b] float32, one value per example, not reduced; nats for t1 = 1.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits, or t1 or t2 is out of
      range.

  Source: Amid et al. 2019, arXiv:1906.03361.
  Differs: l by Newton's method to float32 precision and differentiated as
    the exact l; released code makes 5 fixed-point steps. No t2 < 1.

  >>> loss = bi_tempered_loss(jnp.zeros((1, 2)), jnp.array([1]), t1=0.0, t2=2.0)
  >>> print(loss)
  [0.25]
  """
  _checks.check_labels(logits, labels)
  log_probs = _tempered_log_softmax(logits, t1, t2)
  label = _softmax.pick(log_probs, labels)
  total = jnp.exp((2.0 - t1) * log_probs).sum(axis=-1)
  return -_log_t(label, t1) - (1.0 - total) / (2.0 - t1)


def soft_bi_tempered_loss(
  logits: Float[Array, "*b c"],
  targets: Float[Array, "*b c"],
  *,
  t1: float,
  t2: float,
) -> Float[Array, "*b"]:
  """Bi-tempered logistic loss of one target distribution per example.

  loss = sum_k t_k (log_t1(t_k) - log_t1(p_k))
  - (t_k**(2 - t1) - p_k**(2 - t1)) / (2 - t1), t = targets, p as in
  bi_tempered_loss.

  Args:
    logits: [*b c], any float type; computed in float32.
    targets: [*b c], t, >= 0, rows sum to 1; not checked. Their gradient is
      stopped.
    t1: in [0, 1], no unit.
    t2: >= 1, no unit; with t1 = 1 the loss is KL(targets, p).

  Returns:
    [*b] float32, >= 0, one value per example, not reduced.

  Raises:
    ValueError: targets do not have the shape of logits, or t1 or t2 is out of
      range.

  Source: Amid et al. 2019, arXiv:1906.03361.
  Differs: as in bi_tempered_loss; label smoothing is the caller's.

  >>> logits, targets = jnp.zeros((1, 2)), jnp.array([[0.0, 1.0]])
  >>> print(soft_bi_tempered_loss(logits, targets, t1=0.0, t2=2.0))
  [0.25]
  """
  _checks.check_same_shape("targets", targets, "logits", logits)
  log_probs = _tempered_log_softmax(logits, t1, t2)
  t = jax.lax.stop_gradient(targets).astype(jnp.float32)
  log_targets = jnp.log(jnp.maximum(t, 1e-37))
  cross = t * (_log_t(log_targets, t1) - _log_t(log_probs, t1))
  power = lambda log_p: jnp.exp((2.0 - t1) * log_p)
  powers = power(log_targets) - power(log_probs)
  return (cross - powers / (2.0 - t1)).sum(axis=-1)


def _log_t(log_p, t):
  """log_t(p) from log p; t may be traced, and 1."""
  s = jnp.asarray(1.0 - t, jnp.float32)
  is_log = s == 0.0
  return jnp.where(
    is_log, log_p, jnp.expm1(s * log_p) / jnp.where(is_log, 1, s)
  )


def _log_exp_t(u, t):
  """log exp_t(-u) for u >= 0, t >= 1; t may be traced, and 1."""
  excess = jnp.asarray(t - 1.0, jnp.float32)
  is_exp = excess == 0.0
  log_p = -jnp.log1p(excess * u) / jnp.where(is_exp, 1.0, excess)
  return jnp.where(is_exp, -u, log_p)


def _sums(gaps, shift, t):
  """sum_k p_k and sum_k p_k**t, p = exp_t(-gaps - shift): [*b 1] each."""
  u = gaps + shift
  p = jnp.exp(_log_exp_t(u, t))
  powers = p / (1.0 + (t - 1.0) * u)
  return p.sum(axis=-1, keepdims=True), powers.sum(axis=-1, keepdims=True)


@jax.custom_jvp
def _normaliser(gaps, t):
  """The shift at which p sums to 1: [*b c] >= 0, with a 0 -> [*b 1].

  Newton's method for g**(1 - t) = 1, g = sum p: a concave function of the
  shift, linear for equal gaps and for t = 1. Its steps never pass the root.
  """
  shift = jnp.zeros_like(gaps[..., :1])
  for _ in range(_STEPS):
    g, slope = _sums(gaps, shift, t)
    shift += _log_t(jnp.log(g), t) * g**t / slope
  return shift


@_normaliser.defjvp
def _(primals, tangents):
  # The derivative of the root, not of the steps: dg / sum p**t.
  shift = _normaliser(*primals)
  total = lambda gaps, t: _sums(gaps, shift, t)[0]
  _, change = jax.jvp(total, primals, tangents)
  return shift, change / _sums(primals[0], shift, primals[1])[1]


def _tempered_log_softmax(logits, t1, t2):
  """log p of the tempered softmax, [*b c] float32."""
  _checks.check_number("t1", t1, "in [0, 1]", lambda v: 0 <= v <= 1)
  _checks.check_number("t2", t2, "at least 1", lambda v: v >= 1)
  t2 = jnp.asarray(t2, jnp.float32)
  gaps = -_softmax.shifted(logits)  # >= 0
  return _log_exp_t(gaps + _normaliser(gaps, t2), t2)
