"""How much each diffusion time says about the class."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import optim
from jaxcls.classifiers import _inputs


def fit_timestep_weights(
  errors: Float[Array, "n t c"],
  labels: Int[Array, " n"],
  *,
  l2: float,
  max_iterations: int = 500,
  tolerance: float = 1e-5,
  where: Bool[Array, " n"] | None = None,
) -> dict[str, Array]:
  """Weights of the times of a diffusion classifier, from a few labels.

  minimises sum_i -log softmax_c(-sum_t w_t e_itc)[label_i]
            + l2 / 2 * sum_t (s w_t - mean(s w))^2,
  s the standard deviation of the errors between classes: conditional logistic
  regression on the gaps of the errors. A large l2 gives uniform weights, of
  which only the scale is fitted.

  Args:
    errors: [n t c], denoising error of each time and class; computed in
      float32.
    labels: [n], class ids in [0, c), -1 = unlabelled, not used.
    l2: penalty, > 0, not divided by n.
    max_iterations: most L-BFGS steps.
    tolerance: on the largest entry of the gradient of (objective / n).
    where: [n], True = keep; None keeps all.

  Returns:
    {"weights": [t], "gradient_norm": [], "num_steps": []}; weights may be
    negative.

  Raises:
    ValueError: errors are not [n t c], no rows, shapes that do not match, a
      label >= c, l2 <= 0.
    TypeError: labels are not integers or where is not bool.

  Source: learned weights of times: Jeong et al. 2025, arXiv:2505.17955;
    conditional logit: McFadden 1974.
  Differs: the paper's own fit is not known here; this is a convex one.

  >>> e = jnp.array([[[0.0, 1.0], [0.5, 0.4]], [[1.0, 0.0], [0.4, 0.5]]])
  >>> w = fit_timestep_weights(e, jnp.array([0, 1]), l2=0.1)["weights"]
  >>> print(bool(w[0] > w[1]))
  True
  """
  _inputs.check_positive("l2", l2)
  if errors.ndim != 3:
    raise ValueError(f"errors must have shape [n t c], got {errors.shape}.")
  n, t, c = errors.shape
  flat, labels, kept = _inputs.check_fit(
    errors.reshape(n, t * c), labels, c, where
  )
  errors = flat.reshape(n, t, c)
  count = jnp.maximum(kept.sum(dtype=jnp.float32), 1.0)
  gaps = errors - errors.mean(axis=-1, keepdims=True)
  scale = jnp.sqrt((gaps**2).sum() / (count * t * c))
  gaps = gaps / jnp.where(scale == 0, 1.0, scale)
  targets = _inputs.one_hot(labels, c)

  def objective(params):
    w = params["weights"]
    log_probs = jax.nn.log_softmax(-jnp.einsum("t,ntc->nc", w, gaps))
    penalty = 0.5 * l2 * ((w - w.mean()) ** 2).sum()
    return (penalty - (targets * log_probs).sum()) / count

  params, norm, steps = optim.fit_lbfgs(
    objective, {"weights": jnp.zeros(t)},
    max_iterations=max_iterations, tolerance=tolerance,
  )  # fmt: skip
  weights = params["weights"] / jnp.where(scale == 0, 1.0, scale)
  return {"weights": weights, "gradient_norm": norm, "num_steps": steps}
