"""What the report reads: run folders and folders of compare."""

import dataclasses
import json
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcls.engine import _folder, _log
from jaxcls.engine import _report_markup as ui

_MAX_POINTS = 400  # of a curve


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """What a run folder holds.

  Attributes:
    folder: where it is.
    arm: its arm, with the comparison's name where there are several; None
      for a run of its own.
    label: its name on the page.
    config, environment: the files of that name.
    records: the lines of metrics.jsonl.
    final: the last evaluation.
    finished: it has a summary.
  """

  folder: pathlib.Path
  arm: str | None
  label: str
  config: Mapping[str, Any]
  environment: Mapping[str, Any]
  records: Sequence[Mapping[str, Any]]
  final: Mapping[str, Any]
  finished: bool

  @property
  def series(self) -> str:
    """Runs of one series share a colour: an arm, or the run itself."""
    return self.label if self.arm is None else self.arm

  def points(self, name: str) -> list[tuple[int, float]]:
    """Finite (step, value) of a metric, thinned to what a chart can show."""
    found = [
      (r["step"], r[name])
      for r in self.records
      if isinstance(r.get(name), int | float) and math.isfinite(r[name])
    ]
    if len(found) > _MAX_POINTS:
      chosen = np.linspace(0, len(found) - 1, _MAX_POINTS).round().astype(int)
      found = [found[i] for i in chosen]
    return found


def absolute(workdirs) -> list[pathlib.Path]:
  """Distinct absolute paths, in order; links keep the name they were given."""
  paths = [os.path.abspath(os.path.expanduser(w)) for w in workdirs]
  return [pathlib.Path(path) for path in dict.fromkeys(paths)]


def name_of(folder: pathlib.Path) -> str:
  return folder.name or "root"


def collect(workdirs) -> tuple[list[Run], dict[str, tuple]]:
  """All runs in order, and (results, runs) of each comparison by name."""
  found, roots = [], {}
  for folder in absolute(workdirs):
    if not folder.is_dir():
      raise _folder.RunFolderError(
        f"workdir must be a run folder, got {str(folder)!r}, which is not "
        "there. Correct the path."
      )
    inner = _arm_folders(folder)
    if inner or (folder / "results.json").is_file():
      roots[folder] = inner
    if (folder / "config.json").is_file():
      found.append((folder, None, 1))
    elif folder not in roots:
      raise _folder.RunFolderError(
        f"workdir must be a run folder or one of compare, got {str(folder)!r}, "
        "which has no config.json. Train it first, or correct the path."
      )
    for arm, path in inner:
      found.append((path, (folder, arm), len(path.relative_to(folder).parts)))
  if not found and not roots:
    raise _folder.RunFolderError("workdirs must name a run folder, got none.")
  labels = _labels([path for path, _, _ in found], [n for _, _, n in found])
  titles = dict(zip(roots, _labels(list(roots), [1] * len(roots)), strict=True))
  runs, comparisons = [], {t: (_results(r), []) for r, t in titles.items()}
  for (path, place, _), label in zip(found, labels, strict=True):
    root, arm = place or (None, None)
    if arm is not None and len(roots) > 1:
      arm = f"{titles[root]}: {arm}"
    run = _load_run(path, arm and ui.hide_paths(arm), label)
    runs.append(run)
    if root is not None:
      comparisons[titles[root]][1].append(run)
  return runs, comparisons


def _results(root: pathlib.Path) -> dict[str, Any] | None:
  path = root / "results.json"
  return _read_json(path) if path.is_file() else None


def _arm_folders(root: pathlib.Path) -> list[tuple[str, pathlib.Path]]:
  """(arm, run folder) of a comparison, finished or not."""
  results = _results(root)
  if results is not None:
    wanted = [
      (arm, root / arm / f"seed{seed}")
      for arm in results.get("arms", {})
      for seed in results.get("seeds", ())
    ]
    return [(a, p) for a, p in wanted if (p / "config.json").is_file()]
  seed = lambda path: int(path.parent.name.removeprefix("seed"))
  paths = [
    p
    for p in root.glob("*/seed*/config.json")
    if re.fullmatch(r"seed\d+", p.parent.name)
  ]
  paths.sort(key=lambda p: (p.parent.parent.name, seed(p)))
  return [(p.parent.parent.name, p.parent) for p in paths]


def _labels(paths, sizes) -> list[str]:
  """The last parts of each path, `sizes` of them or more until they differ."""
  sizes = list(sizes)
  while True:
    tails = [
      "/".join(path.parts[-size:]).lstrip("/") or "root"
      for path, size in zip(paths, sizes, strict=True)
    ]
    twice = [tails.count(tail) > 1 for tail in tails]
    if not any(twice):
      return tails
    sizes = [n + again for n, again in zip(sizes, twice, strict=True)]


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  """Reads an object; a file that is not there gives an empty one."""
  if not path.is_file():
    return {}
  try:
    content = json.loads(path.read_text("utf-8"))
  except ValueError as error:
    raise _folder.RunFolderError(
      f"{path} must hold JSON, but it does not ({error})."
    ) from error
  if not isinstance(content, dict):
    raise _folder.RunFolderError(f"{path} must hold a JSON object.")
  return content


def _load_run(folder, arm, label) -> Run:
  records = [
    r
    for r in _log.read_metrics(folder)
    if isinstance(r, dict) and isinstance(r.get("step"), int)
  ]
  evaluated = [r for r in records if results_of(r)]
  final = _read_json(folder / "summary.json")
  return Run(
    folder=folder,
    arm=arm,
    label=label,
    config=_read_json(folder / "config.json"),
    environment=_read_json(folder / "environment.json"),
    records=records,
    final=final or (evaluated[-1] if evaluated else {}),
    finished=bool(final),
  )


def results_of(record: Mapping[str, Any]) -> dict[str, float]:
  """The numbers of an evaluation."""
  return {
    name: value
    for name, value in record.items()
    if isinstance(value, int | float)
    and name != "step"
    and not name.startswith(("train/", "time/"))
  }
