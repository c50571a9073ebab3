import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import data, engine, learners, losses, ops

MODEL = dict(
  name="mlp", hidden=(12,), heads=dict(projection=dict(width=6, hidden=(8,)))
)
FOCAL = dict(name="focal_supcon_loss", temperature=0.2)


@pytest.fixture(scope="module")
def program(tiny):
  """A built program, its state and one transformed batch."""

  def make(**learner):
    config = tiny(
      model=MODEL, learner=dict(name="fine_tune", **learner),
      evaluation__probes=("scatter_probe",),
    )  # fmt: skip
    made = engine.build(config)
    (stage,) = made.scenario.stages(0)
    source = stage.streams["train"].source
    batch = source.fetch(source.ids[:16])
    batch["label"][:2] = -1
    state = made.start(
      *made.net.init(jax.random.key(0)), jax.random.key(0), jnp.int32(0), {},
      {"train": batch}, tx=made.optimizer(9),
    )  # fmt: skip
    return made, state, made.transform({"train": batch}, jax.random.key(1))

  return make


def run(made, state, batch):
  def step(state, batch):
    loss, aux = made.learner.loss(
      made.net, state.params, state, batch, jax.random.key(2)
    )
    out, _ = made.net(state.params, state.stats, batch["image"])
    return loss, aux.metrics, out

  return jax.jit(step)(state, batch)


def test_without_pairs_it_is_cross_entropy_and_supcon(program):
  objective = dict(name="supcon_loss", temperature=0.2)
  made, state, batch = program(objective=objective, weight=0.7)
  loss, metrics, out = run(made, state, batch)
  labels, kept = batch["label"], batch["label"] >= 0
  ce = losses.cross_entropy_loss(out["logits"], labels.clip(0))
  con = ops.supcon_loss(
    ops.unit_norm(out["projection"]), labels, temperature=0.2, where=kept
  )
  expected = losses.mean_where(ce, kept) + 0.7 * losses.mean_where(con, kept)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  right = (out["logits"].argmax(-1) == labels)[kept].mean()
  np.testing.assert_allclose(metrics["accuracy"], right, rtol=1e-6)


def test_mixed_features_go_through_head_and_projection(program):
  made, state, batch = program(
    objective=FOCAL, weight=2.0, hard_pairs=dict(alpha=1.0)
  )
  loss, metrics, out = run(made, state, batch)
  key = jax.random.split(jax.random.key(2))[0]
  pairs = data.hard_pair_mixup(
    out["features"], batch["label"], data.draw_hard_pairs(key, 16, alpha=1.0),
    num_classes=made.net.num_classes,
  )  # fmt: skip
  p = state.params
  logits = pairs.features @ p["head/kernel"] + p["head/bias"]
  ce = losses.soft_cross_entropy_loss(logits, pairs.targets)
  expected = losses.mean_where(ce, pairs.where)
  np.testing.assert_allclose(
    metrics["classification_loss"], expected, rtol=1e-5
  )
  total = expected + 2.0 * metrics["contrastive_loss"]
  np.testing.assert_allclose(loss, total, rtol=1e-5)
  assert metrics["contrastive_loss"] > 0


def test_runs_and_reports_the_scatter(tiny, tmp_path):
  learner = dict(
    name="fine_tune", objective=FOCAL, hard_pairs=dict(alpha=1.0, released=True)
  )
  config = tiny(
    model=MODEL, learner=learner, total_steps=3, evaluation__every_steps=None,
    evaluation__probes=("scatter_probe",),
  )  # fmt: skip
  record = engine.train(config, str(tmp_path))
  assert 0 <= record["test/scatter_probe/within"] <= 2
  assert 0 <= record["test/accuracy"] <= 1


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    (dict(weight=-1.0), "weight must be >= 0"),
    (dict(objective="supcon"), "supcon_loss"),
    (dict(hard_pairs=dict(alfa=1.0)), "alpha"),
    (dict(hard_pairs=dict()), "alpha must be given"),
  ],
)
def test_bad_fields_raise(fields, message):
  with pytest.raises(ValueError, match=message):
    learners.FineTune(**fields)


def test_a_missing_projection_is_named(program):
  made, state, batch = program(objective=FOCAL, embedding="projektion")
  with pytest.raises(ValueError, match="Did you mean 'projection'"):
    run(made, state, batch)
