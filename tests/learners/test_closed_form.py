import jax
import numpy as np
import pytest
from sklearn import neighbors

from jaxcls import classifiers, data, engine, learners

SCENARIO = dict(name="standard", source="digits", play="fit")


def fit(folder, **learner):
  config = dict(
    seed=0, total_epochs=1, batch_size=64, scenario=SCENARIO,
    model=dict(name="mlp", hidden=()),
    learner=dict(name="closed_form", **learner),
    evaluation=dict(metrics=("accuracy",)),
  )  # fmt: skip
  record = engine.train(engine.complete(config), str(folder))
  return record, engine.load_run(str(folder))


@pytest.fixture(scope="module")
def digits():
  found = {}
  for split in ("train", "test"):
    source = data.load_source("digits", split)
    batch = source.fetch(source.ids)
    images = np.asarray(batch["image"], np.float32) / 255
    found[split] = images.reshape(len(images), -1), batch["label"]
  return found


def test_fits_the_inputs_of_the_stage(tmp_path, digits):
  options = dict(tied=True, var_smoothing=1e-3)
  record, run = fit(tmp_path, classifier="naive_bayes", fit_options=options)
  (x, y), (test, labels) = digits["train"], digits["test"]
  params = classifiers.fit_naive_bayes(x, y, num_classes=10, **options)
  said = classifiers.predict_naive_bayes(params, test).argmax(axis=-1)
  assert record["test/accuracy"] == pytest.approx((said == labels).mean())
  assert record["step"] == 1
  kept = run.state.memory["params"]["mean"]
  np.testing.assert_allclose(kept, params["mean"], rtol=1e-4, atol=1e-6)


def test_rows_are_padded_to_the_capacity_and_scaled(tmp_path, digits):
  record, run = fit(
    tmp_path, classifier="knn", capacity=1500, scaling="min_max",
    predict_options=dict(k=1, metric="euclidean"),
  )  # fmt: skip
  (x, y), (test, labels) = digits["train"], digits["test"]
  scale = np.ptp(x, axis=0)
  scale[scale == 0] = 1
  near = neighbors.KNeighborsClassifier(1).fit(x / scale, y)
  score = near.score(test / scale, labels)
  assert record["test/accuracy"] == pytest.approx(score, abs=2 / len(labels))
  assert run.state.memory["params"]["embeddings"].shape == (1500, 64)
  assert (run.state.memory["params"]["labels"][len(x) :] == -1).all()


def test_standard_scaling_keeps_constant_features():
  features = np.array([[1.0, 2.0], [3.0, 2.0]], np.float32)
  learner = learners.ClosedForm(classifier="naive_bayes", scaling="standard")
  shift, scale = jax.jit(learner._scaling)(features)
  np.testing.assert_allclose(shift, [2.0, 2.0])
  np.testing.assert_allclose(scale, [1.0, 1.0])


@pytest.mark.parametrize(
  ("learner", "message"),
  [
    (dict(classifier="naive_byes"), "Did you mean 'fit_naive_bayes'"),
    (dict(classifier="ridge"), "learner.fit_options.l2 must be given"),
    (
      dict(classifier="naive_bayes", fit_options=dict(tide=True)),
      "Did you mean 'tied'",
    ),
    (dict(classifier="naive_bayes", scaling="max"), "scaling must be one of"),
  ],
)
def test_bad_fields(learner, message):
  with pytest.raises(ValueError, match=message):
    learners.ClosedForm(**learner)


def test_too_small_a_capacity(tmp_path):
  with pytest.raises(ValueError, match="capacity must be at least .* got 9"):
    fit(tmp_path, classifier="knn", capacity=9, predict_options=dict(k=1))


def test_cannot_take_steps(tmp_path):
  config = dict(
    total_epochs=1, batch_size=64, scenario=dict(SCENARIO, play="train"),
    model=dict(name="mlp", hidden=()),
    learner=dict(name="closed_form", classifier="naive_bayes"),
  )  # fmt: skip
  with pytest.raises(ValueError, match="played as 'fit' for ClosedForm"):
    engine.train(engine.complete(config), str(tmp_path))
