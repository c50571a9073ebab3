import doctest
import inspect
import sys

import pytest

from jaxcls import _lookup, optim

FUNCTIONS = [
  name
  for name in _lookup.public_names(optim)
  if inspect.isfunction(getattr(optim, name))
]
# Older names whose docstrings are shorter.
SHORT = {
  "constant", "cosine", "linear", "step_decay", "make_optimizer",
  "init_federated", "federated_round",
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_say_their_source_and_run(name):
  f = getattr(optim, name)
  module = sys.modules[f.__module__]
  if name not in SHORT:
    for part in ("Source:", "Differs:", ">>>"):
      assert part in f.__doc__
  for test in doctest.DocTestFinder(recurse=False).find(f, name, module):
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
