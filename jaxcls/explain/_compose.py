"""Saliency out of other saliency: several layers, or updated weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jaxtyping import Array, Float, Int

from jaxcls import _lookup
from jaxcls.explain import _gradients, _maps
from jaxcls.losses import cross_entropy_loss


def combine_layers(
  net: Callable,
  params,
  stats,
  images: Float[Array, "b h w c"],
  classes: Int[Array, " b"],
  *,
  method: str | Mapping[str, Any] | Callable,
  layers: Sequence[str],
  weights: Sequence[float] | None = None,
) -> Float[Array, "b h w"]:
  """A method's maps at several layers, multiplied; see `combine_maps`.

  Args:
    net: as `models.Net`; so are params and stats.
    params: weights.
    stats: batch statistics.
    images: [b h w c].
    classes: [b], class ids that are explained.
    method: a saliency function that takes `layer`, its name, or a mapping
      with `name` and its settings.
    layers: the taps.
    weights: exponents, one a layer; None: the geometric mean.

  Returns:
    [b h w] float32 in [0, 1].

  Raises:
    ValueError: unknown method or layer, or wrong number of weights.

  Source: Rebuffi et al. 2020, arXiv:2004.02866.
  Differs: weights are given, never fitted to data.
  """
  method = _resolve(method, ("layer",))
  maps = [
    method(net, params, stats, images, classes, layer=layer) for layer in layers
  ]
  return _maps.combine_maps(maps, size=images.shape[1:3], weights=weights)


def meta_saliency(
  net: Callable,
  params,
  stats,
  images: Float[Array, "b h w c"],
  classes: Int[Array, " b"],
  *,
  method: str | Mapping[str, Any] | Callable,
  epsilon: float = 1e-3,
) -> Float[Array, "b p q"]:
  """A method's map after one gradient step on the example explained.

  theta' = theta - epsilon grad_theta CE(x, c; theta), a step of its own for
  each example and class; then the method at theta'.

  Args:
    net: as `models.Net`; so are params and stats.
    params: weights theta.
    stats: batch statistics.
    images: [b h w c].
    classes: [b], class ids that are explained.
    method: a saliency function, its name, or a mapping with `name` and its
      settings.
    epsilon: length of the step.

  Returns:
    The method's [b p q] float32. Examples are taken one after the other.

  Raises:
    ValueError: unknown method.

  Source: Rebuffi et al. 2020, arXiv:2004.02866. The authors' TorchRay code
    takes 1e-4 for epsilon, its example 2.5e-3; ours lies between.
  Differs: as in their code, no derivative goes through the step.
  """
  method = _resolve(method, ())

  def loss(params, image, label):
    out, _ = net(params, stats, image)
    return cross_entropy_loss(out["logits"], label).sum()

  def explain(pair):
    image, label = pair[0][None], pair[1][None]
    gradient = jax.grad(loss)(params, image, label)
    step = lambda p, g: p - epsilon * g
    moved = jax.tree.map(step, params, gradient)
    return method(net, moved, stats, image, label)[0]

  # Batches of one cannot be split over a mesh that the model asks for.
  with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
    return jax.lax.map(explain, (images, classes))


def _resolve(method, supplied):
  if callable(method):
    return method
  from jaxcls import explain  # not at import: it imports this file

  inputs = (*_gradients.METHOD_INPUTS, *supplied)
  return _lookup.bind(method, explain, field="method", supplied=inputs)
