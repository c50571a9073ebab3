"""Saliency from a layer's activation and gradient: extract, aggregate."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls.explain import _gradients

VIRTUAL_LAYERS = ("conv1x1", "conv3x3", "depthwise", "scaling", "bias")
AGGREGATIONS = ("norm", "filter_norm", "sum", "max")


def gradient_saliency(
  net: Callable,
  params,
  stats,
  images: Float[Array, "b h w c"],
  classes: Int[Array, " b"],
  *,
  layer: str = "input",
  score: Callable = _gradients.class_logit,
) -> Float[Array, "b p q"]:
  """Largest gradient of the score over channels: max_k |dy/dA^k|.

  Args:
    net: as `models.Net`; so are params and stats.
    params: weights.
    stats: batch statistics.
    images: [b h w c].
    classes: [b], class ids that are explained.
    layer: a tap with maps; "input" gives the vanilla gradient.
    score: (logits, classes) -> [b], what y is.

  Returns:
    [b p q] float32, >= 0.

  Raises:
    ValueError: no such tap, or it holds no maps.

  Source: Simonyan et al. 2013, arXiv:1312.6034.
  Differs: nothing known.
  """
  (pair,) = _gradients.activation_gradients(
    net, params, stats, images, classes, layers=(layer,), score=score
  ).values()
  return jnp.abs(pair[1]).max(axis=-1)


def linear_approximation(
  net: Callable,
  params,
  stats,
  images: Float[Array, "b h w c"],
  classes: Int[Array, " b"],
  *,
  layer: str,
  relu: bool = False,
  score: Callable = _gradients.class_logit,
) -> Float[Array, "b p q"]:
  """Gradient times activation, summed over channels: sum_k A^k dy/dA^k.

  Args:
    net: as `models.Net`; so are params and stats.
    params: weights.
    stats: batch statistics.
    images: [b h w c].
    classes: [b], class ids that are explained.
    layer: a tap with maps, or "input": gradient times input.
    relu: True keeps positive evidence only.
    score: (logits, classes) -> [b], what y is.

  Returns:
    [b p q] float32.

  Raises:
    ValueError: no such tap, or it holds no maps.

  Source: Kindermans et al. 2016, arXiv:1611.07270 (gradient times input); in
    this framework: Rebuffi et al. 2020, arXiv:2004.02866.
  Differs: nothing known.
  """
  (pair,) = _gradients.activation_gradients(
    net, params, stats, images, classes, layers=(layer,), score=score
  ).values()
  maps = jnp.sum(pair[0] * pair[1], axis=-1)
  return jax.nn.relu(maps) if relu else maps


def norm_grad(
  net: Callable,
  params,
  stats,
  images: Float[Array, "b h w c"],
  classes: Int[Array, " b"],
  *,
  layer: str,
  virtual: str = "conv1x1",
  aggregation: str = "norm",
  score: Callable = _gradients.class_logit,
) -> Float[Array, "b p q"]:
  """NormGrad: size of each place's part in a virtual layer's gradient.

  See `spatial_contributions`; the default is ||A_u|| ||dy/dA_u||.

  Args:
    net: as `models.Net`; so are params and stats.
    params: weights.
    stats: batch statistics.
    images: [b h w c].
    classes: [b], class ids that are explained.
    layer: a tap with maps, behind which the identity layer is put.
    virtual: one of VIRTUAL_LAYERS.
    aggregation: one of AGGREGATIONS.
    score: (logits, classes) -> [b], what y is.

  Returns:
    [b p q] float32.

  Raises:
    ValueError: no such tap, virtual layer or aggregation.

  Source: Rebuffi et al. 2020, arXiv:2004.02866.
  Differs: nothing known.
  """
  (pair,) = _gradients.activation_gradients(
    net, params, stats, images, classes, layers=(layer,), score=score
  ).values()
  return spatial_contributions(*pair, virtual=virtual, aggregation=aggregation)


def spatial_contributions(
  activations: Float[Array, "b p q d"],
  gradients: Float[Array, "b p q d"],
  *,
  virtual: str = "conv1x1",
  aggregation: str = "norm",
) -> Float[Array, "b p q"]:
  """Aggregates each place's part of a virtual layer's weight gradient.

  The gradient of a layer's weights is a sum over places u of parts: with x_u
  the activation, P_u its 3x3 patch padded by zeros and g_u the gradient,
  conv1x1: x_u g_u^T; conv3x3: P_u g_u^T; depthwise: P_u[c] g_u[c]; scaling:
  x_u g_u elementwise; bias: g_u. Over a part's entries, norm: their L2 norm;
  filter_norm: that of the positive ones; sum; max. The outer products are
  never formed.

  Args:
    activations: [b p q d] x, any float type.
    gradients: [b p q d] g of the score.
    virtual: one of VIRTUAL_LAYERS.
    aggregation: one of AGGREGATIONS.

  Returns:
    [b p q] float32.

  Raises:
    ValueError: an unknown virtual layer or aggregation.

  Source: Rebuffi et al. 2020, arXiv:2004.02866; official
    code: Extract_Aggregate (golden vectors).
  Differs: g is of the score; the code takes its negative and flips the sign.

  >>> x, g = jnp.array([[[[3.0, 4.0]]]]), jnp.array([[[[0.0, 2.0]]]])
  >>> print(spatial_contributions(x, g))
  [[[10.]]]
  """
  for name, value, known in (
    ("virtual", virtual, VIRTUAL_LAYERS),
    ("aggregation", aggregation, AGGREGATIONS),
  ):
    if value not in known:
      raise ValueError(f"{name} must be one of {known}, got {value!r}.")
  x, g = activations.astype(jnp.float32), gradients.astype(jnp.float32)
  x = _patches(x) if virtual in ("conv3x3", "depthwise") else x[..., None]
  if virtual in ("conv1x1", "conv3x3"):
    return _outer(x.reshape(*x.shape[:-2], -1), g, aggregation)
  entries = g[..., None] if virtual == "bias" else x * g[..., None]
  if aggregation == "sum":
    return entries.sum(axis=(-2, -1))
  if aggregation == "max":
    return entries.max(axis=(-2, -1))
  kept = jax.nn.relu(entries) if aggregation == "filter_norm" else entries
  return jnp.sqrt((kept**2).sum(axis=(-2, -1)))


def _outer(x, g, aggregation):
  """Aggregates the entries of x_u g_u^T from those of x_u and g_u."""
  if aggregation == "sum":
    return x.sum(axis=-1) * g.sum(axis=-1)
  if aggregation == "max":
    ends = lambda a: (a.min(axis=-1), a.max(axis=-1))
    corners = [a * b for a in ends(x) for b in ends(g)]
    return jnp.stack(corners).max(axis=0)
  square = lambda a: (a**2).sum(axis=-1)
  if aggregation == "norm":
    return jnp.sqrt(square(x) * square(g))
  positive = square(jax.nn.relu(x)) * square(jax.nn.relu(g))
  return jnp.sqrt(positive + square(jax.nn.relu(-x)) * square(jax.nn.relu(-g)))


def _patches(x):
  """[b p q d] -> [b p q d 9]: 3x3 neighbourhoods padded by zeros."""
  p, q = x.shape[1:3]
  padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  shifted = [
    padded[:, i : i + p, j : j + q] for i in range(3) for j in range(3)
  ]
  return jnp.stack(shifted, axis=-1)


def random_saliency(
  net: Callable,
  params,
  stats,
  images: Float[Array, "b h w c"],
  classes: Int[Array, " b"],
  *,
  seed: int = 0,
) -> Float[Array, "b h w"]:
  """Uniform noise, a function of the image's pixel sum: the baseline.

  Args:
    net: not looked at; nor are params, stats and classes.
    params: weights.
    stats: batch statistics.
    images: [b h w c].
    classes: [b].
    seed: of the noise.

  Returns:
    [b h w] float32 in [0, 1).

  Source: no paper.
  Differs: nothing known.
  """
  del net, params, stats, classes
  sums = images.astype(jnp.float32).sum(axis=(1, 2, 3))
  words = jax.lax.bitcast_convert_type(sums, jnp.uint32)
  draw = lambda word: jax.random.uniform(
    jax.random.fold_in(jax.random.key(seed), word), images.shape[1:3]
  )
  return jax.vmap(draw)(words)
