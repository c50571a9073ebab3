import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import data, learners, losses, models

SHAPE, KEY, C = (4, 4, 3), jax.random.key(0), 3
IMAGES = jax.random.uniform(KEY, (5, *SHAPE))
LABELS = jnp.array([0, 1, 2, 0, -1])
BATCH = {"image": IMAGES, "label": LABELS}


def make_net(**heads):
  net = models.mlp(num_classes=C, input_shape=SHAPE, hidden=(8,))
  return models.add_heads(net, {k: dict(width=w) for k, w in heads.items()})


def start(net, learner):
  params, stats = net.init(KEY)
  noise = lambda x: x + 0.3 * jax.random.normal(KEY, x.shape)
  tx = optax.sgd(0.1)
  state = learners.State(
    step=jnp.zeros((), jnp.int32), params=jax.tree.map(noise, params),
    stats=stats, opt_state=tx.init(params), memory={}, key=KEY, tx=tx,
  )  # fmt: skip
  return state.replace(memory=learner.init(net, state, BATCH, KEY))


def outputs(net, state, copies):
  call = jax.jit(lambda x: net(state.params, state.stats, x)[0])
  found = [call(copies[:, j]) for j in range(copies.shape[1])]
  return jax.tree.map(lambda *rows: jnp.stack(rows, axis=1), *found)


def predict(net, learner, state):
  return jax.jit(lambda s: learner.predict(net, s, BATCH))(state)


def loss_of(net, learner, state):
  call = jax.jit(lambda p: learner.loss(net, p, state, BATCH, KEY))
  loss, aux = call(state.params)
  return loss, aux.metrics


def test_joint_labels_and_distillation():
  net = make_net(joint=C * 4)
  learner = learners.LabelAugmentation(distill=True, temperature=2.0)
  state = start(net, learner)
  out = outputs(net, state, data.rotations(IMAGES))
  loss, metrics = loss_of(net, learner, state)
  joint = losses.joint_label_loss(out["joint"][:4], LABELS[:4]).mean()
  np.testing.assert_allclose(metrics["joint_loss"], joint, rtol=1e-5)
  single = out["logits"][:4, 0]
  task = losses.cross_entropy_loss(single, LABELS[:4]).mean()
  together = losses.aggregate_joint_logits(out["joint"])
  kl = losses.kl_divergence_loss(single, together[:4], temperature=2.0).mean()
  np.testing.assert_allclose(loss, joint + task + kl, rtol=1e-5)
  predicted = predict(net, learner, state)
  np.testing.assert_allclose(
    predicted["aggregated_logits"], together, rtol=1e-4, atol=1e-5
  )
  np.testing.assert_allclose(
    predicted["logits"], out["logits"][:, 0], rtol=1e-4, atol=1e-5
  )


def test_single_inference_reads_the_joint_head():
  net = make_net(joint=C * 6)
  # Two turns times three cyclic orders of the colours.
  learner = learners.LabelAugmentation(
    transformations=(
      dict(name="rotations", quarter_turns=(0, 2)),
      dict(name="color_permutations", cyclic=True),
    )
  )
  state = start(net, learner)
  copies = jnp.concatenate(
    [
      data.color_permutations(x, cyclic=True)
      for x in (IMAGES, IMAGES[:, ::-1, ::-1])
    ],
    axis=1,
  )
  out = outputs(net, state, copies)
  predicted = predict(net, learner, state)
  np.testing.assert_allclose(
    predicted["logits"], out["joint"][:, 0, ::6], rtol=1e-4, atol=1e-5
  )
  loss, metrics = loss_of(net, learner, state)
  want = losses.joint_label_loss(out["joint"][:4], LABELS[:4]).mean()
  np.testing.assert_allclose(loss, want, rtol=1e-5)
  assert metrics.keys() == {"joint_loss", "accuracy"}


@pytest.mark.parametrize("labels", ["class", "separate"])
def test_baselines(labels):
  net = make_net(transformation=4)
  learner = learners.LabelAugmentation(labels=labels)
  state = start(net, learner)
  out = outputs(net, state, data.rotations(IMAGES))
  loss, _ = loss_of(net, learner, state)
  want = np.mean(
    [
      losses.cross_entropy_loss(out["logits"][:4, j], LABELS[:4]).mean()
      for j in range(4)
    ]
  )
  if labels == "separate":
    log_probs = jax.nn.log_softmax(out["transformation"][:4])
    want -= np.mean([log_probs[:, j, j].mean() for j in range(4)])
  np.testing.assert_allclose(loss, want, rtol=1e-5)
  together = predict(net, learner, state)["aggregated_logits"]
  np.testing.assert_allclose(
    together, out["logits"].mean(axis=1), rtol=1e-4, atol=1e-5
  )


def test_bad_fields():
  with pytest.raises(ValueError, match="labels must be one of"):
    learners.LabelAugmentation(labels="none")
  with pytest.raises(ValueError, match="distill must be False"):
    learners.LabelAugmentation(labels="class", distill=True)
  with pytest.raises(ValueError, match="Did you mean 'rotations'"):
    learners.LabelAugmentation(transformations=("rotation",))
  with pytest.raises(ValueError, match="joint.width must be 12.*got no such"):
    start(make_net(transformation=4), learners.LabelAugmentation())
