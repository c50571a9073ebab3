"""Every example in a docstring runs; public functions name their source."""

import doctest
import importlib
import inspect
import pathlib
import re

import numpy as np
import pytest

from jaxcls import (
  _lookup,
  attacks,
  classifiers,
  evaluation,
  losses,
  ops,
  optim,
)

ROOT = pathlib.Path(__file__).parents[1]
FILES = [
  path
  for path in sorted((ROOT / "jaxcls").rglob("*.py"))
  if ">>> " in path.read_text()
]
# Without a paper, or parts of a function that has one.
SHORT = {
  "constant", "cosine", "linear", "step_decay", "make_optimizer",
  "init_federated", "federated_round", "check_metrics", "make_explainer",
  "explanation_key", "init_spherical", "make_spherical_loss",
  "spherical_forward", "spherical_kernel", "spherical_refold",
  "spherical_update",
}  # fmt: skip
FUNCTIONS = [
  getattr(package, name)
  for package in (attacks, classifiers, evaluation, losses, ops, optim)
  for name in _lookup.public_names(package)
  if inspect.isfunction(getattr(package, name)) and name not in SHORT
]
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?")


class Near(doctest.OutputChecker):
  """Numbers may differ by what a compiler's order of sums makes of them."""

  def check_output(self, want, got, flags):
    """True if the texts agree and their numbers nearly do."""
    if super().check_output(want, got, flags):
      return True
    texts = ["".join(NUMBER.sub("", text).split()) for text in (want, got)]
    a, b = ([float(x) for x in NUMBER.findall(text)] for text in (want, got))
    if texts[0] != texts[1] or len(a) != len(b):
      return False
    return np.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  "path", FILES, ids=lambda p: str(p.relative_to(ROOT / "jaxcls"))
)
def test_examples_are_true(path):
  name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
  module = importlib.import_module(name.removesuffix(".__init__"))
  runner, said = doctest.DocTestRunner(checker=Near(), verbose=False), []
  tests = doctest.DocTestFinder().find(module)
  for test in tests:
    runner.run(test, out=said.append)
  assert any(test.examples for test in tests)
  assert not runner.failures, "".join(said)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_docstring_has_source_difference_and_example(f):
  for part in ("\n  Source: ", "\n  Differs: ", "\n  >>> "):
    assert part in f.__doc__
