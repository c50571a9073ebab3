"""Committed experiments: arms are configs of today, results are of them."""

import json
import pathlib
import runpy

import pytest

from jaxcls import _lookup, learners, models, scenarios
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
