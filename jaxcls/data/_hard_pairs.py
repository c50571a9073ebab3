"""Features of a batch mixed into hard positives and hard negatives."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from jaxcls import _precision, ops


class PairDraw(NamedTuple):
  """What `hard_pair_mixup` needs of chance, each [b].

  partner: the row that row i is mixed with into a negative; partner_weight:
  that row's share; positive_weight: the hard positive's share of the positive.
  """

  partner: Int[Array, " b"]
  partner_weight: Float[Array, " b"]
  positive_weight: Float[Array, " b"]


class HardPairs(NamedTuple):
  """The rows as they were, then mixed negatives, then mixed positives.

  groups: equal for rows with equal targets (to 1e-6); where: True = counts.
  """

  features: Float[Array, "3*b d"]
  targets: Float[Array, "3*b c"]
  groups: Int[Array, " 3*b"]
  where: Bool[Array, " 3*b"]


def draw_hard_pairs(
  key: Key[Array, ""], size: int, *, alpha: float, min_weight: float = 0.8
) -> PairDraw:
  """A permutation and two vectors of weights from Beta(alpha, alpha).

  Args:
    key: PRNG key.
    size: b, rows of the batch.
    alpha: > 0.
    min_weight: the partner's share is at least that, in [0, 1].

  Raises:
    ValueError: alpha <= 0 or min_weight outside [0, 1].

  Source: Zhang et al. 2021, arXiv:2102.06605.
  Differs: nothing known.
  """
  if not alpha > 0:
    raise ValueError(f"alpha must be above 0, got {alpha}.")
  if not 0 <= min_weight <= 1:
    raise ValueError(f"min_weight must be in [0, 1], got {min_weight}.")
  keys = jax.random.split(key, 3)
  # Beta(1, 1) is uniform, and much cheaper to compile that way.
  draw = lambda key: (
    jax.random.uniform(key, (size,))
    if alpha == 1
    else jax.random.beta(key, alpha, alpha, (size,))
  )
  partner = jax.random.permutation(keys[0], size)
  return PairDraw(
    partner, jnp.maximum(draw(keys[1]), min_weight), draw(keys[2])
  )


def hard_pair_mixup(
  features: Float[Array, "b d"],
  labels: Int[Array, " b"],
  draw: PairDraw,
  *,
  num_classes: int,
  released: bool = False,
) -> HardPairs:
  """Two mixed features a row: one near another row, one between two classes.

  negative_i = (1 - l) f_i + l f_partner, l = partner_weight;
  positive_i = m f_p + (1 - m) f_n, m = positive_weight, p the row of i's
  class with the lowest cosine to f_i, n the row of another class with the
  highest. Labels are mixed alike. A row alone in its class is its own p, one
  without another class its own n.

  Args:
    features: [b d], any float type.
    labels: [b], class ids in [0, c), -1 = left out: such a row is no p and
      no n, and what it would be mixed into does not count.
    draw: see `draw_hard_pairs`.
    num_classes: c.
    released: True does as the released code: no gradient reaches the
      features through the unmixed rows, and p and n are sought among
      cosines that are 0 where a row is none, so that p may have another
      class (or be i, where it would be row 0) and n the same one.

  Returns:
    HardPairs of 3 b rows.

  Raises:
    ValueError: shapes that do not match.

  Source: Zhang et al. 2021, arXiv:2102.06605 (hard pair mining).
  Differs: see `released`; the rows that are chosen have no gradient, the
    mixed features have.

  >>> f = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
  >>> draw = PairDraw(jnp.array([1, 2, 0]), jnp.ones(3), jnp.ones(3))
  >>> pairs = hard_pair_mixup(f, jnp.array([0, 0, 1]), draw, num_classes=2)
  >>> print(pairs.features[6:].tolist(), pairs.groups.tolist())
  [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] [0, 0, 2, 0, 2, 0, 0, 0, 2]
  """
  if features.ndim != 2 or labels.shape != features.shape[:1]:
    raise ValueError(
      "features and labels must have shapes [b d] and [b], got "
      f"{features.shape} and {labels.shape}."
    )
  if any(x.shape != labels.shape for x in draw):
    raise ValueError(
      f"draw must hold vectors of shape {labels.shape}, got "
      f"{[x.shape for x in draw]}."
    )
  where = labels >= 0
  dtype = _precision.wide(features)
  targets = jax.nn.one_hot(labels, num_classes, dtype=dtype)
  find = _find_released if released else _find
  hard_positive, hard_negative = find(features, labels, where)
  own = jnp.arange(labels.shape[0])
  first = jax.lax.stop_gradient(features) if released else features
  mixed = [(first, targets)]
  for start, end, weight in (
    (own, draw.partner, draw.partner_weight),
    (hard_negative, hard_positive, draw.positive_weight),
  ):
    mix = lambda x, a=start, b=end, w=weight: (
      x[a] + w[:, None].astype(x.dtype) * (x[b] - x[a])
    )
    mixed.append((mix(features), mix(targets)))
  joined = [jnp.concatenate(parts) for parts in zip(*mixed, strict=True)]
  kept = jnp.concatenate([where, where & where[draw.partner], where])
  # Mixed as a + w (b - a), targets of one class stay exactly one-hot.
  t = joined[1]
  equal = (jnp.abs(t[:, None] - t) <= 1e-6).all(axis=-1)
  return HardPairs(*joined, jnp.argmax(equal, axis=1), kept)


def _cosines(features):
  """[b b], without gradient."""
  x = ops.unit_norm(jax.lax.stop_gradient(features))
  return x @ x.T


def _find(features, labels, where):
  """Rows (p [b], n [b]) of every row."""
  cosines, own = _cosines(features), jnp.arange(labels.shape[0])
  same = labels[:, None] == labels
  positives = same & where & (own[:, None] != own)
  negatives = ~same & where
  lowest = jnp.argmin(jnp.where(positives, cosines, jnp.inf), axis=1)
  highest = jnp.argmax(jnp.where(negatives, cosines, -jnp.inf), axis=1)
  return (
    jnp.where(positives.any(axis=1), lowest, own),
    jnp.where(negatives.any(axis=1), highest, own),
  )


def _find_released(features, labels, where):
  """The same with zeros in the place of what is no candidate."""
  cosines, own = _cosines(features), jnp.arange(labels.shape[0])
  same = labels[:, None] == labels
  positives = same & where & (own[:, None] != own)
  lowest = jnp.argmin(jnp.where(positives, cosines, 0), axis=1)
  highest = jnp.argmax(jnp.where(~same & where, cosines, 0), axis=1)
  return jnp.where(lowest == 0, own, lowest), highest
