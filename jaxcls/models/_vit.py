"""Vision transformer by variant string."""

import re
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxcls import ops
from jaxcls.models import _init, _layers, _net

# width, depth, heads
_VARIANTS = {
  "mu": (32, 1, 2),
  "Ti": (192, 12, 3),
  "S": (384, 12, 6),
  "M": (512, 12, 8),
  "B": (768, 12, 12),
  "L": (1024, 24, 16),
  "H": (1280, 32, 16),
}


class _Attention(nnx.Module):
  """Multi-head attention: softmax, or local linear with a learned ridge."""

  def __init__(self, width, num_heads, dtype, rngs, remat="none", ridge=None):
    if ridge is None:
      self.ridge, self.attend = None, jax.nn.dot_product_attention
    else:
      # softplus of it is the ridge; log(expm1(ridge)) would overflow.
      start = np.full(num_heads, ridge + np.log(-np.expm1(-ridge)), np.float32)
      self.ridge, self.attend = nnx.Param(jnp.asarray(start)), _local_linear
    if remat == "cheap":
      self.attend = jax.checkpoint(self.attend)
    linear = lambda: _layers.linear(
      width, width, rngs=rngs, dtype=dtype, kernel_init=_init.xavier_uniform()
    )
    self.query, self.key, self.value = linear(), linear(), linear()
    self.out = linear()
    self.num_heads = num_heads

  def __call__(self, queries, inputs):
    split = lambda x: x.reshape(*x.shape[:2], self.num_heads, -1)
    y = self.attend(
      split(self.query(queries)),
      split(self.key(inputs)),
      split(self.value(inputs)),
      *(() if self.ridge is None else (self.ridge.get_value(),)),
    )
    return self.out(y.reshape(*y.shape[:2], -1))

  def weights(self, queries, inputs):
    """Softmax weights [b heads t s] in float32."""
    split = lambda x: x.reshape(*x.shape[:2], self.num_heads, -1)
    q, k = split(self.query(queries)), split(self.key(inputs))
    scores = jnp.einsum(
      "bthd,bshd->bhts", q, k, preferred_element_type=jnp.float32
    )
    return jax.nn.softmax(scores / np.sqrt(q.shape[-1]), axis=-1)


def _local_linear(query, key, value, ridge):
  """Local linear attention of queries and keys of norm sqrt(d)."""
  size = np.sqrt(query.shape[-1])
  unit = lambda x: (size * ops.unit_norm(x)).astype(value.dtype)
  return ops.local_linear_attention(
    unit(query), unit(key), value, ridge=jax.nn.softplus(ridge)
  )


class _FeedForward(nnx.Module):
  def __init__(self, width, hidden, dtype, rngs, remat="none"):
    self.gelu = jax.nn.gelu
    if remat == "cheap":
      # Its backward would keep six arrays of the widest shape of the block.
      self.gelu = jax.checkpoint(jax.nn.gelu)
    linear = lambda a, b: _layers.linear(
      a, b, rngs=rngs, dtype=dtype, kernel_init=_init.xavier_uniform()
    )
    self.up, self.down = linear(width, hidden), linear(hidden, width)

  def __call__(self, x):
    return self.down(self.gelu(self.up(x)))


class _Block(nnx.Module):
  """Pre-norm block: attention, then a feed-forward layer."""

  def __init__(
    self, width, num_heads, dropout, drop_path, remat, dtype, rngs, ridge=None
  ):
    norm = _layers.make_norm("layer", rngs=rngs, dtype=dtype)
    self.norm1, self.norm2 = norm(width), norm(width)
    self.attn = _Attention(width, num_heads, dtype, rngs, remat, ridge)
    self.mlp = _FeedForward(width, 4 * width, dtype, rngs, remat)
    self.remat = remat
    self.dropout = _layers.Dropout(dropout)
    self.drop_path = _layers.Dropout(drop_path, per_example=True)

  def __call__(self, x, key):
    keys = [None] * 4 if key is None else jax.random.split(key, 4)
    y = self._normalize(self.norm1, x)
    y = self.dropout(self.attn(y, y), keys[0])
    x = x + self.drop_path(y, keys[1])
    y = self._normalize(self.norm2, x)
    y = self.dropout(self.mlp(y), keys[2])
    return _layers.constrain_batch(x + self.drop_path(y, keys[3]))

  def attention(self, x):
    """Weights of its attention, [b heads n n]."""
    y = self.norm1(x)
    return self.attn.weights(y, y)

  def _normalize(self, norm, x):
    if self.remat != "cheap":
      return norm(x)
    graph, state = nnx.split(norm)
    apply = lambda state, x: nnx.merge(graph, state)(x)
    return jax.checkpoint(apply)(state, x)


class _MAPHead(nnx.Module):
  """Multi-head attention pooling with one learned probe."""

  def __init__(self, width, num_heads, dtype, rngs):
    probe = _init.xavier_uniform()(rngs.params(), (1, 1, width))
    self.probe = nnx.Param(probe)
    self.attn = _Attention(width, num_heads, dtype, rngs)
    self.norm = _layers.make_norm("layer", rngs=rngs, dtype=dtype)(width)
    self.mlp = _FeedForward(width, 4 * width, dtype, rngs)

  def __call__(self, x):
    probe = jnp.tile(self.probe.get_value(), (x.shape[0], 1, 1))
    y = self.attn(probe.astype(x.dtype), x)
    return (y + self.mlp(self.norm(y)))[:, 0]


class _ViT(nnx.Module):
  def __init__(
    self, input_shape, num_classes, size, patch, pool, positions, num_prompts,
    dropout, drop_path, scan_blocks, remat, cosine_scale, tract_ridge,
    return_attention, ridge, dtype, rngs,
  ):  # fmt: skip
    width, depth, num_heads = size
    grid = (input_shape[0] // patch, input_shape[1] // patch)
    self.patch, self.pool, self.dtype = patch, pool, dtype
    self.depth, self.scan, self.remat = depth, scan_blocks, remat
    self.grid, self.num_tokens = grid, grid[0] * grid[1]
    self.return_attention = return_attention
    # A patch embedding is a reshape and one matrix product: on CPU much
    # cheaper to differentiate than the equal strided convolution.
    self.stem = _layers.linear(
      patch * patch * input_shape[2], width, rngs=rngs, dtype=dtype,
      tract_ridge=tract_ridge,
    )  # fmt: skip
    param = lambda init, n: nnx.Param(init(rngs.params(), (1, n, width)))
    learned = positions == "learned"
    draw = _init.normal(width**-0.5)
    self.positions = param(draw, self.num_tokens) if learned else None
    self.cls = param(_init.constant(0.0), 1) if pool == "cls" else None
    prompt = _init.normal(0.02)
    self.prompt = param(prompt, num_prompts) if num_prompts else None
    self.map_head = (
      _MAPHead(width, num_heads, dtype, rngs) if pool == "map" else None
    )
    rates = np.linspace(0.0, drop_path, depth)
    make = lambda rate: _Block(
      width, num_heads, dropout, float(rate), remat, dtype, rngs, ridge
    )
    if scan_blocks:
      self.blocks = _stack([make(drop_path) for _ in range(depth)])
    else:
      for i in range(depth):
        setattr(self, f"block{i}", make(rates[i]))
    self.norm = _layers.make_norm("layer", rngs=rngs, dtype=dtype)(width)
    self.head = _layers.head(
      width, num_classes, rngs=rngs, cosine_scale=cosine_scale
    )

  def __call__(self, x, *, key, tap):
    x, attention = self._run_blocks(tap("stem", self._embed(x)), key, tap)
    x = self.norm(x)
    tokens = x[:, -self.num_tokens :]
    if self.pool == "cls":
      features = x[:, 0]
    elif self.pool == "map":
      features = self.map_head(x)
    else:
      features = tokens.mean(axis=1)
    features = tap("head", features)
    logits = self.head(features)
    outputs = {"features": features, "logits": logits, "tokens": tokens}
    if attention is not None:
      outputs["attention"] = attention
    return outputs

  def _embed(self, x):
    b, h, w, c = x.shape
    (rows, columns), p = self.grid, self.patch
    x = x.astype(self.dtype).reshape(b, rows, p, columns, p, c)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(b, self.num_tokens, p * p * c)
    x = self.stem(x)
    if self.positions is not None:
      x = x + self.positions.get_value().astype(x.dtype)
    else:
      x = x + _sincos_2d(*self.grid, x.shape[-1]).astype(x.dtype)
    extra = [p for p in (self.cls, self.prompt) if p is not None]
    extra = [p.get_value().astype(x.dtype) for p in extra]
    extra = [jnp.tile(p, (b, 1, 1)) for p in extra]
    return _layers.constrain_batch(jnp.concatenate([*extra, x], axis=1))

  def _run_blocks(self, x, key, tap):
    keys = None if key is None else jax.random.split(key, self.depth)
    if self.scan:
      graph, stacked = nnx.split(self.blocks)
    else:
      pairs = [nnx.split(getattr(self, f"block{i}")) for i in range(self.depth)]
      graph = pairs[0][0]
    call = lambda graph, p, x, key: nnx.merge(graph, p)(x, key)
    if self.remat == "block":
      call = jax.checkpoint(call, static_argnums=0)
    if self.scan and tap is _net.identity and not self.return_attention:
      step = lambda x, pk: (call(graph, pk[0], x, pk[1]), None)
      return jax.lax.scan(step, x, (stacked, keys))[0], None
    for i in range(self.depth):
      if self.scan:
        p = jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
      else:
        graph, p = pairs[i]
      before = x
      x = tap(f"block{i}", call(graph, p, x, None if keys is None else keys[i]))
    if not self.return_attention:
      return x, None
    return x, nnx.merge(graph, p).attention(before)


def _stack(modules: list) -> nnx.Module:
  """One module whose leaves carry a leading depth axis, for lax.scan."""
  graph = nnx.graphdef(modules[0])
  states = [nnx.state(m) for m in modules]
  return nnx.merge(graph, jax.tree.map(lambda *a: jnp.stack(a), *states))


def _sincos_2d(rows: int, columns: int, width: int) -> jax.Array:
  """Fixed positions [1 rows*columns width] of MoCo v3 (arXiv:2104.02057)."""
  y, x = np.mgrid[:rows, :columns]
  omega = 1.0 / 10_000 ** (np.arange(width // 4) / max(1, width // 4 - 1))
  angles = [axis.reshape(-1, 1) * omega for axis in (x, y)]
  waves = [f(a) for a in angles for f in (np.sin, np.cos)]
  return jnp.asarray(np.concatenate(waves, axis=1)[None], jnp.float32)


def vit(
  *,
  num_classes: int,
  input_shape: Sequence[int],
  variant: str = "Ti/16",
  width: int | None = None,
  depth: int | None = None,
  num_heads: int | None = None,
  pool: str = "gap",
  positions: str = "learned",
  num_prompts: int = 0,
  cosine_scale: float | None = None,
  dropout: float = 0.0,
  drop_path: float = 0.0,
  scan_blocks: bool = False,
  remat: str = "none",
  tract_ridge: float | None = None,
  return_attention: bool = False,
  local_linear_ridge: float | None = None,
  dtype: str = "float32",
) -> _net.Net:
  """Vision transformer (pre-norm).

  Args:
    num_classes: width of `logits`.
    input_shape: (h, w, channels), multiples of the patch.
    variant: "<size>/<patch>", sizes mu, Ti, S, M, B, L, H; "S/4" suits
      32-pixel images.
    width: tokens' width, overrides the variant's; likewise `depth` and
      `num_heads`.
    depth: number of blocks.
    num_heads: attention heads.
    pool: "gap" (mean of patch tokens), "cls" (class token) or "map"
      (attention pooling).
    positions: "learned" or "sincos2d".
    num_prompts: learned prompt tokens before the patches, path "prompt".
    cosine_scale: the head gives scale * cos(features, w_c); None: a linear
      map.
    dropout: probability of dropping a unit of a branch.
    drop_path: stochastic depth, growing linearly to this rate in the last
      block; with scan_blocks the same rate in every block.
    scan_blocks: one compiled block scanned over depth; parameters then are
      stacked under "blocks/". A tap runs the blocks one by one.
    remat: what the backward pass recomputes: "none", "cheap" (gelu, norms
      and attention weights: about half the memory for under 1 % more FLOPs) or
      "block" (everything: less still, for a quarter more FLOPs).
    tract_ridge: trains the patch embedding with TrAct's gradient; see
      `optim.tract_gradient`.
    return_attention: adds `attention` [b heads t t], the softmax weights of
      the last block over all its tokens, patches last; computed beside the
      block's own, and not at all by who does not use it.
    dtype: compute dtype; parameters stay float32.

  Returns:
    A Net with `features` [b d], `logits` [b c], `tokens` [b n d] (patches
    only) and maybe `attention`; taps "stem", "block0", ..., "head".

  Raises:
    ValueError: unknown variant, pool or positions; patch does not divide the
      image; heads do not divide the width.

  Source: Dosovitskiy et al. 2021, arXiv:2010.11929; map head from Zhai et
    al. 2022, arXiv:2106.04560.
  """
  match = re.fullmatch(r"(\w+)/(\d+)", variant)
  if not match or match[1] not in _VARIANTS:
    raise ValueError(
      f"variant must be '<size>/<patch>' with size in {tuple(_VARIANTS)}, "
      f"got {variant!r}."
    )
  patch = int(match[2])
  given = (width, depth, num_heads)
  size = tuple(
    own or default
    for own, default in zip(given, _VARIANTS[match[1]], strict=True)
  )
  _check(tuple(input_shape), size, patch, pool, positions)
  if remat not in ("none", "cheap", "block"):
    raise ValueError(
      f"remat must be 'none', 'cheap' or 'block', got {remat!r}."
    )
  if local_linear_ridge is not None and not local_linear_ridge > 0:
    raise ValueError(
      f"local_linear_ridge must be above 0, got {local_linear_ridge}."
    )
  if local_linear_ridge is not None and return_attention:
    raise ValueError(
      "return_attention must be False with local_linear_ridge, whose weights "
      "are no probabilities, got True."
    )
  make = lambda rngs: _ViT(
    tuple(input_shape), num_classes, size, patch, pool, positions,
    num_prompts, dropout, drop_path, scan_blocks, remat, cosine_scale,
    tract_ridge, return_attention, local_linear_ridge,
    _layers.as_dtype(dtype), rngs,
  )  # fmt: skip
  return _net.Net(make, num_classes=num_classes, input_shape=input_shape)


def _check(input_shape, size, patch, pool, positions) -> None:
  """Raises ValueError for what would fail late or in silence."""
  if len(input_shape) != 3 or input_shape[0] % patch or input_shape[1] % patch:
    raise ValueError(
      f"input_shape must be (h, w, channels) divisible by the patch {patch}, "
      f"got {input_shape}. Choose a patch that divides the image."
    )
  if size[0] % size[2] or size[0] % 4:
    raise ValueError(
      f"width must be divisible by 4 and by num_heads, got width {size[0]}, "
      f"num_heads {size[2]}."
    )
  if pool not in ("gap", "cls", "map"):
    raise ValueError(f"pool must be 'gap', 'cls' or 'map', got {pool!r}.")
  if positions not in ("learned", "sincos2d"):
    raise ValueError(
      f"positions must be 'learned' or 'sincos2d', got {positions!r}."
    )
