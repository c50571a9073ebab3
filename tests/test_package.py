import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1] / "jaxcls"
# From the ground up; a file imports only from its own floor's package or below.
FLOORS = (
  {"ops"},
  {"losses", "optim", "classifiers", "explain", "attacks"},
  {"models", "data"},
  {"scenarios", "learners", "evaluation"},
  {"engine"},
  {"cli"},
)
LEVEL = {name: i for i, names in enumerate(FLOORS) for name in names}


def imported(path):
  """Packages of jaxcls that a file imports."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom) and node.module:
      parts = node.module.split(".")
      if parts[0] == "jaxcls":
        names = parts[1:2] or [alias.name for alias in node.names]
        yield from (name for name in names if name in LEVEL)


@pytest.mark.parametrize(
  "path", sorted(ROOT.glob("*/*.py")), ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_imports_come_from_below(path):
  own = path.parent.name
  for name in imported(path):
    # Packages of one floor may use each other where no cycle follows.
    assert LEVEL[name] <= LEVEL[own], f"{path} imports {name}"


def test_engine_names_no_learner():
  from jaxcls import learners

  names = [n for n, v in vars(learners).items() if isinstance(v, type)]
  methods = set(names) - {"State", "Aux"}
  snake = lambda name: re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
  assert methods
  for path in (ROOT / "engine").glob("*.py"):
    text = path.read_text()
    for name in methods:
      assert not re.search(rf"\b({name}|{snake(name)})\b", text), path


def test_import_is_light_and_touches_no_device():
  code = """
import time, sys, jax
begin = time.process_time()
import jaxcls
from jaxcls import losses
spent = time.process_time() - begin
for heavy in ("sklearn", "matplotlib", "grain", "orbax", "tensorflow", "PIL"):
  assert heavy not in sys.modules, heavy
import jaxcls.engine, jaxcls.cli
assert jaxcls.losses is losses
print(spent)
"""
  run = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True,
    # Whatever asked for a device would fail: there is no such platform.
    env={**os.environ, "JAX_PLATFORMS": "none_such"},
  )  # fmt: skip
  assert float(run.stdout) < 5  # Measured 0.1; slack for a busy machine.
