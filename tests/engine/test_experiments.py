"""Committed experiments: arms are configs of today, results are of them."""

import json
import pathlib
import runpy
import subprocess
import sys

import pytest

from jaxcls import _lookup, cli, learners, models, scenarios
from jaxcls.engine import _compare, _config

ROOT = pathlib.Path(__file__).parents[2]
FILES = sorted(
  path
  for path in (ROOT / "experiments").glob("*/*.py")
  if "def get_experiment" in path.read_text()
)


@pytest.mark.parametrize(
  "path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_arms_are_configs(path, monkeypatch):
  monkeypatch.chdir(ROOT)
  experiment = runpy.run_path(str(path))["get_experiment"]()
  shared = experiment.get("set", ())
  configs = {
    name: _compare._load_arm(arm, shared)
    for name, arm in experiment["arms"].items()
  }
  if experiment.get("same_budget", True):
    _compare._check_budgets(configs)
  assert experiment.get("baseline") in (None, *configs)
  assert len(set(experiment["seeds"])) >= 3 and experiment["claim"]
  for config in configs.values():
    for phase in _config.phase_configs(config):
      _lookup.call(phase["scenario"], scenarios, field="scenario")
      _lookup.call(phase["learner"], learners, field="learner")
      assert callable(getattr(models, phase["model"]["name"]))


@pytest.mark.parametrize(
  "path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_results_are_of_these_arms_and_seeds(path):
  experiment = runpy.run_path(str(path))["get_experiment"]()
  results = json.loads(path.with_suffix(".json").read_text())
  assert results["arms"].keys() == experiment["arms"].keys()
  assert results["seeds"] == list(experiment["seeds"])
  assert results["metric"] == experiment["metric"]
  assert results["claim"] == experiment["claim"]
  for arm in results["arms"].values():
    assert len(arm["values"]) == len(experiment["seeds"])


TINY = """
def get_experiment():
  return dict(
    arms=dict(one=dict(config={config!r})),
    set=(
      "total_epochs=None",
      "total_steps=2",
      "schedule.warmup_epochs=None",
      "evaluation.every_epochs=None",
      "model={{'name': 'mlp', 'hidden': (4,)}}",
    ),
    seeds=(0,), metric="test/accuracy", claim="none",
  )
"""


def test_one_command_runs_all_and_says_how_long(tmp_path, monkeypatch, capsys):
  folder = tmp_path / "experiments"
  (folder / "family").mkdir(parents=True)
  main = ROOT / "experiments" / "__main__.py"
  (folder / main.name).write_text(main.read_text())
  config = str(ROOT / "configs" / "quickstart.py")
  (folder / "family" / "tiny.py").write_text(TINY.format(config=config))
  monkeypatch.chdir(tmp_path)

  start = subprocess.run

  def in_this_process(command, **options):
    if "compare" not in command:
      return start(command, **options)
    assert options == {"cwd": tmp_path}
    code = cli.main(command[command.index("compare") :])
    return subprocess.CompletedProcess(command, code)

  def run(*more):
    monkeypatch.setattr(sys, "argv", ["", "--workdir", "runs", *more])
    assert runpy.run_path(str(folder / main.name))["main"]() == 0
    return capsys.readouterr().out

  monkeypatch.setattr(subprocess, "run", in_this_process)
  first = run("--publish")
  assert "0 experiments took 0.0 hours of one core, 1 more were never" in first
  assert "step 2" in first and "family/tiny: " in first
  results = json.loads((folder / "family" / "tiny.json").read_text())
  assert results["arms"].keys() == {"one"}
  minutes = json.loads((folder / "minutes.json").read_text())
  assert 0 <= minutes["family/tiny"] < 5
  again = run("tiny")
  assert "1 experiments took" in again and "step 2" not in again


def test_timed_experiments_exist():
  minutes = json.loads((ROOT / "experiments" / "minutes.json").read_text())
  assert minutes.keys() <= {f"{p.parent.name}/{p.stem}" for p in FILES}
  assert all(0 < m < 1000 for m in minutes.values())


def test_every_experiment_is_among_all_and_can_be_named():
  find = runpy.run_path(str(ROOT / "experiments" / "__main__.py"))["find"]
  assert find([]) == FILES
  assert find(["core/decoupled_mixup", "groco"]) == [
    ROOT / "experiments" / "core" / "decoupled_mixup.py",
    ROOT / "experiments" / "selfsup" / "groco.py",
  ]
  bags = sorted((ROOT / "experiments" / "bags").glob("ins_mil*.py"))
  bags = [path for path in bags if path in FILES]
  assert find(["bags", "ins_mil"]) == bags
  with pytest.raises(SystemExit, match="of core/decoupled_mixup, semisup/"):
    find(["decoupled_mixup"])
  with pytest.raises(SystemExit, match="experiment must be one of .*, got 'x'"):
    find(["x"])
