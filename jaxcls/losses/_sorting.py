"""Losses through differentiable sorting networks."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcls import ops


def groco_loss(
  embeddings: Float[Array, "b k d"],
  *,
  num_negatives: int,
  steepness: float,
  num_positive_views: int | None = None,
  stop_gradient: bool = True,
  network: str = "odd_even",
  relaxation: str = "cauchy",
  art_lambda: float = 0.25,
  where: Bool[Array, " b"] | None = None,
) -> Float[Array, " b"]:
  """Group ordering: every positive more similar than every negative.

  For example i and anchor view a, s = [negatives ascending, positives
  ascending], the cosines of the anchor to the num_negatives nearest other
  examples of the same view and to the example's other positive views. A
  sorting network relaxes the sort of s to P [inputs, ranks]; with t = 1 for
  the positives, which should fill the last ranks, q = P t and
  loss_i = mean over a, m of -t_m log q_m - (1 - t_m) log(1 - q_m),
  each log at least -100. q is computed without P.

  Args:
    embeddings: [b k d], b examples in k >= 2 views, any float type and norm;
      computed in float32 (float64 stays).
    num_negatives: negatives of an anchor, in [1, b - 1].
    steepness: of the comparators, > 0, per unit of cosine.
    num_positive_views: positives come from this many first views (full
      crops); None for all. At least 2, so that those have one themselves.
    stop_gradient: only the anchor gets a gradient, as published.
    network: as in `ops.soft_sort`.
    relaxation: as in `ops.soft_sort`; cauchy as published.
    art_lambda: as in `ops.soft_sort`; cauchy ignores it.
    where: [b], True = keep; others are no negatives and get loss 0. Where
      less than num_negatives others are kept, the missing cosines are -1.

  Returns:
    [b], float32 or float64, nats. The examples of the given batch are coupled:
    inside shard_map those of one device, under jit the global batch.

  Raises:
    ValueError: embeddings not [b k d] with k >= 2 and b > num_negatives, or
      num_positive_views outside [2, k]; as `ops.soft_sort`.
    TypeError: embeddings are not floating point; where is not bool.

  Source: Shvetsova et al. 2023, arXiv:2301.02009, and the released code.
  Differs: one binary cross-entropy. The released code averages that of the
    positives' ranks with that of the negatives', which is the same number,
    as rows of P sum to 1.

  >>> z = jnp.array([[[1.0, 0], [1, 0]], [[0, 1], [0, 1]]])
  >>> print(groco_loss(z, num_negatives=1, steepness=1.0).round(4))
  [0.2877 0.2877]
  """
  _check(embeddings, num_negatives, num_positive_views, where)
  num_views = embeddings.shape[1]
  num_positive = num_positive_views or num_views
  z = ops.unit_norm(embeddings.swapaxes(0, 1))
  fixed = jax.lax.stop_gradient(z) if stop_gradient else z
  negatives = _negatives(z, fixed, num_negatives, where)
  cosines = jnp.einsum("abd,pbd->abp", z, fixed[:num_positive])
  # The anchors among the positive views have one positive less: themselves.
  total = 0.0
  for anchors in (range(num_positive), range(num_positive, num_views)):
    if not anchors:
      continue
    others = jnp.array(
      [[p for p in range(num_positive) if p != a] for a in anchors]
    )
    index = jnp.array(anchors)
    positives = jnp.take_along_axis(cosines[index], others[:, None, :], axis=-1)
    scores = jnp.concatenate(
      [negatives[index], jnp.sort(positives, axis=-1)], axis=-1
    )
    loss = _ordering_loss(
      scores,
      num_negatives,
      steepness=steepness,
      network=network,
      relaxation=relaxation,
      art_lambda=art_lambda,
    )
    total = total + loss.sum(0)
  total = total / num_views
  return total if where is None else jnp.where(where, total, 0)


def _ordering_loss(scores, num_negatives, **kwargs):
  """[...] from scores [... n], the negatives first; kwargs of soft_sort."""
  is_positive = jnp.arange(scores.shape[-1]) >= num_negatives
  result = ops.soft_sort(scores, **kwargs)
  mass = result.apply(is_positive.astype(scores.dtype)).clip(0, 1)
  kept = jnp.where(is_positive, mass, 1 - mass)
  return -_clamped_log(kept).mean(-1)


def _check(embeddings, num_negatives, num_positive_views, where):
  if not jnp.issubdtype(embeddings.dtype, jnp.floating):
    raise TypeError(
      f"embeddings must be floating point, got {embeddings.dtype}."
    )
  if embeddings.ndim != 3 or embeddings.shape[1] < 2:
    raise ValueError(
      f"embeddings must be [b k d] with k >= 2, got {embeddings.shape}."
    )
  num_examples, num_views, _ = embeddings.shape
  if not 1 <= num_negatives < num_examples:
    raise ValueError(
      f"num_negatives must be in [1, b - 1] = [1, {num_examples - 1}], "
      f"got {num_negatives}."
    )
  if (
    num_positive_views is not None and not 2 <= num_positive_views <= num_views
  ):
    raise ValueError(
      f"num_positive_views must be in [2, {num_views}], "
      f"got {num_positive_views}."
    )
  if where is not None and where.dtype != jnp.bool_:
    raise TypeError(f"where must be bool, got {where.dtype}.")
  if where is not None and where.shape != (num_examples,):
    raise ValueError(
      f"where must have shape ({num_examples},), got {where.shape}."
    )


def _negatives(z, fixed, num_negatives, where):
  """[k b num_negatives], the largest cosines to other examples, ascending."""
  similarity = jnp.einsum("kbd,kcd->kbc", z, fixed)
  other = ~jnp.eye(similarity.shape[-1], dtype=bool)
  other = other if where is None else other & where
  # Below every cosine, so that it is never among the largest.
  similarity = jnp.where(other, similarity, -2)
  largest, _ = jax.lax.top_k(similarity, num_negatives)
  return jnp.maximum(largest[..., ::-1], -1)


@jax.custom_jvp
def _clamped_log(q):
  """log q, at least -100, with a slope of at most 1e12."""
  return jnp.maximum(jnp.log(q), -100)


@_clamped_log.defjvp
def _(primals, tangents):
  (q,), (d_q,) = primals, tangents
  return _clamped_log(q), d_q / jnp.maximum(q, 1e-12)
