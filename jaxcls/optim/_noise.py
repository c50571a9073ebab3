"""Noise on gradients."""

import optax


def add_gradient_noise(
  *, eta: float, gamma: float = 0.55, seed: int = 0
) -> optax.GradientTransformation:
  """Adds Gaussian noise whose variance falls with the step.

  g_t <- g_t + N(0, sigma_t^2 I), sigma_t^2 = eta / (1 + t)^gamma, t = 0, 1, ...

  Chain it after clipping and before the optimiser. In a config:
  `optimizer.transforms = (dict(name="add_gradient_noise", eta=0.01),)`.

  Args:
    eta: variance at the first step, >= 0, in squared units of the gradient;
      the paper tries 0.01, 0.3 and 1.
    gamma: decay, >= 0; 0 is the fixed noise that the paper compares with.
    seed: of the noise.

  Raises:
    ValueError: eta or gamma is negative.

  Source: Neelakantan et al. 2015, arXiv:1511.06807 (Adding Gradient
    Noise Improves Learning for Very Deep Networks).
  Differs: nothing known; `optax.add_noise` does the work.

  >>> import jax.numpy as jnp
  >>> tx = add_gradient_noise(eta=0.0)
  >>> print(tx.update(jnp.ones(2), tx.init(jnp.ones(2)))[0])
  [1. 1.]
  """
  if eta < 0 or gamma < 0:
    raise ValueError(
      f"eta and gamma must be >= 0, got eta {eta} and gamma {gamma}."
    )
  return optax.add_noise(eta, gamma, seed)
