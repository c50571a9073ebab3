"""Public functions: relaxed sorting, ranks and top-k membership."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls import _precision
from jaxcls.ops.sorting import _fast, _matrix, _network, _relaxations

NETWORKS = ("odd_even", "bitonic")
IMPLEMENTATIONS = (None, "jnp", "pallas")


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=("values", "swaps"),
  meta_fields=("network", "implementation", "interpret"),
)
@dataclasses.dataclass(frozen=True)
class SoftSort:
  """Sorted values, and the relaxed permutation P as a lazy operator.

  P[i, j] is the weight of input i in rank j, ranks ascending: rows are
  inputs, columns are ranks, rows and columns sum to 1, and
  `values = P^T x`. With a large steepness P[i, j] = 1 where x[i] is the
  j-th smallest.

  Attributes:
    values: [*b n], the relaxed ascending values.
    swaps: [*b depth slots], the comparators' alphas in an internal code;
      gradients are right through `apply` and `matrix` only.
    network: wiring and relaxation.
    implementation: as given to `soft_sort`.
    interpret: as given to `soft_sort`.
  """

  values: Float[Array, "*b n"]
  swaps: Float[Array, "*b depth slots"]
  network: _network.Network
  implementation: str | None
  interpret: bool

  def apply(self, v: Float[Array, "..."]) -> Float[Array, "*b n"]:
    """P v, in O(depth n) and without P: ranks in, inputs out.

    Entry i is the mean of v over the ranks of input i. With v the indicator
    of some ranks it is the "mass" of input i in them.

    Args:
      v: [n] or [*b n], any float type; a value for each rank.

    Raises:
      ValueError: v has another shape.
    """
    return self._apply(v, transpose=False)

  def apply_transpose(self, v: Float[Array, "..."]) -> Float[Array, "*b n"]:
    """P^T v, in O(depth n) and without P: inputs in, ranks out.

    Entry j is the mean of v over the inputs in rank j; v = x gives `values`.

    Args:
      v: [n] or [*b n], any float type; a value for each input.

    Raises:
      ValueError: v has another shape.
    """
    return self._apply(v, transpose=True)

  def _apply(self, v, transpose):
    shape, n = self.values.shape, self.network.n
    if v.shape not in (shape, (n,)):
      raise ValueError(f"v must have shape ({n},) or {shape}, got {v.shape}.")
    v = v.astype(self.values.dtype)
    if n == 1:
      return jnp.broadcast_to(v, shape)
    swaps = self._swaps_last()
    columns = v.reshape(-1, n).T[:, None] + _fast.nothing(swaps[0, 0])
    out = _fast.apply(self.network, transpose, swaps, columns)
    return out[:, 0].T.reshape(shape)

  def matrix(self) -> Float[Array, "*b n n"]:
    """P itself, [inputs, ranks]; its gradient keeps no more than `swaps`.

    The layers run again, for a tile of columns at a time, in the backward
    pass. On a TPU a Pallas kernel runs them for float32 and n from 32 to 128
    (not on arrays split automatically over several devices); elsewhere jnp.
    """
    shape, n = self.values.shape, self.network.n
    if n == 1:
      return jnp.ones((*shape, 1), self.values.dtype)
    out = _matrix.matrix(
      self.network, self.implementation, self.interpret, self._swaps_last()
    )
    return out.transpose(2, 0, 1).reshape(*shape, n)

  def _swaps_last(self):
    """[depth slots batch], the order in which layers run fast."""
    batch = math.prod(self.values.shape[:-1])
    return self.swaps.reshape(batch, *self.swaps.shape[-2:]).transpose(1, 2, 0)


def soft_sort(
  x: Float[Array, "*b n"],
  *,
  steepness: float | Float[Array, "..."],
  network: str = "odd_even",
  relaxation: str = "cauchy",
  art_lambda: float = 0.25,
  implementation: str | None = None,
  interpret: bool = False,
) -> SoftSort:
  """Sorts ascending with a differentiable sorting network.

  A comparator on wires a, b keeps alpha = F(steepness g(b - a)):
  a' = alpha a + (1 - alpha) b, b' = (1 - alpha) a + alpha b, with
  - logistic: F(v) = 1 / (1 + exp(-v)), g(t) = t,
  - logistic_art: the same F, g(t) = t / (|t| + 1e-10)^art_lambda,
  - cauchy: F(v) = atan(v) / pi + 1/2, g(t) = t,
  - optimal: F(v) = v + 1/2 for |v| <= 1/4, else 1 - 1 / (16 v) for v > 0 and
    -1 / (16 v) for v < 0, g(t) = t.
  P = M_1 ... M_L is the product of the layers; values = P^T x.

  Prefer a batch axis to vmap: the batch is laid out along the vector lanes.

  Args:
    x: [*b n], scores, any float type; computed in float32 (float64 stays).
    steepness: scalar or [*b], > 0, one over the unit of x; differentiable.
    network: "odd_even", n layers; or "bitonic", k (k + 1) / 2 layers with
      2^k >= n. If 2^k > n, the lowest 2^k - n wires hold nothing, never move
      and leave out no comparator that sorting needs.
    relaxation: "logistic", "logistic_art", "cauchy" or "optimal".
    art_lambda: exponent of logistic_art, in [0, 1); the others ignore it.
    implementation: of `matrix()`: "jnp", "pallas" (TPU), or None, which
      picks. "pallas" elsewhere than on a TPU raises when it is compiled.
    interpret: runs the Pallas kernels in interpret mode; for tests.

  Returns:
    SoftSort in float32 or float64. n = 1 returns x. A row with a nan or an
    infinite score gives nan in the places that its comparators reach, in all
    of them for odd_even; other rows stay as they are.

  Raises:
    TypeError: x is not floating point.
    ValueError: x is a scalar or n = 0; an unknown name; steepness <= 0 or of
      another shape; art_lambda outside [0, 1).

  Source: Petersen et al. 2021, arXiv:2105.04019 (networks, logistic,
    activation replacement); 2022, arXiv:2203.09630 (cauchy, optimal).
  Differs: nothing known; P, values and gradients are those of diffsort 0.2.

  >>> s = soft_sort(jnp.array([3.0, 1.0, 2.0]), steepness=1e4)
  >>> print(s.values.round(2), s.apply(jnp.arange(3.0)).round(2))
  [1. 2. 3.] [2. 0. 1.]
  """
  _check(x, network, relaxation, implementation)
  if isinstance(steepness, int | float) and not steepness > 0:
    raise ValueError(f"steepness must be > 0, got {steepness}.")
  if not 0 <= art_lambda < 1:
    raise ValueError(f"art_lambda must be in [0, 1), got {art_lambda}.")
  *batch, n = x.shape
  dtype = _precision.wide(x)
  x, steepness = x.astype(dtype), jnp.asarray(steepness, dtype)
  if steepness.shape not in ((), tuple(batch)):
    raise ValueError(
      f"steepness must be a scalar or of shape {tuple(batch)}, "
      f"got {steepness.shape}."
    )
  art_lambda = art_lambda if relaxation == "logistic_art" else 0.0
  wiring = _network.Network(network, n, relaxation, float(art_lambda))
  if n == 1:
    none = jnp.zeros((*batch, 0, 0), dtype)
    return SoftSort(x, none, wiring, implementation, interpret)
  rows = x.reshape(math.prod(batch), n).T
  values, swaps = _fast.trace(
    wiring, rows, steepness.reshape(-1) + _fast.nothing(rows[0])
  )
  swaps = swaps.transpose(2, 0, 1).reshape(*batch, *swaps.shape[:2])
  return SoftSort(
    values.T.reshape(x.shape), swaps, wiring, implementation, interpret
  )


def _check(x, network, relaxation, implementation):
  if not jnp.issubdtype(x.dtype, jnp.floating):
    raise TypeError(f"x must be floating point, got {x.dtype}.")
  if x.ndim == 0 or x.shape[-1] == 0:
    raise ValueError(f"x must have shape [*b n], n >= 1, got {x.shape}.")
  for name, value, known in (
    ("network", network, NETWORKS),
    ("relaxation", relaxation, tuple(_relaxations.RELAXATIONS)),
    ("implementation", implementation, IMPLEMENTATIONS),
  ):
    if value not in known:
      raise ValueError(f"{name} must be one of {known}, got {value!r}.")


def soft_rank(
  x: Float[Array, "*b n"],
  *,
  steepness: float | Float[Array, "..."],
  network: str = "odd_even",
  relaxation: str = "cauchy",
  art_lambda: float = 0.25,
) -> Float[Array, "*b n"]:
  """Ranks, 0 for the smallest: rank_i = sum_j j P[i, j].

  Args:
    x: [*b n], scores; the arguments are those of `soft_sort`.
    steepness: as in `soft_sort`.
    network: as in `soft_sort`.
    relaxation: as in `soft_sort`.
    art_lambda: as in `soft_sort`.

  Returns:
    [*b n], ranks in [0, n - 1]; they sum to n (n - 1) / 2. P is not built.

  Raises:
    TypeError, ValueError: as `soft_sort`.

  Source: Petersen et al. 2022, arXiv:2203.09630; P of a sorting network.
  Differs: derived; the paper uses P itself.

  >>> print(soft_rank(jnp.array([3.0, 1.0, 2.0]), steepness=1e4).round(2))
  [2. 0. 1.]
  """
  result = soft_sort(
    x,
    steepness=steepness,
    network=network,
    relaxation=relaxation,
    art_lambda=art_lambda,
  )
  return result.apply(jnp.arange(x.shape[-1], dtype=result.values.dtype))


def soft_top_k(
  x: Float[Array, "*b n"],
  k: int,
  *,
  steepness: float | Float[Array, "..."],
  network: str = "odd_even",
  relaxation: str = "cauchy",
  art_lambda: float = 0.25,
) -> Float[Array, "*b n"]:
  """Membership in the k largest: m_i = sum of P[i, j] over the last k ranks.

  Args:
    x: [*b n], scores; the other arguments are those of `soft_sort`.
    k: how many, 1 <= k <= n.
    steepness: as in `soft_sort`.
    network: as in `soft_sort`.
    relaxation: as in `soft_sort`.
    art_lambda: as in `soft_sort`.

  Returns:
    [*b n], in [0, 1] up to rounding, summing to k. P is not built.

  Raises:
    TypeError, ValueError: as `soft_sort`; ValueError for k outside [1, n].

  Source: Petersen et al. 2022, arXiv:2203.09630; P of a sorting network.
  Differs: derived; the paper uses P itself.

  >>> print(soft_top_k(jnp.array([3.0, 1.0, 2.0]), 2, steepness=1e4).round(2))
  [1. 0. 1.]
  """
  result = soft_sort(
    x,
    steepness=steepness,
    network=network,
    relaxation=relaxation,
    art_lambda=art_lambda,
  )
  n = x.shape[-1]
  if not 1 <= k <= n:
    raise ValueError(f"k must be in [1, {n}], got {k}.")
  return result.apply((jnp.arange(n) >= n - k).astype(result.values.dtype))
