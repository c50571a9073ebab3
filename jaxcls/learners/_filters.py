"""A first layer that starts from the data."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxcls import _lookup, models


def find_filters(section: Mapping[str, Any]) -> tuple[Callable, dict]:
  """The function that makes the filters, and where they go.

  Args:
    section: `name` (random_filters, gabor_filters, pca_filters, ... of
      `jaxcls.models`) and its hyperparameters; `path` of the kernel
      [kh kw c f], "convs/0/kernel" if not given; `num_patches` and
      `num_images` that they are drawn from.

  Raises:
    ConfigError or ValueError: an unknown name or field.
  """
  section = dict(section)
  place = {
    "path": section.pop("path", "convs/0/kernel"),
    "num_patches": section.pop("num_patches", 10_000),
    "num_images": section.pop("num_images", 1000),
  }
  for name in ("num_patches", "num_images"):
    if place[name] < 1:
      raise ValueError(
        f"learner.filters.{name} must be at least 1, got {place[name]}."
      )
  supplied = ("patches", "num_filters", "key")
  make = _lookup.bind(
    section, models, field="learner.filters", supplied=supplied
  )
  return make, place


def set_filters(make: Callable, place: Mapping, state: Any, context: Any):
  """State whose kernel at place["path"] was made from the first stream.

  Patches are of the preprocessed images, without augmentation; the optimiser
  starts afresh. Labels are not looked at.

  Args:
    make: f(patches, num_filters=, key=) -> [kh kw c f].
    place: path, num_patches, num_images.
    state: at the start of the run.
    context: of start_stage.

  Raises:
    ValueError: no such kernel, or the stream has no images of its channels.
  """
  path = place["path"]
  if path not in state.params or state.params[path].ndim != 4:
    raise ValueError(
      "learner.filters.path must name a kernel [kh kw c f] of the model, got "
      f"{path!r}.{_lookup.nearest(path, state.params)}"
    )
  kernel = state.params[path]
  stream = next(iter(context.stage.streams.values()))
  ids = stream.source.ids[: place["num_images"]]
  batch = stream.transform(stream.source.fetch(ids))
  if "image" not in batch or batch["image"].shape[-1] != kernel.shape[2]:
    raise ValueError(
      f"learner.filters needs images of {kernel.shape[2]} channels."
    )

  @jax.jit
  def fitted(images, key):
    cut, draw = jax.random.split(key)
    patches = models.image_patches(
      images, kernel_size=kernel.shape[:2], num_patches=place["num_patches"],
      key=cut,
    )  # fmt: skip
    return make(patches, num_filters=kernel.shape[3], key=draw)

  new = jnp.asarray(fitted(batch["image"], context.key), kernel.dtype)
  state = state.replace(params={**state.params, path: new})
  return state.replace(opt_state=state.tx.init(state.trained()))
