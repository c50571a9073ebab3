import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import engine, learners, losses, models

KEY = jax.random.key(0)
IMAGES = jax.random.uniform(KEY, (6, 8, 8, 1))
BATCH = {"image": IMAGES, "label": jnp.array([0, 1, 2, 0, 1, -1])}


def make(rule):
  net = models.convnet(num_classes=3, input_shape=(8, 8, 1), widths=(4, 6))
  return models.add_filter_gates(net, taps=("stage2",), rule=rule, hidden=5)


def start(net, learner):
  params, stats = net.init(KEY)
  tx = optax.sgd(0.1)
  state = learners.State(
    step=jnp.zeros((), jnp.int32), params=params, stats=stats,
    opt_state=tx.init(params), memory={}, key=KEY, tx=tx,
  )  # fmt: skip
  return state.replace(memory=learner.init(net, state, BATCH, KEY))


def test_open_gates_change_nothing():
  net = make("open")
  plain = net.net
  params, stats = net.init(KEY)
  out, _ = net(params, stats, IMAGES)
  want, _ = plain(params, stats, IMAGES)
  np.testing.assert_allclose(out["logits"], want["logits"], rtol=1e-6)
  np.testing.assert_allclose(out["stage2_mass"].sum(axis=1), 1.0, rtol=1e-5)


def test_a_closed_filter_is_as_if_it_were_not_there():
  net = make("fixed")
  params, stats = net.init(KEY)
  stats["gates/stage2/mask"] = jnp.array([1.0, 0, 1, 1, 0, 1])
  maps = net(params, stats, IMAGES)[0]["maps"]
  assert (maps[..., [1, 4]] == 0).all() and (maps[..., [0, 2]] != 0).any()
  _, moved = net(params, stats, IMAGES, train=True)
  np.testing.assert_array_equal(
    moved["gates/stage2/mask"], stats["gates/stage2/mask"]
  )


def test_gates_and_task_are_decoupled():
  net, learner = make("predicted"), learners.FilterGates(ratio=0.6)
  state = start(net, learner)
  state.params["head/kernel"] += jax.random.normal(
    KEY, state.params["head/kernel"].shape
  )

  def grads(weight):
    one = dataclasses.replace(learner, weight=weight)
    loss = lambda p: one.loss(net, p, state, BATCH, KEY)[0]
    return jax.jit(jax.grad(loss))(state.params)

  without, given = grads(0.0), grads(1.0)
  for path in state.params:
    if path.startswith("gates/"):
      # The task does not move the predictors ...
      np.testing.assert_array_equal(without[path], 0.0)
    else:
      # ... and the predictors' loss moves nothing else.
      np.testing.assert_allclose(given[path], without[path], atol=1e-6)
  assert any(
    jnp.abs(g).max() > 0 for p, g in given.items() if p.startswith("gates/")
  )


def test_predictors_learn_the_masks():
  net, learner = make("predicted"), learners.FilterGates(ratio=0.6, weight=10.0)
  state = start(net, learner)
  step = jax.jit(
    lambda s: learners.gradient_update(learner, net, s, BATCH, KEY)
  )
  first = None
  for _ in range(40):
    state, metrics = step(state)
    first = first or float(metrics["gate_loss"])
  assert metrics["gate_loss"] < 0.7 * first
  assert 0 < metrics["kept_filters"] < 1


@pytest.mark.parametrize("fixed", ["top", "random"])
def test_fixed_masks_have_the_targets_mean_count(fixed):
  net, learner = make("fixed"), learners.FilterGates(ratio=0.6, fixed=fixed)
  state = start(net, learner)
  mass = net(state.params, state.stats, IMAGES)[0]["stage2_mass"]

  class Context:
    key = KEY

    class stage:
      streams = {"train": None}

    @staticmethod
    def predict(state, name, outputs):
      assert name == "train" and outputs == ("stage2_mass",)
      return {"stage2_mass": np.asarray(mass)}

  mask = learner.start_stage(net, state, Context).stats["gates/stage2/mask"]
  count = losses.top_mass_targets(mass, ratio=0.6).sum(axis=1).mean()
  assert mask.sum() == round(float(count))
  if fixed == "top":
    kept = np.asarray(mass.mean(axis=0))
    assert kept[np.asarray(mask) > 0].min() >= kept[np.asarray(mask) == 0].max()


def test_bad_settings():
  with pytest.raises(ValueError, match=r"ratio must be in \(0, 1\], got 2"):
    learners.FilterGates(ratio=2)
  with pytest.raises(ValueError, match="fixed must be one of"):
    learners.FilterGates(ratio=0.5, fixed="best")
  net = make("open").net
  with pytest.raises(ValueError, match="model.gates must be set"):
    start(net, learners.FilterGates(ratio=0.5))
  for taps, message in (
    (("stem",), "must have maps before them, got 'stem'"),
    (("head",), "must name taps with maps, got 'head'"),
  ):
    with pytest.raises(ValueError, match=message):
      models.add_filter_gates(net, taps=taps)
  with pytest.raises(ValueError, match="model.gates.rule must be one of"):
    models.add_filter_gates(net, taps=("stage2",), rule="soft")
  config = dict(
    total_epochs=1, batch_size=8,
    scenario=dict(name="standard", source="digits"),
    model=dict(name="convnet", widths=(4, 4), gates=dict(tap=("stage2",))),
    learner=dict(name="filter_gates", ratio=0.5),
    schedule=dict(name="constant", peak_lr=0.1),
  )  # fmt: skip
  with pytest.raises(ValueError, match="model.gates.tap .*Did you mean 'taps'"):
    engine.build(engine.complete(config))
