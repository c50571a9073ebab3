"""Losses of distances between embeddings: triplets and pairs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import _precision
from jaxcls.losses import _checks

_MINING = ("semi_hard", "all")


def triplet_loss(
  embeddings: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  margin: float,
  mining: str = "semi_hard",
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, " n"]:
  """A positive is to be nearer than every negative, by a margin.

  d_ij = |z_i - z_j|^2; loss_a = mean over the triplets (a, p, n), p another
  row of a's label and n one of another label, of
  max(0, d_ap - d_an + margin). "semi_hard" takes the triplets with
  0 < d_an - d_ap < margin; "all" those with d_an - d_ap < margin, which have
  a loss. 0 where there is none.

  Args:
    embeddings: [n d], any float type, used as they come: the paper divides
      them by their norm first.
    labels: [n], any integers.
    margin: > 0, in squared units of the embeddings; 0.2 in the paper.
    mining: "semi_hard" or "all".
    where: [n], True = keep. A row that is not kept is in no triplet, its loss
      and gradient are 0 and its values may be nan.

  Returns:
    [n] float32 (float64 stays), one value per anchor, not reduced. The rows of
    the given batch are coupled: inside shard_map those of one device, under
    jit the global batch. Triplets are counted by sorting, in O(n^2 log n).

  Raises:
    TypeError: embeddings are not floating point, labels not integers, or
      where not bool.
    ValueError: a shape does not match, margin <= 0, or an unknown mining.

  Source: Schroff et al. 2015, arXiv:1503.03832.
  Differs: all semi-hard triplets of the batch, and their mean an anchor; the
    paper draws them.

  >>> z = jnp.array([[0.0], [1.0], [1.1]])
  >>> y = jnp.array([0, 0, 1])  # d_ap = 1, d_an = 1.21
  >>> print(f"{triplet_loss(z, y, margin=0.5)[0]:.2f}")
  0.29
  """
  _checks.check_number("margin", margin, "above 0", lambda v: v > 0)
  if mining not in _MINING:
    raise ValueError(f"mining must be one of {_MINING}, got {mining!r}.")
  square, same, different = _pairs(embeddings, labels, where)
  counts = _count_triplets(
    jax.lax.stop_gradient(square), same, different, margin, mining
  )
  of_positive, of_negative = (x.astype(square.dtype) for x in counts)
  # What all distances share drops out; without it sums keep their digits.
  middle = jax.lax.stop_gradient(square.mean(axis=1, keepdims=True))
  pull = ((margin + square - middle) * of_positive).sum(axis=1)
  push = ((square - middle) * of_negative).sum(axis=1)
  return (pull - push) / _at_least_one(counts[0].sum(axis=1), square)


def _count_triplets(square, same, different, margin, mining):
  """In how many triplets of anchor a each positive is, and each negative.

  Both count by the same rounded bounds, low_p < d_an < high_p, or their totals
  would differ.
  """
  low, high = square, square + margin
  same &= high > low  # Distances so large that the margin is rounded away.
  count = lambda rows, x, side: jax.vmap(
    lambda row, x: jnp.searchsorted(row, x, side=side)
  )(rows, x)
  ordered = lambda x, kept: jnp.sort(jnp.where(kept, x, jnp.inf), axis=1)
  negatives = ordered(square, different)
  of_positive = count(negatives, high, "left")
  of_negative = -count(ordered(high, same), square, "right")
  if mining == "semi_hard":
    of_positive -= count(negatives, low, "right")
    of_negative += count(ordered(low, same), square, "left")
  else:
    of_negative += same.sum(axis=1, keepdims=True)
  return jnp.where(same, of_positive, 0), jnp.where(different, of_negative, 0)


def pair_loss(
  embeddings: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  margin: float,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, " n"]:
  """Contrastive loss of pairs: alike ones together, others a margin apart.

  loss_i = mean over the other rows j of i's label of |z_i - z_j|^2
    + mean over the rows j of another label with |z_i - z_j| < margin of
    (margin - |z_i - z_j|)^2; a mean over nothing is 0.

  Args:
    embeddings: [n d], any float type, used as they come.
    labels: [n], any integers.
    margin: > 0, in units of the embeddings.
    where: [n], True = keep. A row that is not kept is in no pair, its loss and
      gradient are 0 and its values may be nan.

  Returns:
    [n] float32 (float64 stays), not reduced. The rows of the given batch are
    coupled: inside shard_map those of one device, under jit the global batch.
    Stores [n n] distances.

  Raises:
    TypeError: embeddings are not floating point, labels not integers, or
      where not bool.
    ValueError: a shape does not match, or margin <= 0.

  Source: Hadsell et al. 2006, Dimensionality reduction by learning an
    invariant mapping.
  Differs: means of all pairs of a batch, alike and not alike apart and without
    the factors 1/2; the paper sums over given pairs.

  >>> z = jnp.array([[0.0], [1.0], [0.5]])
  >>> print(pair_loss(z, jnp.array([0, 0, 1]), margin=1.0)[0])  # 1 + 0.25
  1.25
  """
  _checks.check_number("margin", margin, "above 0", lambda v: v > 0)
  square, same, different = _pairs(embeddings, labels, where)
  near = different & (square < margin**2)
  # The root has no gradient at 0, where the two rows are the same.
  apart = near & (square > 0)
  distance = jnp.sqrt(jnp.where(apart, square, 1))
  push = jnp.where(near, (margin - jnp.where(apart, distance, 0)) ** 2, 0)
  pull = jnp.where(same, square, 0)
  mean = lambda x, kept: x.sum(axis=1) / _at_least_one(kept.sum(axis=1), x)
  return mean(pull, same) + mean(push, near)


def _at_least_one(count, like):
  return jnp.maximum(count, 1).astype(like.dtype)


def _pairs(embeddings, labels, where):
  """Squared distances [n n], and which pairs are alike and which are not."""
  _checks.check_embeddings(embeddings, labels, where)
  if where is None:
    where = jnp.ones(labels.shape, bool)
  z = jnp.where(where[:, None], embeddings, 0)
  z = z.astype(_precision.wide(z))
  squares = (z**2).sum(axis=-1)
  square = squares[:, None] + squares - 2 * jnp.matmul(z, z.T)
  both = where[:, None] & where & ~jnp.eye(labels.shape[0], dtype=bool)
  equal = labels[:, None] == labels
  return jnp.maximum(square, 0), both & equal, both & ~equal
