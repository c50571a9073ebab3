"""The few layers that the models share."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import PartitionSpec as P

from jaxcls import ops, optim
from jaxcls.models import _init


def constrain_batch(x: jax.Array) -> jax.Array:
  """Keeps an activation split over the batch; without a mesh, nothing.

  Fully sharded parameters need it at block edges: XLA may otherwise gather
  the batch instead of the weights (266 GiB instead of 93 for a ViT-B).
  """
  axes = jax.sharding.get_abstract_mesh().axis_names
  axes = tuple(a for a in ("data", "fsdp") if a in axes)
  return jax.lax.with_sharding_constraint(x, P(axes)) if axes else x


def _promote(arrays, /, *, dtype):
  """Casts inputs and weights, then gathers the cast (smaller) weights."""
  cast = [None if a is None else jnp.asarray(a, dtype) for a in arrays]
  mesh = jax.sharding.get_abstract_mesh()
  if "fsdp" in mesh.axis_names and mesh.shape["fsdp"] > 1:
    gather = lambda w: jax.lax.with_sharding_constraint(w, P())
    cast[1:] = [None if w is None else gather(w) for w in cast[1:]]
  return tuple(cast)


def linear(
  d_in: int,
  d_out: int,
  *,
  rngs: nnx.Rngs,
  dtype: jnp.dtype,
  kernel_init: Callable | None = None,
  use_bias: bool = True,
  tract_ridge: float | None = None,
) -> nnx.Linear:
  """A dense layer with host initialisers and gathered weights.

  With `tract_ridge` its kernel's gradient is TrAct's (`optim.tract_gradient`).
  """
  kwargs = {}
  if tract_ridge is not None:
    kwargs["dot_general"] = optim.tract_dot_general(ridge=tract_ridge)
  return nnx.Linear(
    **kwargs,
    in_features=d_in,
    out_features=d_out,
    use_bias=use_bias,
    dtype=dtype,
    promote_dtype=_promote,
    kernel_init=kernel_init or _init.lecun_normal(),
    bias_init=_init.constant(0.0),
    rngs=rngs,
  )


def conv(
  d_in: int,
  d_out: int,
  size: int,
  stride: int = 1,
  *,
  rngs: nnx.Rngs,
  dtype: jnp.dtype,
  use_bias: bool = False,
  padding: str | Sequence = "SAME",
  tract_ridge: float | None = None,
  unfold: bool = False,
) -> nnx.Conv:
  """A square convolution with He initialisation, no bias by default."""
  kwargs = {}
  if unfold:
    kwargs["conv_general_dilated"] = _unfolded_conv
  if tract_ridge is not None:
    kwargs["conv_general_dilated"] = optim.tract_conv(ridge=tract_ridge)
  return nnx.Conv(
    **kwargs,
    in_features=d_in,
    out_features=d_out,
    kernel_size=(size, size),
    strides=(stride, stride),
    padding=padding,
    use_bias=use_bias,
    dtype=dtype,
    promote_dtype=_promote,
    kernel_init=_init.he_normal(),
    bias_init=_init.constant(0.0),
    rngs=rngs,
  )


def _unfolded_conv(x, kernel, strides, padding, **unused):
  """A convolution of odd size, stride 1 and padding "SAME" as one product.

  On CPU, XLA's convolutions and their gradients are slow inside loops and
  conditionals; matrix products are not (experiments/bench/unfold.py).
  """
  del strides, padding, unused
  h, w, size = *x.shape[1:3], kernel.shape[0]
  ends = (size // 2, size // 2)
  x = jnp.pad(x, ((0, 0), ends, ends, (0, 0)))
  shifts = [
    x[:, i : i + h, j : j + w] for i in range(size) for j in range(size)
  ]
  return jnp.concatenate(shifts, -1) @ kernel.reshape(-1, kernel.shape[-1])


def max_pool_2x2(x: jax.Array) -> jax.Array:
  """Maximum of every 2x2 square: [b h w c] -> [b h//2 w//2 c].

  Three elementwise maxima instead of a window reduction, whose gradient (a
  scatter) takes 26 times as long on CPU: 63 ms against 2.4 for [128 28 28 32].
  At a tie both inputs get a share of the gradient.
  """
  h, w = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
  x = x[:, :h, :w]
  rows = jnp.maximum(x[:, ::2], x[:, 1::2])
  return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])


def average_pool_2x2(x: jax.Array) -> jax.Array:
  """Mean of every 2x2 square: [b h w c] -> [b h//2 w//2 c]."""
  h, w = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
  x = x[:, :h, :w]
  rows = x[:, ::2] + x[:, 1::2]
  return (rows[:, :, ::2] + rows[:, :, 1::2]) / 4


def make_norm(
  name: str, *, rngs: nnx.Rngs, dtype: jnp.dtype
) -> Callable[..., nnx.Module]:
  """Returns `norm(width, scale=1.0)`: "batch", "group", "instance" or "layer".

  Batch normalisation under a sharded batch uses global statistics.

  Raises:
    ValueError: name is none of the four.
  """
  kwargs = dict(dtype=dtype, bias_init=_init.constant(0.0), rngs=rngs)
  if name == "batch":
    make = partial(nnx.BatchNorm, momentum=0.9, **kwargs)
  elif name == "group":
    make = lambda width, **kw: nnx.GroupNorm(
      width, num_groups=min(32, width), **kwargs, **kw
    )
  elif name == "instance":
    make = lambda width, **kw: nnx.GroupNorm(
      width, num_groups=width, **kwargs, **kw
    )
  elif name == "layer":
    make = partial(nnx.LayerNorm, epsilon=1e-6, **kwargs)
  else:
    raise ValueError(
      f"norm must be 'batch', 'group', 'instance' or 'layer', got {name!r}."
    )
  return lambda width, scale=1.0: make(width, scale_init=_init.constant(scale))


def head(
  width: int,
  num_classes: int,
  *,
  rngs: nnx.Rngs,
  kernel_init: Callable | str | None = None,
  cosine_scale: float | None = None,
) -> nnx.Module:
  """The output layer: zero kernel, so training starts at uniform logits.

  `kernel_init` is an initialiser, "zeros" or "lecun_normal". It computes in
  float32 whatever the body does. With `cosine_scale` it is a `CosineLinear`,
  which cannot start at zero.
  """
  if cosine_scale is not None:
    return CosineLinear(width, num_classes, scale=cosine_scale, rngs=rngs)
  named = {"zeros": _init.constant(0.0), "lecun_normal": _init.lecun_normal()}
  if isinstance(kernel_init, str) and kernel_init not in named:
    raise ValueError(
      f"head_init must be one of {', '.join(named)}, got {kernel_init!r}."
    )
  return linear(
    width,
    num_classes,
    rngs=rngs,
    dtype=jnp.float32,
    kernel_init=named.get(kernel_init or "zeros", kernel_init),
  )


class CosineLinear(nnx.Module):
  """scale * cos(x, w_c) for each column w_c of the kernel, in float32.

  Source: Gidaris & Komodakis 2018, arXiv:1804.09458.
  """

  def __init__(self, d_in: int, d_out: int, *, scale: float, rngs: nnx.Rngs):
    """Draws the columns.

    Args:
      d_in: width of x.
      d_out: number of columns, "prototypes".
      scale: > 0, an inverse temperature.
      rngs: of the initialisation.
    """
    self.kernel = nnx.Param(_init.lecun_normal()(rngs.params(), (d_in, d_out)))
    self.scale = scale

  def __call__(self, x: jax.Array) -> jax.Array:
    """[*b d_in] -> [*b d_out]."""
    kernel = ops.unit_norm(self.kernel.get_value(), axis=0)
    return self.scale * (ops.unit_norm(x) @ kernel)


class Dropout(nnx.Module):
  """Drops units, or whole examples' branches, with an explicit key."""

  def __init__(self, rate: float, *, per_example: bool = False):
    """Stores the rate.

    Args:
      rate: probability of a zero, in [0, 1).
      per_example: one draw an example (stochastic depth, Huang et al. 2016,
        arXiv:1603.09382) instead of one a unit.
    """
    if not 0 <= rate < 1:
      raise ValueError(f"dropout rate must be in [0, 1), got {rate}.")
    self.rate = rate
    self.per_example = per_example
    self.deterministic = False

  def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
    """Returns x with zeros, scaled by 1 / (1 - rate); eval mode returns x."""
    if self.deterministic or self.rate == 0:
      return x
    if key is None:
      raise ValueError(
        "key must be given when a model with dropout is trained, got None. "
        "Call net(..., train=True, key=key)."
      )
    shape = x.shape[:1] + (1,) * (x.ndim - 1) if self.per_example else x.shape
    keep = jax.random.bernoulli(key, 1 - self.rate, shape)
    return jnp.where(keep, x / (1 - self.rate), 0)


def classify(
  layer: nnx.Module,
  features: jax.Array,
  dropout: Dropout,
  samples: int,
  key: jax.Array | None,
) -> dict[str, jax.Array]:
  """Dropout and the output layer, `samples` times on the same features.

  In training with samples > 1 there is `sample_logits` [b samples c] too,
  one row for each independent mask, and `logits` is their mean.

  Source: Inoue 2019, arXiv:1905.09788 (Multi-Sample Dropout).
  """
  if samples == 1 or dropout.deterministic:
    return {"features": features, "logits": layer(dropout(features, key))}
  keys = jax.random.split(key, samples)
  # A flat batch: one matrix product for all the masks.
  dropped = jax.vmap(dropout, in_axes=(None, 0), out_axes=1)(features, keys)
  logits = layer(dropped)
  return {
    "features": features,
    "logits": logits.mean(axis=1),
    "sample_logits": logits,
  }


def as_dtype(name: str) -> jnp.dtype:
  """Returns the compute dtype of a config's string.

  Raises:
    ValueError: not "float32", "bfloat16" or "float16".
  """
  if name not in ("float32", "bfloat16", "float16"):
    raise ValueError(
      f"dtype must be 'float32', 'bfloat16' or 'float16', got {name!r}."
    )
  return jnp.dtype(name)
