import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import classifiers, engine, learners, losses, scenarios
from jaxcls.engine import _checkpoint

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
SCENARIO = dict(
  name="class_incremental",
  source="digits",
  task_sizes=(4, 3, 3),
  class_order="natural",
)
METRICS = (
  "accuracy", "task_accuracy", "base_class_accuracy", "novel_class_accuracy",
  "novel_as_base_rate", "base_as_novel_rate",
)  # fmt: skip


def load(name):
  with np.load(GOLDENS / f"{name}.npz", allow_pickle=False) as data:
    return dict(data)


def unit(x):
  return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize(
  ("suffix", "tau", "alpha", "scale"),
  [("", 16.0, 0.5, 16.0), ("__alt", 8.0, 0.2, 32.0)],
)
def test_calibration_matches_the_official_code(suffix, tau, alpha, scale):
  g = load("teen")
  with jax.enable_x64():
    means = np.array(g["in_fc_weight"])
    new = [
      g["in_new_feats"][g["in_new_labels"] == label].mean(0)
      for label in np.unique(g["in_new_labels"])
    ]
    means[10:13] = new
    np.testing.assert_allclose(means, g["out_fc_after_avg"], rtol=1e-9)
    calibrate = jax.jit(
      lambda new, base: classifiers.calibrate_prototypes(
        new, base, tau=tau, alpha=alpha
      )
    )
    for i, rows in enumerate((slice(10, 13), slice(13, 16))):
      means[rows] = calibrate(means[rows], means[:10])
      expected = g[f"out_fc_after_session{i + 1}{suffix}"]
      np.testing.assert_allclose(means, expected, rtol=1e-9)
    cosine = unit(g["in_query"]) @ unit(means).T
    np.testing.assert_allclose(
      scale * cosine, g[f"out_logits{suffix}"], rtol=1e-9
    )


@pytest.mark.parametrize(
  ("name", "value", "match"),
  [("alpha", 1.5, "alpha"), ("tau", -1.0, "tau"), ("alpha", -0.1, "alpha")],
)
def test_bad_calibration_is_named(name, value, match):
  with pytest.raises(ValueError, match=match):
    classifiers.calibrate_prototypes(
      jnp.ones((1, 2)), jnp.ones((1, 2)), **{name: value}
    )
  with pytest.raises(ValueError, match=r"\(1, 3\) and \(1, 2\)"):
    classifiers.calibrate_prototypes(jnp.ones((1, 3)), jnp.ones((1, 2)))


@pytest.mark.parametrize(("suffix", "tau"), [("", 0.1), ("__alt", 0.5)])
def test_logit_normalisation_matches_the_official_code(suffix, tau):
  g = load("slca")
  tasks = np.repeat(np.arange(3), g["in_task_sizes"])
  f = lambda x: losses.logit_normalized_loss(
    x, g["in_target"], tasks, temperature=tau
  ).mean()
  value, grad = jax.jit(jax.value_and_grad(f))(jnp.float32(g["in_logits"]))
  np.testing.assert_allclose(value, g[f"out_loss{suffix}"], rtol=1e-5)
  np.testing.assert_allclose(
    grad, g[f"grad_logits{suffix}"], rtol=1e-4, atol=1e-6
  )


def test_classes_not_seen_have_no_part():
  x, tasks = jnp.array([[1.0, 2.0, 50.0]]), jnp.array([0, 0, -1])
  f = lambda x: losses.logit_normalized_loss(
    x, jnp.array([0]), tasks, temperature=0.5
  )
  other = losses.logit_normalized_loss(
    x[:, :2], jnp.array([0]), tasks[:2], temperature=0.5
  )
  np.testing.assert_allclose(f(x), other, rtol=1e-6)
  fewer = losses.logit_normalized_loss(
    x, jnp.array([0]), tasks, temperature=0.5, num_tasks=1
  )
  np.testing.assert_allclose(f(x), fewer, rtol=1e-6)
  np.testing.assert_allclose(
    jax.grad(lambda x: f(x).sum())(x)[0, 2], 0, atol=1e-7
  )


def test_means_shrink_with_age():
  got = learners.shrink_means(jnp.ones((3, 1)), jnp.array([0, 1, 2]))
  np.testing.assert_allclose(got[:, 0], load("slca")["out_mean_scale"])


def test_drawn_features_have_the_stored_moments():
  g = load("slca")
  mean, covariance = jnp.float32(g["out_class_mean"]), g["out_class_cov"]
  root = jnp.linalg.cholesky(jnp.float32(covariance))[None]
  x, labels = learners.draw_features(
    jax.random.key(0), jnp.array([3]), mean[None], root, num_samples=40_000
  )
  assert (labels == 3).all()
  np.testing.assert_allclose(x.mean(0), mean, atol=0.03)
  np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.05)
  features = g["in_class_features"]
  np.testing.assert_allclose(
    np.cov(features.T) + 1e-4 * np.eye(5), covariance, atol=1e-6
  )


def config(tiny, learner, **changes):
  return tiny(
    scenario={**SCENARIO, **changes},
    model=dict(name="mlp", hidden=(16,), **(
      {"cosine_scale": 16.0} if learner["name"].startswith("proto") else {}
    )),
    learner=learner,
    total_steps=30,
    batch_size=32,
    optimizer=dict(name="adamw"),
    schedule=dict(name="constant", peak_lr=5e-3),
    evaluation=dict(metrics=METRICS),
  )  # fmt: skip


def test_prototypes_through_the_engine(tiny, tmp_path):
  learner = dict(name="prototype_classifier", alpha=0.3)
  made = config(tiny, learner, shots=5, later_play="fit")
  record = engine.train(made, str(tmp_path))
  stages = [r for r in engine.read_metrics(tmp_path) if "stage" in r]
  assert [r["stage"] for r in stages] == ["task0", "task1", "task2"]
  assert record["test/accuracy"] > 0.5
  assert set(record) >= {
    "test/task_accuracy/0", "test/task_accuracy/2", "stages/forgetting",
    "stages/average_accuracy", "test/novel_as_base_rate",
  }  # fmt: skip
  assert "test/task_accuracy/1" not in stages[0]
  average = np.mean([r["test/accuracy"] for r in stages])
  np.testing.assert_allclose(record["stages/average_accuracy"], average)
  found = _checkpoint.Checkpoints(tmp_path / "checkpoints", keep=None)
  arrays = found.read(found.latest())
  found.close()
  np.testing.assert_array_equal(
    arrays["params/head/kernel"].T, arrays["memory/prototypes"]
  )
  np.testing.assert_array_equal(arrays["memory/base"], np.arange(10) < 4)
  # Calibrated rows are no longer than 1.
  assert np.linalg.norm(arrays["memory/prototypes"][4:], axis=1).max() <= 1.001


def test_alignment_forgets_less_than_fine_tuning(tiny, tmp_path):
  finals = {}
  for align in (False, True):
    learner = dict(name="aligned_classifier", align=align, align_lr=0.1)
    made = config(tiny, learner)
    slow = dict(pattern="^(?!head)", lr_scale=0.1)
    made["optimizer"] = {**made["optimizer"], "groups": (slow,)}
    finals[align] = engine.train(made, str(tmp_path / str(align)))
  assert finals[True]["test/accuracy"] > finals[False]["test/accuracy"] + 0.05
  forgotten = {k: v["stages/forgetting"] for k, v in finals.items()}
  assert forgotten[True] < forgotten[False]


def test_wrong_heads_are_named(tiny, tmp_path):
  made = config(tiny, dict(name="prototype_classifier"))
  made["model"] = dict(name="mlp", hidden=(8,))
  with pytest.raises(ValueError, match="cosine_scale must be set"):
    engine.train(made, str(tmp_path / "a"))
  made = config(tiny, dict(name="aligned_classifier"))
  made["model"] = dict(name="mlp", hidden=(8,), cosine_scale=4.0)
  with pytest.raises(ValueError, match="linear head"):
    engine.train(made, str(tmp_path / "b"))


def test_scenario_brings_classes_once():
  scenario = scenarios.ClassIncremental(
    source="digits", task_sizes=(4, 3, 3), shots=5, val_fraction=0.1
  )
  stages = list(scenario.stages(0))
  tasks = scenario.tasks(10)
  assert sorted(np.concatenate(tasks).tolist()) == list(range(10))
  for i, (stage, classes) in enumerate(zip(stages, tasks, strict=True)):
    source = stage.streams["train"].source
    assert set(source.labels) == set(classes)
    assert set(np.flatnonzero(stage.new)) == set(classes)
    seen = set(np.concatenate(tasks[: i + 1]))
    for split in ("val", "test"):
      assert set(stage.evals[split].labels) == seen
    if i:
      assert np.bincount(source.labels).max() == 5
  other = list(scenario.stages(1))[1].streams["train"].source
  assert set(other.ids) != set(stages[1].streams["train"].source.ids)


@pytest.mark.parametrize(
  ("change", "match"),
  [
    (dict(task_sizes=(6, 6)), "at most 10 classes"),
    (dict(task_sizes=(0,)), "positive"),
    (dict(class_order=(0, 1)), "permutation of 10"),
    (dict(later_play="rounds"), "'train' or 'fit'"),
    (dict(shots=0), "at least 1"),
  ],
)
def test_bad_scenarios_are_named(change, match):
  section = {**SCENARIO, **change}
  del section["name"]
  with pytest.raises(ValueError, match=match):
    scenarios.ClassIncremental(**section).templates()
