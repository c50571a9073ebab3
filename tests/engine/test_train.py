import json
import os
import pathlib
import random
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxcls import engine
from jaxcls.engine import _checkpoint

RUN = """
import json, os, sys
import jax
from jaxcls import engine
config = json.loads(sys.argv[1])
mode = sys.argv[3] if len(sys.argv) > 3 else ""
kind, _, at = mode.partition(":")
from jaxcls.engine import _checkpoint, _program
if kind == "kill_step":
  # SIGKILL before step `at` is dispatched: nothing can clean up.
  make = _program.Program.compile_step
  def compile_step(self, step, state):
    inner, count = make(self, step, state), [int(state.step)]
    def call(state, batch):
      if count[0] == int(at):
        os.kill(os.getpid(), 9)
      count[0] += 1
      return inner(state, batch)
    return call
  _program.Program.compile_step = compile_step
if kind == "kill_save":
  # SIGKILL a few milliseconds into the asynchronous save of step 8, once
  # that of step 4, which runs beside the steps, is complete.
  import threading
  save = _checkpoint.Checkpoints.save
  def slow_kill(self, step, *args, **kwargs):
    if step == 8:
      self.wait()
      delay = float(at) / 1000
      threading.Timer(delay, os.kill, (os.getpid(), 9)).start()
    save(self, step, *args, **kwargs)
    if step == 8:
      self.wait()
      import time
      time.sleep(delay + 1)
  _checkpoint.Checkpoints.save = slow_kill
engine.train(config, sys.argv[2])
"""


def spawn(config, workdir, mode="", **kwargs):
  command = [sys.executable, "-c", RUN, json.dumps(config), str(workdir), mode]
  return subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs
  )


def final_weights(workdir):
  folder = pathlib.Path(workdir).absolute() / "checkpoints"
  found = _checkpoint.Checkpoints(folder, keep=None)
  step = found.latest()
  arrays = found.read(step)
  found.close()
  return step, arrays


def records(workdir):
  """Metrics without the wall-clock readings, the only thing that may differ."""
  return [
    {k: v for k, v in record.items() if not k.startswith("time/")}
    for record in engine.read_metrics(workdir)
  ]


def assert_same_run(one, other):
  (step, a), (other_step, b) = final_weights(one), final_weights(other)
  assert step == other_step and a.keys() == b.keys() and len(a) > 20
  for name in a:
    np.testing.assert_array_equal(a[name], b[name], err_msg=name)
  assert records(one) == records(other)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny):
  workdir = tmp_path_factory.mktemp("undisturbed")
  engine.train(tiny(), str(workdir))
  return workdir


def test_run_folder_and_final_record(undisturbed):
  names = {p.name for p in undisturbed.iterdir()}
  assert names >= {
    "config.json", "environment.json", "metrics.jsonl", "curves.png",
    "summary.json", "checkpoints", "tensorboard", "predictions",
  }  # fmt: skip
  lines = engine.read_metrics(undisturbed)
  assert [r["step"] for r in lines] == [2, 4, 5, 6, 8, 10, 10, 12, 12]
  assert 0 <= lines[-1]["test/accuracy"] <= 1
  assert lines[-1]["evaluator_version"] and lines[-1]["test/version"]
  assert lines[0]["train/loss"] == pytest.approx(np.log(3), rel=1e-3)
  assert lines[1]["train/learning_rate"] < lines[0]["train/learning_rate"] * 3
  predictions = np.load(undisturbed / "predictions" / "test.npz")
  accuracy = (predictions["logits"].argmax(1) == predictions["label"]).mean()
  assert lines[-1]["test/accuracy"] == pytest.approx(accuracy, abs=1e-6)
  environment = json.loads((undisturbed / "environment.json").read_text())
  assert environment["packages"]["jax"] == jax.__version__


def test_same_seed_same_bits_other_seed_other_bits(undisturbed, tiny, tmp_path):
  engine.train(tiny(), str(tmp_path / "again"))
  assert_same_run(undisturbed, tmp_path / "again")
  engine.train(tiny(seed=4), str(tmp_path / "other"))
  (_, a), (_, b) = final_weights(undisturbed), final_weights(tmp_path / "other")
  assert any((a[k] != b[k]).any() for k in a if k.startswith("params"))


@pytest.mark.slow
def test_killed_at_ten_random_steps_ends_in_the_same_bits(
  undisturbed, tiny, tmp_path
):
  # Ten kills spread over several runs, at fixed random steps: each process
  # dies by SIGKILL before a step that it has reached after its restart.
  rng = random.Random(0)
  kills = 0
  for attempt in range(20):
    workdir, at = tmp_path / str(attempt), 0
    while at < 11 and kills < 10:
      at = rng.randint(at, 11)
      process = spawn(tiny(), workdir, f"kill_step:{at}")
      process.communicate(timeout=120)
      assert process.returncode == -signal.SIGKILL
      kills += 1
      at += 1
    engine.train(tiny(), str(workdir))
    assert_same_run(undisturbed, workdir)
    if kills == 10:
      break
  assert kills == 10


@pytest.mark.slow
@pytest.mark.parametrize("delay_ms", [0, 20, 80])
def test_kill_during_a_save_loses_only_the_steps_since_the_one_before(
  undisturbed, tiny, tmp_path, delay_ms
):
  process = spawn(tiny(), tmp_path, f"kill_save:{delay_ms}")
  process.communicate(timeout=120)
  assert process.returncode == -signal.SIGKILL
  found = _checkpoint.Checkpoints(tmp_path / "checkpoints", keep=None)
  assert found.latest() in (4, 8)
  found.close()
  engine.train(tiny(), str(tmp_path))
  assert_same_run(undisturbed, tmp_path)


def test_sigterm_saves_and_the_same_command_goes_on(
  undisturbed, tiny, tmp_path, monkeypatch
):
  from jaxcls.engine import _loop

  log = _loop.StagePlay._log

  def terminate(self, step, i, metrics):
    log(self, step, i, metrics)
    if step == 6:
      os.kill(os.getpid(), signal.SIGTERM)

  monkeypatch.setattr(_loop.StagePlay, "_log", terminate)
  with pytest.raises(engine.Stopped, match="Stopped at step 6"):
    engine.train(tiny(), str(tmp_path))
  monkeypatch.undo()
  assert final_weights(tmp_path)[0] == 6
  engine.train(tiny(), str(tmp_path))
  assert_same_run(undisturbed, tmp_path)


def test_finished_run_is_not_run_again(undisturbed, tiny):
  before = (undisturbed / "metrics.jsonl").read_bytes()
  record = engine.train(tiny(), str(undisturbed))
  assert record == engine.read_metrics(undisturbed)[-1]
  assert (undisturbed / "metrics.jsonl").read_bytes() == before


def losses_by_step(workdir):
  return {
    r["step"]: r["train/loss"] for r in records(workdir) if "train/loss" in r
  }


@pytest.mark.parametrize("mesh", [dict(data=1, fsdp=4), dict(data=2, fsdp=2)])
def test_mesh_changes_nothing_but_rounding(tiny, tmp_path, mesh):
  # Wide enough that the rule splits the hidden layer.
  model = dict(model=dict(name="mlp", hidden=(512,)), total_steps=4)
  engine.train(tiny(**model), str(tmp_path / "data"))
  engine.train(tiny(mesh=mesh, **model), str(tmp_path / "fsdp"))
  want, got = (
    losses_by_step(tmp_path / "data"),
    losses_by_step(tmp_path / "fsdp"),
  )
  assert len(want) == 2 and want.keys() == got.keys()
  for step in want:
    np.testing.assert_allclose(got[step], want[step], rtol=1e-5)


def test_accumulated_gradients_equal_the_whole_batch(tiny, tmp_path):
  # No batch statistics, dropout or augmentation: only then is it the same.
  plain = dict(
    model=dict(name="mlp", hidden=(8,)), scenario__augment=(), total_steps=3,
    evaluation__every_steps=None,
  )  # fmt: skip
  engine.train(tiny(**plain), str(tmp_path / "whole"))
  engine.train(tiny(accumulation_steps=4, **plain), str(tmp_path / "parts"))
  a = final_weights(tmp_path / "whole")[1]
  b = final_weights(tmp_path / "parts")[1]
  for name in a:
    np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-6)


def test_best_checkpoint_is_selected_on_val(tiny, tmp_path):
  select = dict(metric="val/accuracy", mode="max")
  record = engine.train(
    tiny(evaluation__select=select, evaluation__every_steps=3), str(tmp_path)
  )
  lines = engine.read_metrics(tmp_path)
  values = {
    r["step"]: r["val/accuracy"] for r in lines[:-1] if "val/accuracy" in r
  }
  best = min(s for s, v in values.items() if v == max(values.values()))
  assert record["selected_step"] == best
  assert record["val/accuracy"] == values[best]
  evaluated = engine.evaluate_run(str(tmp_path), checkpoint="best")
  assert evaluated["val/accuracy"] == values[best]
  run = engine.load_run(str(tmp_path), checkpoint="best")
  val = run.stage.evals["val"]
  batch = run.transform(val.fetch(val.ids))
  logits = run.learner.predict(run.net, run.state, batch)["logits"]
  accuracy = (logits.argmax(-1) == batch["label"]).mean()
  np.testing.assert_allclose(accuracy, values[best], rtol=1e-6)
