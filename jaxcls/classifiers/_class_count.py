"""How many classes there are, when only some of them have labels."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxcls import ops
from jaxcls.classifiers import _inputs


class ClassCount(NamedTuple):
  """What `estimate_num_classes` found; one entry a candidate in the others.

  num_classes: the candidate with the best score; labeled_accuracy: of the
  clusters on labelled rows; separation: simplified silhouette; scores: their
  sum.
  """

  num_classes: int
  labeled_accuracy: np.ndarray
  separation: np.ndarray
  scores: np.ndarray


def estimate_num_classes(
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  candidates: Sequence[int],
  separation_weight: float = 1.0,
  num_inits: int = 4,
  key: PRNGKeyArray,
) -> ClassCount:
  """Number of classes whose clusters agree with the labels and lie apart.

  For each candidate k all rows, their labels unseen, are clustered into k by
  spherical k-means. With a_i the cosine distance of row i to its own centroid
  and b_i to the nearest other one,
  score_k = accuracy of the best one-to-one match of clusters and classes on
    the labelled rows + separation_weight * mean_i (b_i - a_i) / max(a_i, b_i).
  Too few clusters join classes, too many split them: both cost accuracy.

  Runs on the host, a compiled program for each candidate.

  Args:
    features: [n d], any float type; divided by their norm.
    labels: [n], class ids, -1 = unlabelled; at least one row has a label.
    candidates: numbers to choose from, each from 2 to n; of equal scores the
      first wins.
    separation_weight: >= 0; 0 is the labelled accuracy alone.
    num_inits: runs of k-means; the tightest is kept.
    key: for k-means.

  Returns:
    A ClassCount.

  Raises:
    ValueError: no candidate or one out of range, no labelled row, a bad
      shape, or separation_weight < 0.
    TypeError: labels are not integers.

  Source: labelled accuracy: Vaze et al. 2022, arXiv:2201.02609; joined with
    the prototypes' quality: Ma et al. 2025, arXiv:2504.03755 (ProtoGCD).
  Differs: every candidate is tried, where Vaze et al. use Brent's method. The
    quality is the simplified silhouette with weight 1; ProtoGCD's released
    code has no estimate to compare with.

  >>> x = jnp.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [-1.0, 0.0]] * 3)
  >>> y = jnp.array([0, 0, -1, -1] * 3)
  >>> key = jax.random.key(0)
  >>> estimate_num_classes(x, y, candidates=(2, 3), key=key).num_classes
  3
  """
  candidates = tuple(int(k) for k in candidates)
  n = features.shape[0]
  if not candidates or min(candidates) < 2 or max(candidates) > n:
    raise ValueError(
      f"candidates must be numbers in [2, {n}], got {candidates}."
    )
  if separation_weight < 0:
    raise ValueError(
      f"separation_weight must be >= 0, got {separation_weight}."
    )
  known = int(labels.max()) + 1
  if known < 1:
    raise ValueError("labels must have a row that is not -1, got none.")
  x = _inputs.check_features(features)
  _inputs.check_fit(x, labels, known, None)
  found = [
    _score(
      x, labels, jax.random.fold_in(key, k), k=k, known=known, inits=num_inits
    )
    for k in candidates
  ]  # fmt: skip
  accuracy, separation = np.array(jax.device_get(found), np.float64).T
  scores = accuracy + separation_weight * separation
  best = candidates[int(scores.argmax())]
  return ClassCount(best, accuracy, separation, scores)


@functools.partial(jax.jit, static_argnames=("k", "known", "inits"))
def _score(features, labels, key, *, k, known, inits):
  """Labelled accuracy and simplified silhouette of k clusters."""
  clusters = ops.kmeans(
    features, num_clusters=k, spherical=True, num_inits=inits, key=key
  )
  x = ops.unit_norm(features)
  distances = 1 - jnp.matmul(x, clusters.centroids.T, precision="highest")
  nearest = jnp.sort(distances, axis=1)[:, :2]
  own, other = nearest[:, 0], nearest[:, 1]
  silhouette = ((other - own) / jnp.maximum(other, 1e-12)).mean()
  index = jnp.where(labels >= 0, labels, known)
  counts = jnp.zeros((k, known), jnp.int32)
  counts = counts.at[clusters.assignments, index].add(1, mode="drop")
  names = ops.linear_assignment(counts, maximize=True)
  right = jnp.take_along_axis(counts, jnp.maximum(names, 0)[:, None], axis=1)
  right = jnp.where(names >= 0, right[:, 0], 0).sum()
  return right / jnp.maximum((labels >= 0).sum(), 1), silhouette
