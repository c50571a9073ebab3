"""An image and a text tower in one space: CLIP."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcls import _lookup, ops
from jaxcls.models import _convnet, _init, _layers, _net, _resnet, _text, _vit

_IMAGE_TOWERS = {
  "convnet": _convnet.convnet, "resnet": _resnet.resnet, "vit": _vit.vit,
}  # fmt: skip


class _Adapter(nnx.Module):
  """What is trained is called soft, as the vectors of the text tower are."""

  def __init__(self, width, ratio, rngs):
    bias = dict(rngs=rngs, dtype=jnp.float32, use_bias=False)
    self.soft_down = _layers.linear(width, max(1, width // 4), **bias)
    self.soft_up = _layers.linear(max(1, width // 4), width, **bias)
    self.ratio = ratio

  def __call__(self, x):
    own = nnx.relu(self.soft_up(nnx.relu(self.soft_down(x))))
    return ops.unit_norm(self.ratio * own + (1 - self.ratio) * x)


class _TwoTower(nnx.Module):
  def __init__(
    self, make_image, image_width, embed_dim, text, adapter, dtype, rngs
  ):
    self.image = make_image(rngs)
    self.project = _layers.linear(
      image_width, embed_dim, rngs=rngs, dtype=dtype, use_bias=False
    )
    self.text = _text.TextTower(
      **text, embed_dim=embed_dim, dtype=dtype, rngs=rngs
    )
    self.adapter = (
      None if adapter is None else _Adapter(embed_dim, adapter, rngs)
    )
    # CLIP's first temperature is 0.07.
    scale = _init.constant(math.log(1 / 0.07))(rngs.params(), ())
    self.logit_scale = nnx.Param(scale)

  def __call__(self, x, *, key, tap):
    keys = (None, None) if key is None else jax.random.split(key)
    maps = self.image(x, key=keys[0], tap=tap)["features"]
    features = ops.unit_norm(self.project(maps))
    if self.adapter is not None:
      features = self.adapter(features)
    features = tap("head", features)
    text = ops.unit_norm(self.text(key=keys[1], tap=tap))
    scale = jnp.exp(jnp.minimum(self.logit_scale.get_value(), math.log(100)))
    return {
      "features": features,
      "logits": scale * features @ text.T,
      "text": text,
      "scale": scale,
    }


def two_tower(
  *,
  num_classes: int,
  input_shape: Sequence[int],
  prompts: Mapping[str, Any],
  image: Mapping[str, Any],
  embed_dim: int = 64,
  text_width: int = 64,
  text_depth: int = 2,
  text_heads: int = 2,
  soft: str | None = None,
  soft_dropout: float = 0.0,
  adapter_ratio: float = 0.2,
  dtype: str = "float32",
) -> _net.Net:
  """CLIP over "a photo of <attribute> <object>", a small vocabulary.

  logits = exp(min(logit_scale, log 100)) cos(image, text of class c).

  Args:
    num_classes: width of `logits`, the classes of `prompts`.
    input_shape: (h, w, channels).
    prompts: arguments of `data.pair_classes`: what each class is called.
    image: section of the image tower: name convnet, resnet or vit and its
      settings; its features are projected.
    embed_dim: width of the common space.
    text_width: width of the text tower; likewise `text_depth`, `text_heads`.
    text_depth: number of blocks.
    text_heads: attention heads.
    soft: None; "words": learned vectors take the place of all attributes and
      objects (CSP), path "text/soft_words"; "prefix": of "a photo of" (CoOp),
      path "text/soft_prefix". See `init_soft_prompt`. "adapter": a residual
      bottleneck on the image features, paths "adapter/soft_..." (CLIP-Adapter).
    soft_dropout: probability of dropping a number of those vectors.
    adapter_ratio: r in [0, 1]: features are r A(f) + (1 - r) f, at unit length.
    dtype: compute dtype; parameters stay float32.

  Returns:
    A Net with unit `features` [b d], `logits` [b c], unit `text` [c d] and
    `scale` []. Taps are those of the image tower, then "captions" (word ids [c
    t]: replace them to embed other captions) and "words" [c t width].

  Raises:
    ValueError: unknown image tower or setting; the prompts do not name
      num_classes classes; adapter_ratio is outside [0, 1].

  Source: Radford et al. 2021, arXiv:2103.00020; soft words: Nayak et al.
    2022, arXiv:2204.03574; soft prefix: Zhou et al. 2021, arXiv:2109.01134;
    adapter: Gao et al. 2021, arXiv:2110.04544.
  Differs: attention of the text tower looks both ways; the adapter reads unit
    features.
  """
  _text.check_prompts(prompts, num_classes)
  if soft not in (*_text.SOFT, "adapter"):
    known = (*_text.SOFT, "adapter")
    raise ValueError(f"soft must be one of {known}, got {soft!r}.")
  if not 0 <= adapter_ratio <= 1:
    raise ValueError(f"adapter_ratio must be in [0, 1], got {adapter_ratio}.")
  section = dict(image)
  name = section.pop("name", None)
  if name not in _IMAGE_TOWERS:
    raise ValueError(
      f"model.image.name must be an image model, got {name!r}."
      f"{_lookup.nearest(name, _IMAGE_TOWERS)}"
    )
  make = _IMAGE_TOWERS[name]
  section = {"dtype": dtype, **section}
  supplied = ("num_classes", "input_shape")
  _lookup.check_fields(section, make, field="model.image", supplied=supplied)
  tower = make(num_classes=1, input_shape=input_shape, **section)
  x = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
  out = jax.eval_shape(
    lambda p, s, x: tower(p, s, x)[0], tower.param_shapes, tower.stats_shapes, x
  )
  text = dict(
    prompts=dict(prompts), size=(text_width, text_depth, text_heads),
    soft=soft, soft_dropout=soft_dropout,
  )  # fmt: skip
  build = lambda rngs: _TwoTower(
    tower.make, out["features"].shape[-1], embed_dim, text,
    adapter_ratio if soft == "adapter" else None,
    _layers.as_dtype(dtype), rngs,
  )  # fmt: skip
  return _net.Net(build, num_classes=num_classes, input_shape=input_shape)
