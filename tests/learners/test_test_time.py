import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import data, engine, losses, ops, scenarios

RNG = np.random.default_rng(0)


def test_alignment_matches_a_loop():
  d = RNG.uniform(0.1, 3.0, (5, 3)).astype(np.float32)
  x = RNG.normal(size=(5, 3)).astype(np.float32)
  inside = [d[i, x[i].argmax()] for i in range(5)]
  outside = [d[i, c] for i in range(5) for c in range(3) if c != x[i].argmax()]
  expected = np.log(np.mean(inside)) - np.log(np.mean(outside))
  got = jax.jit(losses.class_aware_alignment_loss)(d, x)
  np.testing.assert_allclose(got, np.full(5, expected), rtol=1e-5)
  where = np.arange(5) < 3
  got = losses.class_aware_alignment_loss(d, x, where=where)
  alone = losses.class_aware_alignment_loss(d[:3], x[:3])
  np.testing.assert_allclose(got[:3], alone, rtol=1e-5)


def test_alignment_does_not_see_a_linear_map():
  features = RNG.normal(size=(40, 4))
  labels = np.arange(40) % 3
  features += labels[:, None]
  logits = jnp.asarray(np.eye(3)[labels])
  turn = RNG.normal(size=(4, 4))

  def loss(x):
    found = ops.gaussian_statistics(x, jnp.asarray(labels), num_classes=3)
    covariances = ops.gaussian_covariance(found)
    distances = ops.mahalanobis(x, found.means, covariances)
    return losses.class_aware_alignment_loss(distances, logits)[0]

  with jax.enable_x64():
    a, b = loss(jnp.asarray(features)), loss(jnp.asarray(features @ turn))
  np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("keep", [True, False])
def test_alignment_is_finite_at_extremes(keep):
  where = jnp.full((4,), keep)
  for size in (0.0, 1e4, 1e30):
    f = lambda d: losses.class_aware_alignment_loss(
      d, jnp.eye(4), where=where
    ).sum()
    value, grad = jax.value_and_grad(f)(jnp.full((4, 4), size))
    assert np.isfinite(value) and np.isfinite(grad).all()
  assert keep or value == 0


def test_alignment_names_a_wrong_shape():
  with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\)"):
    losses.class_aware_alignment_loss(jnp.ones((2, 3)), jnp.ones((2, 4)))


@pytest.mark.parametrize("name", data.CORRUPTIONS)
def test_corruptions_are_functions_of_the_id(name):
  images = RNG.integers(0, 256, (4, 28, 28, 1)).astype(np.uint8)
  images[:, :4] = 0
  ids = np.array([7, 3, 9, 1])
  call = lambda x, i, **kw: data.corrupt_images(x, i, name=name, **kw)
  whole = call(images, ids, severity=5)
  assert whole.dtype == np.uint8 and whole.shape == images.shape
  np.testing.assert_array_equal(
    call(images[1:2], ids[1:2], severity=5)[0], whole[1]
  )
  gap = [
    np.abs(call(images, ids, severity=s) - images.astype(float)).mean()
    for s in (1, 5)
  ]
  assert 0 < gap[0] < gap[1]


@pytest.mark.parametrize(
  ("kwargs", "match"),
  [
    (dict(name="fog", severity=1), "fog"),
    (dict(name="invert", severity=6), "6"),
  ],
)
def test_bad_corruptions_are_named(kwargs, match):
  with pytest.raises(ValueError, match=match):
    data.corrupt_images(np.zeros((1, 2, 2, 1)), np.array([0]), **kwargs)


def config(tiny, objective, labels=None, **learner):
  scenario = dict(source="digits")
  phases = (
    dict(
      name="source", scenario=dict(name="standard", **scenario),
      learner=dict(name="supervised"), total_steps=40,
    ),
    dict(
      name="adapt", trainable="norm",
      scenario=dict(
        name="test_time", severity=4,
        corruptions=("gaussian_noise", "contrast"),
        num_examples=160, **scenario,
      ),
      learner=dict(
        name="test_time_adaptation", objective=objective, **learner
      ),
      optimizer=dict(name="adam"),
      schedule=dict(name="constant", peak_lr=1e-2),
    ),
  )  # fmt: skip
  made = tiny(
    phases=phases, model=dict(name="convnet", widths=(8,), hidden=16),
    total_steps=5, batch_size=32, schedule=dict(name="constant", peak_lr=0.01),
    evaluation=dict(metrics=("accuracy",)),
  )  # fmt: skip
  return made


def stages_of(folder):
  return {r["stage"]: r for r in engine.read_metrics(folder) if "stage" in r}


def test_adapts_through_the_engine(tiny, tmp_path):
  found = {}
  for name, objective, batch_statistics in (
    ("source", None, False),
    ("statistics", None, True),
    ("cafa", "class_aware_alignment_loss", True),
  ):
    made = config(tiny, objective, batch_statistics=batch_statistics)
    found[name] = engine.train(made, str(tmp_path / name))
    stages = stages_of(tmp_path / name)
    clean = stages["source"]["test/accuracy"]
    assert clean > 0.7
    average = np.mean(
      [
        stages[s]["prequential_accuracy"]
        for s in ("gaussian_noise", "contrast")
      ]
    )
    np.testing.assert_allclose(
      found[name]["stages/average_prequential_accuracy"], average, rtol=1e-6
    )
  key = "stages/contrast/accuracy"
  assert found["statistics"][key] > found["source"][key] + 0.05
  assert found["cafa"][key] != found["statistics"][key]


def test_labels_are_never_read(tiny, monkeypatch, tmp_path):
  """The same weights come out when the stream's labels are all wrong."""
  import dataclasses

  from jaxcls.engine import _checkpoint

  def weights(folder):
    engine.train(config(tiny, "class_aware_alignment_loss"), str(folder))
    found = _checkpoint.Checkpoints(folder / "checkpoints", keep=None)
    arrays = found.read(found.latest())
    found.close()
    return {k: v for k, v in arrays.items() if k.startswith("params/")}

  right = weights(tmp_path / "right")
  corrupt = data.corrupt_source
  wrong = lambda source, **kw: dataclasses.replace(
    corrupt(source, **kw), all_labels=(source.all_labels + 1) % 10
  )
  monkeypatch.setattr(data, "corrupt_source", wrong)
  other = weights(tmp_path / "wrong")
  for name in right:
    np.testing.assert_array_equal(right[name], other[name])
  first = stages_of(tmp_path / "right")["contrast"]["prequential_accuracy"]
  second = stages_of(tmp_path / "wrong")["contrast"]["prequential_accuracy"]
  assert first != second


@pytest.mark.parametrize(
  ("change", "match"),
  [
    (dict(corruptions=("fog",)), "fog"),
    (dict(severity=0), "1 to 5, got 0"),
    (dict(corruptions=()), "corruptions"),
  ],
)
def test_bad_scenarios_are_named(change, match):
  with pytest.raises(ValueError, match=match):
    scenarios.TestTime(source="digits", **change)
