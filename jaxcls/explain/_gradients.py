"""Activations at a model's taps and the score's gradients there."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls import _lookup

# What every saliency function is called with; a config sets the rest.
METHOD_INPUTS = ("net", "params", "stats", "images", "classes")


def class_logit(
  logits: Float[Array, "b c"], classes: Int[Array, " b"]
) -> Float[Array, " b"]:
  """The class's logit before the softmax, the score that maps explain.

  Args:
    logits: [b c], any float type.
    classes: [b], class ids in [0, c).

  Returns:
    [b] float32.

  Source: Selvaraju et al. 2016, arXiv:1610.02391: the score y^c.
  Differs: nothing known.

  >>> print(class_logit(jnp.array([[1.0, 2.0]]), jnp.array([1])))
  [2.]
  """
  chosen = jnp.take_along_axis(logits, classes[:, None], axis=-1)[:, 0]
  return chosen.astype(jnp.float32)


def activation_gradients(
  net: Callable,
  params,
  stats,
  images: Float[Array, "b h w c"],
  classes: Int[Array, " b"],
  *,
  layers: Sequence[str],
  score: Callable = class_logit,
) -> dict[str, tuple[jax.Array, jax.Array]]:
  """Activations A at named taps and dy/dA of each example's score y.

  The gradient is that with respect to a zero added at the tap; one backward
  pass serves all layers. Examples must not touch each other: evaluation mode.

  Args:
    net: called as net(params, stats, images, tap=tap), as `models.Net`.
    params: flat dict of weights.
    stats: flat dict of batch statistics.
    images: [b h w c] as the model takes them.
    classes: [b], class ids that are explained.
    layers: names of taps with maps [b h w d], or "input": the images.
    score: (logits [b c], classes [b]) -> [b].

  Returns:
    {layer: (activations, gradients)}, each [b h w d] float32.

  Raises:
    ValueError: no such tap, or it holds no maps.

  Source: no paper.
  Differs: nothing known.
  """
  shapes = _tap_shapes(net, params, stats, images)
  for layer in layers:
    if layer not in shapes:
      raise ValueError(
        f"layer must be a tap of the model, got {layer!r}."
        f"{_lookup.nearest(layer, shapes)}"
      )
    if len(shapes[layer].shape) != 4:
      raise ValueError(
        f"layer must be a tap with maps [b h w d], got {layer!r} of shape "
        f"{shapes[layer].shape}."
      )

  def total(added):
    found = {}

    def tap(name, x):
      if name in added:
        x = found[name] = x + added[name]
      return x

    out, _ = net(params, stats, tap("input", images), tap=tap)
    return score(out["logits"], classes).sum(), found

  zeros = {k: jnp.zeros(shapes[k].shape, shapes[k].dtype) for k in layers}
  gradients, found = jax.grad(total, has_aux=True)(zeros)
  f32 = lambda x: x.astype(jnp.float32)
  return {k: (f32(found[k]), f32(gradients[k])) for k in layers}


def _tap_shapes(net, params, stats, images):
  """Shapes at every tap and of the input; runs nothing."""
  shapes = {"input": jax.ShapeDtypeStruct(images.shape, images.dtype)}

  def tap(name, x):
    shapes[name] = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return x

  jax.eval_shape(
    lambda p, s, x: net(p, s, x, tap=tap)[0]["logits"], params, stats, images
  )
  return shapes
