"""Every op, forward and backward, compiled for a TPU that is not here."""

import importlib.util

import pytest

from jaxcls import ops
from jaxcls.ops import preflight

needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec("libtpu") is None, reason="needs the TPU compiler"
)
CASES = preflight.cases()
# Those of local linear attention are compiled in its own tests; of the float
# types of one shape the first is (`python -m jaxcls.ops.preflight`: all).
COMPILED = {
  (case.name, case.shape.rpartition(" ")[0] or case.shape): case
  for case in reversed(CASES)
  if not case.name.startswith("local_linear")
}.values()
# Which path a shape takes is a rule (see the ops' docstrings): by name and n.
PALLAS = {("soft_sort().matrix()", "odd_even 256x64 f32")}


@needs_libtpu
@pytest.mark.slow
@pytest.mark.parametrize("case", COMPILED, ids=lambda c: f"{c.name}-{c.shape}")
def test_compiles_for_v5e(case):
  part = "gradient" if case.differentiate else "forward"
  (result,) = preflight.compile_case(case, target="v5e:2x2", parts=[part])
  assert not result.error
  assert result.peak_mib > 0
  if (case.name, case.shape) in PALLAS:
    assert result.path == "pallas"


def test_every_folder_with_kernels_has_cases():
  folders = {
    f.__module__.split(".")[2] for f in vars(ops).values() if callable(f)
  }
  assert folders == {case.op for case in CASES}


def test_unknown_op_names_the_known():
  with pytest.raises(ValueError, match="sorting.*got 'sort'"):
    preflight.cases("sort")


def test_command(capsys):
  assert preflight.main(["--op", "cross_entropy", "--target", "v6e:2x2"]) == 0
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 4
  assert all("linear_cross_entropy" in line for line in lines)
