"""From which copy of a classifier an adversarial example comes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def tracing_scores(
  copy_scores: Float[Array, "*b n c"],
  tracer_outputs: Float[Array, "*b n c"],
  labels: Int[Array, "*b"] | None = None,
  clean_tracer_outputs: Float[Array, "*b n c"] | None = None,
) -> Float[Array, "*b n"]:
  """How much each copy's tracer is for the attack: the largest is the source.

  score_i = T_i[attacked] - T_i[clean] on the adversarial example. Without
  labels these are the first and second class of copy i's scores; with labels,
  copy i's best other class and the label. With the tracers' outputs on the
  image before the attack, the same difference there is taken off.

  Args:
    copy_scores: [*b n c], M_i on the adversarial examples.
    tracer_outputs: [*b n c], T_i on the adversarial examples.
    labels: [*b], true classes in [0, c); None: not known.
    clean_tracer_outputs: [*b n c], T_i on the images before; None: not known.

  Returns:
    [*b n] float32.

  Raises:
    ValueError: shapes do not match, or fewer than two classes.

  Source: Fang et al. 2022, arXiv:2301.01218, eq. 6 of the version of ICCV
    2023 (difference of output logits).
  Differs: known labels and images are not the paper's.

  >>> scores = jnp.array([[[0.1, 0.9], [0.8, 0.2]]])
  >>> outputs = jnp.array([[[-1.0, 1.0], [0.5, 0.25]]])
  >>> print(tracing_scores(scores, outputs))
  [[2.   0.25]]
  >>> print(tracing_scores(scores, outputs, jnp.array([0])))
  [[ 2.   -0.25]]
  """
  for name, array in (
    ("tracer_outputs", tracer_outputs),
    ("clean_tracer_outputs", clean_tracer_outputs),
  ):
    if array is not None and array.shape != copy_scores.shape:
      raise ValueError(
        f"{name} must have the shape of copy_scores, {copy_scores.shape}, got "
        f"{array.shape}."
      )
  if copy_scores.shape[-1] < 2:
    raise ValueError(
      f"copy_scores must have at least two classes, got {copy_scores.shape}."
    )
  copy_scores = jnp.asarray(copy_scores, jnp.float32)
  if labels is None:
    ranked = jax.lax.top_k(copy_scores, 2)[1]
    attacked, clean = ranked[..., 0], ranked[..., 1]
  else:
    if labels.shape != copy_scores.shape[:-2]:
      raise ValueError(
        f"labels must have shape {copy_scores.shape[:-2]} to match "
        f"copy_scores {copy_scores.shape}, got {labels.shape}."
      )
    clean = jnp.broadcast_to(
      jnp.asarray(labels)[..., None], copy_scores.shape[:-1]
    )
    own = jax.nn.one_hot(clean, copy_scores.shape[-1], dtype=bool)
    attacked = jnp.where(own, -jnp.inf, copy_scores).argmax(axis=-1)

  def difference(outputs):
    outputs = jnp.asarray(outputs, jnp.float32)
    of = lambda k: jnp.take_along_axis(outputs, k[..., None], axis=-1)[..., 0]
    return of(attacked) - of(clean)

  scores = difference(tracer_outputs)
  if clean_tracer_outputs is not None:
    scores = scores - difference(clean_tracer_outputs)
  return scores


def tracing_accuracy(
  scores: Float[Array, "b n"],
  sources: Int[Array, " b"],
  *,
  candidates: int | None = None,
  where: Bool[Array, " b"] | None = None,
) -> Float[Array, ""]:
  """Share of examples whose source has the largest score.

  With fewer candidates than copies: the expectation when the source and
  candidates - 1 of the others, drawn at random, are looked at. That is the
  mean of C(k, candidates - 1) / C(n - 1, candidates - 1), k the number of
  copies with a smaller score than the source; a tie counts against it.

  Args:
    scores: [b n], of each copy.
    sources: [b], the copy that was attacked, in [0, n).
    candidates: in [1, n]; None: all n. Chance is 1 / candidates.
    where: [b], True = keep; None keeps all.

  Returns:
    [] float32, in [0, 1]; nan when nothing is kept.

  Raises:
    ValueError: candidates is outside [1, n], or shapes do not match.

  Source: Fang et al. 2022, arXiv:2301.01218, eq. 7 of the version of ICCV
    2023.
  Differs: nothing known.

  >>> scores = jnp.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
  >>> print(tracing_accuracy(scores, jnp.array([0, 2])))
  0.5
  >>> print(tracing_accuracy(scores, jnp.array([0, 2]), candidates=2))
  0.75
  """
  scores, sources = jnp.asarray(scores), jnp.asarray(sources)
  b, n = scores.shape
  candidates = n if candidates is None else candidates
  if not 1 <= candidates <= n:
    raise ValueError(
      f"candidates must be in [1, {n}], the copies, got {candidates}."
    )
  for name, array in (("sources", sources), ("where", where)):
    if array is not None and array.shape != (b,):
      raise ValueError(f"{name} must have shape ({b},), got {array.shape}.")
  own = jnp.take_along_axis(scores, sources[:, None], axis=1)
  below = (scores < own).sum(axis=1)
  chance = jnp.ones((b,))
  for i in range(candidates - 1):
    chance *= jnp.maximum(below - i, 0) / (n - 1 - i)
  keep = jnp.ones((b,), bool) if where is None else where
  return jnp.where(keep, chance, 0).sum() / keep.sum()


def transfer_rates(
  predictions: Int[Array, "n b m"],
  labels: Int[Array, " b"],
  *,
  where: Bool[Array, "n b"] | None = None,
) -> Float[Array, "n m"]:
  """Share of the examples that fool copy i which fool copy j too.

  Args:
    predictions: [n b m]: class that copy j gives the example that was made
      from image b to fool copy i. The first n of the m copies are attacked.
    labels: [b], true classes.
    where: [n b], True = keep; None keeps all.

  Returns:
    [n m] float32, in [0, 1]; 1 for i = j; nan where i was never fooled.

  Raises:
    ValueError: shapes do not match, or n > m.

  Source: Papernot et al. 2016, arXiv:1605.07277 (transferability).
  Differs: nothing known.

  >>> predictions = jnp.array(
  ...   [[[1, 1], [0, 0], [1, 0]], [[1, 1], [0, 1], [0, 0]]]
  ... )
  >>> print(transfer_rates(predictions, jnp.zeros(3, int)))
  [[1.  0.5]
   [0.5 1. ]]
  """
  predictions, labels = jnp.asarray(predictions), jnp.asarray(labels)
  n, b, m = predictions.shape
  if n > m or labels.shape != (b,):
    raise ValueError(
      "predictions must have shape [n b m] with n <= m and b labels, got "
      f"{predictions.shape} and {labels.shape} labels."
    )
  wrong = predictions != labels[:, None]
  fooled = wrong[jnp.arange(n), :, jnp.arange(n)]
  if where is not None:
    if where.shape != (n, b):
      raise ValueError(f"where must have shape {(n, b)}, got {where.shape}.")
    fooled &= where
  both = (wrong & fooled[..., None]).sum(axis=1)
  return both / fooled.sum(axis=1)[:, None]
