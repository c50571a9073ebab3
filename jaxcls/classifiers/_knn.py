"""k nearest neighbours, block by block over the bank of training rows."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls.classifiers import _inputs
from jaxcls.ops import distances

METRICS = ("cosine", "euclidean")
WEIGHTS = ("softmax", "uniform")


def fit_knn(
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  num_classes: int,
  where: Bool[Array, " n"] | None = None,
) -> dict[str, Array]:
  """Stores the training rows; the metric is chosen when predicting.

  Args:
    features: [n d], any float type; stored in float32.
    labels: [n], class ids in [0, c), -1 = unlabelled, never a neighbour.
    num_classes: c, fixed.
    where: [n], True = keep; None keeps all.

  Returns:
    {"embeddings": [n d] float32, "labels": [n] int, "class_counts": [c]
    int32}; a row that does not count has label -1.

  Raises:
    ValueError: no rows, shapes that do not match, a label >= num_classes.
    TypeError: labels are not integers or where is not bool.

  Source: Wu et al. 2018, arXiv:1805.01978 (memory bank).
  Differs: nothing known.

  >>> x, y = jnp.array([[0.0], [2.0]]), jnp.array([0, 1])
  >>> print(fit_knn(x, y, num_classes=2, where=y > 0)["labels"])
  [-1  1]
  """
  features, labels, _ = _inputs.check_fit(features, labels, num_classes, where)
  counts = _inputs.one_hot(labels, num_classes).sum(axis=0)
  return {
    "embeddings": features,
    "labels": labels,
    "class_counts": counts.astype(jnp.int32),
  }


def predict_knn(
  params: dict[str, Array],
  features: Float[Array, "b d"],
  *,
  k: int,
  metric: str = "cosine",
  weights: str = "softmax",
  temperature: float = 0.07,
  block_size: int = 4096,
) -> Float[Array, "b c"]:
  """Log of the share of the votes that the k nearest rows give each class.

  share_m = sum_{i in k nearest} w_i * [label_i == m] / sum_i w_i, with w_i =
  exp(similarity_i / temperature) for "softmax" and 1 for "uniform".

  Args:
    params: from fit_knn.
    features: [b d], any float type; computed in float32.
    k: number of neighbours, in [1, n]; fewer vote if fewer rows count.
    metric: "cosine": similarity of unit vectors. "euclidean": minus the
      distance. Of equally near rows the first in the bank is taken.
    weights: "softmax" or "uniform" (a majority vote).
    temperature: of the softmax weights, > 0; no unit for cosine, the
      features' unit for euclidean.
    block_size: rows of the bank compared at once: [b, block_size + k] floats
      are stored, never [b n].

  Returns:
    [b c] float32; exp of it is the share of votes, log(1e-38) for none.

  Raises:
    ValueError: features are not [b d] with the d of fit; k outside [1, n];
      unknown metric or weights; temperature <= 0; block_size < 1.

  Source: Wu et al. 2018, arXiv:1805.01978, weighted kNN with temperature
    0.07, as used by Caron et al. 2021, arXiv:2104.14294 (DINO);
    sklearn.neighbors.KNeighborsClassifier for uniform weights.
  Differs: the votes are normalised; the ranking of classes is the same.

  >>> x, y = jnp.array([[0.0], [2.0], [9.0]]), jnp.array([0, 0, 1])
  >>> params = fit_knn(x, y, num_classes=2)
  >>> near = {"k": 3, "metric": "euclidean", "weights": "uniform"}
  >>> print(jnp.exp(predict_knn(params, x[:1], **near)))
  [[0.6666667 0.3333333]]
  """
  bank, labels = params["embeddings"], params["labels"]
  features = _inputs.check_features(features, bank.shape[1])
  _check_options(bank.shape[0], k, metric, weights, temperature, block_size)
  near = distances.nearest_neighbors(
    features, bank, k=k, metric=metric, where=labels >= 0,
    block_size=block_size,
  )  # fmt: skip
  # Minus the distance, or the cosine; -inf where there is no neighbour.
  similarity = (1.0 if metric == "cosine" else 0.0) - near.distances
  neighbours = jnp.where(near.indices >= 0, labels[near.indices], 0)
  weight = _vote_weights(similarity, weights, temperature)
  rows = jnp.arange(features.shape[0])[:, None]
  shares = jnp.zeros((features.shape[0], params["class_counts"].shape[0]))
  shares = shares.at[rows, neighbours].add(weight)
  return jnp.log(jnp.maximum(shares, jnp.finfo(jnp.float32).tiny))


def _check_options(rows, k, metric, weights, temperature, block_size):
  """Raises ValueError for what predict_knn does not take."""
  if not 1 <= k <= rows:
    raise ValueError(f"k must be in [1, {rows}], the rows of fit, got {k}.")
  if metric not in METRICS:
    raise ValueError(f"metric must be one of {METRICS}, got {metric!r}.")
  if weights not in WEIGHTS:
    raise ValueError(f"weights must be one of {WEIGHTS}, got {weights!r}.")
  if block_size < 1:
    raise ValueError(f"block_size must be at least 1, got {block_size}.")
  _inputs.check_positive("temperature", temperature)


def _vote_weights(similarity, weights, temperature):
  """Weights [b k] that sum to 1; 0 where no neighbour was found."""
  votes = jnp.isfinite(similarity)
  if weights == "softmax":
    # From the nearest, so that the largest weight is 1.
    gap = jnp.where(votes, similarity - similarity[:, :1], 0.0)
    weight = jnp.where(votes, jnp.exp(gap / temperature), 0.0)
  else:
    weight = votes.astype(jnp.float32)
  return weight / jnp.maximum(weight.sum(axis=-1, keepdims=True), 1.0)
