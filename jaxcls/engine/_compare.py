"""Arms x seeds under one budget: the harness of every experiment."""

import importlib.util
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcls import _lookup
from jaxcls.engine import _config, _folder, _log, _loop, _train

_EXPERIMENT_KEYS = {
  "arms", "seeds", "metric", "also", "baseline", "claim", "set", "same_budget",
}  # fmt: skip


def load_experiment(path: str) -> dict[str, Any]:
  """Reads `get_experiment()` of an experiment file.

  Returns:
    `arms` {name: {"config": file, "set": overrides}}, `seeds`, `metric`,
    `also` (further metrics), `baseline` (an arm), `claim`, `set` (overrides
    in every arm) and `same_budget`.

  Raises:
    ConfigError: unreadable, or an unknown or missing field.
  """
  if not pathlib.Path(path).is_file():
    raise _config.ConfigError(
      f"experiment must be a Python file, got {path!r}, which is not there."
    )
  spec = importlib.util.spec_from_file_location("jaxcls_experiment", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  experiment = _config.plain(module.get_experiment())
  for key in experiment:
    if key not in _EXPERIMENT_KEYS:
      raise _config.ConfigError(
        f"{key} must be a field of an experiment, got an unknown name."
        f"{_lookup.nearest(key, _EXPERIMENT_KEYS)}"
      )
  return experiment


def compare(
  arms: Mapping[str, Mapping[str, Any]],
  *,
  workdir: str,
  seeds: Sequence[int] = (0, 1, 2),
  metric: str = "test/accuracy",
  also: Sequence[str] = (),
  baseline: str | None = None,
  claim: str = "",
  set: Sequence[str] = (),
  same_budget: bool = True,
) -> dict[str, Any]:
  """Trains every arm with every seed, and compares them pair by pair.

  A run that is finished is not run again, one that was stopped goes on. An
  arm that diverges keeps its place, with no value for that seed.

  Args:
    arms: {name: {"config": file or complete config, "set": overrides}}.
    workdir: run folders go to <workdir>/<arm>/seed<n>; results.json and
      results.png beside them.
    seeds: at least one; the same for all arms, so differences are paired.
    metric: a name in the last evaluation's record, or "<name>@<fraction>": the
      mean of what was logged under that name in the tenth of the run that
      ends at the fraction, such as "train/loss@0.25"; or "<name>>=<value>":
      the step at which the logged value was first that high, the last step
      where it never was.
    also: further metrics, for the record.
    baseline: the arm that others are compared with; None: the first.
    claim: what the experiment is to show, in words.
    set: overrides in every arm.
    same_budget: raises unless all arms see the same number of examples.

  Returns:
    The content of results.json: for each arm `values` by seed, `mean`, `std`
    (sample standard deviation), and against the baseline `difference`: mean
    of the paired differences and the 95 % interval of Student's t; the same
    under `also` for each further metric.

  Raises:
    ConfigError: no such baseline or metric, unequal budgets.
  """
  baseline = baseline or next(iter(arms))
  if baseline not in arms:
    raise _config.ConfigError(
      f"baseline must be an arm, got {baseline!r}."
      f"{_lookup.nearest(baseline, arms)}"
    )
  configs = {name: _load_arm(arm, set) for name, arm in arms.items()}
  if same_budget:
    _check_budgets(configs)
  root = pathlib.Path(workdir)
  records: dict[str, list] = {name: [] for name in arms}
  for seed in seeds:  # Seeds outermost: a table of all arms comes early.
    for name, config in configs.items():
      folder = root / name / f"seed{seed}"
      record = _run({**config, "seed": seed}, str(folder))
      if record is not None:
        record = {**record, **_logged(folder, (metric, *also))}
      records[name].append(record)
  results = {
    "metric": metric, "seeds": list(seeds), "baseline": baseline,
    "claim": claim, "versions": _versions(records),
    "budget": {name: _budget(config) for name, config in configs.items()},
    "arms": summarize(records, metric, baseline),
    "also": {name: summarize(records, name, baseline) for name in also},
  }  # fmt: skip
  _folder.write(root / "results.json", json.dumps(results, indent=2) + "\n")
  _plot(results, root / "results.png")
  return results


def _load_arm(arm: Mapping[str, Any], overrides: Sequence[str]):
  config, own = arm["config"], tuple(arm.get("set", ()))
  if isinstance(config, str):
    return _config.load_config(config, (*overrides, *own))
  config = _config.plain(config)
  for text in (*overrides, *own):
    _config.override(config, text)
  return _config.complete(config)


def _run(config: Mapping[str, Any], folder: str) -> dict[str, Any] | None:
  """The last evaluation's record; None if the loss was not finite."""
  try:
    return _train.train(config, folder)
  except _loop.Diverged:
    return None


def _logged(folder: pathlib.Path, names: Sequence[str]) -> dict[str, float]:
  """Values of the names that ask for a part of the run, from its log."""
  names = [name for name in names if "@" in name or ">=" in name]
  log = _log.read_metrics(folder) if names else []
  found = {}
  for name in names:
    key, mark, number = name.rpartition("@" if "@" in name else ">=")
    rows = [(row["step"], row[key]) for row in log if key in row]
    last = max((step for step, _ in rows), default=0)
    if mark == "@":
      end = float(number) * last
      kept = [v for step, v in rows if end - 0.1 * last < step <= end]
    else:
      high = [step for step, v in rows if v >= float(number)]
      kept = [min(high, default=last)] if rows else []
    if not kept:
      raise _config.ConfigError(
        f"metric {name!r} must be logged in that part of the run, it is not."
        f"{_lookup.nearest(key, {k for row in log for k in row})}"
      )
    found[name] = float(np.mean(kept))
  return found


def _budget(config: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Length and batch size of each phase."""
  keys = ("total_steps", "total_epochs", "batch_size", "accumulation_steps")
  return [
    {key: phase[key] for key in keys if phase[key] is not None}
    for phase in _config.phase_configs(config)
  ]


def _check_budgets(configs: Mapping[str, Any]) -> None:
  seen = lambda c: sorted(
    (str(p.get("total_steps")), str(p.get("total_epochs")), p["batch_size"])
    for p in _budget(c)
  )
  (first, one), *others = configs.items()
  for name, config in others:
    if seen(config) != seen(one):
      raise _config.ConfigError(
        f"all arms must have the same budget, but {first} has {_budget(one)} "
        f"and {name} has {_budget(config)}. Make them equal, or set "
        "same_budget=False and say why in the claim."
      )


def _versions(records: Mapping[str, Sequence[Mapping | None]]) -> dict:
  """Evaluator and split versions; a table never mixes them."""
  found: dict[str, Any] = {}
  for name, runs in records.items():
    for record in filter(None, runs):
      for key, value in record.items():
        if key.endswith("version") and found.setdefault(key, value) != value:
          raise _config.ConfigError(
            f"{key} must be the same in all runs, got {found[key]!r} and "
            f"{value!r} in {name}. Run the older ones again."
          )
  return found


def summarize(
  records: Mapping[str, Sequence[Mapping | None]], metric: str, baseline: str
) -> dict[str, dict[str, Any]]:
  """Mean, standard deviation and paired difference of each arm."""
  values = {}
  for name, runs in records.items():
    for record in filter(None, runs):
      if metric not in record:
        raise _config.ConfigError(
          f"metric must be in the last evaluation, got {metric!r}."
          f"{_lookup.nearest(metric, record)}"
        )
    values[name] = [r and r[metric] for r in runs]
  table = {}
  for name, row in values.items():
    kept = [v for v in row if v is not None]
    pairs = zip(row, values[baseline], strict=True)
    gaps = [a - b for a, b in pairs if a is not None and b is not None]
    table[name] = {
      "values": row,
      "mean": float(np.mean(kept)) if kept else None,
      "std": float(np.std(kept, ddof=1)) if len(kept) > 1 else None,
      "diverged": len(row) - len(kept),
    }
    if name != baseline:
      table[name]["difference"] = paired_interval(gaps)
  return table


def paired_interval(
  differences: Sequence[float], *, level: float = 0.95
) -> dict[str, Any]:
  """Mean of paired differences with the interval of Student's t.

  mean +- t_{n-1, (1 + level) / 2} * s / sqrt(n).

  Args:
    differences: one a seed.
    level: coverage in (0, 1).

  Returns:
    `mean`, `low`, `high` (None below two pairs) and `pairs`.
  """
  from scipy import stats

  n = len(differences)
  mean = float(np.mean(differences)) if n else None
  low = high = None
  if n > 1:
    error = float(np.std(differences, ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    low, high = mean - half, mean + half
  return {"mean": mean, "low": low, "high": high, "pairs": n}


def _plot(results: Mapping[str, Any], path: pathlib.Path) -> None:
  """Every seed a point, mean and standard deviation an error bar."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(5, 1 + 0.5 * len(results["arms"])))
  figure.set_layout_engine("constrained")
  axis = figure.subplots()
  for i, arm in enumerate(results["arms"].values()):
    kept = [v for v in arm["values"] if v is not None]
    axis.plot(kept, [i] * len(kept), "o", alpha=0.5, markersize=5)
    if kept:
      spread = arm["std"] or 0.0
      axis.errorbar(arm["mean"], i, xerr=spread, fmt="k|", capsize=4)
  axis.set_yticks(range(len(results["arms"])), list(results["arms"]))
  axis.set(xlabel=results["metric"], ylim=(-0.5, len(results["arms"]) - 0.5))
  axis.invert_yaxis()
  figure.savefig(path, dpi=120)


def print_results(results: Mapping[str, Any]) -> None:
  """Prints the table of a comparison."""
  from rich import console, table

  out = table.Table(title=f"{results['metric']}, seeds {results['seeds']}")
  for heading in ("arm", "mean", "std", "difference", "95 % interval"):
    out.add_column(heading, justify="left" if heading == "arm" else "right")
  show = lambda x: "-" if x is None else f"{x:.4f}"
  for name, arm in results["arms"].items():
    gap = arm.get("difference")
    interval = "baseline" if gap is None else (
      f"[{show(gap['low'])}, {show(gap['high'])}]"
    )  # fmt: skip
    mean = show(arm["mean"])
    if arm["diverged"]:
      mean += f" ({arm['diverged']} diverged)"
    out.add_row(
      name, mean, show(arm["std"]), show(gap and gap["mean"]), interval
    )
  console.Console().print(out, markup=False)
  for metric, arms in results.get("also", {}).items():
    row = ", ".join(
      f"{name} {show(arm['mean'])} ± {show(arm['std'])}"
      for name, arm in arms.items()
    )
    console.Console().print(f"{metric}: {row}", markup=False)
  if results["claim"]:
    console.Console().print(f"Claim: {results['claim']}", markup=False)
