import json
import pathlib
import re

import pytest

from jaxcls import cli, engine
from jaxcls.engine import _config, _folder, _systems

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = sorted(
  str(p.relative_to(ROOT)) for p in (ROOT / "configs").rglob("*.py")
)
ROWS = {row["id"]: row for row in engine.read_systems()}


@pytest.mark.parametrize("id", ROWS)
def test_row_is_true(id):
  row = ROWS[id]
  assert set(_systems.REQUIRED) <= row.keys(), row
  assert row["status"] in _systems.STATUSES
  assert row["effect"] in _systems.EFFECTS
  assert row["parts"] and row["configs"] and row["command"]
  for part in row["parts"]:
    assert _systems.resolve_part(part).__doc__, part
  for config in row["configs"]:
    assert config in CONFIGS
  for path in re.findall(
    r"(?:configs|experiments)/[\w/.]+\.py", row["command"]
  ):
    assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("path", CONFIGS)
def test_config_was_compiled_for_a_slice(path):
  table = json.loads((ROOT / "experiments/bench/preflight.json").read_text())
  assert path in table, f"run: python experiments/bench/preflight.py {path}"
  phases = table[path]["phases"]
  assert phases and all(phase["fits"] for phase in phases)


@pytest.mark.parametrize("path", CONFIGS)
def test_config_builds(path):
  config = engine.load_config(f"{ROOT / path}:full")
  for phase in _config.phase_configs(config):
    program = engine.build(phase)
    assert program.net.num_classes > 1


@pytest.mark.parametrize("path", CONFIGS)
def test_config_runs_in_smoke_size(path, tmp_path, monkeypatch):
  # The pictures of fifty runs take a while; other tests look at them.
  monkeypatch.setattr(_folder, "plot_curves", lambda folder: None)
  command = ["train", "--config", f"{ROOT / path}:smoke"]
  assert cli.main([*command, "--workdir", str(tmp_path)]) == 0
  # Of the test set, of a probe, or of a stream predicted before it is learned.
  keys = engine.read_metrics(tmp_path)[-1].keys()
  assert any(key.endswith(("accuracy", "auc")) for key in keys)


def test_listing_and_filters(capsys):
  assert cli.main(["systems"]) == 0
  assert "erm" in capsys.readouterr().out
  assert cli.main(["systems", "erm"]) == 0
  out = capsys.readouterr().out
  assert "jaxcls.learners.Supervised" in out and "configs/" in out
  assert [r["id"] for r in engine.find_systems(family="core")]
  assert cli.main(["systems", "--family", "corr"]) == 2
  assert "Known: bags" in capsys.readouterr().err
