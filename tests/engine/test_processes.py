"""The same config on 1 x 1, 1 x 4 and 2 x 2 (processes x devices)."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from jaxcls import engine

RUN = """
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[3]))
from jaxcls import engine
if len(sys.argv) > 4:
  jax.distributed.initialize(sys.argv[4], num_processes=2,
                             process_id=int(sys.argv[5]))
engine.train(json.loads(sys.argv[1]), sys.argv[2])
"""


def start(config, workdir, devices, *distributed):
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  command = [sys.executable, "-c", RUN, json.dumps(config), str(workdir)]
  return subprocess.Popen(
    [*command, str(devices), *distributed],
    env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
  )  # fmt: skip


def finish(*processes):
  for process in processes:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors[-3000:]


@pytest.fixture(scope="module")
def layouts(tmp_path_factory, tiny):
  # Two parameters' worth of fsdp and a batch-statistics model.
  config = tiny(
    model=dict(name="convnet", widths=(4,), hidden=1024),
    total_steps=6, checkpoint__every_steps=3,
  )  # fmt: skip
  root = tmp_path_factory.mktemp("layouts")
  finish(start(config, root / "1x1", 1))
  finish(start({**config, "mesh": dict(data=2, fsdp=2)}, root / "1x4", 4))
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  two = {**config, "mesh": dict(data=2, fsdp=2)}
  finish(*(start(two, root / "2x2", 2, address, str(i)) for i in range(2)))
  return root


def losses(folder):
  return {
    r["step"]: r["train/loss"]
    for r in engine.read_metrics(folder)
    if "train/loss" in r
  }


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["1x4", "2x2"])
def test_processes_and_devices_change_nothing_but_rounding(layouts, layout):
  want, got = losses(layouts / "1x1"), losses(layouts / layout)
  assert list(want) == list(got) == [2, 4, 6]
  for step in want:
    np.testing.assert_allclose(got[step], want[step], rtol=2e-4)
  final = engine.read_metrics(layouts / layout)[-1]
  one = engine.read_metrics(layouts / "1x1")[-1]
  assert final["test/accuracy"] == pytest.approx(one["test/accuracy"], abs=0.05)


@pytest.mark.slow
def test_checkpoint_of_two_processes_restores_in_one(layouts):
  record = engine.evaluate_run(
    str(layouts / "2x2"), overrides=["mesh.data=4", "mesh.fsdp=1"]
  )
  final = engine.read_metrics(layouts / "2x2")[-1]
  assert record["step"] == 6
  assert record["test/accuracy"] == pytest.approx(final["test/accuracy"])
