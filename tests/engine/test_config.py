import json

import pytest

from jaxcls import engine
from jaxcls.engine import _config

FILE = """
import ml_collections

def get_config(mode="full"):
  return ml_collections.ConfigDict(dict(
    batch_size=64, total_epochs=3, seed=1,
    scenario=dict(name="standard", source="digits"),
    model=dict(name="mlp", hidden=(32,)),
    learner=dict(name="supervised"),
    schedule=dict(name="cosine", peak_lr=0.01, warmup_epochs=1),
  ))
"""


@pytest.fixture
def file(tmp_path):
  path = tmp_path / "config.py"
  path.write_text(FILE)
  return str(path)


def test_load_fills_defaults_and_applies_overrides(file):
  config = engine.load_config(
    file, ["optimizer.name=sgd", "model.hidden=(8, 8)", "mesh.fsdp=2"]
  )
  assert config["log_every_steps"] == 50
  assert config["optimizer"]["name"] == "sgd"
  assert config["model"]["hidden"] == (8, 8)
  assert config["mesh"] == {"data": -1, "fsdp": 2}
  assert config["mode"] == "full" and config["total_epochs"] == 3
  assert json.loads(_config.to_json(config))["seed"] == 1


def test_smoke_shrinks_steps_batch_and_data(file):
  config = engine.load_config(f"{file}:smoke")
  assert config["total_steps"] == 2 and config["total_epochs"] is None
  assert config["batch_size"] == 8
  assert config["scenario"]["source"] == "fake"
  assert config["scenario"]["options"]["shape"] == (8, 8, 1)


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("optimiser.name=sgd", "Did you mean 'optimizer'"),
    ("batchsize=3", "Did you mean 'batch_size'"),
    ("evaluation.metric=1", "Did you mean 'metrics'"),
    ("batch_size=0", "batch_size must be positive, got 0"),
    ("total_steps=5", "one of them, got 5 and 3"),
    ("total_epochs=None", "one of them, got None and None"),
    ("seed", "must look like optimizer.name=sgd, got 'seed'"),
    ("seed.x=1", "seed holds 1"),
    ("model=mlp", "model must be a section"),
    ("evaluation.select={'metric': 'test/accuracy'}", "choose nothing"),
  ],
)
def test_bad_overrides_say_what_is_wrong(file, override, message):
  with pytest.raises(engine.ConfigError, match=message):
    engine.load_config(file, [override])


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    (["learner.name=superviced"], "Did you mean 'Supervised'"),
    (["learner.objective=cross_entropy"], "Did you mean 'cross_entropy_loss'"),
    (["learner.ema=0.9"], "Did you mean 'ema_decay'"),
    (["learner.objective=focal_loss"], "learner.objective.gamma must be given"),
    (["learner.label_smoothing=0.1"], "Use soft_cross_entropy_loss"),
    (["learner.mixing={'name': 'mixup', 'alphas': 1}"], "Did you mean 'alpha'"),
    (["model.name=mpl"], "Did you mean 'mlp'"),
    (["model.hiden=(3,)"], "Did you mean 'hidden'"),
    (["scenario.name=standart"], "Did you mean 'Standard'"),
    (["scenario.source=digit"], "Did you mean 'digits'"),
    (["scenario.augment=({'name': 'flip'},)"], "'random_flip'"),
    (["scenario.sampler=uniform"], "UniformPlan"),
    (["optimizer.name=adamm"], "optimizer.name must be a public name"),
    (["optimizer.momentun=0.9"], "Known|Did you mean"),
    (["schedule.peak_lrr=0.1"], "Did you mean 'peak_lr'"),
    (["schedule.warmup_epochs=9"], "warmup_steps must be in"),
    (["mesh.data=3"], "must multiply to the 4 devices"),
    (["batch_size=30"], "must be divisible by the 4 devices"),
    (["trainable=nothing"], "pattern must match a parameter path"),
    (["scenario.val_fraction=2.0"], "fraction"),
    (["batch_size=2000"], "batch_size must be at most the 1437 examples"),
    (["evaluation.metrics=('acuracy',)"], "Did you mean 'accuracy'"),
  ],
)
def test_bad_sections_fail_before_training(file, tmp_path, overrides, message):
  workdir = tmp_path / "run"
  with pytest.raises((ValueError, TypeError), match=message):
    engine.train(engine.load_config(file, overrides), str(workdir))
  assert not (workdir / "metrics.jsonl").exists() or not engine.read_metrics(
    workdir
  )


def test_missing_fields_are_named(tmp_path):
  path = tmp_path / "c.py"
  for drop, message in {
    "batch_size=64, ": "batch_size must be given",
    'source="digits"': "scenario.source must be given",
    'model=dict(name="mlp", hidden=(32,)),': "model.name must be given",
    'learner=dict(name="supervised"),': "learner.name must be given",
    "peak_lr=0.01, ": "schedule.peak_lr must be given",
  }.items():
    path.write_text(FILE.replace(drop, ""))
    with pytest.raises(ValueError, match=message):
      engine.train(engine.load_config(str(path)), str(tmp_path / "run"))


def test_unreadable_config_files(tmp_path):
  with pytest.raises(engine.ConfigError, match="not there"):
    engine.load_config(str(tmp_path / "none.py"))
  (tmp_path / "empty.py").write_text("")
  with pytest.raises(engine.ConfigError, match="must define get_config"):
    engine.load_config(str(tmp_path / "empty.py"))
  with pytest.raises(engine.ConfigError, match="mode must be"):
    engine.load_config(f"{tmp_path / 'empty.py'}:tiny")


def test_phases_replace_sections_and_lengths(file):
  config = engine.load_config(file)
  config["phases"] = (
    dict(name="a", total_steps=5),
    dict(name="b", learner=dict(name="supervised", ema_decay=0.5)),
  )
  first, second = _config.phase_configs(engine.complete(config))
  assert (first["total_steps"], first["total_epochs"]) == (5, None)
  assert (second["total_steps"], second["total_epochs"]) == (None, 3)
  assert second["learner"]["ema_decay"] == 0.5
  config["phases"] = (dict(leaner=dict(name="x")),)
  with pytest.raises(
    engine.ConfigError, match=r"phases\[0\].leaner .*'learner'"
  ):
    engine.complete(config)
