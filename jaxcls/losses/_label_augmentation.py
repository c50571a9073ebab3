"""Labels of a class and a transformation at once."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls.losses import _checks, _softmax


def joint_label_loss(
  joint_logits: Float[Array, "*b m cm"], labels: Int[Array, "*b"]
) -> Float[Array, "*b"]:
  """Cross-entropy of class and transformation, mean over the copies.

  Copy j of an example of class y has the joint label y * m + j:
  loss = -(1 / m) sum_j log softmax(joint_logits_j)[y * m + j].

  Args:
    joint_logits: [*b m c*m], one row for each of the m copies of an example;
      any float type, computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match, or the width is no multiple of m.

  Source: Lee et al. 2020, arXiv:1910.05872, L_SLA.
  Differs: nothing known. Released code may multiply by m (with_large_loss).

  >>> print(joint_label_loss(jnp.zeros((1, 2, 6)), jnp.array([2])))
  [1.7917595]
  """
  m = _copies(joint_logits)
  _checks.check_labels(joint_logits[..., 0, :], labels)
  joint = labels[..., None] * m + jnp.arange(m)
  return -_softmax.label_log_probs(joint_logits, joint).mean(axis=-1)


def aggregate_joint_logits(
  joint_logits: Float[Array, "*b m cm"],
) -> Float[Array, "*b c"]:
  """Class logits of all copies together, each read as its transformation.

  aggregated_k = (1 / m) sum_j joint_logits_j[k * m + j].

  Args:
    joint_logits: [*b m c*m], one row for each copy.

  Returns:
    [*b c] float32; their softmax is the aggregated prediction.

  Raises:
    ValueError: the width is no multiple of m.

  Source: Lee et al. 2020, arXiv:1910.05872 (SLA+AG).
  Differs: nothing known.

  >>> print(aggregate_joint_logits(jnp.arange(8.0).reshape(1, 2, 4)))
  [[2.5 4.5]]
  """
  m = _copies(joint_logits)
  by_class = joint_logits.astype(jnp.float32).reshape(
    *joint_logits.shape[:-1], joint_logits.shape[-1] // m, m
  )
  return jnp.diagonal(by_class, axis1=-3, axis2=-1).mean(axis=-1)


def _copies(joint_logits) -> int:
  if joint_logits.ndim < 2 or joint_logits.shape[-1] % joint_logits.shape[-2]:
    raise ValueError(
      "joint_logits must have shape [*b m c*m], m copies and c * m joint "
      f"classes, got {joint_logits.shape}."
    )
  return joint_logits.shape[-2]
