import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.discriminant_analysis
import sklearn.linear_model
import sklearn.naive_bayes
import sklearn.neighbors
from beartype import beartype
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import jaxtyped

from jaxcls import classifiers

NUM_CLASSES = 3
# name: (keyword arguments of fit, of predict)
DEEP = {"coefficients": (0.0, 0.6, 0.8), "depth": 2}
METHODS = {
  "deep_kernel": ({"l2": 0.1, **DEEP}, DEEP),
  "gaussian_discriminant": ({"shrinkage": 0.1}, {}),
  "knn": ({}, {"k": 5, "block_size": 7}),
  "logistic_regression": ({"l2": 1.0}, {}),
  "naive_bayes": ({}, {}),
  "nearest_class_mean": ({}, {}),
  "ridge": ({"l2": 2.0}, {}),
  "singular_kernel": ({}, {"exponent": 3.0, "block_size": 7}),
}
every_method = pytest.mark.parametrize("name", METHODS)


def example(n=60, d=5, seed=0):
  rng = np.random.default_rng(seed)
  labels = np.arange(n) % NUM_CLASSES
  features = 1.5 * np.eye(NUM_CLASSES, d)[labels] + rng.normal(size=(n, d))
  return features.astype(np.float32), labels


def bind(name, typed=True, **overrides):
  """(jitted fit, jitted predict) of a method, annotations checked."""
  wrap = (lambda f: jaxtyped(f, typechecker=beartype)) if typed else lambda f: f
  fit = wrap(getattr(classifiers, f"fit_{name}"))
  predict = wrap(getattr(classifiers, f"predict_{name}"))
  fit_options, predict_options = METHODS[name]
  fit_options = {"num_classes": NUM_CLASSES, **fit_options}
  predict_options = {**predict_options, **overrides}
  return (
    jax.jit(lambda x, y, w=None: fit(x, y, where=w, **fit_options)),
    jax.jit(lambda params, x: predict(params, x, **predict_options)),
  )


def close(got, expected, rtol=1e-5, atol=1e-5):
  np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def centred(logits):
  return logits - logits.mean(axis=1, keepdims=True)


def test_every_public_name_is_tested():
  public = {n for n, _ in inspect.getmembers(classifiers, inspect.isfunction)}
  pairs = {f"{v}_{n}" for n in METHODS for v in ("fit", "predict")}
  # Tested in tests/learners/test_class_incremental.py, test_diffusion.py, in
  # test_class_count.py, test_boosted_network.py and below.
  assert public == pairs | {
    "boosted_network_params", "calibrate_prototypes", "deep_kernel",
    "dual_activation", "estimate_num_classes", "fit_boosted_network",
    "fit_timestep_weights", "merge_naive_bayes", "optimal_coefficients",
    "predict_boosted_network", "singular_exponent",
  }  # fmt: skip


@every_method
def test_rows_that_do_not_count_change_nothing(name):
  fit, predict = bind(name)
  x, y = example()
  where = np.arange(len(y)) % 4 > 0
  marked = np.where(np.arange(len(y)) % 7 == 0, -1, y)
  keep = where & (marked >= 0)
  dirty = np.where(keep[:, None], x, np.nan)
  got = predict(fit(dirty, marked, where), x)
  close(got, predict(fit(x[keep], y[keep]), x), rtol=1e-3, atol=1e-3)


@every_method
def test_bfloat16_in_float32_out(name):
  fit, predict = bind(name)
  x, y = example(12)
  with jax.numpy_dtype_promotion("strict"):
    params = fit(jnp.asarray(x, jnp.bfloat16), jnp.asarray(y, jnp.int32))
    logits = predict(params, jnp.asarray(x, jnp.bfloat16))
  assert logits.shape == (12, NUM_CLASSES)
  assert logits.dtype == jnp.float32
  assert np.isfinite(logits).all()


@every_method
def test_sharded_rows_give_the_same_params(name):
  fit, predict = bind(name)
  x, y = example()
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  rows = NamedSharding(mesh, PartitionSpec("data"))
  sharded = jax.device_put((x, y), rows)
  got = predict(fit(*sharded), sharded[0])
  close(got, predict(fit(x, y), x), rtol=1e-3, atol=1e-3)


@every_method
def test_absent_class_is_never_predicted(name):
  fit, predict = bind(name)
  x, y = example()
  logits = predict(fit(x, y, y != 1), x)
  assert np.isfinite(logits).all()
  assert (np.asarray(logits).argmax(axis=1) != 1).all()


def test_nearest_class_mean_hand_value():
  fit, predict = bind("nearest_class_mean")
  x = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [7.0, 7.0]], np.float32)
  params = fit(x, np.array([0, 0, 1, 2]))
  close(params["prototypes"], [[1.0, 0.0], [0.0, 4.0], [7.0, 7.0]])
  np.testing.assert_array_equal(params["class_counts"], [2, 1, 1])
  expected = [-(1.0**2 + 0), -(2.0**2 + 4.0**2), -(5.0**2 + 7.0**2)]
  close(predict(params, x[1:2]), [expected])


def test_nearest_class_mean_equals_sklearn():
  fit, predict = bind("nearest_class_mean")
  x, y = example()
  reference = sklearn.neighbors.NearestCentroid().fit(x, y)
  params = fit(x, y)
  close(params["prototypes"], reference.centroids_)
  got = np.asarray(predict(params, x)).argmax(axis=1)
  np.testing.assert_array_equal(got, reference.predict(x))


def test_nearest_class_mean_far_from_the_origin():
  fit, predict = bind("nearest_class_mean")
  x, y = example()
  near, far = predict(fit(x, y), x), predict(fit(x + 1000, y), x + 1000)
  close(far, near, rtol=1e-2, atol=1e-2)


def test_ridge_hand_value():
  # One feature at -1 and 1: kernel = x.y / (x.x + l2) = 1 / (2 + 2).
  x, y = np.array([[-1.0], [1.0]], np.float32), np.array([0, 1])
  params = classifiers.fit_ridge(x, y, num_classes=2, l2=2.0)
  close(params["kernel"], [[-1 / (2 + 2), 1 / (2 + 2)]])
  close(params["bias"], [0.5, 0.5])


@pytest.mark.parametrize("d", [5, 90])
def test_ridge_equals_sklearn(d):
  fit, predict = bind("ridge")
  x, y = example(d=d)
  x = x + 3.0
  reference = sklearn.linear_model.Ridge(alpha=2.0)
  reference.fit(x.astype(np.float64), np.eye(NUM_CLASSES)[y])
  params = fit(x, y)
  close(params["kernel"], reference.coef_.T, rtol=1e-3, atol=1e-4)
  logits = predict(params, x)
  close(logits, reference.predict(x), rtol=1e-3, atol=1e-3)
  close(logits.sum(axis=1), np.ones(60), rtol=1e-3)


def test_naive_bayes_hand_value():
  x, y = np.array([[0.0], [2.0], [8.0], [8.0]], np.float32), [0, 0, 1, 1]
  params = classifiers.fit_naive_bayes(
    x, np.array(y), num_classes=2, var_smoothing=0.5
  )
  mean = (0 + 2 + 8 + 8) / 4
  spread = ((0 - mean) ** 2 + (2 - mean) ** 2 + 2 * (8 - mean) ** 2) / 4
  var = [1.0 + 0.5 * spread, 0.0 + 0.5 * spread]
  close(params["var"], np.transpose([var]))
  got = classifiers.predict_naive_bayes(params, jnp.array([[3.0]]))
  expected = [
    math.log(0.5) - ((3 - m) ** 2 / v + math.log(2 * math.pi * v)) / 2
    for m, v in zip([1.0, 8.0], var, strict=True)
  ]
  close(got, [expected])


def test_naive_bayes_equals_sklearn():
  fit, predict = bind("naive_bayes")
  x, y = example()
  reference = sklearn.naive_bayes.GaussianNB().fit(x.astype(np.float64), y)
  params = fit(x, y)
  close(params["mean"], reference.theta_, rtol=1e-4)
  close(params["var"], reference.var_, rtol=1e-4)
  expected = reference.predict_joint_log_proba(x.astype(np.float64))
  close(predict(params, x), expected, rtol=1e-4, atol=1e-3)


def test_tied_naive_bayes_is_a_diagonal_lda():
  x, y = example()
  params = classifiers.fit_naive_bayes(x, y, num_classes=NUM_CLASSES, tied=True)
  free = classifiers.fit_naive_bayes(x, y, num_classes=NUM_CLASSES)
  share = np.bincount(y) / len(y)
  close(params["var"], np.tile(share @ free["var"], (NUM_CLASSES, 1)))
  logits = np.asarray(classifiers.predict_naive_bayes(params, x))
  mean, var = np.asarray(params["mean"]), np.asarray(params["var"][0])
  linear = x @ (mean / var).T - (mean**2 / var).sum(1) / 2 + np.log(share)
  close(centred(logits), centred(linear), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("tied", [False, True])
def test_merged_naive_bayes_is_one_fit(tied):
  x, y = example()
  y = np.where(np.arange(60) < 25, y % 2, y)  # the first part lacks a class
  fit = lambda rows: classifiers.fit_naive_bayes(
    x[rows], y[rows], num_classes=NUM_CLASSES
  )
  merged = classifiers.merge_naive_bayes(
    fit(slice(25)), fit(slice(25, 60)), tied=tied
  )
  whole = classifiers.fit_naive_bayes(x, y, num_classes=NUM_CLASSES, tied=tied)
  for name in whole:
    close(merged[name], whole[name], rtol=1e-6, atol=1e-6)
  with pytest.raises(ValueError, match="b must have means"):
    other = classifiers.fit_naive_bayes(x[:, :2], y, num_classes=NUM_CLASSES)
    classifiers.merge_naive_bayes(whole, other)


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_linear_discriminant_equals_sklearn(shrinkage):
  x, y = example(n=90)
  reference = sklearn.discriminant_analysis.LinearDiscriminantAnalysis(
    solver="lsqr",
    covariance_estimator=_Shrunk(shrinkage),
  ).fit(x.astype(np.float64), y)
  params = classifiers.fit_gaussian_discriminant(
    x, y, num_classes=NUM_CLASSES, shrinkage=shrinkage, ridge=1e-9
  )
  got = classifiers.predict_gaussian_discriminant(params, x)
  expected = reference.decision_function(x.astype(np.float64))
  close(centred(got), centred(expected), rtol=1e-3, atol=1e-3)


class _Shrunk:
  """scikit-learn asks it for the covariance of each class."""

  def __init__(self, shrinkage):
    self.shrinkage = shrinkage

  def fit(self, x):
    found = np.cov(x.T, bias=True)
    mu = np.trace(found) / len(found)
    self.covariance_ = (1 - self.shrinkage) * found
    self.covariance_ += self.shrinkage * mu * np.eye(len(found))
    return self


def test_quadratic_discriminant_equals_sklearn():
  x, y = example(n=90)
  reference = sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis().fit(
    x.astype(np.float64), y
  )
  params = classifiers.fit_gaussian_discriminant(
    x, y, num_classes=NUM_CLASSES, tied=False, ridge=1e-9
  )
  for k in range(NUM_CLASSES):
    factor = np.asarray(params["cholesky"][k])
    expected = np.cov(x[y == k].T, bias=True)
    close(factor @ factor.T, expected, rtol=1e-4, atol=1e-4)
  got = classifiers.predict_gaussian_discriminant(params, x)
  said = reference.predict(x.astype(np.float64))
  assert (np.asarray(got).argmax(1) == said).mean() > 0.97


@pytest.mark.parametrize("block_size", [7, 4096])
def test_singular_kernel_matches_a_loop(block_size):
  x, y = example()
  queries, _ = example(20, seed=1)
  fit, predict = bind("singular_kernel", block_size=block_size)
  got = jnp.exp(predict(fit(x, y), queries))
  gap = np.linalg.norm(queries[:, None].astype(float) - x[None], axis=-1)
  votes = (gap**-3.0) @ np.eye(NUM_CLASSES)[y]
  close(got, votes / votes.sum(1, keepdims=True), rtol=1e-4)


def test_singular_kernel_joins_vote_and_nearest_neighbour():
  x, y = example()
  queries, _ = example(20, seed=1)
  fit, predict = bind("singular_kernel", exponent=1e-4)
  shares = jnp.exp(predict(fit(x, y), queries))
  close(shares, np.tile(np.bincount(y) / len(y), (20, 1)), rtol=1e-2)
  fit, predict = bind("singular_kernel", exponent=200.0)
  near = sklearn.neighbors.KNeighborsClassifier(1).fit(x, y)
  found = predict(fit(x, y), queries).argmax(-1)
  np.testing.assert_array_equal(found, near.predict(queries))
  # Training rows are met exactly.
  np.testing.assert_array_equal(predict(fit(x, y), x).argmax(-1), y)


@pytest.mark.parametrize("dimension", [1.0, 2.0, 3.0, 5.0])
def test_optimal_activation_has_the_exponent_of_the_dimension(dimension):
  coefficients = classifiers.optimal_coefficients(dimension, degree=4)
  assert abs(sum(a * a for a in coefficients) - 1) < 1e-9
  got = classifiers.singular_exponent(coefficients)
  np.testing.assert_allclose(got, dimension, rtol=1e-6)


def test_dual_activation_matches_sampling():
  # phi = (h_1 + h_3) / sqrt 2, h_3(u) = (u^3 - 3 u) / sqrt 6.
  rng = np.random.default_rng(0)
  u, w = rng.normal(size=(2, 2_000_000))
  v = 0.6 * u + 0.8 * w
  phi = lambda u: (u + (u**3 - 3 * u) / 6**0.5) / 2**0.5
  coefficients = (0.0, 0.5**0.5, 0.0, 0.5**0.5)
  got = classifiers.dual_activation(coefficients, jnp.array(0.6))
  np.testing.assert_allclose(got, (phi(u) * phi(v)).mean(), atol=0.01)
  np.testing.assert_allclose(got, 0.5 * 0.6 + 0.5 * 0.6**3, rtol=1e-6)


@pytest.mark.parametrize(
  "coefficients", [(0.5, 0.75**0.5), (0.0, 0.0, 1.0), (0.0, 1.0), (0.3, 0.3)]
)
def test_activations_without_a_singular_kernel(coefficients):
  with pytest.raises(ValueError, match="coefficients must have"):
    classifiers.singular_exponent(coefficients)


def test_bad_dimensions():
  with pytest.raises(ValueError, match="degree must be larger"):
    classifiers.optimal_coefficients(1.0, degree=3)
  with pytest.raises(ValueError, match="dimension must be at least 1"):
    classifiers.optimal_coefficients(0.5)


@pytest.mark.parametrize("block_size", [7, 4096])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_knn_equals_sklearn(metric, block_size):
  fit, predict = bind(
    "knn", metric=metric, weights="uniform", block_size=block_size
  )
  x, y = example()
  queries, _ = example(20, seed=1)
  reference = sklearn.neighbors.KNeighborsClassifier(
    n_neighbors=5, metric=metric, algorithm="brute"
  ).fit(x, y)
  shares = jnp.exp(predict(fit(x, y), queries))
  close(shares, reference.predict_proba(queries))


def test_knn_softmax_weights_equal_a_loop():
  fit, predict = bind("knn", temperature=0.3)
  x, y = example()
  queries, _ = example(6, seed=1)
  unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)
  similarity = unit(queries) @ unit(x).T
  expected = np.zeros((6, NUM_CLASSES))
  for row, values in enumerate(similarity):
    for i in np.argsort(-values)[:5]:
      expected[row, y[i]] += math.exp(values[i] / 0.3)
  expected /= expected.sum(axis=1, keepdims=True)
  close(jnp.exp(predict(fit(x, y), queries)), expected, rtol=1e-4)


def test_knn_hand_value():
  x, y = np.array([[0.0], [1.0], [3.0]], np.float32), np.array([0, 1, 1])
  params = classifiers.fit_knn(x, y, num_classes=2)
  got = classifiers.predict_knn(
    params, jnp.zeros((1, 1)), k=3, metric="euclidean", temperature=2.0
  )
  weights = [1.0, math.exp(-1 / 2), math.exp(-3 / 2)]
  expected = np.log([weights[0], weights[1] + weights[2]]) - math.log(
    sum(weights)
  )
  close(got, [expected])


def test_knn_high_temperature_is_uniform():
  fit, soft = bind("knn", temperature=1e6)
  _, uniform = bind("knn", weights="uniform")
  x, y = example()
  params = fit(x, y)
  close(jnp.exp(soft(params, x)), jnp.exp(uniform(params, x)), rtol=1e-4)


def test_knn_with_fewer_rows_than_k():
  fit, predict = bind("knn", weights="uniform")
  x, y = example()
  where = np.arange(len(y)) < 2  # labels 0 and 1
  shares = jnp.exp(predict(fit(x, y, where), x))
  close(shares, np.tile([0.5, 0.5, 0.0], (len(y), 1)))


def test_logistic_regression_equals_sklearn():
  x, y = example()
  fit = jax.jit(
    lambda x, y, l2: classifiers.fit_logistic_regression(
      x, y, num_classes=NUM_CLASSES, l2=l2
    )
  )
  for l2 in (0.1, 1.0, 30.0):
    reference = sklearn.linear_model.LogisticRegression(
      C=1 / l2, tol=1e-10, max_iter=5000
    ).fit(x.astype(np.float64), y)
    params = fit(x, y, l2)
    assert params["gradient_norm"] <= 1e-6
    assert params["num_steps"] < 100
    logits = classifiers.predict_logistic_regression(params, x)
    expected = centred(reference.decision_function(x))
    close(centred(np.asarray(logits)), expected, rtol=1e-3, atol=1e-3)


def test_logistic_regression_without_signal_gives_the_prior():
  fit, predict = bind("logistic_regression")
  y = np.repeat([0, 0, 0, 1, 1, 2], 10)
  x = np.zeros((60, 5), np.float32)
  probs = jax.nn.softmax(predict(fit(x, y), x))
  close(probs[0], [3 / 6, 2 / 6, 1 / 6], rtol=1e-4)


def test_logistic_regression_reports_that_it_stopped_early():
  x, y = example()
  params = classifiers.fit_logistic_regression(
    x, y, num_classes=NUM_CLASSES, l2=0.1, max_iterations=2
  )
  assert params["num_steps"] == 2
  assert params["gradient_norm"] > 1e-4


@every_method
def test_wrong_input_raises(name):
  fit = getattr(classifiers, f"fit_{name}")
  predict = getattr(classifiers, f"predict_{name}")
  fit_options, predict_options = METHODS[name]
  x, y = (jnp.asarray(a) for a in example(6))
  call = lambda x, y, c=NUM_CLASSES, **kw: fit(
    x, y, num_classes=c, **fit_options, **kw
  )
  with pytest.raises(ValueError, match=r"features must have shape \[n d\]"):
    call(x[None], y)
  with pytest.raises(ValueError, match=r"labels must have shape \(6,\)"):
    call(x, y[:1])
  with pytest.raises(ValueError, match="num_classes must be above every label"):
    call(x, y, c=2)
  with pytest.raises(ValueError, match="features must have at least one row"):
    call(x[:0], y[:0])
  with pytest.raises(TypeError, match="labels must be integer class ids"):
    call(x, y.astype(jnp.float32))
  with pytest.raises(TypeError, match="where must be bool"):
    call(x, y, where=jnp.ones(6))
  with pytest.raises(ValueError, match="where must have the shape of labels"):
    call(x, y, where=jnp.ones(1, bool))
  with pytest.raises(ValueError, match="features must have 5 columns"):
    predict(bind(name)[0](x, y), x[:, :2], **predict_options)


@pytest.mark.parametrize(
  ("name", "option"),
  [
    ("ridge", "l2"),
    ("logistic_regression", "l2"),
    ("gaussian_discriminant", "ridge"),
    ("naive_bayes", "var_smoothing"),
  ],
)
def test_penalties_must_be_positive(name, option):
  x, y = example(6)
  with pytest.raises(ValueError, match=f"{option} must be above 0, got 0"):
    getattr(classifiers, f"fit_{name}")(x, y, num_classes=3, **{option: 0.0})


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"k": 7}, r"k must be in \[1, 6\], the rows of fit, got 7"),
    ({"k": 0}, r"k must be in \[1, 6\]"),
    ({"k": 1, "metric": "dot"}, "metric must be one of .* got 'dot'"),
    ({"k": 1, "weights": "none"}, "weights must be one of .* got 'none'"),
    ({"k": 1, "temperature": 0.0}, "temperature must be above 0, got 0"),
    ({"k": 1, "block_size": 0}, "block_size must be at least 1, got 0"),
  ],
)
def test_knn_options_raise(options, message):
  x, y = example(6)
  params = classifiers.fit_knn(x, y, num_classes=3)
  with pytest.raises(ValueError, match=message):
    classifiers.predict_knn(params, x, **options)
