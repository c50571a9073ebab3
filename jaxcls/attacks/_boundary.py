"""Attacks that look for the nearest image of another class."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxcls.attacks import _checks


def deepfool(
  logits_fn: Callable,
  images: Float[Array, "b ..."],
  labels: Int[Array, " b"] | None = None,
  *,
  max_steps: int = 50,
  overshoot: float = 0.02,
  lower: float = 0.0,
  upper: float = 1.0,
) -> Float[Array, "b ..."]:
  """Steps to the nearest boundary of the linearised classifier.

  With f_k = f(x)_k - f(x)_y, w_k = grad f_k and l = argmin_k |f_k| / ||w_k||:
  r <- r + |f_l| / ||w_l||^2 * w_l, x <- clip(x_0 + (1 + overshoot) * r),
  until argmax f(x) != y.

  Args:
    logits_fn: f, images [b ...] -> [b c]; examples must not touch each other
      (evaluation mode).
    images: x_0 [b ...], in [lower, upper], any float type.
    labels: y [b], the classes to leave; None: those that f predicts.
    max_steps: most steps of an example, >= 1; a step takes c gradients.
    overshoot: share by which the boundary is passed, >= 0.
    lower: smallest value of an image.
    upper: largest value of an image.

  Returns:
    [b ...] float32, in [lower, upper]. An image of another class than y stays
    as it is; one that is not fooled after max_steps is where it got to.

  Raises:
    ValueError: max_steps < 1, overshoot < 0, lower >= upper, or labels of
      another shape.
    TypeError: images are not floating point or labels are not integers.

  Source: Moosavi-Dezfooli et al. 2015, arXiv:1511.04599, alg. 2.
  Differs: the overshoot is in every iterate, as in the released code; images
    are kept in [lower, upper]; 1e-6 is added to |f_l|, so that a tie is left.

  >>> f = lambda x: jnp.concatenate([x, 1 - x], axis=-1)
  >>> print(deepfool(f, jnp.array([[1.0]]), overshoot=0.5).round(2))
  [[0.25]]
  """
  images = _checks.prepare(images, labels, lower, upper)
  _checks.at_least("max_steps", max_steps, 1)
  _checks.at_least("overshoot", overshoot, 0)
  if labels is None:
    labels = jnp.argmax(logits_fn(images), axis=-1)
  b = images.shape[0]
  place = lambda r: jnp.clip(images + (1 + overshoot) * r, lower, upper)

  def body(carry):
    i, r, _ = carry
    logits, pull = jax.vjp(logits_fn, place(r))
    c = logits.shape[-1]
    rows = jnp.broadcast_to(jnp.eye(c, dtype=logits.dtype)[:, None], (c, b, c))
    slopes = jax.vmap(lambda row: pull(row)[0])(rows)  # [c b ...]
    slopes = slopes.reshape(c, b, -1)
    own = jnp.take_along_axis(slopes, labels[None, :, None], axis=0)
    w = jnp.moveaxis(slopes - own, 0, 1)  # [b c d]
    logits = logits.astype(jnp.float32)
    gap = logits - jnp.take_along_axis(logits, labels[:, None], axis=1)
    left = jnp.argmax(logits, axis=-1) != labels
    square = jnp.square(w).sum(axis=-1)
    # A class whose gradient is that of y, y itself among them, is never near.
    usable = square > 1e-24
    distance = jnp.abs(gap) / jnp.sqrt(jnp.where(usable, square, 1.0))
    nearest = jnp.argmin(jnp.where(usable, distance, jnp.inf), axis=-1)
    take = lambda a: jnp.take_along_axis(a, nearest[:, None], axis=1)[:, 0]
    found = take(usable)
    scale = (jnp.abs(take(gap)) + 1e-6) / jnp.where(found, take(square), 1.0)
    w = jnp.take_along_axis(w, nearest[:, None, None], axis=1)[:, 0]
    step = jnp.where(found & ~left, scale, 0.0)[:, None] * w
    return i + 1, r + step.reshape(r.shape), left

  more = lambda carry: (carry[0] < max_steps) & ~carry[2].all()
  start = 0, jnp.zeros_like(images), jnp.zeros((b,), bool)
  return place(jax.lax.while_loop(more, body, start)[1])


def carlini_wagner(
  logits_fn: Callable,
  images: Float[Array, "b ..."],
  labels: Int[Array, " b"],
  *,
  confidence: float = 0.0,
  steps: int = 1000,
  learning_rate: float = 0.01,
  search_steps: int = 9,
  initial_weight: float = 1e-3,
  lower: float = 0.0,
  upper: float = 1.0,
) -> Float[Array, "b ..."]:
  """The nearest image of another class that Adam finds, in Euclidean norm.

  Minimises ||x' - x||^2 + a * max(f(x')_y - max_{k != y} f(x')_k, -confidence)
  over w, x' = lower + (upper - lower) * (tanh w + 1) / 2, for search_steps
  values of a: a bisection for the smallest one that succeeds, ten times larger
  until one does.

  Args:
    logits_fn: f, images [b ...] -> [b c]; examples must not touch each other
      (evaluation mode).
    images: x [b ...], in [lower, upper], any float type.
    labels: y [b], class ids in [0, c), the classes to leave.
    confidence: by how much another logit must lead, >= 0.
    steps: of Adam for each a, >= 1.
    learning_rate: of Adam, on w.
    search_steps: how many values of a, >= 1.
    initial_weight: the first a, > 0.
    lower: smallest value of an image.
    upper: largest value of an image.

  Returns:
    [b ...] float32, in [lower, upper]: of all iterates that another class
    leads by `confidence` the one nearest to x; x itself where there is none.

  Raises:
    ValueError: a number is too small, lower >= upper, or labels of another
      shape.
    TypeError: images are not floating point or labels are not integers.

  Source: Carlini & Wagner 2016, arXiv:1608.04644 (L2 attack).
  Differs: no early stop of an example; not targeted.

  >>> f = lambda x: 10 * jnp.concatenate([x, 1 - x], axis=-1)
  >>> x, y = jnp.array([[0.75]]), jnp.array([0])
  >>> attack = jax.jit(lambda x, y: carlini_wagner(f, x, y, steps=200))
  >>> print(attack(x, y).round(2))
  [[0.5]]
  """
  images = _checks.prepare(images, labels, lower, upper)
  _checks.at_least("confidence", confidence, 0)
  _checks.at_least("steps", steps, 1)
  _checks.at_least("search_steps", search_steps, 1)
  if not initial_weight > 0:
    raise ValueError(f"initial_weight must be above 0, got {initial_weight}.")
  middle, half = (upper + lower) / 2, (upper - lower) / 2
  place = lambda w: middle + half * jnp.tanh(w)
  # Not quite to the ends, where tanh has no inverse.
  first = jnp.arctanh((images - middle) / half * (1 - 1e-6))
  adam = optax.adam(learning_rate)

  def objective(w, weight):
    x = place(w)
    logits = logits_fn(x).astype(jnp.float32)
    own = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    rest = jnp.where(own, -jnp.inf, logits).max(axis=-1)
    margin = jnp.where(own, logits, -jnp.inf).max(axis=-1) - rest
    square = _checks.squares(x - images)
    total = square + weight * jnp.maximum(margin, -confidence)
    fooled = (margin < 0) & (margin <= -confidence)
    return total.sum(), (x, square, fooled)

  def descend(weight, best):
    def step(_, carry):
      w, moments, best, done = carry
      (_, found), g = jax.value_and_grad(objective, has_aux=True)(w, weight)
      best = _nearer(best, *found)
      updates, moments = adam.update(g, moments)
      return w + updates, moments, best, done | found[2]

    start = first, adam.init(first), best, jnp.zeros(labels.shape, bool)
    w, _, best, done = jax.lax.fori_loop(0, steps, step, start)
    found = objective(w, weight)[1]
    return _nearer(best, *found), done | found[2]

  def search(_, carry):
    low, high, weight, best = carry
    best, done = descend(weight, best)
    high = jnp.where(done, jnp.minimum(high, weight), high)
    low = jnp.where(done, low, jnp.maximum(low, weight))
    middle = jnp.where(jnp.isinf(high), 10 * weight, (low + high) / 2)
    return low, high, middle, best

  full = lambda value: jnp.full(labels.shape, value, jnp.float32)
  best = images, full(jnp.inf)
  start = full(0.0), full(jnp.inf), full(initial_weight), best
  return jax.lax.fori_loop(0, search_steps, search, start)[-1][0]


def _nearer(best, x, square, fooled):
  """(images, squared distances) with those of `x` that fool and are nearer."""
  better = fooled & (square < best[1])
  images = jnp.where(_checks.column(better, x), x, best[0])
  return images, jnp.where(better, square, best[1])
