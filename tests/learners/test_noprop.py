import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import learners, models

TRUNK = dict(name="convnet", widths=(4,), hidden=8)
BATCH = {
  "image": jax.random.normal(jax.random.key(7), (6, 8, 8, 1)),
  "label": jnp.array([0, 1, 2, 0, 1, 2]),
  "id": jnp.arange(6),
}


def make(process, steps=3):
  net = models.label_denoiser(
    num_classes=3, input_shape=(8, 8, 1), trunk=TRUNK, process=process,
    steps=steps,
  )  # fmt: skip
  return net, start(net)


def start(net):
  params, stats = net.init(jax.random.key(0))
  tx = optax.adam(0.01)
  return learners.State(
    step=jnp.zeros((), int), params=params, stats=stats,
    opt_state=tx.init(params), memory={}, key=jax.random.key(0), tx=tx,
  )  # fmt: skip


@pytest.mark.parametrize("process", ["discrete", "diffusion", "flow"])
def test_a_few_steps_lower_the_loss(process):
  net, state = make(process)
  learner = learners.NoProp(eta=1.0)
  learner.init(net, state, BATCH, None)
  step = jax.jit(lambda s, k: learner.update(net, s, BATCH, k))
  values = []
  for i in range(60):
    state, metrics = step(state, jax.random.fold_in(jax.random.key(1), i))
    values.append(float(metrics["loss"]))
  assert np.mean(values[-10:]) < 0.7 * np.mean(values[:10])
  outputs = jax.jit(learner.predict, static_argnums=0)(net, state, BATCH)
  assert outputs["logits"].shape == (6, 3)
  assert jnp.isfinite(outputs["logits"]).all()


def test_blocks_one_after_another_take_the_same_step():
  net, state = make("discrete")
  state = state.replace(tx=optax.sgd(0.1), opt_state=optax.sgd(0.1).init({}))
  learner, key = learners.NoProp(), jax.random.key(4)
  one = jax.jit(lambda s: learner.update(net, s, BATCH, key))(state)
  whole = jax.jit(
    lambda s: learners.gradient_update(learner, net, s, BATCH, key)
  )(state)
  for got, expected in zip(one, whole, strict=True):
    got, expected = (
      (x.params | x.stats) if isinstance(x, learners.State) else x
      for x in (got, expected)
    )
    for name in expected:
      np.testing.assert_allclose(
        got[name], expected[name], rtol=2e-4, atol=1e-5, err_msg=name
      )


def test_no_gradient_passes_between_blocks():
  net, state = make("discrete")

  def block_loss(params, t):
    targets = params["embedding"][BATCH["label"]]
    found = {}

    def tap(name, x):
      return jax.random.normal(jax.random.key(len(found)), x.shape)

    out, _ = net(params, state.stats, BATCH["image"], train=True, tap=tap)
    return jnp.sum((out["predictions"][:, t] - targets) ** 2)

  for t in range(3):
    grads = jax.jit(jax.grad(block_loss), static_argnums=1)(state.params, t)
    for path, grad in grads.items():
      if path.startswith("blocks/"):
        own = path.startswith(f"blocks/{t}/")
        assert bool(jnp.any(grad != 0)) <= own, path
    assert jnp.any(grads[f"blocks/{t}/join/kernel"] != 0)


def test_learner_isolates_what_backpropagation_ties():
  net, state = make("discrete")
  moved = {
    **state.params,
    "blocks/0/join/kernel": state.params["blocks/0/join/kernel"] + 1.0,
  }
  grads = lambda learner: jax.jit(
    jax.grad(lambda p: learner.loss(net, p, state, BATCH, jax.random.key(3))[0])
  )
  path = "blocks/2/join/kernel"
  local = grads(learners.NoProp())
  np.testing.assert_array_equal(local(state.params)[path], local(moved)[path])
  tied = grads(learners.Supervised())
  assert jnp.any(tied(state.params)[path] != tied(moved)[path])


def test_prediction_depends_on_the_id_alone():
  net, state = make("discrete")
  predict = jax.jit(learners.NoProp().predict, static_argnums=0)
  whole = predict(net, state, BATCH)["logits"]
  part = jax.tree.map(lambda x: x[3:], BATCH)
  got = predict(net, state, part)["logits"]
  np.testing.assert_allclose(got, whole[3:], rtol=1e-5, atol=1e-6)
  other = {**BATCH, "id": BATCH["id"] + 10}
  assert jnp.any(predict(net, state, other)["logits"] != whole)


def test_euler_steps_reach_the_label_of_an_exact_field():
  # A block that always answers u: the flow's end is z_0 + (u - z_0).
  net, state = make("flow", steps=7)
  params = jax.tree.map(jnp.zeros_like, state.params)
  params["blocks/0/out/bias"] = jnp.array([0.0, 2.0, -1.0])
  out, _ = net(params, state.stats, BATCH["image"])
  np.testing.assert_allclose(
    out["features"], np.tile([0.0, 2.0, -1.0], (6, 1)), rtol=1e-5
  )


def test_schedule_grows_between_its_ends():
  net, state = make("diffusion")
  found = []
  for time in np.linspace(0, 1, 9):
    tap = lambda name, x, t=time: jnp.full_like(x, t) if name == "time" else x
    out, _ = net(state.params, state.stats, BATCH["image"], tap=tap)
    assert float(out["log_snr_rate"].min()) > 0
    found.append(float(out["log_snr"][0]))
  assert np.all(np.diff(found) > 0)
  np.testing.assert_allclose([found[0], found[-1]], [-5, 5], atol=1e-5)


def test_forward_forward_layers_learn_alone():
  net = models.mlp(num_classes=3, input_shape=(8, 8, 1), hidden=(16, 16))
  params, stats = net.init(jax.random.key(0))
  tx = optax.adam(0.01)
  state = learners.State(
    step=jnp.zeros((), int), params=params, stats=stats,
    opt_state=tx.init(params), memory={}, key=jax.random.key(0), tx=tx,
  )  # fmt: skip
  learner = learners.ForwardForward()
  step = jax.jit(
    lambda s, k: learners.gradient_update(learner, net, s, BATCH, k)
  )
  values = []
  for i in range(150):
    state, metrics = step(state, jax.random.fold_in(jax.random.key(1), i))
    values.append(float(metrics["loss"]))
  assert np.mean(values[-10:]) < 0.7 * np.mean(values[:10])
  logits = jax.jit(learner.predict, static_argnums=0)(net, state, BATCH)
  assert (jnp.argmax(logits["logits"], -1) == BATCH["label"]).all()


def test_bad_models():
  net = models.mlp(num_classes=3, input_shape=(4,), hidden=(4,))
  with pytest.raises(ValueError, match="label_denoiser"):
    learners.NoProp().init(net, None, None, None)
  for changes in (dict(process="x"), dict(steps=0)):
    with pytest.raises(ValueError, match="must be"):
      models.label_denoiser(
        num_classes=3, input_shape=(8, 8, 1), trunk=TRUNK, **changes
      )
