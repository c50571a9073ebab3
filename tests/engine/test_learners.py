"""Tiny learners that use every hook of the contract."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import engine, learners, losses, scenarios
from jaxcls.engine import _program
from jaxcls.learners import Aux, gradient_update


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recorder:
  """Supervised, with a per-example table refreshed between steps."""

  refresh_every_steps: int = 3

  def init(self, net, state, batch, key):
    return {
      "visits": jnp.zeros((96,), jnp.int32),
      "refreshes": jnp.zeros((), jnp.int32),
      "weights": jnp.ones((96,)),
    }

  def loss(self, net, params, state, batch, key):
    out, stats = net(params, state.stats, batch["image"], train=True, key=key)
    per_example = losses.cross_entropy_loss(out["logits"], batch["label"])
    return per_example.mean(), Aux(stats, {}, batch["id"])

  def after_update(self, net, state, aux):
    memory = dict(state.memory)
    memory["visits"] = memory["visits"].at[aux.extras].add(1)
    return memory

  def start_stage(self, net, state, context):
    assert context.class_counts.sum() == 72
    return state

  def refresh(self, net, state, context):
    found = context.predict(state, "train", ("features", "logits"))
    assert found["features"].shape[0] == 72 and "label" not in found
    context.labels("train", found["id"][:2])
    # From now on only examples of the first half of the ids are drawn.
    memory = dict(state.memory)
    memory["refreshes"] = memory["refreshes"] + 1
    memory["weights"] = jnp.where(jnp.arange(96) < 48, 1.0, 0.0)
    return state.replace(memory=memory)

  def sampler(self, net, state, stream):
    if state.memory["refreshes"] <= 1:
      return None
    return dict(name="id_weighted", weights=np.asarray(state.memory["weights"]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoGradients:
  """Owns its step: the gradient after a step uphill (SAM, Foret 2020)."""

  rho: float = 0.05

  def loss(self, net, params, state, batch, key):
    out, stats = net(params, state.stats, batch["image"], train=True, key=key)
    per_example = losses.cross_entropy_loss(out["logits"], batch["label"])
    return per_example.mean(), Aux(stats)

  def update(self, net, state, batch, key):
    loss_fn = lambda trained: self.loss(
      net, {**state.params, **trained}, state, batch, key
    )
    grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, _), grads = grad_fn(state.trained())
    up = jax.tree.map(lambda p, g: p + self.rho * g, state.trained(), grads)
    (_, aux), grads = grad_fn(up)
    state = state.apply_gradients(grads).replace(stats=aux.stats)
    return state, {"loss": loss}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoStreams:
  """Labelled and unlabelled batches in one step."""

  def loss(self, net, params, state, batch, key):
    labeled, unlabeled = batch["labeled"], batch["unlabeled"]
    assert unlabeled["views"].shape[1] == 2
    out, stats = net(params, state.stats, labeled["image"], train=True, key=key)
    task = losses.cross_entropy_loss(out["logits"], labeled["label"]).mean()
    views = unlabeled["views"]
    flat = views.reshape(-1, *views.shape[2:])
    other, stats = net(params, stats, flat, train=True, key=key)
    return task + losses.entropy(other["logits"]).mean(), Aux(stats)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mean:
  """Closed form: the head becomes the class means at the end of the stage."""

  def end_stage(self, net, state, context):
    found = context.predict(state, "train", ("features",))
    labels = context.labels("train", found["id"])
    (new,) = np.flatnonzero(context.stage.new)
    assert (labels == new).all()
    mean = found["features"].mean(0)
    params = dict(state.params)
    params["head/kernel"] = params["head/kernel"].at[:, new].set(mean)
    bias = -0.5 * (mean**2).sum()
    params["head/bias"] = params["head/bias"].at[new].set(bias)
    return state.replace(params=params)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split(scenarios.Standard):
  """Two streams over the same examples; the unlabelled one has two views."""

  def templates(self):
    return self.split(super().templates()["train"])

  def split(self, stream):
    views = ((), (dict(name="random_flip"),))
    unlabeled = dataclasses.replace(stream, views=views, batch_size=32)
    return {"labeled": stream, "unlabeled": unlabeled}

  def stages(self, seed):
    for stage in super().stages(seed):
      streams = self.split(stage.streams["train"])
      yield dataclasses.replace(stage, streams=streams)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arriving(scenarios.Standard):
  """One class more a stage; played as `play`."""

  play: str = "train"

  def stages(self, seed):
    (stage,) = super().stages(seed)
    stream, test = stage.streams["train"], stage.evals["test"]
    for c in range(3):
      new = np.arange(3) == c
      old = stream.source
      source = old.subset(old.ids[old.labels == c])
      seen = test.subset(test.ids[test.labels <= c])
      yield scenarios.Stage(
        name=f"stage{c}",
        streams={"train": dataclasses.replace(stream, source=source)},
        evals={"test": seen},
        seen=np.arange(3) <= c,
        new=new,
        play=self.play,
        total_steps=4,
      )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class IdWeightedPlan:
  """Draws ids by a table of weights indexed by id."""

  ids: np.ndarray
  weights: np.ndarray
  batch_size: int
  num_steps: int
  seed: int

  def __len__(self):
    return self.num_steps

  def __getitem__(self, step):
    rng = np.random.default_rng([self.seed, step])
    p = self.weights[self.ids]
    return rng.choice(self.ids, self.batch_size, p=p / p.sum())


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
  from jaxcls import data

  for cls in (Recorder, TwoGradients, TwoStreams, Mean):
    monkeypatch.setattr(learners, cls.__name__, cls, raising=False)
  for cls in (Split, Arriving):
    monkeypatch.setattr(scenarios, cls.__name__, cls, raising=False)
  monkeypatch.setattr(data, "IdWeighted", IdWeightedPlan, raising=False)


def play(config, folder):
  record = engine.train(config, str(folder))
  return record, engine.read_metrics(folder)


def final_state(config, folder):
  from jaxcls.engine import _checkpoint

  found = _checkpoint.Checkpoints(folder / "checkpoints", keep=None)
  arrays = found.read(found.latest())
  found.close()
  return arrays


MLP = dict(name="mlp", hidden=(8,))


def test_memory_table_refresh_sampler_and_label_queries(tiny, tmp_path):
  config = tiny(learner=dict(name="recorder"), model=MLP)
  record, _ = play(config, tmp_path)
  memory = final_state(config, tmp_path)
  visits = memory["memory/visits"]
  assert memory["memory/refreshes"] == 4  # At steps 0, 3, 6, 9.
  assert visits.sum() == 12 * 16
  # From step 3 on (144 draws) only ids below 48 are drawn.
  assert visits[48:].sum() <= 3 * 16 and visits[:48].sum() >= 9 * 16
  assert record["label_queries"] == 8


def test_learner_that_owns_its_step(tiny, tmp_path):
  config = tiny(
    learner=dict(name="two_gradients"), total_steps=30, model=MLP,
    evaluation__every_steps=None,
  )  # fmt: skip
  _, lines = play(config, tmp_path)
  train = [r["train/loss"] for r in lines if "train/loss" in r]
  assert train[-1] < train[0]
  assert "train/grad_norm" not in lines[0]


def test_two_streams_and_views(tiny, tmp_path):
  config = tiny(learner=dict(name="two_streams"), scenario__name="split")
  record, lines = play(config, tmp_path)
  assert record["step"] == 12 and np.isfinite(lines[0]["train/loss"])


def test_stages_masks_and_resume_between_them(tiny, tmp_path):
  config = tiny(
    scenario__name="arriving", scenario__val_fraction=0.0, model=MLP,
    learner=dict(name="supervised", mask_unseen=True),
  )  # fmt: skip
  record, lines = play(config, tmp_path)
  ends = [r for r in lines if "stage" in r]
  assert [r["stage"] for r in ends] == ["stage0", "stage1", "stage2"]
  assert [r["step"] for r in ends] == [4, 8, 12]
  assert ends[0]["test/accuracy"] == 1.0  # Only one class may be predicted.
  assert final_state(config, tmp_path)["memory/seen"].all()
  assert record["step"] == 12


def test_prequential_predicts_before_it_learns(tiny, tmp_path):
  config = tiny(
    scenario__name="arriving", scenario__play="prequential", model=MLP,
    scenario__val_fraction=0.0, learner=dict(name="supervised"),
    log_every_steps=1,
  )  # fmt: skip
  _, lines = play(config, tmp_path)
  values = [r["train/prequential_accuracy"] for r in lines if "train/loss" in r]
  # A zero head answers class 0 at first: right in stage 0, wrong in stage 1.
  assert values[0] == 1.0 and values[4] == 0.0
  assert all(0 <= v <= 1 for v in values)


def test_closed_form_stage_takes_no_gradient_step(tiny, tmp_path):
  config = tiny(
    scenario__name="arriving", scenario__play="fit", model=MLP,
    scenario__val_fraction=0.0, learner=dict(name="mean"),
  )  # fmt: skip
  record, lines = play(config, tmp_path)
  assert record["step"] == 3
  # Nearest class mean on random features beats chance by far on this data.
  assert record["test/accuracy"] > 0.6
  assert record["label_queries"] == 96
  assert not any("train/loss" in r for r in lines)


def test_phases_hand_over_weights_and_memory(tiny, tmp_path):
  phases = (
    dict(name="pretrain", total_steps=4, learner=dict(name="recorder")),
    dict(
      name="finetune", total_steps=3, trainable="^head", model=MLP,
      learner=dict(name="two_gradients"),
    ),
  )  # fmt: skip
  config = tiny(phases=phases, model=MLP)
  config["learner"] = dict(name="supervised")
  record, lines = play(config, tmp_path)
  assert record["step"] == 7
  assert [r["step"] for r in lines if "stage" in r] == [4, 7]
  arrays = final_state(config, tmp_path)
  # Memory goes on, though the second learner has no init of its own.
  assert arrays["memory/visits"].sum() == 4 * 16
  assert not any(k.startswith("opt_state") and "block" in k for k in arrays)


def test_only_trainable_paths_move(tiny, tmp_path):
  config = tiny(trainable="^head", model=MLP, learner__ema_decay=0.0)
  program = engine.build(engine.complete(config) | {"name": "main"})
  params, _ = program.net.init(jax.random.key(3))
  play(config, tmp_path)
  arrays = final_state(config, tmp_path)
  for name, before in params.items():
    moved = (arrays[f"params/{name}"] != np.asarray(before)).any()
    assert moved == name.startswith("head"), name


def test_hook_must_keep_shapes(tiny, tmp_path, monkeypatch):
  grow = lambda self, net, state, context: state.replace(memory={"new": 1.0})
  monkeypatch.setattr(Recorder, "start_stage", grow)
  with pytest.raises(ValueError, match="must keep the structure"):
    play(tiny(learner=dict(name="recorder"), model=MLP), tmp_path)


def test_optimizer_groups_in_one_step(tiny, tmp_path):
  groups = (
    dict(pattern="^head", lr_scale=0.0),
    dict(pattern="bias", name="sgd", momentum=0.9, weight_decay=0.0),
  )
  config = tiny(optimizer__groups=groups, model=MLP, total_steps=3)
  config["learner"] = dict(name="supervised")
  play(config, tmp_path)
  arrays = final_state(config, tmp_path)
  assert (arrays["params/head/kernel"] == 0).all()
  assert (arrays["params/layers/0/kernel"] != 0).any()


def test_accumulation_must_divide(tiny, tmp_path):
  with pytest.raises(ValueError, match="accumulation_steps must divide"):
    play(tiny(accumulation_steps=3), tmp_path)


def test_step_is_the_public_update(tiny):
  """The engine's step is `gradient_update` on the transformed batch."""
  config = engine.complete(tiny()) | {"name": "main"}
  program = engine.build(config)
  tx = program.optimizer(12)
  stage = next(iter(program.scenario.stages(0)))
  from jaxcls.engine import _loop

  batch = _loop.first_batch(program, stage, seed=0)
  params, stats = program.net.init(jax.random.key(0))
  start = jax.jit(lambda *a: program.start(*a, tx=tx))
  state = start(params, stats, jax.random.key(1), np.int32(0), {}, batch)
  got, _ = jax.jit(program.make_step())(state, batch)

  def by_hand(state, batch):
    keys = jax.random.split(jax.random.fold_in(state.key, state.step))
    batch = program.transform(batch, keys[0])
    return gradient_update(program.learner, program.net, state, batch, keys[1])[
      0
    ]

  want = jax.jit(by_hand)(state, batch)
  assert isinstance(program, _program.Program)
  for name in want.params:
    np.testing.assert_allclose(got.params[name], want.params[name], rtol=1e-6)
