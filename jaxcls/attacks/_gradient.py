"""Attacks that climb the loss inside a ball around the image."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls import losses
from jaxcls.attacks import _checks

_NORMS = ("linf", "l2")


def fgsm(
  logits_fn: Callable,
  images: Float[Array, "b ..."],
  labels: Int[Array, " b"],
  *,
  epsilon: float,
  loss: Callable = losses.cross_entropy_loss,
  targeted: bool = False,
  lower: float = 0.0,
  upper: float = 1.0,
) -> Float[Array, "b ..."]:
  """One step of size epsilon along the sign of the loss's gradient.

  x' = clip(x + epsilon * sign(grad_x loss(f(x), y)), lower, upper).

  Args:
    logits_fn: f, images [b ...] -> [b c]; examples must not touch each other
      (evaluation mode).
    images: [b ...], in [lower, upper], any float type.
    labels: [b], class ids in [0, c): true ones, or wanted ones if targeted.
    epsilon: size of the change of each number, >= 0, in units of the images.
    loss: (logits [b c], labels [b]) -> [b].
    targeted: lowers the loss of `labels` instead of raising it.
    lower: smallest value of an image.
    upper: largest value of an image.

  Returns:
    [b ...] float32, within epsilon of the images and in [lower, upper]. No
    gradient passes through it.

  Raises:
    ValueError: epsilon < 0, lower >= upper, or labels of another shape.
    TypeError: images are not floating point or labels are not integers.

  Source: Goodfellow et al. 2014, arXiv:1412.6572.
  Differs: nothing known.

  >>> f = lambda x: x @ jnp.array([[1.0, -1.0], [-2.0, 2.0]])
  >>> x, y = jnp.full((1, 2), 0.5), jnp.array([0])
  >>> print(fgsm(f, x, y, epsilon=0.25))
  [[0.25 0.75]]
  """
  images = _checks.prepare(images, labels, lower, upper)
  _checks.at_least("epsilon", epsilon, 0)
  climb = _gradient(logits_fn, labels, loss, targeted)
  return jnp.clip(images + epsilon * jnp.sign(climb(images)), lower, upper)


def pgd(
  logits_fn: Callable,
  images: Float[Array, "b ..."],
  labels: Int[Array, " b"],
  *,
  epsilon: float,
  step_size: float,
  steps: int,
  norm: str = "linf",
  loss: Callable = losses.cross_entropy_loss,
  targeted: bool = False,
  lower: float = 0.0,
  upper: float = 1.0,
  key: jax.Array | None = None,
) -> Float[Array, "b ..."]:
  """Many small steps up the loss, each followed by a projection.

  x <- project(x + step_size * d), d = sign(g) for "linf", g / ||g|| for "l2",
  g = grad_x loss(f(x), y); the projection is onto the ball of radius epsilon
  around the image and then onto [lower, upper].

  Args:
    logits_fn: f, images [b ...] -> [b c]; examples must not touch each other
      (evaluation mode).
    images: [b ...], in [lower, upper], any float type.
    labels: [b], class ids in [0, c): true ones, or wanted ones if targeted.
    epsilon: radius of the ball, >= 0: largest change of a number ("linf") or
      Euclidean norm of the change ("l2").
    step_size: length of a step in that norm, >= 0.
    steps: how many, >= 1.
    norm: "linf" or "l2".
    loss: (logits [b c], labels [b]) -> [b].
    targeted: lowers the loss of `labels` instead of raising it.
    lower: smallest value of an image.
    upper: largest value of an image.
    key: PRNG key of a start drawn uniformly from the ball; None starts at the
      images.

  Returns:
    [b ...] float32, the last iterate, in the ball and in [lower, upper]. No
    gradient passes through it.

  Raises:
    ValueError: an unknown norm, epsilon or step_size < 0, steps < 1, lower >=
      upper, or labels of another shape.
    TypeError: images are not floating point or labels are not integers.

  Source: Madry et al. 2017, arXiv:1706.06083.
  Differs: the loss of the last iterate need not be the largest on the way.

  >>> f = lambda x: x @ jnp.array([[1.0, -1.0], [-2.0, 2.0]])
  >>> x, y = jnp.full((1, 2), 0.5), jnp.array([0])
  >>> print(pgd(f, x, y, epsilon=0.25, step_size=0.1, steps=5))
  [[0.25 0.75]]
  """
  images = _checks.prepare(images, labels, lower, upper)
  if norm not in _NORMS:
    raise ValueError(f"norm must be one of {_NORMS}, got {norm!r}.")
  _checks.at_least("epsilon", epsilon, 0)
  _checks.at_least("step_size", step_size, 0)
  _checks.at_least("steps", steps, 1)
  climb = _gradient(logits_fn, labels, loss, targeted)

  def project(change):
    if norm == "linf":
      change = jnp.clip(change, -epsilon, epsilon)
    else:
      length = jnp.sqrt(jnp.maximum(_checks.squares(change), 1e-24))
      change *= _checks.column(jnp.minimum(1.0, epsilon / length), change)
    # The image itself is in the box: clipping to it shortens the change.
    return jnp.clip(images + change, lower, upper)

  def step(_, x):
    g = climb(x)
    if norm == "linf":
      direction = jnp.sign(g)
    else:
      # By the largest number first: squares of tiny gradients would vanish.
      top = jnp.abs(g).max(axis=tuple(range(1, g.ndim)), keepdims=True)
      g = g / jnp.where(top > 0, top, 1.0)
      length = jnp.sqrt(jnp.maximum(_checks.squares(g), 1e-24))
      direction = g / _checks.column(length, g)
    return project(x + step_size * direction - images)

  start = images if key is None else project(_draw(key, images, epsilon, norm))
  return jax.lax.fori_loop(0, steps, step, start)


def _gradient(logits_fn, labels, loss, targeted):
  """x -> gradient of each example's own loss, downhill if targeted."""
  sign = -1.0 if targeted else 1.0
  total = lambda x: sign * loss(logits_fn(x), labels).sum()
  return lambda x: jax.lax.stop_gradient(jax.grad(total)(x))


def _draw(key, images, epsilon, norm):
  """A change drawn uniformly from the ball."""
  if norm == "linf":
    return epsilon * jax.random.uniform(key, images.shape, minval=-1.0)
  keys, d = jax.random.split(key), images[0].size
  x = jax.random.normal(keys[0], images.shape)
  radius = jax.random.uniform(keys[1], images.shape[:1]) ** (1 / d)
  length = jnp.sqrt(jnp.maximum(_checks.squares(x), 1e-24))
  return epsilon * x * _checks.column(radius / length, x)
