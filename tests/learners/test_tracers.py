import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import learners, models

KEY = jax.random.key(0)
BATCH = {
  "image": jax.random.uniform(KEY, (12, 8, 8, 1)),
  "label": jnp.arange(12) % 3,
}


def make():
  return models.tracer_copies(
    num_classes=3, input_shape=(8, 8, 1), main=dict(name="mlp", hidden=(4,)),
    tracer=dict(name="mlp", hidden=(16,)), copies=2,
  )  # fmt: skip


def start(net, learner):
  params, stats = net.init(KEY)
  tx = optax.adam(0.003)
  state = learners.State(
    step=jnp.zeros((), jnp.int32), params=params, stats=stats,
    opt_state=tx.init(models.select(params, "^tracers/")), memory={}, key=KEY,
    tx=tx, trainable="^tracers/",
  )  # fmt: skip
  return state.replace(memory=learner.init(net, state, BATCH, KEY))


def test_tracers_become_sensitive_and_the_classifier_stays():
  net, learner = make(), learners.Tracers(noise_std=0.3, angle_degrees=75.0)
  state = first = start(net, learner)
  step = jax.jit(
    lambda s, key: learners.gradient_update(learner, net, s, BATCH, key)
  )
  seen = []
  for i in range(60):
    state, metrics = step(state, jax.random.key(i))
    seen.append(float(metrics["noise_sensitive_loss"]))
  assert np.mean(seen[-10:]) < 0.85 * seen[0]
  for path, old in first.params.items():
    same = bool((state.params[path] == old).all())
    assert same != path.startswith("tracers/"), path


def test_without_noise_each_tracer_learns_the_labels_alone():
  net = make()
  learner = learners.Tracers(noise_weight=0.0, label_weight=1.0)
  state = start(net, learner)
  loss = jax.jit(
    jax.value_and_grad(lambda p, b: learner.loss(net, p, state, b, KEY)[0])
  )
  value, grads = loss(state.params, BATCH)
  logits = net(state.params, {}, BATCH["image"])[0]["tracer_logits"]
  each = optax.softmax_cross_entropy_with_integer_labels(
    logits, BATCH["label"][:, None].repeat(2, axis=1)
  )
  np.testing.assert_allclose(value, each.sum(axis=1).mean(), rtol=1e-5)
  assert all(
    (jnp.abs(g).max() > 0) == path.startswith("tracers/")
    for path, g in grads.items()
  )
  # A row without a label does not count.
  hidden = {**BATCH, "label": BATCH["label"].at[6:].set(-1)}
  value, _ = loss(state.params, hidden)
  np.testing.assert_allclose(value, each[:6].sum(axis=1).mean(), rtol=1e-5)


def test_bad_settings():
  for field, message in (
    (dict(noise_weight=-1.0), "noise_weight must be >= 0, got -1"),
    (dict(label_weight=-1.0), "label_weight must be >= 0, got -1"),
    (dict(noise_std=0.0), "noise_std must be > 0, got 0"),
    (dict(angle_degrees=181.0), r"angle_degrees must be in \[0, 180\]"),
  ):
    with pytest.raises(ValueError, match=message):
      learners.Tracers(**field)
  net = models.mlp(num_classes=3, input_shape=(8, 8, 1), hidden=(4,))
  with pytest.raises(ValueError, match="model.name must be 'tracer_copies'"):
    learners.Tracers().init(net, None, BATCH, KEY)
