"""What users get wrong: one clear error, and the run folder stays usable."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jaxcls import cli, engine


def test_nan_batch_names_step_and_last_good_checkpoint(tmp_path, tiny):
  images = np.zeros((64, 8, 8, 1), np.float32)
  labels = np.arange(64) % 2
  path = tmp_path / "data.npz"
  arrays = dict(test_images=images, test_labels=labels, train_labels=labels)
  np.savez(path, train_images=np.full_like(images, np.nan), **arrays)
  scenario = dict(
    scenario__source=f"npz:{path}", scenario__options={},
    evaluation__every_steps=None,
  )  # fmt: skip
  workdir = tmp_path / "run"
  with pytest.raises(engine.Diverged, match="got nan at step 1; there is no"):
    engine.train(tiny(**scenario), str(workdir))
  assert not any("train/loss" in r for r in engine.read_metrics(workdir))
  # The same folder trains once the data is mended.
  np.savez(path, train_images=images, **arrays)
  assert engine.train(tiny(**scenario), str(workdir))["step"] == 12


def test_divergence_names_the_last_good_checkpoint(tmp_path, tiny, monkeypatch):
  from jaxcls import learners
  from jaxcls.learners import _supervised

  loss = _supervised.Supervised.loss

  def explode(self, net, params, state, batch, key):
    value, aux = loss(self, net, params, state, batch, key)
    return value / (state.step != 6), aux

  monkeypatch.setattr(learners.Supervised, "loss", explode)
  with pytest.raises(
    engine.Diverged, match=r"got (inf|nan) at step 7"
  ) as error:
    engine.train(tiny(), str(tmp_path))
  good = pathlib.Path(
    str(error.value).split("checkpoint is ")[1].split(". ")[0]
  )
  assert good.name == "4" and good.is_dir()
  monkeypatch.undo()
  assert engine.train(tiny(), str(tmp_path))["step"] == 12


def test_run_folder_of_another_config(tmp_path, tiny):
  engine.train(tiny(total_steps=2, schedule__warmup_steps=0), str(tmp_path))
  with pytest.raises(engine.RunFolderError, match="seed: 3 became 5"):
    engine.train(
      tiny(total_steps=2, schedule__warmup_steps=0, seed=5), str(tmp_path)
    )


def test_checkpoint_of_another_model(tmp_path, tiny):
  config = tiny(total_steps=2, schedule__warmup_steps=0)
  engine.train(config, str(tmp_path))
  stored = tmp_path / "config.json"
  stored.write_text(stored.read_text().replace('"hidden": 8', '"hidden": 9'))
  with pytest.raises(ValueError, match="must fit the config, but .* has shape"):
    engine.evaluate_run(str(tmp_path))


def test_run_folder_that_cannot_be_written(tmp_path, tiny):
  (tmp_path / "file").write_text("")
  with pytest.raises(engine.RunFolderError, match="Choose another --workdir"):
    engine.train(tiny(), str(tmp_path / "file" / "run"))
  with pytest.raises(engine.RunFolderError, match="can be written"):
    engine.train(tiny(), "/proc/run")


def test_run_folder_in_which_another_process_trains(tmp_path, tiny):
  (tmp_path / ".lock").touch()
  hold = (
    "import fcntl, sys; f = open(sys.argv[1], 'w'); "
    "fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); input()"
  )
  command = [sys.executable, "-c", hold, str(tmp_path / ".lock")]
  pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
  with subprocess.Popen(command, **pipes) as other:
    assert other.stdout.readline() == "held\n"
    with pytest.raises(engine.RunFolderError, match="another process trains"):
      engine.train(tiny(), str(tmp_path))
    other.kill()
  # A kill lets go of it.
  engine.train(tiny(), str(tmp_path))


def test_weights_to_start_from(tmp_path, tiny):
  first = tiny(total_steps=2, schedule__warmup_steps=0)
  engine.train(first, str(tmp_path / "first"))
  go_on = dict(init_from=str(tmp_path / "first"), total_steps=3)
  record = engine.train(tiny(**go_on), str(tmp_path / "second"))
  lines = engine.read_metrics(tmp_path / "second")
  assert record["step"] == 3
  assert "7 of the model's 7" in lines[0]["init_from"]
  assert lines[1]["train/loss"] != pytest.approx(np.log(3), rel=1e-4)
  with pytest.raises(ValueError, match="must hold a complete checkpoint"):
    engine.train(
      tiny(init_from=str(tmp_path / "none")), str(tmp_path / "third")
    )
  other = tiny(model=dict(name="mlp", hidden=(5,)), **go_on)
  with pytest.raises(engine.ConfigError, match="but only 1 of the model's 4"):
    engine.train(other, str(tmp_path / "fourth"))


@pytest.fixture
def folder_source(tmp_path):
  rng = np.random.default_rng(0)
  for split, count in (("train", 12), ("test", 4)):
    for name in ("cat", "dog"):
      place = tmp_path / "images" / split / name
      place.mkdir(parents=True)
      for i in range(count):
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{i}.png")
  return tmp_path / "images"


@pytest.mark.parametrize(
  "damage", [lambda b: b[:40], lambda b: b"not an image", lambda b: b""]
)
def test_damaged_image_names_its_path(folder_source, tiny, tmp_path, damage):
  config = tiny(
    scenario__source=f"folder:{folder_source}", scenario__options={},
    batch_size=8, evaluation__every_steps=None,
  )  # fmt: skip
  image = folder_source / "train" / "dog" / "3.png"
  whole = image.read_bytes()
  image.write_bytes(damage(whole))
  with pytest.raises((ValueError, OSError), match=r"train/dog/3\.png"):
    engine.train(config, str(tmp_path / "run"))
  image.write_bytes(whole)
  assert engine.train(config, str(tmp_path / "run"))["step"] == 12


def test_labels_out_of_range_and_empty_split(tmp_path, tiny):
  images = np.zeros((8, 8, 8, 1), np.uint8)
  path = tmp_path / "data.npz"
  source = dict(scenario__source=f"npz:{path}", scenario__options={})
  np.savez(
    path, train_images=images, train_labels=np.full(8, -7),
    test_images=images, test_labels=np.zeros(8, int),
  )  # fmt: skip
  with pytest.raises(ValueError, match="labels of .*-7"):
    engine.train(tiny(**source), str(tmp_path / "run"))
  np.savez(
    path, train_images=images[:0], train_labels=np.zeros(0, int),
    test_images=images, test_labels=np.zeros(8, int),
  )  # fmt: skip
  with pytest.raises(ValueError, match="at least one example|no example"):
    engine.train(tiny(**source), str(tmp_path / "run"))


def test_command_line_tells_errors_in_one_line(capsys, tmp_path):
  status = cli.main(
    ["train", "--config", "configs/none.py", "--workdir", str(tmp_path)]
  )
  out = capsys.readouterr()
  assert status == 2 and out.out == ""
  assert out.err.startswith("jaxcls train: config must be a Python file")
  assert len(out.err.splitlines()) == 1


def test_eval_of_what_is_no_run(tmp_path):
  with pytest.raises(engine.RunFolderError, match="has no config.json"):
    engine.evaluate_run(str(tmp_path))
