"""The spherical losses as functions of three statistics of the outputs.

The same losses as in `jaxcls.losses`, where they are documented with their
sources; here for outputs that are never computed.
"""

import functools
import inspect
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array


class SphericalStatistics(NamedTuple):
  """What a spherical loss sees of the D outputs o of each example.

  mean: [m], mean_k o_k.
  squares: [m], sum_k (o_k - mean)**2.
  target: [m], o_label - mean.
  """

  mean: Array
  squares: Array
  target: Array


def _z_loss(stats, num_classes, *, a, b):
  variance = stats.squares / num_classes
  varies = variance > jnp.finfo(variance.dtype).tiny
  std = jnp.sqrt(jnp.where(varies, variance, 1.0))
  z = jnp.where(varies, stats.target, 0.0) / std
  return jax.nn.softplus(a * (b - z)) / a


def _spherical_softmax_loss(stats, num_classes, *, epsilon):
  output = stats.target + stats.mean
  squares = stats.squares + num_classes * stats.mean**2
  total = squares + num_classes * epsilon
  return jnp.log(total) - jnp.log(output**2 + epsilon)


def _taylor_softmax_loss(stats, num_classes):
  output = 1.0 + stats.target + stats.mean
  squares = stats.squares + num_classes * (1.0 + stats.mean) ** 2
  return jnp.log(squares + num_classes) - jnp.log(output**2 + 1.0)


def _squared_error_loss(stats, num_classes):
  squares = stats.squares + num_classes * stats.mean**2
  return (squares - 2.0 * (stats.target + stats.mean) + 1.0) / num_classes


_LOSSES = {
  "z_loss": _z_loss,
  "spherical_softmax_loss": _spherical_softmax_loss,
  "taylor_softmax_loss": _taylor_softmax_loss,
  "squared_error_loss": _squared_error_loss,
}


def make_spherical_loss(name: str, **hyperparameters: float):
  """A loss of `jaxcls.losses` as a function of the layer's statistics.

  Args:
    name: "z_loss" (a, b), "spherical_softmax_loss" (epsilon),
      "taylor_softmax_loss" or "squared_error_loss".
    **hyperparameters: all those of the loss, > 0 (b: any); no others.

  Returns:
    f(SphericalStatistics, num_classes) -> [m], not reduced. Any function of
    that form, differentiable and elementwise, is a loss for this layer.

  Raises:
    ValueError: unknown name, or a hyperparameter out of range.
    TypeError: a hyperparameter is missing or not the loss's.
  """
  if name not in _LOSSES:
    raise ValueError(f"name must be one of {sorted(_LOSSES)}, got {name!r}.")
  f = _LOSSES[name]
  wanted = {
    p.name
    for p in inspect.signature(f).parameters.values()
    if p.kind is inspect.Parameter.KEYWORD_ONLY
  }
  if set(hyperparameters) != wanted:
    raise TypeError(
      f"{name} must get exactly {sorted(wanted)}, got "
      f"{sorted(hyperparameters)}."
    )
  for key, value in hyperparameters.items():
    if key != "b" and not value > 0:
      raise ValueError(f"{key} must be more than 0, got {value}.")
  return functools.partial(f, **hyperparameters)
