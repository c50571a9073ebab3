import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import engine, losses
from jaxcls.engine import _checkpoint

TEACHER = dict(name="mlp", hidden=(12,))
STUDENT = dict(
  name="mlp", hidden=(8,), heads=dict(projection=dict(width=12, bias=False))
)
DISTILL = dict(
  name="distill", teacher=TEACHER, direction_weight=2.0, features="projection"
)


def config(tiny, **student):
  phases = (
    dict(name="teacher", model=TEACHER, learner=dict(name="supervised")),
    dict(name="student", model=STUDENT, learner=DISTILL, **student),
  )
  made = tiny(phases=phases, model=STUDENT, total_steps=6)
  made["scenario"] = {**made["scenario"], "augment": ()}
  return made


def weights(folder):
  found = _checkpoint.Checkpoints(folder / "checkpoints", keep=None)
  arrays = found.read(found.latest())
  found.close()
  return arrays


@pytest.fixture(scope="module")
def played(tiny, tmp_path_factory):
  folder = tmp_path_factory.mktemp("distill")
  engine.train(config(tiny), str(folder / "whole"))
  alone = config(tiny)
  alone["phases"] = alone["phases"][:1]
  engine.train(alone, str(folder / "teacher"))
  return folder


def test_teacher_is_the_phase_before_and_stays(played):
  whole, teacher = weights(played / "whole"), weights(played / "teacher")
  kept = [k for k in whole if k.startswith("memory/teacher/params/")]
  assert kept
  for name in kept:
    own = "params/" + name.removeprefix("memory/teacher/params/")
    np.testing.assert_array_equal(whole[name], teacher[own])
  # The student did not start from it: their shapes differ, their values too.
  assert whole["params/layers/0/kernel"].shape[1] == 8
  records = engine.read_metrics(played / "whole")
  last = [r for r in records if "train/direction_loss" in r][-1]
  total = (
    last["train/task_loss"]
    + last["train/distillation_loss"]
    + 2 * last["train/direction_loss"]
  )
  np.testing.assert_allclose(last["train/loss"], total, rtol=1e-5)


def test_class_means_are_those_of_the_teacher(played, tiny):
  whole = weights(played / "whole")
  made = engine.complete(config(tiny))
  program = engine.build(engine.complete(made) | {"name": "student", **{
    "model": TEACHER, "learner": dict(name="supervised"), "phases": (),
  }})  # fmt: skip
  (stage,) = program.scenario.stages(0)
  source = stage.streams["train"].source
  batch = stage.streams["train"].transform(source.fetch(source.ids))
  prefix = "memory/teacher/params/"
  params = {
    k.removeprefix(prefix): jnp.asarray(v)
    for k, v in whole.items()
    if k.startswith(prefix)
  }
  out, _ = jax.jit(lambda p, x: program.net(p, {}, x))(params, batch["image"])
  for label in range(3):
    mean = out["features"][batch["label"] == label].mean(0)
    got = whole["memory/class_means"][label]
    np.testing.assert_allclose(got, mean, rtol=1e-3, atol=1e-5)


def test_init_from_gives_the_teacher(played, tiny, tmp_path):
  made = config(tiny)
  made["phases"] = made["phases"][1:]
  made["init_from"] = str(played / "teacher")
  engine.train(made, str(tmp_path / "run"))
  got = weights(tmp_path / "run")["memory/teacher/params/head/kernel"]
  expected = weights(played / "teacher")["params/head/kernel"]
  np.testing.assert_array_equal(got, expected)


def test_without_a_teacher_it_says_so(tiny, tmp_path):
  made = config(tiny)
  made["phases"] = made["phases"][1:]
  with pytest.raises(ValueError, match="phase before this one or from"):
    engine.train(made, str(tmp_path))


def test_another_teacher_is_named(played, tiny, tmp_path):
  made = config(tiny)
  wide = {**DISTILL, "teacher": dict(name="mlp", hidden=(13,))}
  made["phases"] = (dict(made["phases"][1], learner=wide),)
  made["init_from"] = str(played / "teacher")
  with pytest.raises(ValueError, match="'head/kernel' of shape .13, 3."):
    engine.train(made, str(tmp_path))


@pytest.mark.parametrize(
  "objective",
  [
    dict(
      name="decoupled_distillation_loss", alpha=0.5, beta=8.0, temperature=4.0
    ),
    dict(name="correlation_distillation_loss"),
  ],
)
def test_other_objectives(tiny, objective):
  learner = {**DISTILL, "objective": objective}
  made = config(tiny)
  phase = {**made, **made["phases"][1], "learner": learner, "phases": ()}
  program = engine.build(
    {
      **engine.complete({k: v for k, v in phase.items() if k != "name"}),
      "name": "student",
    }
  )
  tx = program.optimizer(5)
  raw = jax.tree.map(
    lambda a: jnp.ones(a.shape, a.dtype), program.abstract_batch()
  )
  params, stats = program.net.init(jax.random.key(0))
  start = (params, stats, jax.random.key(1), jnp.int32(0), {}, raw)
  state = program.start(*start, tx=tx)
  batch = {
    "image": jax.random.normal(jax.random.key(2), (6, 8, 8, 1)),
    "label": jnp.array([0, 1, 2, 0, 1, -1]),
  }
  f = lambda p: program.learner.loss(
    program.net, p, state, batch, jax.random.key(3)
  )
  (value, aux), grads = jax.jit(jax.value_and_grad(f, has_aux=True))(
    state.params
  )
  assert np.isfinite(value)
  assert all(np.isfinite(g).all() for g in grads.values())
  assert float(aux.metrics["distillation_loss"]) >= 0
  assert hasattr(losses, objective["name"])
