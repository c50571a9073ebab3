"""Cross-entropy whose gradient does not fade as the data separate."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.losses import _checks

# Below it every row is certain and the gradient may go to 0.
_LEAST = 1e-30


def misfit_normalized_loss(
  logits: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  *,
  where: Bool[Array, "*b"] | None = None,
) -> Float[Array, "*b"]:
  """Cross-entropy over the batch's mean misfit, which counts as a constant.

  loss_i = -log p_i[label_i] / beta, beta = mean_j (1 - p_j[label_j]). For a
  linear model of two classes the mean's gradient is that of normalised
  logistic regression: rows weigh by their share of the misfit, as in a
  perceptron, and the step does not shrink as the rows come right. The value is
  no likelihood.

  Args:
    logits: [*b c], any float type; computed in float32. *b is the batch,
      global under jit.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    where: [*b], True = keep; None keeps all.

  Returns:
    [*b] float32, not reduced, couples the batch: reduce it with the same
    `where`. 0 where not kept.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits.

  Source: Tyurin 2024, arXiv:2412.08424, normalised logistic regression; the
    form for several classes is ours.
  Differs: two classes have two logits, whose difference is the paper's margin.

  >>> print(misfit_normalized_loss(jnp.zeros((1, 2)), jnp.array([1])))
  [1.3862944]
  """
  _checks.check_labels(logits, labels)
  keep = jnp.ones(labels.shape, bool) if where is None else where
  logits = jnp.where(keep[..., None], logits.astype(jnp.float32), 0.0)
  log_probs = jax.nn.log_softmax(logits, axis=-1)
  chosen = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
  # 1 - p as a sum of the others: no cancellation where p is near 1.
  misfit = jnp.where(chosen, 0.0, jnp.exp(log_probs)).sum(axis=-1)
  count = jnp.maximum(keep.sum(dtype=jnp.float32), 1.0)
  beta = jnp.where(keep, misfit, 0.0).sum() / count
  beta = jax.lax.stop_gradient(jnp.maximum(beta, _LEAST))
  values = -jnp.where(chosen, log_probs, 0.0).sum(axis=-1)
  return jnp.where(keep, values, 0.0) / beta
