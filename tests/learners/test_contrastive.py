import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import engine, learners, losses, ops
from jaxcls.engine import _checkpoint

VIEW = (dict(name="random_crop", padding=1), dict(name="random_flip"))
MODEL = dict(
  name="mlp", hidden=(12,), heads=dict(projection=dict(width=6, hidden=(8,)))
)
SUBCLASSES = dict(
  objective=dict(name="subclass_contrastive_loss", temperature=0.2, beta=0.3),
  refresh_every_steps=4, warmup_steps=4, min_subclass_size=5, num_examples=96,
)  # fmt: skip


def config(tiny, **learner):
  made = tiny(
    model=MODEL, learner=dict(name="contrastive", **learner), total_steps=9,
    scenario__views=(VIEW, VIEW), evaluation__metrics=(),
    evaluation__probes=(dict(name="knn_probe", k=3),),
  )  # fmt: skip
  return engine.complete(made)


def weights(folder):
  found = _checkpoint.Checkpoints(folder / "checkpoints", keep=None)
  arrays = found.read(found.latest())
  found.close()
  return arrays


@pytest.fixture(scope="module")
def program(tiny):
  """A built program, its state and one transformed batch."""

  def make(**learner):
    made = engine.build(engine.complete(config(tiny, **learner)))
    (stage,) = made.scenario.stages(0)
    source = stage.streams["train"].source
    batch = source.fetch(source.ids[:16])
    params, stats = made.net.init(jax.random.key(0))
    state = made.start(
      params, stats, jax.random.key(0), jnp.int32(0), {}, {"train": batch},
      tx=made.optimizer(9),
    )  # fmt: skip
    batch = made.transform({"train": batch}, jax.random.key(1))
    return made, state, batch

  return make


def embed(made, state, batch):
  views = batch["views"]
  flat = views.reshape(-1, *views.shape[2:])
  out, _ = made.net(
    state.params, state.stats, flat, train=True, key=jax.random.key(2)
  )
  z = out["projection"]
  z = z / jnp.maximum(jnp.linalg.norm(z, axis=-1, keepdims=True), 1e-12)
  return z.reshape(*views.shape[:2], -1)


@pytest.mark.parametrize(
  ("learner", "expected"),
  [
    (
      dict(objective=dict(name="nt_xent_loss", temperature=0.2)),
      lambda z, y: ops.nt_xent_loss(z, temperature=0.2),
    ),
    (
      dict(objective=dict(name="groco_loss", num_negatives=3, steepness=2.0)),
      lambda z, y: losses.groco_loss(z, num_negatives=3, steepness=2.0),
    ),
    (
      dict(objective=dict(name="supcon_loss", temperature=0.2)),
      lambda z, y: ops.supcon_loss(
        z.reshape(32, -1), jnp.repeat(y, 2), temperature=0.2
      ),
    ),
    # Before any clustering a class is one subclass: SupCon.
    (
      SUBCLASSES,
      lambda z, y: ops.supcon_loss(
        z.reshape(32, -1), jnp.repeat(y, 2), temperature=0.2
      ),
    ),
  ],
)
def test_loss_is_the_objective_of_unit_embeddings(program, learner, expected):
  made, state, batch = program(**learner)

  @jax.jit
  def both(state, batch):
    loss, aux = made.learner.loss(
      made.net, state.params, state, batch, jax.random.key(2)
    )
    z = embed(made, state, batch)
    cosine = (z[:, 0] * z[:, 1]).sum(-1).mean()
    return loss, expected(z, batch["label"]).mean(), aux.metrics, cosine

  loss, wanted, metrics, cosine = both(state, batch)
  np.testing.assert_allclose(loss, wanted, rtol=1e-5)
  np.testing.assert_allclose(metrics["view_cosine"], cosine, rtol=1e-4)


def test_keys_come_from_the_averaged_encoder(program):
  objective = dict(name="info_nce_loss", temperature=0.2)
  made, state, batch = program(objective=objective, ema_decay=0.9)
  other = jax.tree.map(lambda a: -a, state.memory["ema"])
  moved = state.replace(memory={"ema": other})
  loss = jax.jit(
    lambda s: made.learner.loss(
      made.net, s.params, s, batch, jax.random.key(2)
    )[0]
  )
  assert not np.allclose(loss(state), loss(moved))
  new = made.learner.after_update(made.net, moved, None)["ema"]["params"]
  for name, leaf in new.items():
    np.testing.assert_allclose(leaf, -0.8 * state.params[name], rtol=1e-5)


def test_run_reports_probes_and_clusters(tiny, tmp_path):
  record = engine.train(config(tiny, **SUBCLASSES), str(tmp_path / "run"))
  assert 0 <= record["test/knn_probe/accuracy"] <= 1
  saved = weights(tmp_path / "run")
  table = saved["memory/subclass"]
  made = engine.build(config(tiny, **SUBCLASSES))
  (stage,) = made.scenario.stages(0)
  source = stage.streams["train"].source
  inside = np.isin(np.arange(96), source.ids)
  assert (table[inside] >= 3).all() and (table[~inside] == -1).all()
  assert (saved["memory/temperature"] > 0.2).all()
  # A subclass lies within a class, and holds 3 to 5 of its examples or all.
  counts = np.bincount(source.labels)
  bound = max(5, counts[counts > 0].min())
  for subclass in np.unique(table[inside]):
    labels = source.all_labels[np.flatnonzero(table == subclass)]
    assert len(set(labels)) == 1 and len(labels) <= bound


def test_resumes_between_clusterings(tiny, tmp_path):
  made = config(tiny, **SUBCLASSES)
  engine.train(made, str(tmp_path / "whole"))
  whole = weights(tmp_path / "whole")

  class Halt(Exception):
    pass

  seen = []
  refresh = learners.Contrastive.refresh

  def stop_at_second(self, net, state, context):
    seen.append(int(state.step))
    if len(seen) == 3:
      raise Halt
    return refresh(self, net, state, context)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(learners.Contrastive, "refresh", stop_at_second)
    with pytest.raises(Halt):
      engine.train(made, str(tmp_path / "cut"))
  assert seen == [0, 4, 8]
  engine.train(made, str(tmp_path / "cut"))
  for name, leaf in weights(tmp_path / "cut").items():
    np.testing.assert_array_equal(leaf, whole[name])


def test_classes_are_split_into_equal_parts():
  labels = np.repeat(np.arange(4), [21, 12, 6, 3])
  z = np.random.default_rng(0).normal(size=(42, 3)).astype(np.float32)
  got = learners.split_classes(z, labels, min_size=6, key=jax.random.key(0))
  sizes = [
    sorted(np.bincount(got[labels == c])[np.unique(got[labels == c])])
    for c in range(4)
  ]
  # Bound 6: ceil(21 / 6) = 4 parts, each of 3 to 6.
  assert sizes == [[5, 5, 5, 6], [6, 6], [6], [3]]
  assert len(np.unique(got)) == got.max() + 1 == 8


def test_temperature_by_hand():
  z, y = jnp.array([[0.0], [2.0], [5.0], [9.0]]), jnp.array([0, 0, 1, 1])
  t = jax.jit(
    lambda z: learners.dynamic_temperatures(
      z, y, num_classes=3, temperature=0.1, alpha=10.0
    )
  )(z)
  # Spreads 1 and 2 by the same log(2 + 10); their mean is 1.5.
  expected = 0.1 * np.exp([1 / 1.5, 2 / 1.5, 0])
  np.testing.assert_allclose(t, expected, rtol=1e-6)


def test_frozen_stats_leave_the_statistics(tiny):
  made = engine.build(tiny(learner__frozen_stats=True))
  params, stats = made.net.init(jax.random.key(0))
  learner = made.learner
  assert stats
  batch = {"image": jnp.ones((4, 8, 8, 1)), "label": jnp.zeros(4, int)}
  state = learners.State(
    jnp.int32(0), params, stats, (), {}, jax.random.key(0), None
  )
  _, aux = jax.jit(
    lambda p: learner.loss(made.net, p, state, batch, jax.random.key(0))
  )(params)
  for name, leaf in stats.items():
    np.testing.assert_array_equal(aux.stats[name], leaf)


@pytest.mark.parametrize(
  ("learner", "message"),
  [
    (dict(ema_decay=1.0), "ema_decay must be in .0, 1., got 1.0"),
    (
      dict(objective=dict(name="info_nce_loss", temperature=0.1)),
      "ema_decay must be above 0",
    ),
    (
      {**SUBCLASSES, "num_examples": 0},
      "num_examples must be at least 1 for an objective of subclasses",
    ),
    (dict(refresh_every_steps=3), "refresh_every_steps must be 0"),
    (dict(objective=dict(name="nt_xent")), "nt_xent"),
  ],
)
def test_bad_fields_raise(learner, message):
  with pytest.raises(ValueError, match=message):
    learners.Contrastive(**learner)


def test_missing_views_or_head_are_named(tiny, tmp_path):
  made = config(tiny)
  made["scenario"] = {**made["scenario"], "views": ()}
  with pytest.raises(ValueError, match="scenario.views must list"):
    engine.train(made, str(tmp_path / "a"))
  made = config(tiny, embedding="projektion")
  with pytest.raises(ValueError, match="Did you mean 'projection'"):
    engine.train(made, str(tmp_path / "b"))
