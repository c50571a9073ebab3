import dataclasses
import importlib.util
import json
import pathlib

import jax
import pytest

from jaxcls import _targets, cli, engine
from jaxcls.engine import _hlo, _preflight, _preflight_table

ROOT = pathlib.Path(__file__).parents[2]
needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec("libtpu") is None,
  reason="libtpu is not installed: pip install 'jaxcls[tpu]'",
)
needs_cuda = pytest.mark.skipif(
  importlib.util.find_spec("jax_cuda13_plugin") is None,
  reason="jax-cuda13-plugin is not installed",
)


@pytest.fixture(scope="module")
def small(tiny):
  """A config whose step compiles in a second or two."""

  def make(**changes):
    config = tiny(
      model=dict(name="mlp", hidden=(256, 256)),
      learner=dict(name="supervised"),
      optimizer=dict(name="adamw"),
      scenario__augment=(),
      schedule=dict(name="constant", peak_lr=0.01),
    )
    return engine.complete({**config, **changes})

  return make


def widths(config):
  """Products of the MLP: width of the input, hidden layers, classes."""
  sizes = [8 * 8 * 1, *config["model"]["hidden"], 3]
  return sum(a * b for a, b in zip(sizes, sizes[1:], strict=False)), sizes


@needs_libtpu
def test_replicated_step_on_a_tpu_slice(small):
  config = small()
  (got,) = engine.preflight(config, target="v5e:2x2")
  products, sizes = widths(config)
  # Three products a layer, less the gradient of the images.
  assert got.flops.total == 2 * 16 * (3 * products - sizes[0] * sizes[1])
  assert got.mesh == {"data": 4, "fsdp": 1} and got.num_devices == 4
  assert got.fits and got.examples == 16 and got.phase == "main"
  kernel = 256 * 256 * 4
  assert got.state[0] == _hlo.Buffer(got.state[0].name, kernel)
  assert {b.name.split("/")[0] for b in got.state} == {"params", "opt_state"}
  # Weights and two moments on every chip, written where they were.
  assert 3 * 4 * products < got.memory.arguments < 3.5 * 4 * products
  assert got.memory.alias > 3 * 4 * products
  assert got.needed_bytes == got.memory.peak
  # Every gradient is summed over the chips, once.
  (row,) = got.hlo.collectives
  assert row.kind == "all-reduce"
  assert 4 * products <= row.bytes < 1.1 * 4 * products
  assert row.link_bytes == row.bytes * 2 * 3 / 4
  # At least weights, moments and gradients are read and written.
  assert got.hlo.hbm_bytes > 6 * 4 * products
  estimate = got.estimate
  seconds = {
    "compute": estimate.compute_seconds,
    "memory": estimate.memory_seconds,
    "links": estimate.link_seconds,
  }
  assert estimate.step_seconds == seconds[estimate.bound] > 0
  assert estimate.step_seconds == max(seconds.values())
  assert estimate.examples_per_second == 16 / estimate.step_seconds
  assert jax.default_backend() == "cpu"


@needs_libtpu
def test_sharded_state_takes_its_share(small):
  config = small(mesh=dict(data=1, fsdp=-1))
  (got,) = engine.preflight(config, target="v5e:2x2")
  assert got.mesh == {"data": 1, "fsdp": 4}
  assert got.state[0].bytes == 256 * 256 * 4 / 4
  assert got.memory.arguments < 1.5 * 4 * widths(config)[0]
  assert {row.kind for row in got.hlo.collectives} >= {"all-gather"}


@needs_libtpu
def test_scanned_blocks_count_every_turn(small):
  config = small(
    model=dict(name="vit", variant="mu/4", width=64, depth=5, scan_blocks=True),
    mesh=dict(data=1, fsdp=-1),
  )
  (got,) = engine.preflight(config, target="v5e:2x2")
  rows = {row.kind: row for row in got.hlo.collectives}
  # up and down of every block are gathered (64 x 256, above the threshold).
  assert rows["all-gather"].count >= 2 * 5
  assert got.flops.open_loops == got.hlo.open_loops == 0


@needs_libtpu
def test_every_phase(small):
  phases = (
    dict(name="first", total_steps=2),
    dict(name="second", model=dict(name="mlp", hidden=(512,)), total_steps=3),
  )
  got = engine.preflight(small(phases=phases), target="v5e:2x2")
  assert [r.phase for r in got] == ["first", "second"]
  assert got[0].flops.total != got[1].flops.total
  assert all(r.fits for r in got)


# The kernel alone is 40 GiB in float32: weights, gradients, two moments.
HUGE = """
import ml_collections


def get_config(mode="full"):
  c = ml_collections.ConfigDict(dict(seed=0, total_steps=2, batch_size=8))
  c.scenario = dict(
    name="standard",
    source="fake",
    options=dict(shape=(8, 8, 1), num_classes=3, num_examples=96),
  )
  c.model = dict(name="mlp", hidden=(100_000, 100_000))
  c.learner = dict(name="supervised")
  c.schedule = dict(name="constant", peak_lr=0.1)
  return c
"""


@needs_libtpu
def test_what_does_not_fit_exits_with_one(tmp_path, capsys):
  file, out = tmp_path / "huge.py", tmp_path / "huge.json"
  file.write_text(HUGE)
  command = ["preflight", "--config", str(file), "--target", "v5e:2x2"]
  assert cli.main([*command, "--json", str(out)]) == 1
  shown = capsys.readouterr().out
  assert "DOES NOT FIT" in shown and "15.75 GiB" in shown
  (got,) = json.loads(out.read_text())
  assert not got["fits"] and got["memory"] is None
  assert got["needed_bytes"] > 100 * 2**30
  assert "RESOURCE_EXHAUSTED" in got["message"]
  assert got["state"][0]["bytes"] == 4 * 100_000**2


@needs_libtpu
def test_command_prints_what_it_wrote(tmp_path, capsys):
  file, out = tmp_path / "small.py", tmp_path / "small.json"
  file.write_text(HUGE.replace("100_000", "256"))
  command = ["preflight", "--config", str(file), "--target", "v5e:2x2"]
  assert cli.main([*command, "--json", str(out)]) == 0
  shown = capsys.readouterr().out
  for text in ("fits", "FLOPs", "all-reduce", "examples/s", "estimate", "45%"):
    assert text in shown
  (got,) = json.loads(out.read_text())
  assert got["fits"] and got["memory"]["peak"] == got["needed_bytes"]


@needs_cuda
def test_gpu_needs_no_gpu_and_compares_with_the_card(small, monkeypatch):
  (got,) = engine.preflight(small(), target="h100:4")
  assert got.fits and got.num_devices == 4
  assert [row.kind for row in got.hlo.collectives] == ["all-reduce"]
  little = dataclasses.replace(_targets.CHIPS["h100"], memory=2**10)
  monkeypatch.setitem(_targets.CHIPS, "h100", little)
  (got,) = engine.preflight(small(), target="h100:4")
  assert not got.fits and got.memory.peak > 2**10
  table = _preflight_table.make_table(got)
  assert table.row_count > 10


@pytest.mark.parametrize(
  ("message", "needed"),
  [
    ("temporaries (322.04G) exceeds available HBM (15.75G).", 322.04 * 2**30),
    ("Used 20.50G of 15.75G hbm. Exceeded by 4.75G.", 20.5 * 2**30),
    ("(512.00M) exceeds available HBM (1.00M)", 512 * 2**20),
    ("no numbers", 0),
  ],
)
def test_needed_bytes(message, needed):
  assert _preflight._needed_bytes(message) == int(needed)


@pytest.mark.parametrize(
  ("target", "text"),
  [
    ("v5:4x4", r"kind.*got 'v5:4x4'.* Did you mean 'v5"),
    ("tpu", "v5e:4x4"),
    ("", "Known: h100, v4, v5e, v5p, v6e"),
    ("v5e", "must name a slice of chips"),
    ("v5e:4", "must name a slice of chips"),
    ("h100", "1 to 8 cards"),
    ("h100:12", "1 to 8 cards"),
    ("h100:0", "1 to 8 cards"),
  ],
)
def test_unknown_target(small, target, text):
  with pytest.raises(ValueError, match=text):
    engine.preflight(small(), target=target)


@needs_libtpu
def test_slice_that_does_not_exist(small):
  with pytest.raises(ValueError, match="must be a slice that libtpu knows"):
    engine.preflight(small(), target="v5e:3x5")


@needs_libtpu
def test_mesh_and_batch_are_checked_as_in_training(small):
  with pytest.raises(ValueError, match="mesh must multiply to the 4 devices"):
    engine.preflight(small(mesh=dict(data=3, fsdp=1)), target="v5e:2x2")
  with pytest.raises(ValueError, match="divisible by the 4 devices"):
    engine.preflight(small(batch_size=18), target="v5e:2x2")


@pytest.mark.parametrize(
  ("target", "text"),
  [
    ("v5e:2x2", r'libtpu.*not installed.*pip install "jaxcls\[tpu\]"'),
    ("h100:8", "CUDA compiler.*not installed.*pip install"),
  ],
)
def test_missing_compiler(small, monkeypatch, target, text):
  monkeypatch.delenv("TPU_LIBRARY_PATH", raising=False)
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(ValueError, match=text):
    engine.preflight(small(), target=target)


def test_effort_out_of_range(small):
  with pytest.raises(ValueError, match="effort must be in .-1, 1., got 2"):
    engine.preflight(small(), target="v5e:2x2", effort=2.0)


@pytest.mark.parametrize("name", ["imagenet_vit_b16", "imagenet_resnet50"])
@pytest.mark.parametrize("mode", ["full", "smoke"])
def test_imagenet_configs_build(name, mode):
  path = ROOT / "configs" / "supervised" / f"{name}.py"
  config = engine.load_config(f"{path}:{mode}")
  program = engine.build(
    {**config, "name": "main"}, engine.make_mesh({"data": -1})
  )
  side = 224 if mode == "full" else 32
  batch = program.abstract_batch()["train"]
  size = 4096 if mode == "full" else 8
  assert batch["image"].shape == (size, side, side, 3)
