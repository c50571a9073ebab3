"""Further heads on a model's features: projectors, predictors, prototypes."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcls import _lookup, ops
from jaxcls.models import _layers, _net


class _Head(nnx.Module):
  """Hidden layers with ReLU, then a linear or a cosine layer."""

  def __init__(
    self, d_in, width, hidden, norm, bias, cosine_scale, unit_norm, rngs
  ):
    widths = (d_in, *hidden)
    f32 = jnp.float32
    self.layers = nnx.List(
      [
        _layers.linear(a, b, rngs=rngs, dtype=f32)
        for a, b in zip(widths, widths[1:], strict=False)
      ]
    )
    make = norm and _layers.make_norm(norm, rngs=rngs, dtype=f32)
    self.norms = nnx.List([make(b) for b in hidden]) if norm else None
    self.unit_norm = unit_norm
    if cosine_scale is None:
      self.out = _layers.linear(
        widths[-1], width, rngs=rngs, dtype=f32, use_bias=bias
      )
    else:
      self.out = _layers.CosineLinear(
        widths[-1], width, scale=cosine_scale, rngs=rngs
      )

  def __call__(self, x, *, key, tap):
    del key, tap
    x = x.astype(jnp.float32)
    for i, layer in enumerate(self.layers):
      x = layer(x)
      x = jax.nn.relu(x if self.norms is None else self.norms[i](x))
    x = self.out(x)
    return {"out": ops.unit_norm(x) if self.unit_norm else x}


class HeadedNet:
  """A Net whose outputs have one more entry for each further head.

  A head on `tokens` or `maps` is applied to each of them.

  The parameters of a head are at "heads/<name>/..."; everything else is the
  net's own. Used as `Net` is.
  """

  def __init__(self, net: _net.Net, heads: Mapping[str, _net.Net], inputs):
    """Joins; see `add_heads`."""
    self.net, self.heads, self.inputs = net, heads, inputs
    self.num_classes, self.input_shape = net.num_classes, net.input_shape
    self.param_shapes = net.param_shapes | _prefixed(
      {name: head.param_shapes for name, head in heads.items()}
    )
    self.stats_shapes = net.stats_shapes | _prefixed(
      {name: head.stats_shapes for name, head in heads.items()}
    )

  def init(self, key: jax.Array):
    """Returns float32 (params, stats), each a flat dict keyed by path."""
    params, stats = self.net.init(key)
    for i, (name, head) in enumerate(self.heads.items()):
      own = head.init(jax.random.fold_in(key, 0x4EAD + i))
      params = params | _prefixed({name: own[0]})
      stats = stats | _prefixed({name: own[1]})
    return params, stats

  def __call__(
    self, params, stats, x, *, train=False, key=None, tap=_net.identity
  ):
    """Applies the model and its heads; see `Net.__call__`."""
    parts = lambda flat, name: {
      k.removeprefix(f"heads/{name}/"): v
      for k, v in flat.items()
      if k.startswith(f"heads/{name}/")
    }
    body = lambda flat: {
      k: v for k, v in flat.items() if not k.startswith("heads/")
    }
    outputs, new = self.net(
      body(params), body(stats), x, train=train, key=key, tap=tap
    )
    outputs, new = dict(outputs), dict(new)
    for name, head in self.heads.items():
      x = outputs[self.inputs[name]]
      own, moved = head(
        parts(params, name),
        parts(stats, name),
        x.reshape(-1, x.shape[-1]),
        train=train,
      )
      outputs[name] = own["out"].reshape(*x.shape[:-1], -1)
      new |= _prefixed({name: moved})
    return outputs, new


def _prefixed(trees: Mapping[str, Mapping]) -> dict:
  return {
    f"heads/{name}/{path}": leaf
    for name, tree in trees.items()
    for path, leaf in tree.items()
  }


def add_heads(
  net: _net.Net, heads: Mapping[str, Mapping[str, Any]]
) -> HeadedNet:
  """Adds named outputs: small networks on one of the model's outputs.

  Args:
    net: the model.
    heads: {output name: settings}; the settings are those of `head`.

  Returns:
    A net with the same inputs, and the outputs of `net` and of each head.

  Raises:
    ValueError: a name that the net has already, an unknown setting or input.

  >>> from jaxcls import models
  >>> net = models.mlp(num_classes=3, input_shape=(4,), hidden=(8,))
  >>> net = models.add_heads(net, {"projection": {"width": 5}})
  >>> params, stats = net.init(jax.random.key(0))
  >>> net(params, stats, jnp.ones((2, 4)))[0]["projection"].shape
  (2, 5)
  """
  x = jax.ShapeDtypeStruct((1, *net.input_shape), jnp.float32)
  shapes = jax.eval_shape(
    lambda p, s, x: net(p, s, x)[0], net.param_shapes, net.stats_shapes, x
  )
  made, inputs = {}, {}
  for name in _in_order(heads):
    field, section = f"model.heads.{name}", dict(heads[name])
    inputs[name] = section.pop("input", "features")
    if name in shapes or "/" in name:
      raise ValueError(
        f"{field} must be a new name without a slash; the model returns "
        f"{sorted(shapes)} itself."
      )
    known = {**shapes, **made}
    if inputs[name] not in known:
      raise ValueError(
        f"{field}.input must name an output, got {inputs[name]!r}."
        f"{_lookup.nearest(inputs[name], known)}"
      )
    source = known[inputs[name]]
    own = isinstance(source, _net.Net)
    d_in = source.num_classes if own else source.shape[-1]
    _lookup.check_fields(section, head, field=field, supplied=("d_in",))
    made[name] = head(d_in=d_in, **section)
  return HeadedNet(net, made, inputs)


def _in_order(heads) -> list[str]:
  """Names of the heads, each after the head that it reads.

  The order that a config gives is lost: ml_collections sorts keys.
  """
  ready, waiting = [], sorted(heads)
  while waiting:
    free = [
      name
      for name in waiting
      if heads[name].get("input", "features") not in waiting
    ]
    # What reads itself or nothing known is named by the caller.
    ready += free or waiting
    waiting = [name for name in waiting if name not in ready]
  return ready


def head(
  *,
  d_in: int,
  width: int,
  hidden: Sequence[int] = (),
  norm: str | None = None,
  bias: bool = True,
  cosine_scale: float | None = None,
  unit_norm: bool = False,
) -> _net.Net:
  """A small network on features [b d_in], in float32.

  Args:
    d_in: width of the input.
    width: width of the output.
    hidden: widths of layers with ReLU before it.
    norm: normalisation of the hidden layers: None, "batch" or "layer".
    bias: whether the last layer has one.
    cosine_scale: the last layer gives scale * cos(x, w_c) instead of a linear
      map; its kernel's columns are prototypes.
    unit_norm: divides the output by its norm.
  """
  make = lambda rngs: _Head(
    d_in, width, tuple(hidden), norm, bias, cosine_scale, unit_norm, rngs
  )
  return _net.Net(make, num_classes=width, input_shape=(d_in,))
