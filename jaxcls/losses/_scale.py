"""Losses that set the scale of the logits."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls.losses import _checks, _softmax


def temperature_scaled_loss(
  logits: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  *,
  temperature: float | Float[Array, ""],
) -> Float[Array, "*b"]:
  """Negative log-likelihood of the label at a temperature.

  loss = -log softmax(logits / temperature)[label].

  Args:
    logits: [*b c], any float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    temperature: scalar, > 0, no unit; above 1 flattens the prediction. The
      gradient flows into it: calibration minimises the mean over it alone.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits, or temperature <= 0.

  Source: Guo et al. 2017, arXiv:1706.04599, temperature scaling.
  Differs: nothing known.

  >>> logits, labels = jnp.array([[2.0, 0.0]]), jnp.array([1])
  >>> print(temperature_scaled_loss(logits, labels, temperature=2.0))
  [1.3132616]
  """
  _checks.check_labels(logits, labels)
  _checks.check_number("temperature", temperature, "above 0", lambda v: v > 0)
  logits = logits.astype(jnp.float32)
  # Picked before the division, whose result is then never stored.
  label_logits = _softmax.pick(logits, labels) / temperature
  return -_softmax.log_prob(label_logits, logits / temperature)


def log_partition_loss(logits: Float[Array, "*b c"]) -> Float[Array, "*b"]:
  """Square of the log normaliser, which keeps logits from drifting.

  loss = logsumexp(logits)**2. Added to cross-entropy with a small weight, such
  as 1e-4, it fixes the constant that softmax leaves free. Language models
  call it z-loss; `z_loss` here is another, of standardised logits.

  Args:
    logits: [*b c], any float type; computed in float32.

  Returns:
    [*b] float32, nats squared, one value per example, not reduced.

  Source: Zoph et al. 2022, arXiv:2202.08906, router z-loss.
  Differs: nothing known.

  >>> print(log_partition_loss(jnp.array([[2.0, 2.0]])))
  [7.2530417]
  """
  return jax.nn.logsumexp(logits.astype(jnp.float32), axis=-1) ** 2
