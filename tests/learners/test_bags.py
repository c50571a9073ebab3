import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import data, engine, evaluation, learners, models, scenarios

HEADS = dict(attention=dict(width=1, hidden=(4,)), projection=dict(width=4))
SCENARIO = dict(
  name="bags", source="fake", positive_class=2, train_bags=6, test_bags=4,
  bags_per_step=2, sizes=(3, 5), positive_rate=0.4, val_bags=2,
  options=dict(shape=(8, 8, 1), num_classes=3, num_examples=96),
)  # fmt: skip


def test_bags_are_dealt_as_asked():
  labels = np.arange(3000) % 10
  bags = data.deal_bags(
    labels, positive_class=7, num_bags=40, sizes=(10, 50), positive_rate=0.2,
    seed=3,
  )  # fmt: skip
  assert len(set(bags.rows)) == len(bags.rows)
  for bag, label in enumerate(bags.labels):
    rows = bags.rows[bags.bag == bag]
    assert 10 <= len(rows) <= 50
    expected = max(1, round(0.2 * len(rows))) if label else 0
    assert (labels[rows] == 7).sum() == expected
  assert bags.labels.sum() == 20
  with pytest.raises(ValueError, match="num_bags must leave an example"):
    data.deal_bags(
      labels, positive_class=7, num_bags=400, sizes=(10, 50),
      positive_rate=0.2, seed=3,
    )  # fmt: skip


def test_plan_draws_whole_bags():
  ids, bags = np.arange(9) + 20, np.array([0, 0, 0, 0, 0, 1, 1, 2, 2])
  plan = data.BagPlan(
    ids=ids, bags=bags, batch_size=8, bags_per_step=2, num_steps=30, seed=0
  )
  for step in range(30):
    for half in plan[step].reshape(2, 4):
      own = bags[half - 20]
      assert (own == own[0]).all()
      # A small bag is whole, a large one gives four different examples.
      size = (bags == own[0]).sum()
      assert len(set(half)) == min(size, 4)
    assert bags[plan[step][0] - 20] != bags[plan[step][4] - 20]


def test_training_sees_no_label_of_an_example():
  section = dict(SCENARIO)
  section.pop("name")
  (stage,) = scenarios.Bags(**section).stages(0)
  source = stage.streams["train"].source
  bag = source.columns["bag"][source.ids]
  assert set(source.labels) == {0, 1}
  assert (source.labels == bag % 2).all()
  test = stage.evals["test"]
  own = test.labels
  for b in np.unique(test.columns["bag"][test.ids]):
    rows = test.columns["bag"][test.ids] == b
    assert own[rows].max() == b % 2
  val = stage.evals["val_bags"]
  assert not set(val.ids) & set(source.ids)


def test_bag_auc_matches_pooling_by_hand():
  rng = np.random.default_rng(1)
  x, bag = rng.normal(size=(12, 2)).astype(np.float32), np.arange(12) // 3
  y = np.array([0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0])
  positive = np.array([1, 0, 1, 0])
  odds = (x[:, 1] - x[:, 0]).reshape(4, 3)
  a, s = x[:, 0].reshape(4, 3), x[:, 1].reshape(4, 3)
  weights = np.exp(a) / np.exp(a).sum(1, keepdims=True)
  scores = {
    "max": odds.max(1),
    "mean": (1 / (1 + np.exp(-odds))).mean(1),
    "attention": (weights * s).sum(1),
  }
  for pooling, score in scores.items():
    pairs = score[positive == 1][:, None] > score[positive == 0][None]
    got = evaluation.bag_roc_auc(x, y, bag=jnp.asarray(bag), pooling=pooling)
    np.testing.assert_allclose(got, pairs.mean(), rtol=1e-6)
  with pytest.raises(ValueError, match="pooling must be"):
    evaluation.bag_roc_auc(x, y, bag=jnp.asarray(bag), pooling="sum")


@pytest.mark.parametrize("pooling", ["attention", "max", "mean"])
def test_bag_classifiers_run_through_the_engine(tiny, tmp_path, pooling):
  config = tiny(
    batch_size=8,
    total_steps=4,
    scenario=SCENARIO,
    model=dict(name="convnet", widths=(4,), hidden=8, heads=HEADS),
    learner=dict(name="bag_classifier", pooling=pooling),
    evaluation=dict(
      metrics=("roc_auc", dict(name="bag_roc_auc", pooling=pooling)),
      outputs=dict(test_bags="evidence"),
    ),
  )
  record = engine.train(config, tmp_path / "run")
  assert 0 <= record["test/roc_auc"] <= 1
  assert 0 <= record[f"test_bags/bag_roc_auc(pooling={pooling})"] <= 1


def test_instance_classifier_runs_and_resumes_its_tables(tiny, tmp_path):
  config = tiny(
    batch_size=8,
    total_steps=4,
    scenario=SCENARIO | dict(views=((), ())),
    model=dict(name="convnet", widths=(4,), hidden=8, heads=HEADS),
    learner=dict(
      name="instance_classifier", num_examples=96, queue_size=16,
      warmup_steps=1, decay_steps=2,
    ),
    evaluation=dict(metrics=("roc_auc",)),
  )  # fmt: skip
  record = engine.train(config, tmp_path / "run")
  assert 0 <= record["test/roc_auc"] <= 1


def memory_after(steps, learner=None):
  net = models.add_heads(
    models.mlp(num_classes=2, input_shape=(4,), hidden=(8,)), HEADS
  )
  learner = learner or learners.InstanceClassifier(
    num_examples=20, queue_size=12, warmup_steps=2, decay_steps=10
  )
  params, stats = net.init(jax.random.key(0))
  tx = optax.sgd(0.1)
  state = learners.State(
    step=jnp.int32(0), params=params, stats=stats, opt_state=tx.init(params),
    memory={}, key=jax.random.key(0), tx=tx,
  )  # fmt: skip
  ids = jnp.array([3, 5, 7, 2, 4, 4])
  batch = {
    "views": jax.random.normal(jax.random.key(1), (6, 2, 4)),
    "id": ids, "label": jnp.array([1, 1, 1, 0, 0, 0]),
    "bag": jnp.array([1, 1, 1, 2, 2, 2]),
  }  # fmt: skip
  state = state.replace(memory=learner.init(net, state, batch, None))
  step = jax.jit(
    lambda s, k: learners.gradient_update(learner, net, s, batch, k)
  )
  for i in range(steps):
    state, metrics = step(state, jax.random.fold_in(jax.random.key(2), i))
    state = state.replace(step=state.step + 1)
    assert jnp.isfinite(metrics["loss"])
  return state.memory


def test_true_negatives_never_change_and_positives_do():
  early, late = memory_after(2), memory_after(8)
  for memory in (early, late):
    table = np.asarray(memory["pseudo_labels"])
    np.testing.assert_array_equal(table[[2, 4]], [[1, 0], [1, 0]])
    assert (table[[0, 1, 6, 19]] == -1).all()
    np.testing.assert_allclose(table[[3, 5, 7]].sum(1), 1, rtol=1e-5)
  # During the warm-up: the label of the bag.
  np.testing.assert_array_equal(early["pseudo_labels"][3], [0, 1])
  assert np.abs(late["prototypes"] - early["prototypes"]).max() > 0
  norms = np.linalg.norm(late["prototypes"], axis=1)
  assert np.all((np.abs(norms - 1) < 1e-5) | (norms == 0))


def test_dead_projections_have_finite_gradients():
  # Zero weights: every projection is the zero vector.
  net = models.add_heads(
    models.mlp(num_classes=2, input_shape=(4,), hidden=(8,)), HEADS
  )
  params, stats = net.init(jax.random.key(0))
  params = jax.tree.map(jnp.zeros_like, params)
  learner = learners.InstanceClassifier(num_examples=9, queue_size=6)
  batch = {
    "views": jnp.ones((6, 2, 4)), "id": jnp.arange(6),
    "label": jnp.arange(6) // 3, "bag": jnp.arange(6) // 3,
  }  # fmt: skip
  state = learners.State(
    step=jnp.int32(0), params=params, stats=stats, opt_state=(), memory={},
    key=jax.random.key(0), tx=None,
  )  # fmt: skip
  state = state.replace(memory=learner.init(net, state, batch, None))
  f = lambda p: learner.loss(net, p, state, batch, None)[0]
  for grad in jax.jit(jax.grad(f))(params).values():
    assert jnp.isfinite(grad).all()


def test_padding_does_not_enter_the_queue():
  memory = memory_after(1)
  assert memory["queue_labels"].tolist()[:6].count(-1) == 1
  assert memory["queue_labels"].tolist()[6:] == [-1] * 6
  assert int(memory["position"]) == 6


def test_bad_input():
  with pytest.raises(ValueError, match="learner.pooling must be one of"):
    learners.BagClassifier(pooling="sum")
  with pytest.raises(ValueError, match="bag_pooling must be"):
    learners.InstanceClassifier(num_examples=20, bag_pooling="attention")
  with pytest.raises(ValueError, match="multiple of the batch size 6"):
    memory_after(1, learners.InstanceClassifier(num_examples=20, queue_size=8))
