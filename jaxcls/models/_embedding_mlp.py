"""Categorical features of any vocabulary, hashed into shared embeddings."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int

from jaxcls.models import _init, _layers, _net


def hash_ids(
  ids: Int[Array, "*b"], *, size: int, seed: int
) -> Int[Array, "*b"]:
  """A number in [0, size) for each id, the same for the same seed.

  ids are multiplied and mixed in 32 bits with constants drawn from the seed
  (xor-shift-multiply rounds); different seeds are independent functions.

  Args:
    ids: [*b], any integers.
    size: of the table, in [1, 2**31).
    seed: which function, >= 0.

  Returns:
    [*b] int32.

  Raises:
    ValueError: size is out of its range.

  Source: the rounds are those of MurmurHash3's finaliser (Appleby 2011).
  Differs: seeded by an odd multiplier and an offset.

  >>> print(hash_ids(jnp.arange(4), size=1, seed=0))
  [0 0 0 0]
  """
  if not 1 <= size < 2**31:
    raise ValueError(f"size must be in [1, 2**31), got {size}.")
  drawn = np.random.default_rng(seed).integers(2**32, size=2, dtype=np.uint64)
  x = ids.astype(jnp.uint32) * jnp.uint32(drawn[0] | 1) + jnp.uint32(drawn[1])
  for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
    x = (x ^ (x >> shift)) * jnp.uint32(factor)
  return ((x ^ (x >> 16)) % jnp.uint32(size)).astype(jnp.int32)


class _EmbeddingMLP(nnx.Module):
  """Looks up every feature's rows, then hidden layers with ReLU."""

  def __init__(
    self, lookups, rows, width, shared, hidden, num_classes, dtype, rngs
  ):
    # Shared: one table of all rows. Else each feature has a part of them.
    count = len(lookups)
    self.shared, self.lookups, self.dtype = shared, lookups, dtype
    self.rows = rows if shared else rows // count
    self.table = nnx.Param(
      _init.normal(width**-0.5)(rngs.params(), (rows, width))
    )
    widths = (sum(lookups) * width, *hidden)
    linear = lambda a, b: _layers.linear(
      a, b, rngs=rngs, dtype=dtype, kernel_init=_init.he_normal()
    )
    self.layers = nnx.List(
      [linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]
    )
    self.head = _layers.head(widths[-1], num_classes, rngs=rngs)

  def __call__(self, x, *, key, tap):
    del key
    table, ids = self.table.get_value(), x.astype(jnp.int32)
    columns = []
    for t, count in enumerate(self.lookups):
      for j in range(count):
        # Seeds stay when a feature is added, so its rows do too.
        place = hash_ids(ids[:, t], size=self.rows, seed=1000 * t + j)
        columns.append(place + (0 if self.shared else t * self.rows))
    found = jnp.take(table, jnp.stack(columns, axis=1), axis=0)
    x = tap("stem", found.reshape(len(ids), -1).astype(self.dtype))
    for i, layer in enumerate(self.layers):
      x = _layers.constrain_batch(tap(f"block{i}", jax.nn.relu(layer(x))))
    features = tap("head", x)
    return {"features": features, "logits": self.head(features)}


def embedding_mlp(
  *,
  num_classes: int,
  input_shape: Sequence[int],
  rows: int,
  width: int = 16,
  lookups: int | Sequence[int] = 1,
  shared: bool = True,
  hidden: Sequence[int] = (256, 256),
  dtype: str = "float32",
) -> _net.Net:
  """Embeddings of categorical features, joined, then an MLP.

  Feature t with value v becomes the rows h(t, j, v) mod rows, j < lookups[t],
  of one table, side by side: features of any vocabulary share the table
  (feature multiplexing), a wider feature has more lookups, and a further
  feature needs no table. The layer above has own weights for each feature, so
  collisions between features, unlike those within one, can be told apart.

  Args:
    num_classes: width of `logits`.
    input_shape: (features,), ids of values, any integers (floats are cut).
    rows: of the table, or of all tables together.
    width: of a row.
    lookups: rows that a feature's value is made of, >= 1; one for all or one
      for each feature.
    shared: False gives each feature a table of its own, rows // features: the
      hash trick, at the same number of parameters.
    hidden: width of each hidden layer.
    dtype: compute dtype; parameters stay float32.

  Returns:
    A Net with `features` [b hidden[-1]] and `logits` [b c]; taps "stem",
    "block0", ..., "head". The table is at path "table".

  Raises:
    ValueError: input_shape is not (features,), lookups do not match it, or
      there are fewer rows than tables.

  Source: Coleman et al. 2023, arXiv:2305.12102 (Unified Embedding).
  """
  if len(input_shape) != 1:
    raise ValueError(
      f"input_shape must be (features,), got {tuple(input_shape)}."
    )
  (count,) = input_shape
  each = (lookups,) * count if isinstance(lookups, int) else tuple(lookups)
  if len(each) != count or min(each) < 1:
    raise ValueError(
      f"lookups must be at least 1, one or {count} of them, got {lookups}."
    )
  if rows < (1 if shared else count):
    raise ValueError(f"rows must be at least one for each table, got {rows}.")
  make = lambda rngs: _EmbeddingMLP(
    each, rows, width, shared, tuple(hidden), num_classes,
    _layers.as_dtype(dtype), rngs,
  )  # fmt: skip
  return _net.Net(make, num_classes=num_classes, input_shape=input_shape)
