"""Resolves a config's names against a package, with helpful errors."""

import dataclasses
import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any


def nearest(name: str, known: Iterable[str]) -> str:
  """Returns " Did you mean 'x'?" or, where nothing is close, the choices."""
  known = sorted(map(str, known))
  close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
  if close:
    return f" Did you mean {close[0]!r}?"
  return f" Known: {', '.join(known)}."


def public_names(package: ModuleType) -> list[str]:
  """The callables that a package exports."""
  return [
    name
    for name, value in vars(package).items()
    if not name.startswith("_")
    and callable(value)
    and not isinstance(value, ModuleType)
  ]


def find(name: str, *packages: ModuleType, field: str) -> Callable:
  """Returns the public callable `name` of the first package that has it.

  A class may be named in snake case: "long_tailed" finds LongTailed.

  Args:
    name: a public name.
    *packages: tried in order.
    field: the config field, for the error.

  Raises:
    ValueError: no package has it; names the nearest that one has.
  """
  name = str(name)
  camel = "".join(word.capitalize() for word in name.split("_"))
  for package in packages:
    for candidate in (name, camel):
      value = getattr(package, candidate, None)
      if callable(value) and not candidate.startswith("_"):
        return value
  places = " or ".join(package.__name__ for package in packages)
  hint = nearest(name, public_names(packages[0]))
  raise ValueError(
    f"{field} must be a public name of {places}, got {name!r}.{hint}"
  )


def parameters(target: Callable) -> dict[str, bool]:
  """Maps each parameter that a config may set to whether it is required."""
  if dataclasses.is_dataclass(target):
    missing = dataclasses.MISSING
    return {
      f.name: f.default is missing and f.default_factory is missing
      for f in dataclasses.fields(target)
      if f.init
    }
  kinds = (
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
  )
  return {
    p.name: p.default is inspect.Parameter.empty
    for p in inspect.signature(target).parameters.values()
    if p.kind in kinds
  }


def check_fields(
  given: Mapping[str, Any],
  target: Callable,
  *,
  field: str,
  supplied: Iterable[str] = (),
  extra: Iterable[str] = (),
) -> None:
  """Checks a config section against what its target takes.

  Args:
    given: the section; its key "name" is passed over.
    target: dataclass or function that the section is for.
    field: the section's place in the config, for the error.
    supplied: parameters that the caller fills in itself.
    extra: further keys that the caller understands.

  Raises:
    ValueError: an unknown key (with the nearest known one) or a missing one.
  """
  takes = parameters(target)
  for name in supplied:
    takes.pop(name, None)
  known = [*takes, *extra]
  for key in given:
    if key != "name" and key not in known:
      raise ValueError(
        f"{field}.{key} must be a field of {target.__name__}, "
        f"got the unknown name {key!r}.{nearest(key, known)}"
      )
  for key, required in takes.items():
    if required and key not in given:
      raise ValueError(
        f"{field}.{key} must be given for {target.__name__}, got nothing. "
        f"Set {field}.{key} in the config."
      )


def bind(
  section: Any, *packages: ModuleType, field: str, supplied: Iterable[str] = ()
) -> Callable:
  """Returns the function that a section names, hyperparameters filled in.

  Args:
    section: a name, or a mapping with "name" and keyword arguments.
    *packages: where the name is looked up.
    field: the section's place in the config, for errors.
    supplied: parameters that the caller will pass.
  """
  section = {"name": section} if isinstance(section, str) else dict(section)
  if "name" not in section:
    raise ValueError(
      f"{field}.name must be given, got {section}. Set {field}.name to a "
      f"public name of {packages[0].__name__}."
    )
  target = find(section.pop("name"), *packages, field=f"{field}.name")
  check_fields(section, target, field=field, supplied=supplied)
  return functools.partial(target, **section) if section else target


def call(section: Any, *packages: ModuleType, field: str, **supplied) -> Any:
  """Calls what a section names; drops `supplied` that it does not take."""
  target = bind(section, *packages, field=field, supplied=supplied)
  takes = parameters(target)
  return target(**{k: v for k, v in supplied.items() if k in takes})
