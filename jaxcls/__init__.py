"""jaxcls: classifiers for when the textbook's assumptions fail.

`import jaxcls` loads nothing else; `jaxcls.losses` and the other packages are
imported when they are first used.
"""

import importlib
import importlib.metadata

__version__ = importlib.metadata.version("jaxcls")

_PACKAGES = (
  "attacks", "classifiers", "data", "engine", "evaluation", "explain",
  "learners", "losses", "models", "ops", "optim", "scenarios",
)  # fmt: skip


def __getattr__(name: str):
  """Imports a package of jaxcls on first use."""
  if name in _PACKAGES:
    return importlib.import_module(f"jaxcls.{name}")
  raise AttributeError(f"module 'jaxcls' has no attribute {name!r}")


def __dir__():
  """The packages, for completion."""
  return [*globals(), *_PACKAGES]
