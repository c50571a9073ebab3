import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import engine, learners, losses, ops

GOLDEN = pathlib.Path(__file__).parents[1] / "goldens/protogcd.npz"
VIEW = (dict(name="random_crop", padding=1),)
METRICS = (
  "clustering_accuracy", "old_clustering_accuracy", "new_clustering_accuracy",
)  # fmt: skip
PROTOGCD = dict(
  teacher_end=0.05, ratio_start=0.2, ratio_end=1.0, ratio_ramp_steps=99,
  separation_weight=1.0,
)  # fmt: skip


def config(tiny, scenario=None, **learner):
  return tiny(
    scenario=dict(
      name="discovery", source="digits", old_classes=(0, 1, 2, 3, 4, 6),
      val_fraction=0.1, views=(VIEW, VIEW), **(scenario or {}),
    ),
    model=dict(
      name="mlp", hidden=(64,), cosine_scale=1.0,
      heads=dict(projection=dict(width=16)),
    ),
    learner=dict(name="discovery", **learner),
    optimizer=dict(name="adamw"),
    schedule=dict(name="constant", peak_lr=5e-3),
    evaluation=dict(metrics=METRICS), total_steps=60, batch_size=64,
  )  # fmt: skip


def state(memory):
  return learners.State(
    step=jnp.int32(0), params={}, stats={}, opt_state=(), memory=memory,
    key=jax.random.key(0), tx=None,
  )  # fmt: skip


@pytest.mark.parametrize(
  ("suffix", "step", "settings"),
  [
    ("", 50, PROTOGCD),
    ("__alt", 150, {**PROTOGCD, "ratio_start": 0.0, "teacher_end": 0.04}),
  ],
)
def test_terms_match_the_official_code(suffix, step, settings):
  with np.load(GOLDEN, allow_pickle=False) as data:
    g = dict(data)
  learner = learners.Discovery(**settings)
  out, prototypes = (
    jnp.float32(g[f"in_{n}"]) for n in ("student_out", "prototypes")
  )
  labels = jnp.full(len(out) // 2, -1)

  def f(out, prototypes):
    z = jnp.ones((len(out), 2)) / jnp.sqrt(2.0)
    parts = learner.parts(out, z, prototypes, labels, step)
    total = (
      parts["distillation_loss"]
      + learner.entropy_weight * parts["entropy_loss"]
      + learner.separation_weight * parts["separation_loss"]
    )
    return total, parts

  f = jax.jit(jax.value_and_grad(f, argnums=(0, 1), has_aux=True))
  (total, parts), grads = f(out, prototypes)
  close = lambda a, name: np.testing.assert_allclose(
    a, g[name + suffix], rtol=5e-4, atol=1e-5
  )
  names = dict(
    distillation_loss="distill", entropy_loss="entropy_reg",
    separation_loss="proto_sep",
  )  # fmt: skip
  for ours, theirs in names.items():
    close(parts[ours], f"out_{theirs}")
  close(total, "out_loss")
  close(grads[0], "grad_student_out")
  close(grads[1], "grad_prototypes")
  # No row is labelled: both supervised terms are 0.
  assert parts["labeled_loss"] == parts["supcon_loss"] == 0


def example(b=6, c=5, d=4):
  rng = np.random.default_rng(0)
  unit = lambda x: jnp.float32(x / np.linalg.norm(x, axis=-1, keepdims=True))
  cosines = jnp.float32(rng.uniform(-1, 1, (2 * b, c)))
  z, mu = unit(rng.normal(size=(2 * b, d))), unit(rng.normal(size=(c, 3)))
  return cosines, z, mu, jnp.array([0, -1, 2, 0, -1, 2])


def test_simgcd_is_soft_cross_entropy_between_the_views():
  cosines, z, mu, labels = example()
  learner = learners.Discovery(teacher_ramp_steps=30)
  parts = jax.jit(learner.parts)(cosines, z, mu, labels, 15)
  # Half of the ramp: temperature 0.055.
  q = np.asarray(jax.nn.softmax(cosines / 0.055))
  log_p = np.asarray(jax.nn.log_softmax(cosines / 0.1))
  crossed = np.concatenate([q[6:], q[:6]])
  expected = -(crossed * log_p).sum(1).mean()
  np.testing.assert_allclose(parts["distillation_loss"], expected, rtol=1e-5)
  keep = np.tile(np.asarray(labels) >= 0, 2)
  both = np.tile(np.asarray(labels), 2)
  task = -log_p[np.arange(12), np.maximum(both, 0)][keep].mean()
  np.testing.assert_allclose(parts["labeled_loss"], task, rtol=1e-5)
  # SupCon of the labelled rows alone, as if the others were not there.
  kept = ops.supcon_loss(z[keep], jnp.asarray(both[keep]), temperature=0.07)
  np.testing.assert_allclose(parts["supcon_loss"], kept.mean(), rtol=1e-4)
  pairs = jnp.stack([z[:6], z[6:]], axis=1)
  contrast = ops.nt_xent_loss(pairs, temperature=1.0).mean()
  np.testing.assert_allclose(parts["contrastive_loss"], contrast, rtol=1e-5)


def test_all_hard_targets_are_pseudo_labels():
  cosines, z, mu, labels = example()
  learner = learners.Discovery(ratio_end=1.0)
  parts = jax.jit(learner.parts)(cosines, z, mu, labels, 0)
  other = jnp.concatenate([cosines[6:], cosines[:6]]).argmax(-1)
  expected = losses.cross_entropy_loss(cosines / 0.1, other).mean()
  np.testing.assert_allclose(parts["distillation_loss"], expected, rtol=1e-5)


def test_schedules_are_linear_and_stay():
  learner = learners.Discovery(
    ratio_start=0.2, ratio_end=1.0, ratio_ramp_steps=100,
    teacher_start=0.07, teacher_end=0.04, teacher_ramp_steps=30,
  )  # fmt: skip
  got = np.array(jax.vmap(learner.schedules)(jnp.array([0, 15, 50, 300]))).T
  expected = [[0.2, 0.07], [0.32, 0.055], [0.6, 0.04], [1.0, 0.04]]
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  got = learners.Discovery(teacher_end=0.05).schedules(jnp.int32(0))
  np.testing.assert_allclose(got, [0.0, 0.05], rtol=1e-6)


def test_finds_classes_through_the_engine(tiny, tmp_path):
  made = config(tiny, dict(outliers="digits"), **PROTOGCD)
  made["evaluation"]["outputs"] = dict(outliers="energy_outlier")
  made["evaluation"]["metrics"] = (*METRICS, "roc_auc")
  record = engine.train(made, str(tmp_path))
  assert record["test/old_clustering_accuracy"] > 0.8
  assert record["unlabeled/clustering_accuracy"] > 0.4
  # The "outliers" are the test images themselves.
  np.testing.assert_allclose(record["outliers/roc_auc"], 0.5, atol=1e-6)


def test_kmeans_alone_is_judged_without_a_step(tiny, tmp_path):
  made = config(tiny, dict(play="fit"), init_prototypes=True)
  record = engine.train(made, str(tmp_path))
  assert record["unlabeled/clustering_accuracy"] > 0.4
  assert not [r for r in engine.read_metrics(tmp_path) if "train/loss" in r]


@pytest.mark.parametrize(
  ("learner", "message"),
  [
    (dict(temperature=0.0), "temperature must be above 0"),
    (dict(ratio_end=1.5), "ratio_end must be in .0, 1."),
    (dict(ratio_ramp_steps=-1), "ratio_ramp_steps must be >= 0"),
  ],
)
def test_bad_fields_raise(learner, message):
  with pytest.raises(ValueError, match=message):
    learners.Discovery(**learner)


def test_missing_outputs_are_named(tiny, tmp_path):
  for field, name, meant in (
    ("embedding", "projektion", "projection"),
    ("prototypes", "head/kernels", "head/kernel"),
  ):
    with pytest.raises(ValueError, match=f"Did you mean {meant!r}"):
      engine.train(config(tiny, **{field: name}), str(tmp_path / field))
  made = config(tiny)
  made["scenario"] = {**made["scenario"], "views": (VIEW,)}
  with pytest.raises(ValueError, match="operations of two views"):
    engine.train(made, str(tmp_path / "views"))
