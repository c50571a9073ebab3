"""A config's explanations: saliency methods measured on a set of examples."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcls import _lookup, data, explain

# What a metric of maps may ask for by the name of its argument.
MAP_INPUTS = (
  "maps", "top_maps", "lowest_maps", "randomized_maps", "boxes", "images",
  "score",
)  # fmt: skip
FIELDS = ("methods", "metrics", "splits", "num_examples")


def explanation_key(section: str | Mapping[str, Any]) -> str:
  """Short name of a method or metric with its settings.

  Names stand alone, numbers as name=value, sorted by setting.

  >>> explanation_key(dict(name="grad_cam", layer="stage2"))
  'grad_cam(stage2)'
  >>> explanation_key(dict(name="meta_saliency", method="cam", epsilon=0.01))
  'meta_saliency(epsilon=0.01, cam)'
  """
  if isinstance(section, str):
    return section
  parts = []
  for key, value in sorted(section.items()):
    if isinstance(value, str | Mapping) and key != "name":
      parts.append(explanation_key(value))
    elif isinstance(value, Sequence) and all(isinstance(v, str) for v in value):
      parts += ["+".join(value)] if key != "name" else []
    else:
      parts.append(f"{key}={value}")
  return f"{section['name']}({', '.join(parts)})" if parts else section["name"]


def make_explainer(
  net: Callable, section: Mapping[str, Any]
) -> Callable[[Any, Any, Mapping[str, jax.Array]], dict[str, jax.Array]]:
  """Builds the function that explains a batch and measures the maps.

  Args:
    net: the model, as `models.Net`.
    section: `methods`, names or mappings of functions of jaxcls.explain, and
      `metrics`, of functions of jaxcls.evaluation that take some of
      MAP_INPUTS. A metric's `boxes` names the column that holds them ("box").
      What a map explains is the example's label. `splits` and `num_examples`
      are the caller's.

  Returns:
    f(params, stats, batch) -> {"pointing_game/grad_cam(stage2)": [b] float32};
    `batch` is transformed; boxes are in pixels of its images. A metric of
    boxes is left out where the batch has no such column.

  Raises:
    ValueError: an unknown field, name or setting; it is named.
  """
  field = "evaluation.explanations"
  for key in section:
    if key not in FIELDS:
      raise ValueError(
        f"{field}.{key} must be one of its fields, got an unknown name."
        f"{_lookup.nearest(key, FIELDS)}"
      )
  methods = {
    explanation_key(m): _lookup.bind(
      m, explain, field=f"{field}.methods[{i}]", supplied=explain.METHOD_INPUTS
    )
    for i, m in enumerate(section["methods"])
  }
  metrics = {
    explanation_key(m): _bind_metric(m, f"{field}.metrics[{i}]")
    for i, m in enumerate(section["metrics"])
  }

  def explain_batch(params, stats, batch):
    found = {}
    for name, method in methods.items():
      inputs = _Inputs(net, params, stats, batch, method)
      for metric, (function, wanted, column) in metrics.items():
        if "boxes" in wanted and column not in batch:
          continue
        given = {key: inputs.get(key, column) for key in wanted}
        found[f"{metric}/{name}"] = function(**given)
    return found

  return explain_batch


def _bind_metric(section, field):
  """The function, which of MAP_INPUTS it takes and the column of its boxes."""
  from jaxcls import evaluation  # not at import: it imports this file

  section = {"name": section} if isinstance(section, str) else dict(section)
  column = section.pop("boxes", "box")
  name = section.get("name", "")
  target = _lookup.find(name, evaluation, field=f"{field}.name")
  wanted = [k for k in _lookup.parameters(target) if k in MAP_INPUTS]
  if not any(k.endswith("maps") for k in wanted):
    raise ValueError(
      f"{field}.name must be a metric of maps, got {name!r}, which takes none "
      f"of {MAP_INPUTS[:4]}."
    )
  function = _lookup.bind(section, evaluation, field=field, supplied=wanted)
  return function, wanted, column


class _Inputs:
  """What metrics ask for, computed once, and only if asked for."""

  def __init__(self, net, params, stats, batch, method):
    self.net, self.params, self.stats = net, params, stats
    self.batch, self.method = batch, method
    self.images = data.inputs(batch)
    self.labels = jnp.maximum(batch["label"], 0)
    self.made = {}

  def get(self, key, column):
    """One of MAP_INPUTS."""
    if key == "boxes":
      return self.batch[column]
    if key in ("images", "score"):
      return getattr(self, key)
    if key not in self.made:
      self.made[key] = self.maps(key)
    return self.made[key]

  def maps(self, key):
    """Maps of the image's size for the label or another class."""
    params, classes = self.params, self.labels
    if key in ("top_maps", "lowest_maps"):
      logits = self.net(params, self.stats, self.images)[0]["logits"]
      choose = jnp.argmax if key == "top_maps" else jnp.argmin
      classes = choose(logits, axis=-1)
    elif key == "randomized_maps":
      params = _shuffle(params)
    maps = self.method(self.net, params, self.stats, self.images, classes)
    return explain.upsample(maps, self.images.shape[1:3])

  def score(self, images):
    """Probability of the label."""
    logits = self.net(self.params, self.stats, images)[0]["logits"]
    probs = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    return jnp.take_along_axis(probs, self.labels[:, None], axis=-1)[:, 0]


def _shuffle(params):
  """Every weight's entries in another order; a fixed one."""
  shuffle = lambda i, x: jax.random.permutation(
    jax.random.fold_in(jax.random.key(0), i), x.reshape(-1)
  ).reshape(x.shape)
  return {k: shuffle(i, params[k]) for i, k in enumerate(sorted(params))}
