"""Prototypes of new classes, moved towards the old ones they resemble."""

import jax
from jaxtyping import Array, Float

from jaxcls import ops
from jaxcls.classifiers import _inputs


def calibrate_prototypes(
  new_prototypes: Float[Array, "k d"],
  base_prototypes: Float[Array, "c d"],
  *,
  tau: float = 16.0,
  alpha: float = 0.5,
) -> Float[Array, "k d"]:
  """Mixes few-shot prototypes with base prototypes by their similarity.

  With p_k, b_c the rows over their norms, w_k = softmax_c(tau * p_k . b_c) and
  delta_k = sum_c w_kc b_c over its norm:
  row_k = (1 - alpha) * p_k + alpha * delta_k.

  Args:
    new_prototypes: [k d], mean features of the few examples of new classes.
    base_prototypes: [c d], mean features of classes with many examples.
    tau: >= 0, multiplies the cosine.
    alpha: in [0, 1]; 0 leaves the new prototypes alone.

  Returns:
    [k d] float32 (float64 stays), norms at most 1, for a cosine classifier.

  Raises:
    ValueError: the widths differ, no base prototypes, tau < 0 or alpha outside
      [0, 1].

  Source: Wang et al. 2023, arXiv:2312.05229 (Few-Shot
    Class-Incremental Learning via Training-Free Prototype Calibration).
  Differs: from the paper, as the released code: the mean of base prototypes
    is scaled to unit norm before it is mixed in.

  >>> base, new = jax.numpy.eye(2)[:1], 2 * jax.numpy.eye(2)[1:]
  >>> print(calibrate_prototypes(new, base))
  [[0.5 0.5]]
  """
  if new_prototypes.ndim != 2 or base_prototypes.ndim != 2 or (
    new_prototypes.shape[1] != base_prototypes.shape[1]
  ):  # fmt: skip
    raise ValueError(
      "new_prototypes and base_prototypes must have shapes [k d] and [c d], "
      f"got {new_prototypes.shape} and {base_prototypes.shape}."
    )
  if base_prototypes.shape[0] < 1:
    raise ValueError("base_prototypes must have at least one row, got none.")
  if not 0 <= alpha <= 1 or tau < 0:
    raise ValueError(
      f"alpha must be in [0, 1] and tau >= 0, got {alpha} and {tau}."
    )
  new, base = ops.unit_norm(new_prototypes), ops.unit_norm(base_prototypes)
  weights = jax.nn.softmax(tau * _inputs.matmul(new, base.T), axis=1)
  delta = ops.unit_norm(_inputs.matmul(weights, base))
  return (1 - alpha) * new + alpha * delta
