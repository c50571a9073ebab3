"""The spherical family: losses of sum o, sum o**2 and o_label only.

`jaxcls.ops.spherical` trains an output layer with them at a cost that does
not depend on the number of classes; here are the same losses of logits.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls import _precision
from jaxcls.losses import _checks

# Keeps ratios of squares away from underflow when one logit is huge.
_TINY = 1e-37


def _wide(logits):
  """Float32 at least; float64 stays."""
  return logits.astype(_precision.wide(logits))


def _pick(values, labels):
  """values[..., label]: [*b c], [*b] -> [*b]."""
  return jnp.take_along_axis(values, labels[..., None], axis=-1)[..., 0]


def _scale(logits):
  """max(1, max |logits|): [*b c] -> [*b 1], a constant for the gradient."""
  largest = jnp.abs(logits).max(axis=-1, keepdims=True)
  return jax.lax.stop_gradient(jnp.maximum(largest, 1.0))


def z_loss(
  logits: Float[Array, "*b c"], labels: Int[Array, "*b"], *, a: float, b: float
) -> Float[Array, "*b"]:
  """Softplus of the label's standardised logit: no shift or scale matters.

  loss = softplus(a * (b - z)) / a, z = (logits[label] - mean) / std, with the
  mean and the population standard deviation over the c logits of the example.

  Args:
    logits: [*b c], any float type; computed in float32, float64 stays.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    a: sharpness, > 0, no unit; towards infinity the loss is a hinge at b.
    b: the z that is aimed at, in standard deviations; z <= sqrt(c - 1).

  Returns:
    [*b] float32 (float64 for float64 logits), one value per example, not
    reduced; no unit. Where all logits are equal (to rounding), z and the
    gradient are 0.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits, or a <= 0.

  Source: de Brebisson & Vincent 2016, arXiv:1604.08859, the Z-loss.
  Differs: z = 0 at equal logits, where the paper's z is not defined.

  >>> logits = jnp.array([[2.0, 0.0]])  # mean 1, std 1: z = 1
  >>> print(z_loss(logits, jnp.array([0]), a=1.0, b=1.0))
  [0.6931472]
  """
  _checks.check_labels(logits, labels)
  _checks.check_number("a", a, "more than 0", lambda v: v > 0)
  logits = _wide(logits)
  centred = logits - logits.mean(axis=-1, keepdims=True)
  # z does not depend on the scale, so a constant one leaves the gradient
  # exact, and the variance below lies in [1 / c, 1] whatever comes in.
  scale = jax.lax.stop_gradient(jnp.abs(centred).max(axis=-1, keepdims=True))
  largest = jax.lax.stop_gradient(jnp.abs(logits).max(axis=-1, keepdims=True))
  rounding = jnp.finfo(logits.dtype).eps * largest * 4 + _TINY
  varies = scale > rounding
  unit = jnp.where(varies, centred, 0.0) / jnp.where(varies, scale, 1.0)
  variance = jnp.where(varies, (unit**2).mean(-1, keepdims=True), 1.0)
  z = _pick(unit, labels) * jax.lax.rsqrt(variance[..., 0])
  return jax.nn.softplus(a * (b - z)) / a


def spherical_softmax_loss(
  logits: Float[Array, "*b c"], labels: Int[Array, "*b"], *, epsilon: float
) -> Float[Array, "*b"]:
  """Cross-entropy with squares in the place of exponentials.

  loss = -log p[label], p_k = (o_k**2 + epsilon) / sum_j (o_j**2 + epsilon).

  Args:
    logits: [*b c], any float type; computed in float32, float64 stays. Their
      sign does not matter.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    epsilon: > 0, bounds the loss where logits[label] = 0.

  Returns:
    [*b] float32 (float64 for float64 logits), nats, one value per example,
    not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits, or epsilon <= 0.

  Source: de Brebisson & Vincent 2016, arXiv:1511.05042, log-spherical
    softmax; the family is of Vincent et al. 2015, arXiv:1412.7091.
  Differs: nothing known.

  >>> logits = jnp.array([[1.0, 0.0]])
  >>> print(spherical_softmax_loss(logits, jnp.array([1]), epsilon=1.0))
  [1.0986123]
  """
  _checks.check_labels(logits, labels)
  _checks.check_number("epsilon", epsilon, "more than 0", lambda v: v > 0)
  return -_pick(_spherical_log_probs(logits, epsilon), labels)


def spherical_log_softmax(
  logits: Float[Array, "*b c"], *, epsilon: float
) -> Float[Array, "*b c"]:
  """Log of the spherical softmax, which ranks classes by the squared logit.

  log_probs_k = log (o_k**2 + epsilon) / sum_j (o_j**2 + epsilon).

  Args:
    logits: [*b c], any float type; computed in float32, float64 stays.
    epsilon: > 0, bounds the loss where a logit is 0.

  Returns:
    [*b c] float32 (float64 for float64 logits), nats, at most 0.

  Raises:
    ValueError: epsilon <= 0.

  Source: de Brebisson & Vincent 2016, arXiv:1511.05042.
  Differs: nothing known.

  >>> x = spherical_log_softmax(jnp.array([1.0, 0.0]), epsilon=1.0)
  >>> print(f"{x[0]:.3f} {x[1]:.3f}")
  -0.405 -1.099
  """
  _checks.check_number("epsilon", epsilon, "more than 0", lambda v: v > 0)
  return _spherical_log_probs(logits, epsilon)


def _spherical_log_probs(logits, epsilon):
  logits = _wide(logits)
  scale = _scale(logits)
  terms = (logits / scale) ** 2 + jnp.maximum(epsilon / scale / scale, _TINY)
  return jnp.log(terms) - jnp.log(terms.sum(axis=-1, keepdims=True))


def taylor_softmax_loss(
  logits: Float[Array, "*b c"], labels: Int[Array, "*b"]
) -> Float[Array, "*b"]:
  """Cross-entropy with exp replaced by its second-order Taylor polynomial.

  loss = -log p[label], p_k = e(o_k) / sum_j e(o_j), e(o) = 1 + o + o**2 / 2,
  which is at least 1/2.

  Args:
    logits: [*b c], any float type; computed in float32, float64 stays.
    labels: [*b], class ids in [0, c); not checked, the values are traced.

  Returns:
    [*b] float32 (float64 for float64 logits), nats, one value per example,
    not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits.

  Source: de Brebisson & Vincent 2016, arXiv:1511.05042, log-Taylor softmax.
  Differs: nothing known.

  >>> logits = jnp.array([[2.0, 0.0]])
  >>> print(taylor_softmax_loss(logits, jnp.array([1])))
  [1.7917595]
  """
  _checks.check_labels(logits, labels)
  return -_pick(taylor_log_softmax(logits), labels)


def taylor_log_softmax(logits: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
  """Log of the Taylor softmax, which ranks classes by (1 + logit)**2.

  log_probs_k = log e(o_k) / sum_j e(o_j), e(o) = 1 + o + o**2 / 2.

  Args:
    logits: [*b c], any float type; computed in float32, float64 stays.

  Returns:
    [*b c] float32 (float64 for float64 logits), nats, at most 0.

  Source: de Brebisson & Vincent 2016, arXiv:1511.05042.
  Differs: nothing known.

  >>> print(f"{taylor_log_softmax(jnp.array([2.0, 0.0]))[0]:.3f}")
  -0.182
  """
  logits = _wide(logits)
  scale = _scale(logits)
  # (1 + o)**2 / 2 + 1 / 2: a sum of squares, nothing cancels.
  square = ((1.0 + logits) / scale) ** 2
  terms = square + jnp.maximum(1.0 / scale / scale, _TINY)
  return jnp.log(terms) - jnp.log(terms.sum(axis=-1, keepdims=True))
