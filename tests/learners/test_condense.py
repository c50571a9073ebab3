import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import engine, learners, models


def network(classes=3):
  return models.convnet(
    num_classes=classes, input_shape=(8, 8, 1), widths=(4,), hidden=8,
    norm="instance",
  )  # fmt: skip


def start(net):
  params, stats = net.init(jax.random.key(0))
  # The output layer starts at zero: below it every gradient would vanish.
  kernel = jax.random.normal(jax.random.key(5), params["head/kernel"].shape)
  params["head/kernel"] = kernel
  tx = optax.sgd(0.1)
  return learners.State(
    step=jnp.int32(0), params=params, stats=stats, opt_state=tx.init(params),
    memory={}, key=jax.random.key(0), tx=tx,
  )  # fmt: skip


def images(*shape):
  return jax.random.normal(jax.random.key(3), (*shape, 8, 8, 1))


def test_one_class_makes_both_forms_equal():
  # One of three classes has images.
  net = network()
  params = start(net).params
  synthetic, real = images(1, 2), images(1, 4) + 0.5
  value = lambda flag: jax.jit(
    jax.value_and_grad(
      lambda s: learners.matching_loss(net, params, s, real, flag)
    )
  )(synthetic)
  (a, da), (b, db) = value(jnp.bool_(True)), value(jnp.bool_(False))
  np.testing.assert_allclose(a, b, rtol=1e-5)
  np.testing.assert_allclose(da, db, rtol=1e-3, atol=1e-6)


def test_real_images_match_themselves():
  net = network()
  params = start(net).params
  real = images(3, 4)
  for flag in (True, False):
    f = jax.jit(
      lambda s, flag=flag: learners.matching_loss(
        net, params, s, real, jnp.bool_(flag)
      )
    )
    # What is left: units that no image excites, and eps beside small norms.
    assert float(f(images(3, 2)[::-1] * 2)) > float(f(real)) + 0.5
    assert float(f(real)) < 3


def test_steps_bring_gradients_together_and_restart_the_network():
  net = network()
  state = start(net)
  order = jax.random.permutation(jax.random.key(9), 24)
  labels = jnp.repeat(jnp.arange(3), 8)
  x = images(24) + labels[:, None, None, None]
  batch = {"image": x[order], "label": labels[order]}
  learner = learners.Condense(
    images_per_class=2, inner_steps=4, net_steps=3, outer_warmup=1,
    inner_warmup=4, image_lr=0.5,
  )  # fmt: skip
  state = state.replace(memory=learner.init(net, state, batch, None))
  chosen = state.memory["images"]
  assert chosen.shape == (3, 2, 8, 8, 1)
  # Drawn from the batch, class by class.
  for c in range(3):
    members = batch["image"][batch["label"] == c]
    for image in chosen[c]:
      assert jnp.any(jnp.all(jnp.isclose(members, image), axis=(1, 2, 3)))
  step = jax.jit(lambda s, k: learner.update(net, s, batch, k))
  seen = []
  for i in range(6):
    key = jax.random.fold_in(jax.random.key(1), i)
    state, metrics = step(state, key)
    state = state.replace(step=state.step + 1)
    seen.append(state.params["hidden/kernel"])
    assert jnp.isfinite(metrics["loss"])
  assert jnp.any(state.memory["images"] != chosen)
  moved = [
    float(jnp.abs(a - b).max())
    for a, b in zip(seen[:-1], seen[1:], strict=True)
  ]
  # A new network only at steps 0 and 4.
  assert moved[3] > 5 * max(moved[0], moved[1], moved[2], moved[4])
  done = learner.end_stage(net, state, None)
  logits = net(done.params, {}, state.memory["images"].reshape(6, 8, 8, 1))
  assert (logits[0]["logits"].argmax(-1) == jnp.repeat(jnp.arange(3), 2)).all()


def test_siamese_augmentation_is_the_same_for_every_image():
  learner = learners.Condense(
    images_per_class=1, augment=(dict(name="random_crop", padding=2),)
  )
  x = jnp.broadcast_to(images(1)[0], (3, 2, 8, 8, 1))
  got = learner._siamese(jax.random.key(4), x)
  assert jnp.all(got == got[0, 0])
  assert jnp.any(got != x)


def test_runs_through_the_engine(tiny, tmp_path):
  config = tiny(
    batch_size=12,
    total_steps=4,
    scenario__sampler=dict(name="episodic_plan", way=3, shot=3, query=1),
    scenario__augment=(),
    model=dict(name="convnet", widths=(4,), hidden=8, norm="instance"),
    learner=dict(
      name="condense", images_per_class=2, inner_steps=2, net_steps=2,
      final_steps=5,
    ),
  )  # fmt: skip
  record = engine.train(config, tmp_path / "run")
  assert 0 <= record["test/accuracy"] <= 1


def test_bad_input():
  net = network()
  state = start(net)
  learner = learners.Condense(images_per_class=3)
  batch = {"image": images(7), "label": jnp.zeros(7, int)}
  with pytest.raises(ValueError, match="multiple of the 3 classes"):
    learner.init(net, state, batch, None)
  batch = {"image": images(6), "label": jnp.arange(6) % 3}
  with pytest.raises(ValueError, match="images_per_class = 3"):
    learner.init(net, state, batch, None)
  net = models.convnet(
    num_classes=3, input_shape=(8, 8, 1), widths=(4,), hidden=8
  )
  with pytest.raises(ValueError, match="batch statistics"):
    learner.init(net, start(net), batch, None)
