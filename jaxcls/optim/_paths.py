"""What depends on a parameter's path: masks and layer-wise scales."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import jax
import optax


def _path(keys) -> str:
  return jax.tree_util.keystr(keys, simple=True, separator="/")


def path_mask(pattern: str) -> Callable[[Any], Any]:
  """A mask for optax: True where a parameter's path matches.

  For `mask` of `optax.adamw`, `optax.add_decayed_weights`, `optax.masked`,
  `lion`. In a config `optimizer.decay_pattern` is such a pattern.

  Args:
    pattern: regular expression, searched in paths joined by "/"; a flat dict
      of paths and nested dicts or lists give the same. "kernel" spares
      biases, norms and embeddings.

  Returns:
    f(params) -> pytree of bool with their structure.

  Source: the usual PyTorch recipe of two parameter groups.
  Differs: chosen by name, not by rank.

  >>> path_mask("kernel")({"head/bias": 0.0, "head": {"kernel": 1.0}})
  {'head': {'kernel': True}, 'head/bias': False}
  """
  matches = re.compile(pattern).search
  return lambda params: jax.tree_util.tree_map_with_path(
    lambda keys, _: bool(matches(_path(keys))), params
  )


# The numbered parts of the models here: vit, resnets, convnet, mlp.
_LAYERS = r"(?:block|stages/|layers/|convs/|norms/)(\d+)(?:/(\d+))?"
_INPUT = r"(?:^|/)(?:stem|stem_norm|positions|cls|prompt|words)\b"


def layer_scales(
  paths: Iterable[str],
  *,
  decay: float,
  layer_pattern: str = _LAYERS,
  input_pattern: str = _INPUT,
) -> dict[str, float]:
  """Learning-rate multiplier of every path, smaller towards the input.

  scale = decay^(L + 1 - l): the input's embedding is layer l = 0, the L
  numbered layers found are l = 1 ... L, all the rest (last norm, heads) is
  l = L + 1 with scale 1.

  Args:
    paths: names of all the parameters, joined by "/".
    decay: in (0, 1]; 1 scales nothing. BEiT fine-tunes with 0.65 to 0.75.
    layer_pattern: regular expression whose groups are the layer's number, or
      numbers (stage, block), compared from the left.
    input_pattern: regular expression of the embedding's paths; tried first.

  Returns:
    {path: scale}, each in (0, 1].

  Raises:
    ValueError: decay outside (0, 1], or no path has a numbered layer.

  Source: Clark et al. 2020, arXiv:2003.10555 (ELECTRA); layer numbers as in
    BEiT, Bao et al. 2022, arXiv:2106.08254.
  Differs: L is the number of distinct layers found, so that residual stages
    and plain stacks work as well.

  >>> paths = ["stem/kernel", "block0/kernel", "block1/kernel", "head/kernel"]
  >>> list(layer_scales(paths, decay=0.5).values())
  [0.125, 0.25, 0.5, 1.0]
  """
  if not 0 < decay <= 1:
    raise ValueError(f"decay must be in (0, 1], got {decay}.")
  paths = list(paths)
  numbers = {}
  for path in paths:
    hit = re.search(layer_pattern, path)
    if hit and not re.search(input_pattern, path):
      numbers[path] = tuple(int(g) for g in hit.groups() if g)
  order = sorted(set(numbers.values()))
  if not order:
    raise ValueError(
      f"layer_pattern must match some path, got {layer_pattern!r} and paths "
      f"such as {paths[:4]}."
    )
  depth = {number: i for i, number in enumerate(order, start=1)}

  def layer(path):
    if re.search(input_pattern, path):
      return 0
    return depth[numbers[path]] if path in numbers else len(order) + 1

  return {path: decay ** (len(order) + 1 - layer(path)) for path in paths}


def scale_by_layer(
  *,
  decay: float,
  layer_pattern: str = _LAYERS,
  input_pattern: str = _INPUT,
) -> optax.GradientTransformation:
  """Multiplies updates by `layer_scales`: layer-wise learning-rate decay.

  Chain it AFTER the optimiser: Adam and Lion forget the scale of what they
  are fed. In a config: `optimizer.update_transforms =
  (dict(name="scale_by_layer", decay=0.75),)`.

  Args:
    decay: see `layer_scales`, as are the patterns.
    layer_pattern: of the numbered layers.
    input_pattern: of the embedding.

  Returns:
    An optax transformation without state, for any pytree.

  Raises:
    ValueError: decay outside (0, 1]; at `update`, no numbered layer.

  Source: Clark et al. 2020, arXiv:2003.10555 (ELECTRA).
  Differs: decoupled weight decay is scaled with the learning rate it is
    multiplied by, as in BEiT's code.

  >>> import jax.numpy as jnp
  >>> tx = optax.chain(optax.sgd(1.0), scale_by_layer(decay=0.5))
  >>> grads = {"block0/kernel": jnp.ones(1), "head/kernel": jnp.ones(1)}
  >>> print(tx.update(grads, tx.init(grads))[0]["block0/kernel"])
  [-0.5]
  """
  if not 0 < decay <= 1:
    raise ValueError(f"decay must be in (0, 1], got {decay}.")

  def update(updates, params=None):
    del params
    leaves, _ = jax.tree_util.tree_flatten_with_path(updates)
    scales = layer_scales(
      [_path(keys) for keys, _ in leaves], decay=decay,
      layer_pattern=layer_pattern, input_pattern=input_pattern,
    )  # fmt: skip
    return jax.tree_util.tree_map_with_path(
      lambda keys, u: u * scales[_path(keys)], updates
    )

  return optax.stateless(update)
