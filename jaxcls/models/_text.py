"""Prompts over a small vocabulary, and the transformer that reads them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxcls import _lookup, data
from jaxcls.models import _init, _layers, _vit

# Words before the attributes and the objects in the vocabulary.
_FIXED = ("blank", "a", "photo", "of", "and", "end")
_BLANK, _A, _PHOTO, _OF, _AND, _END = range(len(_FIXED))
SOFT = (None, "words", "prefix")


def prompt_ids(prompts: Mapping[str, Any]) -> np.ndarray:
  """Word ids [c t] of "a photo of <attribute> <object> (and ...) <end>".

  Word 0 is the blank; the attributes are 6, 7, ..., after them the objects.
  With patterns "a photo of <attribute> <pattern> <object> <end>", a blank where
  a class has none; their words stand between those of attributes and objects.

  Args:
    prompts: the arguments of `data.pair_classes`.

  >>> prompt_ids(dict(num_attributes=2, num_objects=3))[0].tolist()
  [1, 2, 3, 6, 8, 5]
  >>> more = dict(num_attributes=2, num_objects=3, num_patterns=1)
  >>> [" ".join(map(str, prompt_ids(more)[i])) for i in (0, 6, 9)]
  ['1 2 3 6 0 9 5', '1 2 3 0 8 9 5', '1 2 3 6 8 9 5']
  """
  _lookup.check_fields(prompts, data.pair_classes, field="model.prompts")
  classes = data.pair_classes(**prompts)
  none = classes < 0
  first = [0, prompts["num_attributes"]]
  if prompts.get("num_patterns"):
    first += [first[1] + prompts["num_patterns"]]
  classes = np.where(none, _BLANK, classes + len(_FIXED) + np.array(first))
  c, m, _ = classes.shape
  column = lambda word: np.full((c, 1), word)
  parts = [column(_A), column(_PHOTO), column(_OF), classes[:, 0]]
  parts += [x for i in range(1, m) for x in (column(_AND), classes[:, i])]
  return np.concatenate([*parts, column(_END)], axis=1)


def check_prompts(prompts: Mapping[str, Any], num_classes: int) -> None:
  """Raises ValueError unless the prompts name as many classes as there are."""
  named = len(prompt_ids(prompts))
  if named != num_classes:
    raise ValueError(
      f"model.prompts must name the {num_classes} classes of the data, got "
      f"{named}."
    )


def blank_words(ids: jax.Array, key: jax.Array, rate: float) -> jax.Array:
  """Replaces attributes and objects [b t] by the blank with a probability."""
  hidden = jax.random.bernoulli(key, rate, ids.shape) & (ids >= len(_FIXED))
  return jnp.where(hidden, _BLANK, ids)


class TextTower(nnx.Module):
  """Word and position embeddings, pre-norm blocks, the last word projected.

  Source: Radford et al. 2021, arXiv:2103.00020, sec. 2.4.
  Differs: attention looks both ways.
  """

  def __init__(self, prompts, size, embed_dim, soft, soft_dropout, dtype, rngs):
    """Draws the weights; `size` is (width, depth, heads)."""
    width, depth, heads = size
    # Tuples: an array would be taken for a weight.
    self.ids = tuple(map(tuple, prompt_ids(prompts).tolist()))
    kinds = ("num_attributes", "num_patterns", "num_objects")
    num_words = len(_FIXED) + sum(prompts.get(kind, 0) for kind in kinds)
    param = lambda n, std: nnx.Param(
      _init.normal(std)(rngs.params(), (n, width))
    )
    self.words = param(num_words, 0.02)
    self.positions = param(len(self.ids[0]), 0.01)
    own = num_words - len(_FIXED)
    self.soft_words = param(own, 0.02) if soft == "words" else None
    self.soft_prefix = param(_OF, 0.02) if soft == "prefix" else None
    self.soft_dropout = _layers.Dropout(soft_dropout)
    self.depth = depth
    for i in range(depth):
      block = _vit._Block(width, heads, 0.0, 0.0, "none", dtype, rngs)
      setattr(self, f"block{i}", block)
    self.norm = _layers.make_norm("layer", rngs=rngs, dtype=dtype)(width)
    self.out = _layers.linear(
      width, embed_dim, rngs=rngs, dtype=dtype, use_bias=False
    )
    self.dtype = dtype

  def __call__(self, *, key, tap):
    """Embeddings [c embed_dim] of the prompts, or of tapped ids [m t]."""
    ids = tap("captions", jnp.asarray(self.ids))
    words = self.words.get_value()
    if self.soft_words is not None:
      own = self.soft_dropout(self.soft_words.get_value(), key)
      words = jnp.concatenate([words[: len(_FIXED)], own])
    x = words[ids]
    if self.soft_prefix is not None:
      own = self.soft_dropout(self.soft_prefix.get_value(), key)
      own = jnp.broadcast_to(own, (x.shape[0], *own.shape))
      x = jnp.concatenate([own, x[:, _OF:]], axis=1)
    x = tap("words", x + self.positions.get_value()).astype(self.dtype)
    for i in range(self.depth):
      x = getattr(self, f"block{i}")(x, None)
    return self.out(self.norm(x)[:, -1])


def init_soft_prompt(params: dict[str, jax.Array]) -> dict[str, jax.Array]:
  """Starts the learned vectors of a `two_tower` at its own words.

  Args:
    params: flat dict with "text/words" and maybe "text/soft_words" or
      "text/soft_prefix" (the words "a photo of").

  Returns:
    A new flat dict.
  """
  words, out = params["text/words"], dict(params)
  if "text/soft_words" in params:
    out["text/soft_words"] = words[len(_FIXED) :]
  if "text/soft_prefix" in params:
    out["text/soft_prefix"] = words[_A : _OF + 1]
  return out
