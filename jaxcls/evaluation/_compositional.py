"""Seen against unseen pairs, over every calibration bias.

All of them: a bias is added to the logits of the pairs that were not trained
on; the larger it is, the more rows are given an unseen pair. World "closed":
the pairs compared are the seen ones and those among the labels; "open": all.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.evaluation import _kept


def _candidates(logits, labels, seen, world, where):
  """(logits float32, kept rows, rows of seen pairs, compared classes)."""
  if world not in ("closed", "open"):
    raise ValueError(f"world must be 'closed' or 'open', got {world!r}.")
  kept, seen = _kept.kept_rows(logits, labels, where), jnp.asarray(seen)
  if seen.shape != logits.shape[-1:]:
    raise ValueError(
      f"seen must have shape {logits.shape[-1:]} to match logits, got "
      f"{seen.shape}."
    )
  labels = jnp.where(kept, labels, 0)
  present = jnp.zeros(seen.shape, bool).at[labels].max(kept)
  compared = seen | present if world == "closed" else jnp.ones_like(seen)
  return logits.astype(jnp.float32), kept, seen[labels], compared


def seen_unseen_curve(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  seen: Bool[Array, " c"],
  world: str = "closed",
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, "m 3"]:
  """Accuracy on seen and on unseen pairs under every bias that matters.

  With s_i, u_i the largest logit of row i over seen and unseen pairs, a row is
  given an unseen pair when bias > s_i - u_i: only these n values matter.

  Args:
    logits: [n c], any float type.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    seen: [c], True = the pair was trained on.
    world: "closed" or "open", see the module.
    where: [n], True = keep; None keeps all.

  Returns:
    [n + 1 3] float32, rising in the bias: (bias, accuracy on rows of seen
    pairs, on rows of unseen pairs) for biases just above it; the first bias is
    -inf. nan where no row of that kind counts.

  Raises:
    ValueError: shapes do not match, unknown world.
    TypeError: labels are not integers or where is not bool.

  Source: Chao et al. 2016, arXiv:1605.04253; Purushwalkam et al. 2019,
    arXiv:1905.05908.
  Differs: the released code of the second looks at about 20 biases.

  >>> x, y = jnp.array([[2.0, 1.0], [2.0, 1.0]]), jnp.array([0, 1])
  >>> print(seen_unseen_curve(x, y, seen=jnp.array([True, False])))
  [[-inf   1.   0.]
   [  1.   0.   1.]
   [  1.   0.   1.]]
  """
  x, kept, is_seen, compared = _candidates(logits, labels, seen, world, where)

  def best(classes):
    """Largest logit over some classes, and whether it is the label's."""
    hidden = jnp.where(classes & compared, x, -jnp.inf)
    return hidden.max(axis=-1), hidden.argmax(axis=-1) == labels

  seen = jnp.asarray(seen)
  (s, right_seen), (u, right_unseen) = best(seen), best(~seen)
  gaps = jnp.where(kept, s - u, -jnp.inf)
  biases = jnp.sort(jnp.append(gaps, -jnp.inf))
  right_seen &= kept & is_seen
  right_unseen &= kept & ~is_seen
  # A seen row is right while its gap is above the bias, an unseen one after.
  losing = jnp.sort(jnp.where(right_seen, gaps, -jnp.inf))
  winning = jnp.sort(jnp.where(right_unseen, gaps, jnp.inf))
  above = len(losing) - jnp.searchsorted(losing, biases, side="right")
  below = jnp.searchsorted(winning, biases, side="right")
  share = lambda count, rows: count / rows.sum(dtype=jnp.float32)
  seen_accuracy = share(above, kept & is_seen)
  return jnp.stack(
    [biases, seen_accuracy, share(below, kept & ~is_seen)], axis=1
  )


def seen_unseen_auc(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  seen: Bool[Array, " c"],
  world: str = "closed",
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Area under accuracy on seen pairs as a function of that on unseen ones.

  The trapezoid rule over the points of `seen_unseen_curve`.

  Args, Raises: as `seen_unseen_curve`.

  Returns:
    [] float32 in [0, 1]; nan where no row of one kind counts.

  Source: Purushwalkam et al. 2019, arXiv:1905.05908.
  Differs: every bias, where the released code looks at about 20.

  >>> x, y = jnp.array([[2.0, 0.0], [2.0, 1.0]]), jnp.array([0, 1])
  >>> print(seen_unseen_auc(x, y, seen=jnp.array([True, False])))
  1.0
  """
  curve = seen_unseen_curve(logits, labels, seen=seen, world=world, where=where)
  _, s, u = curve.T
  return (jnp.diff(u) * (s[1:] + s[:-1]) / 2).sum()


def best_seen_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  seen: Bool[Array, " c"],
  world: str = "closed",
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Accuracy on rows of seen pairs when only seen pairs compete.

  Args, Raises: as `seen_unseen_curve`.

  Returns:
    [] float32 in [0, 1]; nan where no such row counts.

  Source: Purushwalkam et al. 2019, arXiv:1905.05908.
  Differs: nothing known.

  >>> x, y = jnp.array([[0.0, 1.0]]), jnp.array([0])
  >>> print(best_seen_accuracy(x, y, seen=jnp.array([True, False])))
  1.0
  """
  curve = seen_unseen_curve(logits, labels, seen=seen, world=world, where=where)
  return curve[0, 1]


def best_unseen_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  seen: Bool[Array, " c"],
  world: str = "closed",
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Accuracy on rows of unseen pairs when only unseen pairs compete.

  Args, Raises: as `seen_unseen_curve`.

  Returns:
    [] float32 in [0, 1]; nan where no such row counts.

  Source: Purushwalkam et al. 2019, arXiv:1905.05908.
  Differs: nothing known.

  >>> x, y = jnp.array([[1.0, 0.0]]), jnp.array([1])
  >>> print(best_unseen_accuracy(x, y, seen=jnp.array([True, False])))
  1.0
  """
  curve = seen_unseen_curve(logits, labels, seen=seen, world=world, where=where)
  return curve[-1, 2]


def best_harmonic_mean(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  seen: Bool[Array, " c"],
  world: str = "closed",
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Largest harmonic mean of the two accuracies over all biases.

  Args, Raises: as `seen_unseen_curve`.

  Returns:
    [] float32 in [0, 1]; nan where no row of one kind counts.

  Source: Purushwalkam et al. 2019, arXiv:1905.05908.
  Differs: every bias, where the released code looks at about 20.

  >>> x, y = jnp.array([[2.0, 0.0], [2.0, 1.0]]), jnp.array([0, 1])
  >>> print(best_harmonic_mean(x, y, seen=jnp.array([True, False])))
  1.0
  """
  curve = seen_unseen_curve(logits, labels, seen=seen, world=world, where=where)
  _, s, u = curve.T
  total = s + u
  mean = 2 * s * u / jnp.where(total == 0, 1.0, total)
  return mean.max()


def seen_pair_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  seen: Bool[Array, " c"],
  world: str = "closed",
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Accuracy on rows of seen pairs without a bias, all pairs competing.

  Args, Raises: as `seen_unseen_curve`.

  Returns:
    [] float32 in [0, 1]; nan where no such row counts.

  Source: Purushwalkam et al. 2019, arXiv:1905.05908.
  Differs: nothing known.

  >>> x, y = jnp.eye(2), jnp.array([0, 1])
  >>> print(seen_pair_accuracy(x, y, seen=jnp.array([True, False])))
  1.0
  """
  x, kept, is_seen, compared = _candidates(logits, labels, seen, world, where)
  right = jnp.where(compared, x, -jnp.inf).argmax(axis=-1) == labels
  return _kept.kept_mean(right, kept & is_seen)


def unseen_pair_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  seen: Bool[Array, " c"],
  world: str = "closed",
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Accuracy on rows of unseen pairs without a bias, all pairs competing.

  Args, Raises: as `seen_unseen_curve`.

  Returns:
    [] float32 in [0, 1]; nan where no such row counts.

  Source: Purushwalkam et al. 2019, arXiv:1905.05908.
  Differs: nothing known.

  >>> x, y = jnp.eye(2), jnp.array([0, 1])
  >>> print(unseen_pair_accuracy(x, y, seen=jnp.array([True, False])))
  1.0
  """
  x, kept, is_seen, compared = _candidates(logits, labels, seen, world, where)
  right = jnp.where(compared, x, -jnp.inf).argmax(axis=-1) == labels
  return _kept.kept_mean(right, kept & ~is_seen)


def twin_accuracy(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
  """Share of rows whose logit is larger than that of their hard negative.

  Classes 2k and 2k + 1 are each other's hard negative: the same words bound in
  the other way, see `data.pair_classes`. A tie counts as wrong; the last class
  of an odd number has no twin and does not count.

  Args:
    logits: [n c], any float type.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    where: [n], True = keep; None keeps all.

  Returns:
    [] float32 in [0, 1], 0.5 by chance; nan when no row counts.

  Raises:
    ValueError: shapes do not match.
    TypeError: labels are not integers or where is not bool.

  Source: choice between swapped prompts: Thrush et al. 2022,
    arXiv:2204.03162.
  Differs: one image at a time, not two.

  >>> print(twin_accuracy(jnp.eye(4), jnp.array([0, 1, 3, 3])))
  0.75
  """
  kept = _kept.kept_rows(logits, labels, where)
  labels = jnp.where(kept, labels, 0)
  twins = labels ^ 1
  kept &= twins < logits.shape[-1]
  pick = lambda ids: jnp.take_along_axis(
    logits, jnp.minimum(ids, logits.shape[-1] - 1)[:, None], axis=-1
  )[:, 0]
  return _kept.kept_mean(pick(labels) > pick(twins), kept)
