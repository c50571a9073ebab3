import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import data, engine, learners, models
from jaxcls.engine import _checkpoint

PROMPTS = dict(num_attributes=2, num_objects=3)
MODEL = dict(
  name="two_tower", prompts=PROMPTS, embed_dim=8, text_width=8, text_depth=1,
  image=dict(name="convnet", widths=(4,), hidden=8, norm="group"),
)  # fmt: skip


def make_net(**changes):
  section = {**MODEL, **changes}
  section.pop("name")
  return models.two_tower(num_classes=6, input_shape=(8, 8, 3), **section)


def test_prompts_say_what_the_classes_hold():
  both = dict(num_attributes=2, num_objects=2, objects_per_image=2)
  ids = models.prompt_ids(both)
  words = [
    *"blank a photo of and end".split(), "red", "yellow", "circle", "square",
  ]  # fmt: skip
  said = [" ".join(words[i] for i in row) for row in ids]
  source = data.load_source("shapes", **both, num_train=4, image_size=8)
  assert said == [f"a photo of {name} end" for name in source.class_names]


def test_prompts_blank_what_a_class_has_not():
  more = dict(num_attributes=2, num_objects=2, num_patterns=1)
  words = [
    *"- a photo of and end".split(), "red", "yellow", "striped", "circle",
    "square",
  ]  # fmt: skip
  said = [" ".join(words[i] for i in row) for row in models.prompt_ids(more)]
  assert said[0] == "a photo of red - circle end"
  assert said[5] == "a photo of - striped square end"
  assert said[-1] == "a photo of yellow striped square end"


def test_adapter_mixes_a_bottleneck_into_the_image_features():
  plain, net = make_net(), make_net(soft="adapter", adapter_ratio=0.2)
  params, stats = plain.init(jax.random.key(0))
  own = {**net.init(jax.random.key(1))[0], **params}
  x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
  before, got = jax.jit(lambda p, o: [plain(p, stats, x), net(o, stats, x)])(
    params, own
  )
  f = np.asarray(before[0]["features"])
  down, up = (
    np.asarray(own[f"adapter/soft_{name}/kernel"]) for name in ("down", "up")
  )
  assert down.shape == (8, 2)
  relu = lambda v: np.maximum(v, 0)
  want = 0.2 * relu(relu(f @ down) @ up) + 0.8 * f
  want /= np.linalg.norm(want, axis=1, keepdims=True)
  np.testing.assert_allclose(got[0]["features"], want, rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(got[0]["text"], before[0]["text"], rtol=1e-5)
  seen = jnp.ones(6, bool)
  state = types.SimpleNamespace(stats=stats, memory={"seen": seen})
  batch = {"image": x, "label": jnp.array([1, 4])}
  loss = lambda p: learners.Prompt().loss(net, p, state, batch, None)[0]
  slopes = jax.jit(jax.grad(loss))(own)
  assert jnp.abs(slopes["adapter/soft_up/kernel"]).max() > 0


def test_logits_are_scaled_cosines_and_captions_can_be_tapped():
  net = make_net()
  params, stats = net.init(jax.random.key(0))
  x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
  out, _ = jax.jit(lambda p, x: net(p, stats, x))(params, x)
  for name in ("features", "text"):
    norms = jnp.linalg.norm(out[name], axis=-1)
    np.testing.assert_allclose(norms, np.ones(len(norms)), rtol=1e-4)
  cosine = out["features"] @ out["text"].T
  np.testing.assert_allclose(out["logits"], cosine / 0.07, rtol=1e-4, atol=1e-5)
  tap = lambda name, v: v[jnp.array([4, 1])] if name == "captions" else v
  other, _ = jax.jit(lambda p, x: net(p, stats, x, tap=tap))(params, x)
  np.testing.assert_allclose(
    other["logits"], out["logits"][:, [4, 1]], rtol=1e-4, atol=1e-4
  )


def test_blanking_spares_the_frame():
  ids = jnp.asarray(models.prompt_ids(PROMPTS))
  rows = jnp.tile(ids, (50, 1))
  got = models.blank_words(rows, jax.random.key(0), 0.5)
  hidden = np.asarray(got != rows)
  assert not hidden[:, [0, 1, 2, 5]].any() and (got[hidden] == 0).all()
  assert 0.4 < hidden[:, [3, 4]].mean() < 0.6


@pytest.mark.parametrize("soft", ["words", "prefix"])
def test_soft_prompts_start_as_the_words(soft):
  plain, net = make_net(), make_net(soft=soft, soft_dropout=0.5)
  params, stats = plain.init(jax.random.key(0))
  own = net.init(jax.random.key(1))[0]
  own = models.init_soft_prompt({**own, **params})
  x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))

  @jax.jit
  def call(params, own):
    drop = net(own, stats, x, train=True, key=jax.random.key(2))
    return [
      out["logits"]
      for out, _ in (plain(params, stats, x), net(own, stats, x), drop)
    ]

  expected, got, dropped = call(params, own)
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
  assert jnp.abs(dropped - expected).max() > 1e-3


def config(tiny, soft, **learner):
  scenario = dict(
    name="compositional_zero_shot", source="shapes", num_objects=3,
    options=dict(
      num_attributes=2, num_objects=3, image_size=8, num_train=120, num_test=60,
    ),
  )  # fmt: skip
  return tiny(
    phases=(
      dict(
        name="pretrain", scenario=scenario, model=MODEL, total_steps=60,
        learner=dict(name="two_tower", blank_rate=0.2),
      ),
      dict(
        name="prompt", scenario=scenario,
        model=dict(**MODEL, soft=soft, soft_dropout=0.1),
        learner=dict(name="prompt", **learner), trainable="soft",
        total_steps=10,
      ),
    ),
    batch_size=16, optimizer=dict(name="adamw"),
    schedule=dict(name="constant", peak_lr=0.01),
    checkpoint=dict(every_steps=1000, keep=2),
    evaluation=dict(
      metrics=("seen_unseen_auc", "seen_pair_accuracy", "unseen_pair_accuracy")
    ),
  )  # fmt: skip


def weights(folder):
  found = _checkpoint.Checkpoints(folder / "checkpoints", keep=None)
  steps = sorted(found.steps())
  arrays = [found.read(step) for step in steps]
  found.close()
  return arrays


def test_only_the_soft_words_move_and_feasibility_counts(tiny, tmp_path):
  made = config(tiny, "words", feasibility=1.0, num_objects=3)
  record = engine.train(made, str(tmp_path))
  assert record["test/seen_pair_accuracy"] > 0.3
  # No pair is as feasible as 1: no unseen one is ever predicted.
  assert record["test/unseen_pair_accuracy"] == 0
  before, after = weights(tmp_path)
  for name, value in before.items():
    if name.startswith("params/"):
      np.testing.assert_array_equal(after[name], value, err_msg=name)
  moved = after["params/text/soft_words"] - before["params/text/words"][6:]
  assert 0 < np.abs(moved).max() < 0.5


def test_feasibility_matches_a_loop():
  rng = np.random.default_rng(0)
  a, o = rng.normal(size=(3, 5)), rng.normal(size=(4, 5))
  seen = rng.uniform(size=(3, 4)) < 0.4
  cos = lambda x, y: x @ y / np.linalg.norm(x) / np.linalg.norm(y)
  got = jax.jit(learners.pair_feasibility)(
    jnp.asarray(a, jnp.float32), jnp.asarray(o, jnp.float32), jnp.asarray(seen)
  )
  for i in range(3):
    for j in range(4):
      objects = [cos(o[j], o[k]) for k in range(4) if k != j and seen[i, k]]
      attributes = [cos(a[i], a[k]) for k in range(3) if k != i and seen[k, j]]
      expected = (max(objects, default=-1) + max(attributes, default=-1)) / 2
      np.testing.assert_allclose(got[i, j], expected, rtol=1e-4, atol=1e-5)
  with pytest.raises(ValueError, match=r"seen must have shape \(3, 4\)"):
    learners.pair_feasibility(jnp.ones((3, 2)), jnp.ones((4, 2)), seen[:2])


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (lambda: learners.TwoTower(blank_rate=1.0), "blank_rate must be in"),
    (lambda: learners.Prompt(feasibility=0.1), "num_objects must be at least"),
    (lambda: make_net(soft="all"), "soft must be one of"),
    (lambda: make_net(adapter_ratio=2.0), "adapter_ratio must be in"),
    (lambda: make_net(image=dict(name="mlp")), "image.name must be an image"),
    (
      lambda: make_net(prompts=dict(num_attributes=2, num_objects=2)),
      "must name the 6 classes of the data, got 4",
    ),
  ],
)
def test_bad_fields_are_named(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_prompt_needs_soft_vectors():
  net = make_net()
  state = types.SimpleNamespace(params=net.param_shapes)
  with pytest.raises(ValueError, match="model.soft must be 'words'"):
    learners.Prompt().init(net, state, None, None)
