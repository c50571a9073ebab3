"""Class activation maps: weighted sums of a layer's maps."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls.explain import _gradients


def grad_cam(
  net: Callable,
  params,
  stats,
  images: Float[Array, "b h w c"],
  classes: Int[Array, " b"],
  *,
  layer: str,
  relu: bool = True,
  counterfactual: bool = False,
  score: Callable = _gradients.class_logit,
) -> Float[Array, "b p q"]:
  """Gradient-weighted class activation map at a layer.

  L = relu(sum_k alpha_k A^k), alpha_k = mean_ij dy/dA^k_ij.

  Args:
    net: as `models.Net`; so are params and stats, see
      `activation_gradients`.
    params: weights.
    stats: batch statistics.
    images: [b h w c].
    classes: [b], class ids that are explained.
    layer: a tap with maps; the paper takes the last convolution's.
    relu: False keeps what speaks against the class.
    counterfactual: negates the gradients: regions that, removed, would make
      the model surer.
    score: (logits, classes) -> [b], what y is.

  Returns:
    [b p q] float32, p x q the layer's size; see `upsample`.

  Raises:
    ValueError: no such tap, or it holds no maps.

  Source: Selvaraju et al. 2016, arXiv:1610.02391 (counterfactual maps
    too).
  Differs: nothing known.
  """
  (pair,) = _gradients.activation_gradients(
    net, params, stats, images, classes, layers=(layer,), score=score
  ).values()
  activations, gradients = pair
  alpha = gradients.mean(axis=(1, 2))
  alpha = -alpha if counterfactual else alpha
  maps = jnp.einsum("bpqk,bk->bpq", activations, alpha)
  return jax.nn.relu(maps) if relu else maps


def cam(
  net: Callable,
  params,
  stats,
  images: Float[Array, "b h w c"],
  classes: Int[Array, " b"],
  *,
  layer: str,
  relu: bool = False,
  kernel: str = "head/kernel",
) -> Float[Array, "b p q"]:
  """Class activation map of a model that ends in a mean and a linear map.

  L = sum_k w_kc A^k; Grad-CAM without relu is this divided by p q.

  Args:
    net: as `models.Net`; so are params and stats.
    params: weights.
    stats: batch statistics.
    images: [b h w c].
    classes: [b], class ids that are explained.
    layer: tap of the maps that are pooled, the last stage's.
    relu: True drops what speaks against the class.
    kernel: path of the linear map's [d c] weights.

  Returns:
    [b p q] float32.

  Raises:
    ValueError: no such tap or kernel, or the kernel's width is not the maps'.

  Source: Zhou et al. 2016, arXiv:1512.04150.
  Differs: the bias is left out, as there.
  """
  found = _gradients.activation_gradients(
    net, params, stats, images, classes, layers=(layer,)
  )
  activations, _ = found[layer]
  weights, width = params.get(kernel), activations.shape[-1]
  if weights is None or weights.shape[0] != width:
    got = "nothing" if weights is None else f"shape {weights.shape}"
    raise ValueError(
      f"kernel must be the path of weights [{width} c] on the mean of "
      f"{layer!r}, got {got} at {kernel!r}. Use grad_cam for other heads."
    )
  chosen = weights[:, classes].astype(jnp.float32)
  maps = jnp.einsum("bpqk,kb->bpq", activations, chosen)
  return jax.nn.relu(maps) if relu else maps
