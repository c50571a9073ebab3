"""Maps [b h w]: one scale, one size, products."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def normalize_map(maps: Float[Array, "b h w"]) -> Float[Array, "b h w"]:
  """Shifts and scales each map to [0, 1]: (m - min m) / (max m - min m).

  Args:
    maps: [b h w], any float type.

  Returns:
    [b h w] float32; a constant map becomes 0.

  Source: Rebuffi et al. 2020, arXiv:2004.02866 (min-max scaling).
  Differs: the official code divides by 0 where a map is constant.

  >>> print(normalize_map(jnp.array([[[1.0, 3.0], [2.0, 1.0]]]))[0])
  [[0.  1. ]
   [0.5 0. ]]
  """
  maps = maps.astype(jnp.float32)
  low = maps.min(axis=(1, 2), keepdims=True)
  span = maps.max(axis=(1, 2), keepdims=True) - low
  return (maps - low) / jnp.where(span > 0, span, 1.0)


def upsample(
  maps: Float[Array, "b h w"], size: Sequence[int]
) -> Float[Array, "b H W"]:
  """Bilinear interpolation of maps to the size of the image.

  Args:
    maps: [b h w], any float type.
    size: (H, W); pixel centres are at half integers.

  Returns:
    [b H W] float32.

  Source: Selvaraju et al. 2016, arXiv:1610.02391.
  Differs: nothing known.

  >>> print(upsample(jnp.array([[[0.0, 1.0]]]), (1, 4))[0])
  [[0.   0.25 0.75 1.  ]]
  """
  shape = (maps.shape[0], *size)
  return jax.image.resize(maps.astype(jnp.float32), shape, "bilinear")


def combine_maps(
  maps: Sequence[Float[Array, "b _ _"]],
  *,
  size: Sequence[int],
  weights: Sequence[float] | None = None,
) -> Float[Array, "b H W"]:
  """Product of maps of several layers: prod_l s(up(m_l))^(w_l).

  s scales to [0, 1] after the bilinear upsampling.

  Args:
    maps: one [b h_l w_l] a layer.
    size: (H, W) of the result.
    weights: w_l >= 0, one a layer; None: 1 / layers, the geometric mean.

  Returns:
    [b H W] float32 in [0, 1].

  Raises:
    ValueError: no map, or another number of weights than of maps.

  Source: Rebuffi et al. 2020, arXiv:2004.02866 (combining layers).
  Differs: the official code's weights are 1; the order of pixels is the same.

  >>> a, b = jnp.array([[[0.0, 1.0, 1.0]]]), jnp.array([[[2.0, 2.0, 4.0]]])
  >>> print(combine_maps([a, b], size=(1, 3))[0])
  [[0. 0. 1.]]
  """
  weights = [1 / max(1, len(maps))] * len(maps) if weights is None else weights
  if not maps or len(weights) != len(maps):
    raise ValueError(
      f"weights must be one for each of at least one map, got {len(weights)} "
      f"for {len(maps)}."
    )
  product = 1.0
  for m, weight in zip(maps, weights, strict=True):
    product = product * normalize_map(upsample(m, size)) ** weight
  return product
