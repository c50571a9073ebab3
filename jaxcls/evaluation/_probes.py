"""Probes: how much a simple classifier reads from frozen features.

All of them: train and test features [n d] and [m d] of any float type, labels
[n] and [m] ints; rows labelled -1 (unlabelled, or padding) count nowhere. A
probe fits, and chooses what it chooses, on the training rows only. Each runs
on the host around compiled programs and is not for use inside jit.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls import classifiers
from jaxcls.evaluation import _metrics

# Floats of one block of similarities: test rows times bank rows, 256 MiB.
BLOCK_FLOATS = 2**26


def knn_probe(
  train_features: Float[Array, "n d"],
  train_labels: Int[Array, " n"],
  test_features: Float[Array, "m d"],
  test_labels: Int[Array, " m"],
  *,
  num_classes: int,
  k: int = 20,
  temperature: float = 0.07,
) -> dict[str, float]:
  """Accuracy of the softmax-weighted vote of the k nearest training rows.

  Similarity is the cosine; the features are not standardised, as usual.

  Args:
    train_features: [n d], the bank.
    train_labels: [n], class ids in [0, c), -1 = unlabelled.
    test_features: [m d].
    test_labels: [m], class ids in [0, c), -1 = unlabelled.
    num_classes: c.
    k: number of neighbours, in [1, n]; DINO's choice.
    temperature: of the vote, > 0, no unit; that of Wu et al.

  Returns:
    {"accuracy": in [0, 1]}; nan when no test row counts.

  Raises:
    ValueError: no rows, shapes that do not match, a label outside [-1, c),
      k outside [1, n].
    TypeError: labels are not integers.

  Source: Wu et al. 2018, arXiv:1805.01978; Caron et al. 2021,
    arXiv:2104.14294 (k = 20).
  Differs: nothing known.

  >>> x, y = jnp.eye(2), jnp.array([0, 1])
  >>> knn_probe(x, y, x, y, num_classes=2, k=1)
  {'accuracy': 1.0}
  """
  train = check_rows("train", train_features, train_labels, num_classes)
  test = check_rows("test", test_features, test_labels, num_classes)
  params = classifiers.fit_knn(*train, num_classes=num_classes)
  logits = _predict_knn(params, test[0], k, temperature)
  return {"accuracy": float(_metrics.accuracy(logits, test[1]))}


def linear_probe(
  train_features: Float[Array, "n d"],
  train_labels: Int[Array, " n"],
  test_features: Float[Array, "m d"],
  test_labels: Int[Array, " m"],
  *,
  num_classes: int,
  l2_grid: tuple[float, ...] = (1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4),
  held_out_fraction: float = 0.2,
  max_iterations: int = 500,
  seed: int = 0,
) -> dict[str, float]:
  """Accuracy of L2-regularised logistic regression on frozen features.

  The penalty is the one with the best accuracy on a random held-out part of
  the training rows; then all of them are fitted with it. Test rows choose
  nothing. Features are standardised with statistics of the training rows.

  Args:
    train_features: [n d], at least 2 labelled rows.
    train_labels: [n], class ids in [0, c), -1 = unlabelled.
    test_features, test_labels: [m d] and [m], likewise.
    num_classes: c.
    l2_grid: penalties, each > 0; of equally good ones the largest is taken.
    held_out_fraction: share of the labelled training rows, in (0, 1).
    max_iterations: most L-BFGS steps of each fit.
    seed: of the choice of the held-out rows.

  Returns:
    {"accuracy": in [0, 1], nan when no test row counts, "l2": chosen by
    "held_out_accuracy": in [0, 1], "gradient_norm": of the last fit, above
    1e-6 if it had not converged}.

  Raises:
    ValueError: shapes that do not match, fewer than 2 labelled training rows,
      a label outside [-1, c), an empty or non-positive grid,
      held_out_fraction outside (0, 1).
    TypeError: labels are not integers.

  Source: Kornblith et al. 2019, arXiv:1805.08974 (L-BFGS on features).
  Differs: the grid and the standardisation are ours.

  >>> x, y = jnp.array([[-1.0], [1.0]] * 5), jnp.array([0, 1] * 5)
  >>> linear_probe(x, y, x, y, num_classes=2, l2_grid=(1.0,))["accuracy"]
  1.0
  """
  train = check_rows("train", train_features, train_labels, num_classes)
  test = check_rows("test", test_features, test_labels, num_classes)
  x, test_x = _standardise(*train, test[0])
  fit = functools.partial(_fit_linear, num_classes, max_iterations)
  held_out = _held_out(train[1], held_out_fraction, seed)
  score, l2 = _choose_l2(fit, x, train[1], held_out, l2_grid)
  params = fit(x, train[1], jnp.ones(held_out.shape, bool), l2)
  logits = classifiers.predict_logistic_regression(params, test_x)
  return {
    "accuracy": float(_metrics.accuracy(logits, test[1])),
    "l2": l2,
    "held_out_accuracy": score,
    "gradient_norm": float(params["gradient_norm"]),
  }


def naive_bayes_probe(
  train_features: Float[Array, "n d"],
  train_labels: Int[Array, " n"],
  test_features: Float[Array, "m d"],
  test_labels: Int[Array, " m"],
  *,
  num_classes: int,
  var_smoothing: float = 1e-3,
) -> dict[str, float]:
  """Accuracy of Gaussian naive Bayes on frozen features.

  Features are standardised with the mean and standard deviation of the
  training rows, so that var_smoothing is a share of every feature's variance.

  Args:
    train_features: [n d].
    train_labels: [n], class ids in [0, c), -1 = unlabelled.
    test_features: [m d].
    test_labels: [m], class ids in [0, c), -1 = unlabelled.
    num_classes: c.
    var_smoothing: added variance, > 0, no unit. Far above scikit-learn's
      1e-9: a ReLU feature that is 0 throughout a class would decide alone.

  Returns:
    {"accuracy": in [0, 1]}; nan when no test row counts.

  Raises:
    ValueError: no rows, shapes that do not match, a label outside [-1, c),
      var_smoothing <= 0.
    TypeError: labels are not integers.

  Source: sklearn.naive_bayes.GaussianNB.
  Differs: standardised features, larger var_smoothing.

  >>> x, y = jnp.array([[-2.0], [-1.0], [1.0], [2.0]]), jnp.array([0, 0, 1, 1])
  >>> naive_bayes_probe(x, y, x, y, num_classes=2)
  {'accuracy': 1.0}
  """
  train = check_rows("train", train_features, train_labels, num_classes)
  test = check_rows("test", test_features, test_labels, num_classes)
  if var_smoothing <= 0:
    raise ValueError(f"var_smoothing must be above 0, got {var_smoothing}.")
  x, test_x = _standardise(*train, test[0])
  logits = _naive_bayes(num_classes, x, train[1], test_x, var_smoothing)
  return {"accuracy": float(_metrics.accuracy(logits, test[1]))}


def class_count_probe(
  train_features: Float[Array, "n d"],
  train_labels: Int[Array, " n"],
  test_features: Float[Array, "m d"],
  test_labels: Int[Array, " m"],
  *,
  num_classes: int,
  candidates: tuple[int, ...],
  separation_weight: float = 1.0,
  seed: int = 0,
) -> dict[str, float]:
  """Number of classes that is estimated from the training rows.

  Args:
    train_features: [n d], labelled and unlabelled.
    train_labels: [n], class ids in [0, c), -1 = unlabelled.
    test_features, test_labels: not used.
    num_classes: c, a bound of the labels alone.
    candidates, separation_weight: as in
      `classifiers.estimate_num_classes`.
    seed: of k-means.

  Returns:
    {"num_classes": by the score, "by_accuracy": by the accuracy on labelled
    rows alone, "by_separation": by the separation alone}.

  Raises: as `classifiers.estimate_num_classes`.

  Source: Vaze et al. 2022, arXiv:2201.02609.
  Differs: see `classifiers.estimate_num_classes`.

  >>> x, y = jnp.eye(3).repeat(4, axis=0), jnp.array([0] * 4 + [-1] * 8)
  >>> found = class_count_probe(x, y, x, y, num_classes=3, candidates=(2, 3))
  >>> found["num_classes"]
  3
  """
  del test_features, test_labels
  x, y = check_rows("train", train_features, train_labels, num_classes)
  found = classifiers.estimate_num_classes(
    x, y, candidates=candidates, separation_weight=separation_weight,
    key=jax.random.key(seed),
  )  # fmt: skip
  return {
    "num_classes": found.num_classes,
    "by_accuracy": candidates[int(found.labeled_accuracy.argmax())],
    "by_separation": candidates[int(found.separation.argmax())],
  }


def check_rows(part, features, labels, num_classes):
  """(features, labels) as jax arrays; raises for labels that do not fit."""
  features, labels = jnp.asarray(features), jnp.asarray(labels)
  if features.ndim != 2 or labels.shape != features.shape[:1]:
    raise ValueError(
      f"{part}_features and {part}_labels must have shapes [n d] and [n], "
      f"got {features.shape} and {labels.shape}."
    )
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise TypeError(
      f"{part}_labels must be integer class ids, got {labels.dtype}."
    )
  if features.shape[0] == 0:
    raise ValueError(f"{part}_features must have at least one row, got none.")
  if labels.min() < -1 or labels.max() >= num_classes:
    raise ValueError(
      f"{part}_labels must be in [-1, {num_classes}), got values from "
      f"{labels.min()} to {labels.max()}."
    )
  return features, labels


@jax.jit
def _standardise(x, labels, test_x):
  """Both sets, with mean 0 and variance 1 over the labelled train rows."""
  x, test_x = x.astype(jnp.float32), test_x.astype(jnp.float32)
  kept = (labels >= 0)[:, None]
  mean = x.mean(axis=0, where=kept)
  std = x.std(axis=0, where=kept)
  # Not exactly 0 for a constant feature, when its mean was rounded.
  constant = std <= 1e-6 * jnp.abs(mean)
  std = jnp.where(constant, 1.0, std)
  return (x - mean) / std, (test_x - mean) / std


def _held_out(labels, fraction, seed):
  """Bool [n]: a random share of the labelled rows, at least 1, never all."""
  if not 0 < fraction < 1:
    raise ValueError(f"held_out_fraction must be in (0, 1), got {fraction}.")
  count = int((labels >= 0).sum())
  if count < 2:
    raise ValueError(
      f"train_labels must hold at least 2 labelled rows, got {count}."
    )
  size = min(max(round(fraction * count), 1), count - 1)
  draws = jax.random.uniform(jax.random.key(seed), labels.shape)
  ranks = jnp.argsort(jnp.argsort(jnp.where(labels >= 0, draws, 2.0)))
  return ranks < size


def _choose_l2(fit, x, labels, held_out, grid):
  """(accuracy on the held-out rows, penalty) of the best of the grid."""
  if not grid or min(grid) <= 0:
    raise ValueError(
      f"l2_grid must hold at least one number, all above 0, got {grid}."
    )
  best = (-1.0, 0.0)
  for l2 in grid:
    params = fit(x, labels, ~held_out, l2)
    logits = classifiers.predict_logistic_regression(params, x)
    score = float(_metrics.accuracy(logits, labels, where=held_out))
    best = max(best, (score, l2))
  return best


@functools.partial(jax.jit, static_argnums=(0, 1))
def _fit_linear(num_classes, max_iterations, x, labels, where, l2):
  """Logistic regression, compiled once for all penalties and splits."""
  return classifiers.fit_logistic_regression(
    x,
    labels,
    num_classes=num_classes,
    l2=l2,
    max_iterations=max_iterations,
    where=where,
  )


@functools.partial(jax.jit, static_argnums=0)
def _naive_bayes(num_classes, x, labels, test_x, var_smoothing):
  """Logits of test_x by naive Bayes."""
  params = classifiers.fit_naive_bayes(
    x, labels, num_classes=num_classes, var_smoothing=var_smoothing
  )
  return classifiers.predict_naive_bayes(params, test_x)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _predict_knn(params, features, k, temperature):
  """predict_knn with blocks that keep the memory bounded."""
  block_size = max(k, min(4096, BLOCK_FLOATS // features.shape[0]))
  return classifiers.predict_knn(
    params, features, k=k, temperature=temperature, block_size=block_size
  )
