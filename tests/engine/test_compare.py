import json

import numpy as np
import pytest

from jaxcls import cli, engine


def arms(tiny):
  short = tiny(total_steps=3, evaluation__every_steps=None)
  return {
    "plain": {"config": short},
    "smooth": {
      "config": short,
      "set": (
        "learner.objective={'name': 'cross_entropy_loss', "
        "'label_smoothing': 0.1}",
      ),
    },
  }


def test_compare_writes_results_and_resumes(tiny, tmp_path):
  kwargs = dict(
    workdir=str(tmp_path), seeds=(0, 1), baseline="plain", claim="none"
  )
  results = engine.compare(arms(tiny), **kwargs)
  assert json.loads((tmp_path / "results.json").read_text()) == results
  assert (tmp_path / "results.png").stat().st_size > 1000
  plain, smooth = results["arms"]["plain"], results["arms"]["smooth"]
  folder = tmp_path / "smooth" / "seed1"
  final = engine.read_metrics(folder)[-1]
  assert smooth["values"][1] == final["test/accuracy"]
  gaps = np.subtract(smooth["values"], plain["values"])
  assert smooth["difference"]["mean"] == pytest.approx(gaps.mean())
  assert "difference" not in plain
  assert results["versions"]["evaluator_version"]
  # What is done is not done again.
  before = (folder / "metrics.jsonl").stat().st_mtime_ns
  assert engine.compare(arms(tiny), **kwargs) == results
  assert (folder / "metrics.jsonl").stat().st_mtime_ns == before
  assert str(tmp_path) not in json.dumps(results)


def test_further_metrics_come_from_the_log(tiny, tmp_path):
  config = tiny(total_steps=10, log_every_steps=1, evaluation__every_steps=2)
  names = ("train/loss@0.5", "val/accuracy>=0.0", "val/accuracy>=2")
  results = engine.compare(
    {"plain": {"config": config}}, workdir=str(tmp_path), seeds=(0,), also=names
  )
  log = engine.read_metrics(tmp_path / "plain" / "seed0")
  loss = {r["step"]: r["train/loss"] for r in log if "train/loss" in r}
  value = lambda name: results["also"][name]["plain"]["values"][0]
  assert value("train/loss@0.5") == pytest.approx(loss[5])
  assert value("val/accuracy>=0.0") == 2
  assert value("val/accuracy>=2") == 10
  engine.print_results(results)
  with pytest.raises(engine.ConfigError, match="Did you mean 'train/loss'"):
    engine.compare(
      {"plain": {"config": config}}, workdir=str(tmp_path), seeds=(0,),
      also=("train/los@0.5",),
    )  # fmt: skip


def test_budgets_must_agree(tiny, tmp_path):
  unequal = arms(tiny)
  unequal["smooth"]["set"] = ("total_steps=4",)
  with pytest.raises(engine.ConfigError, match="same budget"):
    engine.compare(unequal, workdir=str(tmp_path), seeds=(0,))


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (dict(baseline="plane"), "Did you mean 'plain'"),
    (dict(metric="test/acuracy", seeds=(0,)), "Did you mean 'test/accuracy'"),
  ],
)
def test_bad_names(tiny, tmp_path, change, message):
  with pytest.raises(engine.ConfigError, match=message):
    engine.compare(arms(tiny), workdir=str(tmp_path), **change)


def test_diverged_runs_keep_their_place(tiny, tmp_path):
  broken = arms(tiny)
  broken["smooth"]["set"] = ("schedule.peak_lr=1e30", "optimizer.name=sgd",
                             "optimizer.clip_norm=None")  # fmt: skip
  results = engine.compare(broken, workdir=str(tmp_path), seeds=(0,))
  assert results["arms"]["smooth"]["values"] == [None]
  assert results["arms"]["smooth"]["diverged"] == 1
  assert results["arms"]["smooth"]["difference"]["mean"] is None
  engine.print_results(results)


def test_interval_is_student_t():
  # n = 3, differences 1, 2, 3: s = 1, t_{2, 0.975} = 4.302653.
  got = engine.paired_interval([1.0, 2.0, 3.0])
  half = 4.302653 / np.sqrt(3)
  assert got["mean"] == 2.0 and got["pairs"] == 3
  np.testing.assert_allclose(
    [got["low"], got["high"]], [2 - half, 2 + half], rtol=1e-6
  )
  assert engine.paired_interval([1.0])["low"] is None


EXPERIMENT = """
def get_experiment():
  config = dict(
    batch_size=8, total_steps=2, model=dict(name="mlp", hidden=(4,)),
    scenario=dict(name="standard", source="fake", options=dict(
      shape=(4, 4, 1), num_classes=2, num_examples=32)),
    learner=dict(name="supervised"),
    schedule=dict(name="constant", peak_lr=0.01),
  )
  return dict(
    arms=dict(low=dict(config=config),
              high=dict(config=config, set=("schedule.peak_lr=0.1",))),
    seeds=(0,), metric="test/accuracy", baseline="low", claim="higher",
  )
"""


def test_command_line_runs_an_experiment_file(tmp_path, capsys):
  path = tmp_path / "experiment.py"
  path.write_text(EXPERIMENT)
  command = ["compare", "--experiment", str(path), "--publish"]
  assert cli.main([*command, "--workdir", str(tmp_path / "runs")]) == 0
  published = json.loads((tmp_path / "experiment.json").read_text())
  assert published["arms"].keys() == {"low", "high"}
  assert (tmp_path / "experiment.png").exists()
  out = capsys.readouterr().out
  assert "high" in out and "Claim: higher" in out
  path.write_text(EXPERIMENT.replace("claim=", "clame="))
  with pytest.raises(engine.ConfigError, match="Did you mean 'claim'"):
    engine.load_experiment(str(path))
