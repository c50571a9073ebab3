import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import classifiers, engine, learners, models

SHAPE, CLASSES = (4, 4, 1), 3


def make_net(**changes):
  return models.denoiser(
    num_classes=CLASSES, input_shape=SHAPE,
    **{**dict(patch=2, width=16, depth=1, num_heads=2), **changes},
  )  # fmt: skip


def random_params(net, key):
  """Weights as after training: no layer is zero."""
  params, stats = net.init(key)
  noisy = lambda i, a: (
    a + 0.3 * jax.random.normal(jax.random.fold_in(key, i), a.shape)
  )
  return {k: noisy(i, a) for i, (k, a) in enumerate(params.items())}, stats


def test_denoiser_hears_time_class_and_words():
  pairs = dict(num_attributes=1, num_objects=3)
  for prompts in (None, pairs):
    extra = dict(text_width=8, text_depth=1) if prompts else {}
    net = make_net(prompts=prompts, **extra)
    params, stats = random_params(net, jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, *SHAPE))

    @jax.jit
    def call(time, label, params=params, stats=stats, net=net, x=x):
      told = {"time": jnp.full((2,), time), "condition": jnp.full((2,), label)}
      out, _ = net(params, stats, x, tap=lambda n, v: told.get(n, v))
      return out["prediction"]

    base = call(0.0, CLASSES)
    assert base.shape == x.shape and base.dtype == jnp.float32
    assert jnp.abs(call(0.5, CLASSES) - base).max() > 1e-3
    assert jnp.abs(call(0.0, 1) - call(0.0, 2)).max() > 1e-3


def test_errors_match_a_loop():
  learner = learners.Diffusion(num_times=4, num_levels=20)
  net = make_net()
  params, stats = random_params(net, jax.random.key(0))
  x = jax.random.normal(jax.random.key(1), (3, *SHAPE))
  key = jax.random.key(2)
  call = jax.jit(lambda x: learner.errors(net, params, stats, x, key))
  got = call(x)
  assert got.shape == (3, 4, CLASSES)
  # Every image alone gives the same numbers: the noise is shared.
  np.testing.assert_allclose(call(x[1:2])[0], got[1], rtol=1e-4, atol=1e-5)
  assert learner.levels().tolist() == [2, 7, 12, 17]
  noise = jax.random.normal(key, (4, *SHAPE))
  from jaxcls import ops

  levels = ops.noise_levels("cosine", 20)

  @jax.jit
  def forward(x, told):
    out, _ = net(params, stats, x, tap=lambda n, v: told.get(n, v))
    return out["prediction"]

  for i, t in enumerate(learner.levels()):
    noisy = levels.signal[t] * x + levels.noise[t] * noise[i]
    told = dict(
      time=jnp.full((3,), (t + 0.5) / 20), condition=jnp.full((3,), 2)
    )
    expected = ((forward(noisy, told) - noise[i]) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(got[:, i, 2], expected, rtol=1e-4, atol=1e-5)


def test_shared_noise_has_the_smaller_variance():
  learner = learners.Diffusion(num_times=2)
  net = make_net()
  params, stats = random_params(net, jax.random.key(0))
  x = jax.random.normal(jax.random.key(1), (4, *SHAPE))
  errors = jax.jit(
    jax.vmap(lambda key: learner.errors(net, params, stats, x, key))
  )
  one = errors(jax.random.split(jax.random.key(2), 200)).mean(2)
  two = errors(jax.random.split(jax.random.key(3), 200)).mean(2)
  paired = (one[..., 0] - one[..., 1]).var(0)
  unpaired = (one[..., 0] - two[..., 1]).var(0)
  assert (paired < 0.5 * unpaired).all()


def test_a_constant_on_all_classes_changes_nothing():
  rng = np.random.default_rng(0)
  errors = jnp.asarray(rng.normal(size=(5, 4, 3)), jnp.float32)
  shift = jnp.asarray(rng.normal(size=(5, 4, 1)), jnp.float32)
  weights = jnp.asarray(rng.uniform(size=4), jnp.float32)
  score = lambda e: -jnp.einsum("t,btc->bc", weights, e)
  np.testing.assert_array_equal(
    score(errors).argmax(1), score(errors + shift).argmax(1)
  )
  fit = jax.jit(lambda e, y: classifiers.fit_timestep_weights(e, y, l2=1.0))
  y = jnp.arange(5) % 3
  np.testing.assert_allclose(
    fit(errors, y)["weights"], fit(errors + shift, y)["weights"], rtol=1e-3,
    atol=1e-4,
  )  # fmt: skip


def timed_errors(n=300):
  """Time 0 tells the class, time 1 tells another, time 2 nothing."""
  rng = np.random.default_rng(0)
  labels = np.arange(n) % CLASSES
  errors = rng.normal(size=(n, 3, CLASSES))
  errors[np.arange(n), 0, labels] -= 2
  errors[np.arange(n), 1, (labels + 1) % CLASSES] -= 2
  return errors.astype(np.float32), labels


def test_fitted_weights_find_the_times_that_tell():
  errors, labels = timed_errors()
  f = jax.jit(classifiers.fit_timestep_weights)
  fit = lambda l2, where=None: f(
    jnp.asarray(errors[:60]),
    jnp.asarray(labels[:60]),
    l2=jnp.float32(l2),
    where=where,
  )
  fitted = fit(0.1)
  assert fitted["gradient_norm"] < 1e-3
  w = fitted["weights"]
  assert w[0] > 0.3 and w[1] < -0.1 and abs(w[2]) < 0.3
  right = lambda w: (
    (-np.einsum("t,ntc->nc", w, errors[60:])).argmax(1) == labels[60:]
  ).mean()
  assert right(w) > right(np.ones(3)) + 0.2
  # A strong penalty leaves one weight for all the times.
  uniform = np.asarray(fit(1e4)["weights"])
  np.testing.assert_allclose(uniform, np.full(3, uniform[0]), atol=0.02)
  # Rows that do not count may hold anything.
  where = np.arange(60) < 40
  got = fit(0.1, where)["weights"]
  errors[:60][~where] = np.nan
  again = fit(0.1, where)["weights"]
  np.testing.assert_allclose(got, again, rtol=1e-5)


def test_learns_and_fits_through_the_engine(tiny, tmp_path):
  config = tiny(
    scenario=dict(
      name="standard", source="fake", val_fraction=0.25,
      options=dict(shape=SHAPE, num_classes=CLASSES, num_examples=128),
      preprocess=(dict(name="normalize", mean=(0.5,), std=(0.2,)),),
    ),
    model=dict(name="denoiser", patch=4, width=32, depth=1, num_heads=2),
    learner=dict(
      name="diffusion", weighting="fitted", num_times=5, ema_decay=0.9
    ),
    optimizer=dict(name="adamw"), total_steps=200, batch_size=32,
    schedule=dict(name="constant", peak_lr=3e-3),
    checkpoint=dict(every_steps=1000, keep=1),
    evaluation=dict(
      metrics=("accuracy", "twin_accuracy"),
      outputs=dict(val="uniform_logits"),
    ),
  )  # fmt: skip
  record = engine.train(config, str(tmp_path))
  assert record["test/accuracy"] > 0.8
  assert record["val/accuracy"] > 0.8
  losses = [
    r["train/loss"] for r in engine.read_metrics(tmp_path) if "train/loss" in r
  ]
  assert losses[-1] < losses[0]


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (dict(schedule="square"), "schedule must be one of"),
    (dict(time_range=(0.6, 0.5)), "time_range must be increasing"),
    (dict(weighting="best"), "weighting must be one of"),
    (dict(num_times=0), r"num_times must be in \[1"),
    (dict(condition_dropout=1.0), "condition_dropout must be in"),
  ],
)
def test_bad_fields_are_named(changes, message):
  with pytest.raises(ValueError, match=message):
    learners.Diffusion(**changes)


def test_bad_models_are_named():
  with pytest.raises(ValueError, match="patch must divide the image"):
    make_net(patch=3)
  with pytest.raises(ValueError, match="width must be a multiple"):
    make_net(width=15)
  with pytest.raises(ValueError, match="errors must have shape"):
    classifiers.fit_timestep_weights(jnp.ones((2, 3)), jnp.ones(2, int), l2=1.0)
