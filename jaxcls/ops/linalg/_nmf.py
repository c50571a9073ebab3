"""Non-negative matrix factorisation by multiplicative updates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt32

from jaxcls.ops import _arrays

LOSSES = ("frobenius", "kl")
# scikit-learn's floor under products and denominators.
_EPSILON = float(jnp.finfo(jnp.float32).eps)


class NMFResult(NamedTuple):
  """Weights W, components H, and the objective of the two."""

  weights: Float[Array, "n r"]
  components: Float[Array, "r m"]
  objective: Float[Array, ""]


def nmf(
  x: Float[Array, "n m"],
  *,
  rank: int,
  num_steps: int,
  loss: str = "frobenius",
  init: tuple[Float[Array, "n r"], Float[Array, "r m"]] | None = None,
  where: Bool[Array, "n m"] | None = None,
  axis_name: str | None = None,
  key: PRNGKeyArray | UInt32[Array, "2"] | None = None,
) -> NMFResult:
  """Non-negative W [n r] and H [r m] with W H near X.

  "frobenius": sum_ij (X - W H)_ij^2 / 2, with the updates W <- W * (X H^T) /
  (W H H^T), H <- H * (W^T X) / (W^T W H).
  "kl": sum_ij X log(X / W H) - X + W H, with W <- W * ((X / W H) H^T) / (1
  H^T), H <- H * (W^T (X / W H)) / (W^T 1).
  No update raises the objective. W first, then H with the new W.

  Differentiable through the unrolled updates.

  Args:
    x: [n m], >= 0 (not checked), any float type; computed in float32
      (float64 stays).
    rank: r >= 1.
    num_steps: updates of both, >= 0.
    loss: "frobenius" or "kl".
    init: (W, H) >= 0; a 0 in them stays 0. None: |normal| * sqrt(mean(x) /
      r), from the key.
    where: [n m], True = keep: the objective sums over kept entries; the
      others may be nan. None kept gives the objective 0.
    axis_name: under jax.shard_map, the mesh axis over which the rows of x
      (and W) are split; H is the same on every device.
    key: for the start; the same on every device.

  Returns:
    NMFResult: weights W [n r], components H [r m], objective [] of all rows.

  Raises:
    TypeError: an array is not floating point, or where not bool.
    ValueError: a shape does not match, rank < 1, num_steps < 0, an unknown
      loss, or not exactly one of init and key.

  Source: Lee & Seung 2001, Algorithms for non-negative matrix factorization;
    sklearn.decomposition.NMF(solver="mu").
  Differs: no regularisation, no stopping by tolerance.

  >>> x = jnp.array([[1.0, 2.0], [2.0, 4.0]])
  >>> start = jnp.ones((2, 1)), jnp.ones((1, 2))
  >>> found = nmf(x, rank=1, num_steps=2, init=start)
  >>> print((found.weights @ found.components).round(3))
  [[1. 2.]
   [2. 4.]]
  """
  x = _arrays.wide("x", x, "n", "m")
  n, m = x.shape
  _arrays.check_number("rank", rank, ">= 1", lambda v: v >= 1)
  _arrays.check_number("num_steps", num_steps, ">= 0", lambda v: v >= 0)
  _arrays.check_choice("loss", loss, LOSSES)
  _arrays.check_where(where, n, m)
  if (init is None) == (key is None):
    raise ValueError(
      "nmf must get exactly one of init and key, got "
      f"{'neither' if init is None else 'both'}."
    )
  if where is not None:
    x = jnp.where(where, x, 0)
  if init is None:
    w, h = _start(x, where, rank, axis_name, key)
  else:
    w = _arrays.wide("init[0]", init[0], n, rank).astype(x.dtype)
    h = _arrays.wide("init[1]", init[1], rank, m).astype(x.dtype)
  rows = _arrays.varying_zero(x.dtype, x)
  w, h = w + rows, h + _arrays.total(rows, axis_name)
  update = _frobenius if loss == "frobenius" else _kl

  def step(pair, _):
    w, h = pair
    top, bottom = update(x, w, h, where)
    w = w * _ratio(top, bottom)
    # H is of all rows. The roles of W and H change with the transpose.
    parts = update(x.T, h.T, w.T, None if where is None else where.T)
    top, bottom = _arrays.total(parts, axis_name)
    return (w, h * _ratio(top, bottom).T), None

  (w, h), _ = jax.lax.scan(step, (w, h), length=num_steps)
  objective = _objective(x, _arrays.matmul(w, h), where, loss)
  return NMFResult(w, h, _arrays.total(objective, axis_name))


def _start(x, where, rank, axis_name, key):
  """|normal| of the scale of x; a row's numbers do not depend on the mesh."""
  (n, m), dtype = x.shape, x.dtype
  zero = _arrays.varying_zero(dtype, x)
  count = jnp.asarray(x.size if where is None else where.sum(), dtype)
  total, count = _arrays.total((x.sum(), count + zero), axis_name)
  mean = total / jnp.maximum(count, 1)
  scale = jnp.sqrt(jnp.maximum(mean, jnp.finfo(dtype).tiny) / rank)
  row_key, column_key = jax.random.split(key)
  first = 0 if axis_name is None else n * jax.lax.axis_index(axis_name)
  draw = lambda i: jax.random.normal(
    jax.random.fold_in(row_key, i), (rank,), dtype
  )
  w = jnp.abs(jax.vmap(draw)(first + jnp.arange(n)))
  h = jnp.abs(jax.random.normal(column_key, (rank, m), dtype))
  return scale * w, scale * h


def _ratio(top, bottom):
  return top / jnp.where(bottom == 0, _EPSILON, bottom)


def _frobenius(x, w, h, where):
  """Numerator and denominator [n r] of the update of W."""
  top = _arrays.matmul(x, h.T)
  if where is None:
    return top, _arrays.matmul(w, _arrays.matmul(h, h.T))
  product = jnp.where(where, _arrays.matmul(w, h), 0)
  return top, _arrays.matmul(product, h.T)


def _kl(x, w, h, where):
  """Numerator and denominator [n r] of the update of W."""
  quotient = x / jnp.maximum(_arrays.matmul(w, h), _EPSILON)
  top = _arrays.matmul(quotient, h.T)
  if where is None:
    return top, jnp.zeros_like(top) + h.sum(axis=1)
  return top, _arrays.matmul(where.astype(x.dtype), h.T)


def _objective(x, product, where, loss):
  """Sum over the kept entries."""
  if loss == "frobenius":
    values = (x - product) ** 2 / 2
  else:
    some = x > 0
    quotient = jnp.where(some, x, 1) / jnp.maximum(product, _EPSILON)
    log = jnp.where(some, jnp.log(jnp.where(some, quotient, 1)), 0)
    values = x * log - x + product
  return (values if where is None else jnp.where(where, values, 0)).sum()
