import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import engine, learners, losses, ops
from jaxcls.engine import _checkpoint

MODEL = dict(
  name="mlp", hidden=(12,),
  heads=dict(
    embedding=dict(width=6, unit_norm=True),
    cosines=dict(input="embedding", width=5, cosine_scale=8.0),
  ),
)  # fmt: skip
SCENARIO = dict(
  name="class_incremental", source="fake", task_sizes=(3, 2), shots=4,
  later_play="fit",
  options=dict(shape=(8, 8, 1), num_classes=5, num_examples=120),
)  # fmt: skip
TRIPLET = dict(name="triplet_loss", margin=0.3)


def config(tiny, **learner):
  given = dict(embedding="embedding", scores="cosines", **learner)
  return tiny(
    model=MODEL, scenario=SCENARIO,
    learner=dict(name="embedding_classifier", **given), total_steps=4,
    evaluation__every_steps=None,
    evaluation__metrics=("accuracy", "task_aware_accuracy"),
  )  # fmt: skip


def step(tiny, **learner):
  """Loss and outputs of one batch of a fresh model."""
  made = engine.build(config(tiny, **learner))
  batch = {
    "image": jax.random.uniform(jax.random.key(3), (12, 8, 8, 1)),
    "label": jnp.array([0, 1, 2] * 3 + [-1] * 3),
  }
  params, stats = made.net.init(jax.random.key(0))
  state = learners.State(
    jnp.int32(0), params, stats, (), {}, jax.random.key(0), None
  )
  memory = made.learner.init(made.net, state, batch, jax.random.key(0))
  memory["seen"] = jnp.arange(5) < 3
  state = state.replace(memory=memory)
  loss, _ = jax.jit(
    lambda p: made.learner.loss(made.net, p, state, batch, state.key)
  )(params)
  return (
    loss,
    made.net(params, stats, batch["image"])[0],
    batch["label"],
    params,
  )


def test_a_cosine_head_gives_the_normalised_softmax(tiny):
  loss, out, labels, params = step(tiny)
  prototypes = params["heads/cosines/out/kernel"].T[:3]
  values = losses.normalized_softmax_loss(
    out["embedding"], prototypes, labels.clip(0), temperature=1 / 8
  )
  expected = losses.mean_where(values, labels >= 0)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_loss_of_embeddings_gets_unit_vectors(tiny):
  loss, out, labels, _ = step(tiny, objective=TRIPLET)
  values = losses.triplet_loss(
    ops.unit_norm(out["embedding"]), labels, margin=0.3, where=labels >= 0
  )
  expected = losses.mean_where(values, labels >= 0)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_new_classes_get_the_mean_direction_of_their_shots(tiny, tmp_path):
  made = config(tiny, objective=TRIPLET)
  record = engine.train(made, str(tmp_path))
  for key in ("accuracy", "task_aware_accuracy/0", "task_aware_accuracy/1"):
    assert 0 <= record[f"test/{key}"] <= 1
  found = _checkpoint.Checkpoints(tmp_path / "checkpoints", keep=None)
  saved = found.read(found.latest())
  found.close()
  part = lambda kind: {
    k.removeprefix(f"{kind}/"): jnp.asarray(v)
    for k, v in saved.items()
    if k.startswith(f"{kind}/")
  }
  program = engine.build(made)
  _, stage = program.scenario.stages(made["seed"])
  source = stage.streams["train"].source
  assert len(source) == 8
  batch = program.streams["train"].transform(source.fetch(source.ids))
  out, _ = program.net(part("params"), part("stats"), batch["image"])
  for label in np.flatnonzero(stage.new):
    mean = out["embedding"][batch["label"] == label].mean(axis=0)
    expected = mean / jnp.linalg.norm(mean)
    np.testing.assert_allclose(
      saved["memory/templates"][label], expected, rtol=1e-4, atol=1e-5
    )
  norms = np.linalg.norm(saved["memory/templates"], axis=1)
  np.testing.assert_allclose(norms, 1, rtol=1e-5)


def test_errors():
  with pytest.raises(ValueError, match="temperature must be above 0"):
    learners.EmbeddingClassifier(temperature=0.0)
  with pytest.raises(ValueError, match="Did you mean 'triplet_loss'"):
    learners.EmbeddingClassifier(objective=dict(name="triplet", margin=1))
  with pytest.raises(ValueError, match="Did you mean 'cosines'"):
    learners.EmbeddingClassifier(scores="cosine")._output(
      {"cosines": 1}, "scores"
    )
