"""Loads, overrides, checks and completes configs."""

import ast
import importlib.util
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from jaxcls import _lookup, data

_SECTIONS = {
  "scenario": {},
  "model": {},
  "learner": {},
  "optimizer": {"name": "adamw"},
  "schedule": {"name": "constant"},
}
DEFAULTS = {
  "mode": "full",
  "seed": 0,
  "total_steps": None,
  "total_epochs": None,
  "batch_size": None,
  "accumulation_steps": 1,
  "trainable": "",
  "init_from": None,
  "inherit": "",
  "workers": 0,
  "mesh": {"data": -1, "fsdp": 1},
  "log_every_steps": 50,
  "checkpoint": {"every_steps": 1000, "keep": 2},
  "evaluation": {
    "metrics": ("accuracy", "negative_log_likelihood"),
    "outputs": {},
    "probes": (),
    "explanations": None,
    "every_steps": None,
    "every_epochs": None,
    "batch_size": None,
    "select": None,
  },
  "phases": (),
}
_PHASE_KEYS = {"name", *_SECTIONS, *DEFAULTS} - {
  "phases", "seed", "mesh", "mode", "log_every_steps", "checkpoint",
}  # fmt: skip


class ConfigError(ValueError):
  """A config that cannot run; says which field, what it holds and the fix."""


def load_config(path: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
  """Reads a config file and applies overrides.

  Args:
    path: a Python file with `get_config(mode)`, or "<file>:<mode>" with mode
      "full" or "smoke".
    overrides: "a.b=value"; values are Python literals, else strings.

  Returns:
    The checked config as plain nested dicts, every default filled in.

  Raises:
    ConfigError: unreadable file, unknown or missing field.
  """
  file, _, mode = path.partition(":")
  mode = mode or "full"
  if mode not in ("full", "smoke"):
    raise ConfigError(f"mode must be 'full' or 'smoke', got {mode!r}.")
  if not pathlib.Path(file).is_file():
    raise ConfigError(
      f"config must be a Python file, got {file!r}, which is not there."
    )
  spec = importlib.util.spec_from_file_location("jaxcls_config", file)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  if not hasattr(module, "get_config"):
    raise ConfigError(f"{file} must define get_config(mode), it does not.")
  config = plain(module.get_config(mode))
  config["mode"] = mode
  for text in overrides:
    override(config, text)
  return complete(config)


def plain(value: Any) -> Any:
  """ConfigDicts and mappings become dicts, sequences tuples."""
  if isinstance(value, ml_collections.ConfigDict):
    # Not items(): placeholders stay what they are.
    value = value.to_dict()
  if isinstance(value, Mapping):
    return {str(k): plain(v) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return tuple(plain(v) for v in value)
  return value


def override(config: dict, text: str) -> None:
  """Applies one "a.b=value" in place.

  Raises:
    ConfigError: not of that form, or inside something that is no section.
  """
  path, equals, text = text.partition("=")
  if not equals:
    raise ConfigError(
      f"an override must look like optimizer.name=sgd, got {path!r}."
    )
  try:
    value = ast.literal_eval(text)
  except (ValueError, SyntaxError):
    value = text
  *sections, last = path.split(".")
  node = config
  for i, section in enumerate(sections):
    if i == 0 and section not in config:
      _check_known((section,), {**_SECTIONS, **DEFAULTS}, "")
      node[section] = {}
    node = node[section] if section in node else node.setdefault(section, {})
    if not isinstance(node, dict):
      raise ConfigError(
        f"{path} must lie in a section, but {'.'.join(sections[: i + 1])} "
        f"holds {node!r}."
      )
  node[last] = plain(value)


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
  """Checks the top level and fills defaults in; sections are checked later.

  Raises:
    ConfigError: unknown or missing field, both or neither of total_steps and
      total_epochs.
  """
  config = plain(config)
  _check_known(config, {**_SECTIONS, **DEFAULTS}, "")
  for name, default in {**_SECTIONS, **DEFAULTS}.items():
    if isinstance(default, dict):
      given = config.get(name, {})
      if not isinstance(given, dict):
        raise ConfigError(
          f"{name} must be a section such as dict(name=...), got {given!r}."
        )
      if name not in _SECTIONS:
        _check_known(given, default, f"{name}.")
      config[name] = {**default, **given}
    else:
      config.setdefault(name, default)
  if config["mode"] == "smoke":
    _shrink(config)
  phases = config["phases"]
  for i, phase in enumerate(phases):
    _check_known(phase, _PHASE_KEYS, f"phases[{i}].")
  for i, whole in enumerate(phase_configs(config)):
    place = f"phases[{i}]." if phases else ""
    _check_phase(whole, place)
  return config


def _shrink(config: dict) -> None:
  """Makes a smoke run in place: two steps of eight examples, fake data."""
  config["phases"] = tuple(dict(phase) for phase in config["phases"])
  for section in (config, *config["phases"]):
    if "total_steps" in section or "total_epochs" in section:
      section |= {"total_steps": 2, "total_epochs": None}
    if section.get("batch_size") and not _is_episodic(section):
      section["batch_size"] = min(section["batch_size"], 8)
    if "schedule" in section:
      drop = ("warmup_steps", "warmup_epochs")
      kept = {k: v for k, v in section["schedule"].items() if k not in drop}
      section["schedule"] = kept
    if "scenario" in section:
      section["scenario"] = _fake_scenario(section["scenario"])
    if "evaluation" in section:
      section["evaluation"] = {
        **section["evaluation"], "every_steps": 1, "every_epochs": None,
        "batch_size": 8,
      }  # fmt: skip


def _is_episodic(section: Mapping[str, Any]) -> bool:
  """Whether the sampler's own numbers make the batch."""
  sampler = section.get("scenario", {}).get("sampler", {})
  named = isinstance(sampler, Mapping)
  return named and sampler.get("name") == "episodic_plan"


def _fake_scenario(scenario: Mapping[str, Any]) -> dict[str, Any]:
  """Puts fake data of the same shape in the place of a source."""
  source = scenario.get("source")
  if source is None or source == "fake":
    return dict(scenario)
  spec = data.source_spec(source, **scenario.get("options", {}))
  options = {
    "shape": spec.input_shape,
    "num_classes": spec.num_classes,
    "num_examples": max(64, 2 * spec.num_classes),
  }
  # A share of the real data need not exist in the fake.
  kept = {k: v for k, v in scenario.items() if k != "subset"}
  return {**kept, "source": "fake", "options": options}


def phase_configs(config: Mapping[str, Any]) -> list[dict[str, Any]]:
  """One whole config a phase; a run without phases is a single one.

  A phase's sections replace the outer ones; `evaluation` is merged.
  """
  config = dict(config)
  phases = config.pop("phases", ())
  if not phases:
    return [{**config, "name": "main"}]
  whole = []
  for i, phase in enumerate(phases):
    merged = {**config, **phase, "name": phase.get("name", f"phase{i}")}
    for length in ("total_steps", "total_epochs"):
      other = {"total_steps": "total_epochs", "total_epochs": "total_steps"}
      if phase.get(length) is not None:
        merged[other[length]] = phase.get(other[length])
    merged["evaluation"] = {
      **config["evaluation"], **phase.get("evaluation", {}),
    }  # fmt: skip
    for name, defaults in _SECTIONS.items():
      merged[name] = {**defaults, **merged[name]}
    whole.append(merged)
  return whole


def _check_phase(config: Mapping[str, Any], place: str) -> None:
  for name in _SECTIONS:
    if "name" not in config[name]:
      raise ConfigError(
        f"{place}{name}.name must be given, got {config[name]}. "
        f"Add {name}=dict(name=...) to the config."
      )
  if config["batch_size"] is None:
    raise ConfigError(f"{place}batch_size must be given, got nothing.")
  lengths = [config["total_steps"], config["total_epochs"]]
  if sum(x is not None for x in lengths) != 1:
    raise ConfigError(
      f"{place}total_steps or total_epochs must be given, one of them, "
      f"got {lengths[0]} and {lengths[1]}."
    )
  for name in ("batch_size", "total_steps", "total_epochs"):
    value = config[name]
    if value is not None and not value > 0:
      raise ConfigError(f"{place}{name} must be positive, got {value!r}.")
  select = config["evaluation"]["select"]
  if select and not str(select.get("metric", "")).startswith("val/"):
    raise ConfigError(
      f"{place}evaluation.select.metric must start with 'val/', got "
      f"{select.get('metric')!r}: test labels choose nothing. Set "
      "scenario.val_fraction and select on val."
    )


def _check_known(given, known, place: str) -> None:
  for key in given:
    if key not in known:
      hint = _lookup.nearest(key, known)
      raise ConfigError(
        f"{place}{key} must be a config field, got an unknown name.{hint}"
      )


def to_json(config: Mapping[str, Any]) -> str:
  """The config as stable, readable JSON."""
  return json.dumps(config, indent=2, sort_keys=True) + "\n"


def differences(old: Any, new: Any, place: str = "") -> list[str]:
  """Dotted fields where two JSON-like configs differ, with both values."""
  if isinstance(old, dict) and isinstance(new, dict):
    keys = sorted({*old, *new})
    return [
      line
      for key in keys
      for line in differences(
        old.get(key, "(absent)"),
        new.get(key, "(absent)"),
        f"{place}.{key}" if place else key,
      )
    ]
  return [] if old == new else [f"{place}: {old!r} became {new!r}"]


def steps_of(section: Mapping[str, Any], what: str, epoch_steps: float):
  """Reads `<what>_steps`, or `<what>_epochs` times the steps of an epoch."""
  steps, epochs = section.get(f"{what}_steps"), section.get(f"{what}_epochs")
  if steps is not None:
    return int(steps)
  return None if epochs is None else max(1, round(epochs * epoch_steps))
