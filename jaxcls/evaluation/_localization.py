"""How well maps point at objects, and at what the score depends on."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def _inside(maps, boxes, margin=0):
  """Bool [b h w]: pixels within (top, left, bottom, right), ends excluded."""
  if maps.ndim != 3 or boxes.shape != (maps.shape[0], 4):
    raise ValueError(
      "maps and boxes must have shapes [b h w] and [b 4], got "
      f"{maps.shape} and {boxes.shape}."
    )
  top, left, bottom, right = (boxes[:, i, None, None] for i in range(4))
  y = jnp.arange(maps.shape[1])[:, None]
  x = jnp.arange(maps.shape[2])[None]
  rows = (y >= top - margin) & (y < bottom + margin)
  return rows & (x >= left - margin) & (x < right + margin)


def pointing_game(
  maps: Float[Array, "b h w"],
  boxes: Int[Array, "b 4"],
  *,
  tolerance: int = 0,
) -> Float[Array, " b"]:
  """1 where a map's largest value lies in the box, else 0.

  Args:
    maps: [b h w], of the image's size.
    boxes: [b 4] pixels (top, left, bottom, right), ends excluded.
    tolerance: pixels by which the box grows on each side.

  Returns:
    [b] float32; among equal largest values the first in reading order counts.

  Raises:
    ValueError: shapes do not match.

  Source: Zhang et al. 2016, arXiv:1608.00507 (tolerance 15 there).
  Differs: the mean is over examples, not over classes.

  >>> maps = jnp.zeros((1, 2, 2)).at[0, 1, 0].set(1.0)
  >>> print(pointing_game(maps, jnp.array([[1, 0, 2, 1]])))
  [1.]
  """
  inside = _inside(maps, boxes, tolerance).reshape(maps.shape[0], -1)
  place = maps.reshape(maps.shape[0], -1).argmax(axis=1)
  hit = jnp.take_along_axis(inside, place[:, None], axis=1)[:, 0]
  return hit.astype(jnp.float32)


def mass_inside(
  maps: Float[Array, "b h w"], boxes: Int[Array, "b 4"]
) -> Float[Array, " b"]:
  """Share of a map's positive mass that lies in the box.

  Args:
    maps: [b h w], of the image's size; negative values count as 0.
    boxes: [b 4] pixels (top, left, bottom, right), ends excluded.

  Returns:
    [b] float32 in [0, 1]; nan where the map has no positive value.

  Raises:
    ValueError: shapes do not match.

  Source: no paper (known as energy-based pointing game, arXiv:1910.01279).
  Differs: nothing known.

  >>> print(mass_inside(jnp.ones((1, 2, 2)), jnp.array([[0, 0, 1, 1]])))
  [0.25]
  """
  positive = jnp.maximum(maps.astype(jnp.float32), 0.0)
  held = jnp.where(_inside(maps, boxes), positive, 0.0).sum(axis=(1, 2))
  return held / positive.sum(axis=(1, 2))


def localization_iou(
  maps: Float[Array, "b h w"],
  boxes: Int[Array, "b 4"],
  *,
  threshold: float = 0.15,
) -> Float[Array, " b"]:
  """Overlap of the box with that around the map's largest bright region.

  Pixels of at least threshold * max are kept; the box is put around their
  largest region connected by sides and corners.

  Args:
    maps: [b h w], of the image's size.
    boxes: [b 4] pixels (top, left, bottom, right), ends excluded.
    threshold: share of the map's maximum, in (0, 1].

  Returns:
    [b] float32 in [0, 1], intersection over union; 0 without positive pixel.

  Raises:
    ValueError: shapes do not match or threshold is outside (0, 1].

  Source: Selvaraju et al. 2016, arXiv:1610.02391.
  Differs: nothing known.

  >>> maps = jnp.array([[[1.0, 1.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0]]])
  >>> print(localization_iou(maps, jnp.array([[0, 0, 2, 2]])))
  [0.5]
  """
  if not 0 < threshold <= 1:
    raise ValueError(f"threshold must be in (0, 1], got {threshold}.")
  inside = _inside(maps, boxes)
  top = maps.max(axis=(1, 2), keepdims=True)
  region = _largest_region((maps >= threshold * top) & (top > 0))
  rows, columns = region.any(axis=2), region.any(axis=1)
  around = _span(rows)[:, :, None] & _span(columns)[:, None]
  both = (around & inside).sum(axis=(1, 2), dtype=jnp.float32)
  return both / jnp.maximum((around | inside).sum(axis=(1, 2)), 1)


def _span(used):
  """[b n] bool: from the first to the last True, both included."""
  before = jnp.cumsum(used, axis=1) > 0
  after = jnp.cumsum(used[:, ::-1], axis=1)[:, ::-1] > 0
  return before & after


def _largest_region(kept):
  """Largest connected region (8 neighbours) of each bool [b h w]."""
  b, h, w = kept.shape
  ids = jnp.where(kept, 1 + jnp.arange(h * w).reshape(h, w), 0)

  def spread(pair):
    old, _ = pair
    window = (1, 3, 3)
    new = jax.lax.reduce_window(old, 0, jax.lax.max, window, (1, 1, 1), "SAME")
    new = jnp.where(kept, new, 0)
    return new, (new != old).any()

  ids, _ = jax.lax.while_loop(lambda p: p[1], spread, (ids, kept.any()))
  flat = ids.reshape(b, -1)
  count = lambda row: jnp.zeros(h * w + 1, jnp.int32).at[row].add(1)
  sizes = jax.vmap(count)(flat).at[:, 0].set(0)
  return kept & (ids == sizes.argmax(axis=1)[:, None, None])


def _correlation(a, b):
  """Pearson correlation of each pair of maps; nan where one is constant."""
  a, b = (m.reshape(m.shape[0], -1).astype(jnp.float32) for m in (a, b))
  a, b = (m - m.mean(axis=1, keepdims=True) for m in (a, b))
  norms = jnp.linalg.norm(a, axis=1) * jnp.linalg.norm(b, axis=1)
  cosine = (a * b).sum(axis=1) / jnp.where(norms > 0, norms, 1.0)
  return jnp.where(norms > 0, cosine, jnp.nan)


def class_sensitivity(
  top_maps: Float[Array, "b h w"], lowest_maps: Float[Array, "b h w"]
) -> Float[Array, " b"]:
  """Correlation of the maps for the highest- and the lowest-scored class.

  Near 0 is wanted: the map then depends on the class.

  Args:
    top_maps: [b h w], maps for the class of the highest score.
    lowest_maps: [b h w], for that of the lowest.

  Returns:
    [b] float32 in [-1, 1]; nan where a map is constant.

  Source: Rebuffi et al. 2020, arXiv:2004.02866.
  Differs: nothing known.

  >>> maps = jnp.array([[[0.0, 1.0]]])
  >>> print(class_sensitivity(maps, 2 - maps).round(3))
  [-1.]
  """
  return _correlation(top_maps, lowest_maps)


def randomization_sensitivity(
  maps: Float[Array, "b h w"], randomized_maps: Float[Array, "b h w"]
) -> Float[Array, " b"]:
  """Correlation of the maps with those of the model with shuffled weights.

  Near 0 is wanted: the map then depends on what was learnt.

  Args:
    maps: [b h w].
    randomized_maps: [b h w], with the entries of every weight shuffled.

  Returns:
    [b] float32 in [-1, 1]; nan where a map is constant.

  Source: Adebayo et al. 2018, arXiv:1810.03292 (all layers at once).
  Differs: weights are shuffled, not initialised anew; Pearson correlation.

  >>> maps = jnp.array([[[0.0, 1.0]]])
  >>> print(randomization_sensitivity(maps, maps).round(3))
  [1.]
  """
  return _correlation(maps, randomized_maps)


def deletion_area(
  maps: Float[Array, "b h w"],
  images: Float[Array, "b h w c"],
  score: Callable,
  *,
  num_steps: int = 16,
  baseline: float = 0.0,
) -> Float[Array, " b"]:
  """Area under the score while pixels vanish, the map's largest first.

  Small is good: the map found what the score rests on.

  Args:
    maps: [b h w].
    images: [b h w c] as the model takes them.
    score: images -> [b], such as the probability of the class.
    num_steps: steps in which all pixels go; the score is taken 1 + num_steps
      times.
    baseline: what a pixel becomes, in the images' scale.

  Returns:
    [b] float32, trapezoidal rule over the share of pixels.

  Raises:
    ValueError: num_steps < 1.

  Source: Petsiuk et al. 2018, arXiv:1806.07421.
  Differs: nothing known.

  >>> maps = jnp.array([[[1.0, 0.0]]])
  >>> score = lambda x: x[:, 0, 0, 0]
  >>> print(deletion_area(maps, jnp.ones((1, 1, 2, 1)), score, num_steps=2))
  [0.25]
  """
  return _area(maps, images, score, num_steps, baseline, delete=True)


def insertion_area(
  maps: Float[Array, "b h w"],
  images: Float[Array, "b h w c"],
  score: Callable,
  *,
  num_steps: int = 16,
  baseline: float = 0.0,
) -> Float[Array, " b"]:
  """Area under the score while pixels appear, the map's largest first.

  Large is good.

  Args:
    maps: [b h w].
    images: [b h w c] as the model takes them.
    score: images -> [b], such as the probability of the class.
    num_steps: steps in which all pixels come.
    baseline: what a pixel is before, in the images' scale.

  Returns:
    [b] float32, trapezoidal rule over the share of pixels.

  Raises:
    ValueError: num_steps < 1.

  Source: Petsiuk et al. 2018, arXiv:1806.07421.
  Differs: starts from a constant; the paper from a blurred image.

  >>> maps = jnp.array([[[1.0, 0.0]]])
  >>> score = lambda x: x[:, 0, 0, 0]
  >>> print(insertion_area(maps, jnp.ones((1, 1, 2, 1)), score, num_steps=2))
  [0.75]
  """
  return _area(maps, images, score, num_steps, baseline, delete=False)


def _area(maps, images, score, num_steps, baseline, *, delete):
  """Area under the score of images of which a growing share is changed."""
  if num_steps < 1:
    raise ValueError(f"num_steps must be at least 1, got {num_steps}.")
  flat = maps.reshape(maps.shape[0], -1)
  rank = jnp.argsort(jnp.argsort(-flat, axis=1), axis=1).reshape(maps.shape)

  def at(share):
    chosen = (rank < jnp.round(share * flat.shape[1]))[..., None]
    return score(jnp.where(chosen != delete, images, baseline))

  values = jax.lax.map(at, jnp.linspace(0.0, 1.0, num_steps + 1))
  values = values.astype(jnp.float32)
  return (values[1:] + values[:-1]).sum(axis=0) / (2 * num_steps)
