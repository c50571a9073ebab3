import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import data, engine, learners, losses, models, scenarios

GOLDEN = pathlib.Path(__file__).parents[1] / "goldens/iomatch.npz"


@pytest.mark.parametrize(
  ("suffix", "settings"),
  [
    ("", dict(alignment_queue=128)),
    ("__alt", dict(threshold=0.6, open_threshold=0.3)),
  ],
)
def test_iomatch_matches_the_official_code(suffix, settings):
  with np.load(GOLDEN, allow_pickle=False) as data:
    g = dict(data)
  learner = learners.SemiSupervised(
    open_set=True, soft_targets=True, **settings
  )
  labels = jnp.asarray(g["in_target"], jnp.int32)
  unlabeled = (len(g["in_logits"]) - len(labels)) // 2
  names = {"logits": "logits", "binary": "logits_mb", "open": "logits_open"}
  x = {k: jnp.asarray(g[f"in_{v}"], jnp.float32) for k, v in names.items()}
  memory = {
    "queue": jnp.asarray(g["in_da_queue"], jnp.float32),
    "position": jnp.int32(0),
  }
  state = learners.State(
    step=jnp.int32(0), params={}, stats={}, opt_state=(), memory=memory,
    key=jax.random.key(0), tx=None,
  )  # fmt: skip

  def f(x):
    split = lambda a: jnp.split(a, [len(labels), len(labels) + unlabeled])
    parts, _ = learner.parts({k: split(a) for k, a in x.items()}, labels, state)
    total = sum(v for k, v in parts.items() if k.endswith("_loss"))
    return total, parts

  (total, parts), grads = jax.jit(jax.value_and_grad(f, has_aux=True))(x)
  expected = {
    "labeled_loss": "s_loss",
    "binary_loss": "mb_loss",
    "consistency_loss": "ui_loss",
    "open_loss": "op_loss",
  }
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6)
  for ours, theirs in expected.items():
    close(parts[ours], g[f"out_{theirs}{suffix}"])
  close(total, g[f"out_loss{suffix}"])
  for ours, theirs in names.items():
    close(grads[ours], g[f"grad_{theirs}{suffix}"])


def config(tiny, open_set, **learner):
  made = tiny(
    scenario=dict(
      name="semi_supervised", source="digits", labels_per_class=4,
      labeled_batch_size=16, unlabeled_ratio=2,
      known_classes=(0, 1, 2, 3, 4, 6),
      weak=(dict(name="random_crop", padding=1),),
      strong=(dict(name="random_crop", padding=2),),
    ),
    model=dict(
      name="mlp", hidden=(64,),
      heads=dict(binary=dict(width=12), open=dict(width=7)),
    ),
    learner=dict(
      name="semi_supervised", open_set=open_set, ema_decay=0.9, threshold=0.8,
      **learner,
    ),
    total_steps=80, batch_size=16,
    optimizer=dict(name="adamw"),
    schedule=dict(name="constant", peak_lr=5e-3),
    evaluation=dict(
      metrics=("accuracy", "balanced_accuracy"),
      outputs=dict(open="open_logits"),
    ),
  )  # fmt: skip
  return made


@pytest.mark.parametrize("open_set", [False, True])
def test_learns_through_the_engine(tiny, tmp_path, open_set):
  more = dict(alignment_queue=8, soft_targets=True) if open_set else {}
  record = engine.train(config(tiny, open_set, **more), str(tmp_path))
  assert record["test/accuracy"] > 0.7
  assert record["open/balanced_accuracy"] > 1 / 7
  shown = [r for r in engine.read_metrics(tmp_path) if "train/chosen" in r]
  key = "train/open_loss" if open_set else "train/chosen"
  assert max(r[key] for r in shown) > 0


def test_scenario_hides_labels_and_renames_classes():
  known = (5, 1, 7)
  scenario = scenarios.SemiSupervised(
    source="digits", labels_per_class=3, labeled_batch_size=4,
    known_classes=known,
  )  # fmt: skip
  (stage,) = scenario.stages(0)
  labeled, unlabeled = (
    stage.streams[n].source for n in ("labeled", "unlabeled")
  )
  assert np.bincount(labeled.labels).tolist() == [3, 3, 3]
  assert (unlabeled.labels == -1).all() and len(unlabeled) == 1437
  assert set(stage.evals["test"].labels) == {0, 1, 2}
  opened = stage.evals["open"]
  assert set(opened.labels) == {0, 1, 2, 3} and len(opened) == 360
  from jaxcls import data

  truth = data.load_source("digits", "test")
  ids = stage.evals["test"].ids
  np.testing.assert_array_equal(
    np.array(known)[stage.evals["test"].labels], truth.all_labels[ids]
  )
  (other,) = scenario.stages(1)
  assert set(other.streams["labeled"].source.ids) != set(labeled.ids)


def test_bad_classes_are_named():
  scenario = scenarios.SemiSupervised(
    source="digits", labels_per_class=3, labeled_batch_size=4,
    known_classes=(3, 3),
  )  # fmt: skip
  with pytest.raises(ValueError, match="distinct class ids"):
    scenario.templates()


def test_without_an_open_loss_the_targets_tell_what_is_unknown():
  learner = learners.SemiSupervised(
    open_set=True, open_weight=0.0, ema_decay=0.0, threshold=0.5
  )
  state = learners.State(
    step=jnp.int32(0), params={}, stats={}, opt_state=(), memory={},
    key=jax.random.key(0), tx=None,
  )  # fmt: skip
  # Two classes; each row's one-vs-all pair is no, no, yes, yes.
  logits = jnp.array([[2.0, 0.0], [2.0, 0.0]])
  binary = jnp.array([[0.0, 0.0, 3.0, 3.0], [3.0, 3.0, 0.0, 0.0]])
  net = lambda params, stats, x: ({"logits": logits, "binary": binary}, stats)
  out = learner.predict(net, state, {"image": jnp.zeros((2, 1))})
  p = 1 / (1 + np.exp(-2.0))
  yes = 1 / (1 + np.exp([-3.0, 3.0]))
  expected = np.stack([p * yes, (1 - p) * yes, 1 - yes], axis=1)
  got = jnp.exp(out["open_logits"])
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  # The second row is no inlier: only the first one has a pseudo-label.
  outputs = {"logits": [logits] * 3, "binary": [binary] * 3}
  parts, _ = jax.jit(learner.parts)(outputs, jnp.array([0, 0]), state)
  assert "open_loss" not in parts
  np.testing.assert_allclose(parts["chosen"], 0.5, rtol=1e-6)
  np.testing.assert_allclose(
    parts["consistency_loss"], -np.log(p) / 2, rtol=1e-5
  )


def test_val_is_held_out_and_has_an_open_twin():
  scenario = scenarios.SemiSupervised(
    source="digits", labels_per_class=3, labeled_batch_size=4,
    known_classes=(3, 8), val_fraction=0.2,
  )  # fmt: skip
  (stage,) = scenario.stages(0)
  val, opened = stage.evals["val"], stage.evals["val_open"]
  assert set(val.labels) == {0, 1} and set(opened.labels) == {0, 1, 2}
  for stream in stage.streams.values():
    assert not set(stream.source.ids) & set(opened.ids)


def test_mixed_labels_go_into_the_labelled_loss():
  learner = learners.SemiSupervised(
    ema_decay=0.0,
    objective=dict(name="decoupled_mixup_loss", eta=0.5),
    mixing=dict(name="mixup", alpha=1.0),
  )
  net = models.mlp(num_classes=3, input_shape=(2, 2, 1), hidden=())
  params, stats = net.init(jax.random.key(0))
  images = jax.random.normal(jax.random.key(1), (4, 2, 2, 1))
  labels = jnp.array([0, 1, 2, 1])
  batch = {
    "labeled": {"image": images, "label": labels},
    "unlabeled": {"views": jnp.zeros((4, 2, 2, 2, 1))},
  }
  state = learners.State(
    step=jnp.int32(0), params=params, stats=stats, opt_state=(), memory={},
    key=jax.random.key(0), tx=None,
  )  # fmt: skip
  key = jax.random.key(2)
  loss, aux = jax.jit(lambda key: learner.loss(net, params, state, batch, key))(
    key
  )
  mixed = data.mixup(
    images, jax.nn.one_hot(labels, 3), jax.random.split(key)[0], alpha=1.0
  )
  logits = net(params, stats, mixed.inputs)[0]["logits"]
  want = losses.decoupled_mixup_loss(logits, mixed.targets, eta=0.5).mean()
  np.testing.assert_allclose(aux.metrics["labeled_loss"], want, rtol=1e-5)
  assert loss >= want


def test_an_objective_of_labels_is_refused():
  with pytest.raises(ValueError, match="must be a loss of targets"):
    learners.SemiSupervised(objective="cross_entropy_loss")
