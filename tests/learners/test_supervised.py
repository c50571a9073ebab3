import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import data, learners, losses, models

SHAPE, KEY = (4, 4, 1), jax.random.key(0)
IMAGES = jax.random.uniform(KEY, (6, *SHAPE))
LABELS = jnp.array([0, 1, 2, 0, -1, -1])
BATCH = {"image": IMAGES, "label": LABELS}


@pytest.fixture(scope="module")
def net():
  return models.mlp(num_classes=3, input_shape=SHAPE, hidden=(8,))


def start(net, learner):
  params, stats = net.init(KEY)
  params["head/kernel"] += jnp.arange(3.0)
  tx = optax.sgd(0.1)
  state = learners.State(
    step=jnp.zeros((), jnp.int32), params=params, stats=stats,
    opt_state=tx.init(params), memory={}, key=KEY, tx=tx,
  )  # fmt: skip
  return state.replace(memory=learner.init(net, state, BATCH, KEY))


def loss_of(net, learner, state):
  call = jax.jit(lambda p: learner.loss(net, p, state, BATCH, KEY))
  return call(state.params)


def logits_of(net, state):
  return net(state.params, state.stats, IMAGES)[0]["logits"]


def test_unlabelled_rows_do_not_count(net):
  learner = learners.Supervised()
  state = start(net, learner)
  loss, aux = loss_of(net, learner, state)
  logits = logits_of(net, state)[:4]
  want = losses.cross_entropy_loss(logits, LABELS[:4])
  np.testing.assert_allclose(loss, want.mean(), rtol=1e-5)
  right = (logits.argmax(-1) == LABELS[:4]).mean()
  np.testing.assert_allclose(aux.metrics["accuracy"], right, rtol=1e-6)


def test_scores_stand_for_the_logits_in_predictions(net):
  scores = dict(name="spherical_log_softmax", epsilon=0.1)
  learner = learners.Supervised(scores=scores)
  state = start(net, learner)
  out = learner.predict(net, state, BATCH)
  want = losses.spherical_log_softmax(logits_of(net, state), epsilon=0.1)
  np.testing.assert_allclose(out["logits"], want, rtol=1e-6)


def test_soft_targets_with_smoothing_equal_the_smoothed_loss(net):
  soft = learners.Supervised(
    objective="soft_cross_entropy_loss", label_smoothing=0.1
  )
  hard = learners.Supervised(
    objective=dict(name="cross_entropy_loss", label_smoothing=0.1)
  )
  state = start(net, soft)
  a, b = loss_of(net, soft, state)[0], loss_of(net, hard, state)[0]
  np.testing.assert_allclose(a, b, rtol=1e-5)


def test_mixing_labels_by_weight_equals_mixing_targets(net):
  mixing = dict(name="mixup", alpha=1.0)
  batch = {"image": IMAGES[:4], "label": LABELS[:4]}
  values = []
  for objective in ("cross_entropy_loss", "soft_cross_entropy_loss"):
    learner = learners.Supervised(objective=objective, mixing=mixing)
    state = start(net, learner)
    loss = jax.jit(
      lambda p, learner=learner, state=state: learner.loss(
        net, p, state, batch, jax.random.key(1)
      )[0]
    )(state.params)
    values.append(loss)
  plain = loss_of(net, learners.Supervised(), state)[0]
  np.testing.assert_allclose(values[0], values[1], rtol=1e-5)
  assert abs(float(values[0] - plain)) > 1e-4


def test_mixing_at_a_tap_mixes_the_activation(net):
  batch = {"image": IMAGES[:4], "label": LABELS[:4]}
  targets = jax.nn.one_hot(LABELS[:4], 3)
  state = start(net, learners.Supervised())
  params = state.params

  @functools.partial(jax.jit, static_argnums=1)
  def want(key, place):
    mix = functools.partial(data.mixup, alpha=1.0)
    if place == "input":
      mixed = mix(batch["image"], targets, key)
      logits = net(params, state.stats, mixed.inputs)[0]["logits"]
    else:
      features = net(params, state.stats, batch["image"])[0]["features"]
      mixed = mix(features, targets, key)
      logits = mixed.inputs @ params["head/kernel"] + params["head/bias"]
    return losses.soft_cross_entropy_loss(logits, mixed.targets).mean()

  def loss(places):
    learner = learners.Supervised(
      objective="soft_cross_entropy_loss",
      mixing=dict(name="mixup", alpha=1.0),
      mixing_at=places,
    )
    return jax.jit(lambda key: learner.loss(net, params, state, batch, key)[0])

  mix_key, _ = jax.random.split(KEY)
  for place in ("input", "head"):
    got = loss((place,))(KEY)
    np.testing.assert_allclose(got, want(mix_key, place), rtol=1e-5)
  # Of two places one is drawn for each batch.
  either, drawn = loss(("input", "head")), set()
  for key in jax.random.split(KEY, 8):
    mix_key = jax.random.split(jax.random.split(key)[0])[0]
    gaps = [abs(either(key) - want(mix_key, p)) for p in ("input", "head")]
    assert min(gaps) < 1e-5
    drawn.add(int(np.argmin(gaps)))
  assert drawn == {0, 1}
  with pytest.raises(ValueError, match="Did you mean 'head'"):
    loss(("heads",))(KEY)


def test_regularizer_is_added_and_logged(net):
  penalty = dict(name="entropy", weight=-0.5)
  learner = learners.Supervised(regularizers=(penalty,))
  state = start(net, learner)
  loss, aux = loss_of(net, learner, state)
  plain = loss_of(net, learners.Supervised(), state)[0]
  entropy = losses.entropy(logits_of(net, state)[:4]).mean()
  np.testing.assert_allclose(loss, plain - 0.5 * entropy, rtol=1e-5)
  np.testing.assert_allclose(aux.metrics["entropy"], entropy, rtol=1e-5)


def test_average_follows_and_predicts(net):
  learner = learners.Supervised(ema_decay=0.75)
  state = start(net, learner)
  update = jax.jit(
    lambda s: learners.gradient_update(learner, net, s, BATCH, KEY)
  )
  new, metrics = update(state)
  assert metrics.keys() == {"accuracy", "loss", "grad_norm"}
  for name in state.params:
    want = 0.75 * state.params[name] + 0.25 * new.params[name]
    np.testing.assert_allclose(
      new.memory["ema"]["params"][name], want, rtol=1e-4, atol=1e-6
    )
  out = learner.predict(net, new, BATCH)["logits"]
  averaged = new.replace(params=new.memory["ema"]["params"])
  np.testing.assert_allclose(out, logits_of(net, averaged), rtol=1e-5)


def test_class_prior_comes_from_the_stage(net):
  @dataclasses.dataclass
  class Context:
    class_counts: np.ndarray

  learner = learners.Supervised(
    objective=dict(name="logit_adjusted_loss", tau=1.0)
  )
  state = start(net, learner)
  np.testing.assert_allclose(state.memory["class_prior"], 1 / 3)
  counts = np.array([5, 2, 0])
  state = learner.start_stage(net, state, Context(counts))
  np.testing.assert_allclose(
    state.memory["class_prior"], [6 / 10, 3 / 10, 1 / 10], rtol=1e-6
  )
  loss = loss_of(net, learner, state)[0]
  want = losses.logit_adjusted_loss(
    logits_of(net, state)[:4], LABELS[:4], state.memory["class_prior"]
  )
  np.testing.assert_allclose(loss, want.mean(), rtol=1e-5)


@pytest.mark.parametrize(
  ("kwargs", "message"),
  [
    (dict(objective="focal"), "Did you mean 'focal_loss'"),
    (dict(label_smoothing=1.0, objective="soft_cross_entropy_loss"), r"\[0, 1"),
    (dict(ema_decay=1.0), r"ema_decay must be in \[0, 1\), got 1.0"),
    (dict(mixing_at="head"), "mixing_at must be a sequence"),
    (dict(mixing=dict(name="mixup")), "learner.mixing.alpha must be given"),
    (dict(regularizers=(dict(name="entropi"),)), "Did you mean 'entropy'"),
  ],
)
def test_bad_fields(kwargs, message):
  with pytest.raises(ValueError, match=message):
    learners.Supervised(**kwargs)
