"""The report's sections about all runs: tables, curves, differences."""

import json
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcls.engine import _report_folders
from jaxcls.engine import _report_markup as ui

_DASHES = ("-", "--", ":", "-.")
_DASH_ARRAYS = ("", "7 3", "2 3", "7 3 2 3")
_CURVES = {
  "Training loss": ("train/loss", "loss"),
  "Training accuracy": ("train/accuracy", "accuracy"),
  "Validation accuracy": ("val/accuracy", "accuracy"),
  "Learning rate": ("train/learning_rate", "learning rate"),
}


def navigation(runs: Sequence[_report_folders.Run]) -> ui.Html:
  links = [
    ui.tag("a", run.label, href=f"#run{i}") for i, run in enumerate(runs)
  ]
  return ui.tag("nav", *links)


def comparison(
  name: str,
  results: Mapping[str, Any] | None,
  runs: Sequence[_report_folders.Run],
  series: Mapping[str, int],
) -> ui.Html:
  """The table of `compare`."""
  title = ui.tag("h2", f"Comparison {name}")
  if results is None:
    waiting = "There is no results.json: the comparison has not ended yet."
    return ui.join([title, ui.note(f"{waiting} {len(runs)} runs have begun.")])
  arms, seeds = results.get("arms", {}), results.get("seeds", [])
  parts = [title]
  if results.get("claim"):
    parts.append(ui.tag("p", "Claim: ", ui.tag("em", results["claim"])))
  metric, baseline = results.get("metric"), results.get("baseline")
  text = f"{metric} over {len(seeds)} seeds. Differences are paired by seed"
  text += f" and taken against {baseline!r}; the interval is Student's t, 95 %."
  parts.append(ui.tag("p", ui.hide_paths(text), class_="soft"))
  values = [v for a in arms.values() for v in a["values"] if v is not None]
  spans = (min(values), max(values)) if values else (0.0, 1.0)
  head = ["arm", "mean", "std", "difference", "95 % interval"]
  head += [f"seeds, {ui.number(spans[0])} to {ui.number(spans[1])}"]
  head += [f"seed {seed}" for seed in seeds]
  rows, colors = [], _arm_colors(arms, runs, series)
  for arm, found in arms.items():
    gap = found.get("difference")
    interval = "baseline" if gap is None else _interval(gap)
    rows.append([
      ui.breaks(ui.hide_paths(arm)), found["mean"], found["std"],
      gap and gap["mean"], interval, _strip(found, spans, colors[arm]),
      *found["values"],
    ])  # fmt: skip
  parts.append(ui.table(head, rows))
  lost = sum(found.get("diverged", 0) for found in arms.values())
  if lost:
    parts.append(ui.note(f"{lost} runs diverged; they have no value."))
  if len(seeds) < 3:
    parts.append(ui.note("Fewer than three seeds: too few to conclude from."))
  return ui.join(parts)


def _arm_colors(arms, runs, series) -> dict[str, int]:
  """The curves' colours; an arm without a run folder takes the next one."""
  known = {run.folder.parent.name: series[run.series] for run in runs}
  leaf = lambda arm: pathlib.PurePath(arm).name
  return {a: known.get(leaf(a), len(series) + i) for i, a in enumerate(arms)}


def _interval(gap: Mapping[str, Any]) -> str:
  if gap["low"] is None:
    return "one pair: none"
  away = gap["low"] > 0 or gap["high"] < 0
  verdict = "without 0" if away else "holds 0"
  return f"[{ui.number(gap['low'])}, {ui.number(gap['high'])}], {verdict}"


def _strip(arm: Mapping[str, Any], spans, i: int) -> ui.Html:
  """Every seed a dot and the mean a bar, on the scale of the table."""
  low, high = spans
  place = lambda v: 8 + 160 * ((v - low) / (high - low) if high > low else 0.5)
  color = f"var(--c{i % ui.NUM_COLORS})"
  dots = [
    f'<circle cx="{place(v):.1f}" cy="12" r="4.5" fill="{color}" '
    'fill-opacity="0.55"/>'
    for v in arm["values"]
    if v is not None
  ]
  x = None if arm["mean"] is None else f"{place(arm['mean']):.1f}"
  bar = x and f'<path d="M{x} 2V22" stroke="currentColor" stroke-width="2"/>'
  axis = '<path d="M8 12H168" stroke="var(--line)"/>'
  return ui.Html(
    '<svg class="strip" viewBox="0 0 176 24" role="img" aria-label="values">'
    f"{axis}{''.join(dots)}{bar or ''}</svg>"
  )


def summary(runs: Sequence[_report_folders.Run]) -> ui.Html:
  """One row a run."""
  metrics = dict.fromkeys(
    k for run in runs for k in _report_folders.results_of(run.final)
  )
  head = ["run", "state", "config", "steps", *metrics, "examples/s", "devices"]
  rows = []
  for i, run in enumerate(runs):
    rates = [v for _, v in run.points("time/examples_per_second")]
    rows.append([
      ui.tag("a", ui.breaks(run.label), href=f"#run{i}"),
      "finished" if run.finished else "not finished",
      _config_name(run),
      max((r["step"] for r in run.records), default=0),
      *(run.final.get(name) for name in metrics),
      round(statistics.median(rates)) if rates else None,
      devices(run.environment),
      _commit(run.environment),
    ])  # fmt: skip
  parts = [ui.tag("h2", "Runs"), ui.table([*head, "commit"], rows)]
  open_runs = [run.label for run in runs if not run.finished]
  if open_runs:
    text = "Not finished, so the numbers are those of the last evaluation: "
    parts.append(ui.note(text + ", ".join(open_runs)))
  return ui.join([*parts, *_mixed_versions(runs)])


def _mixed_versions(runs: Sequence[_report_folders.Run]) -> list[ui.Html]:
  """Notes on numbers that stand in one table but do not compare."""
  names = dict.fromkeys(
    k for run in runs for k in run.final if k.endswith("version")
  )
  notes = []
  for name in names:
    seen = dict.fromkeys(str(r.final[name]) for r in runs if name in r.final)
    if len(seen) > 1:
      text = f"{name} differs between the runs ({', '.join(seen)}): "
      notes.append(ui.note(f"{text}do not compare their numbers."))
  return notes


def _config_name(run: _report_folders.Run) -> str:
  """File name and mode, from the command line where it tells them."""
  words, name = list(run.environment.get("command", ())), None
  if "--config" in words[:-1]:
    after = words[words.index("--config") + 1 :]
    end = next((i for i, w in enumerate(after) if w.startswith("--")), None)
    if "train" in words[1:2] or len(after[:end]) == 1:
      name = pathlib.Path(after[0].rpartition("=")[2].split(":")[0]).stem
  mode = run.config.get("mode", "full")
  name = name or run.config.get("model", {}).get("name", "–")
  return name if mode == "full" else f"{name}:{mode}"


def devices(environment: Mapping[str, Any]) -> str:
  if "num_devices" not in environment:
    return "–"
  return f"{environment['num_devices']} × {environment.get('device_kind')}"


def _commit(environment: Mapping[str, Any]) -> str:
  git = environment.get("git") or {}
  commit = git.get("commit")
  return (commit[:8] + "+" * bool(git.get("modified"))) if commit else "–"


def curves(
  runs: Sequence[_report_folders.Run], series: Mapping[str, int]
) -> ui.Html:
  """Every metric of `_CURVES` that a run has, all runs in one chart."""
  charts = []
  for i, (title, (name, unit)) in enumerate(_CURVES.items()):
    curves = [(run, run.points(name)) for run in runs]
    curves = [(run, points) for run, points in curves if points]
    if curves:
      draw = lambda f, curves=curves, unit=unit: _draw(f, curves, series, unit)
      label = f"{title} by step, {len(curves)} runs"
      svg = ui.chart(draw, size=(4.6, 2.7), label=label, key=f"curve{i}")
      charts.append(ui.tag("figure", ui.tag("figcaption", title), svg))
  title = ui.tag("h2", "Curves")
  if not charts:
    return ui.join([title, ui.note("No metrics have been written yet.")])
  legend = [ui.tag("li", _swatch(i), " ", name) for name, i in series.items()]
  parts = [title, ui.tag("ul", *legend, class_="legend")]
  if any(run.arm is not None for run in runs):
    text = "Runs of one arm share a colour; their mean is the thick line."
    parts.append(ui.tag("p", text, class_="soft"))
  return ui.join([*parts, ui.tag("div", *charts, class_="charts")])


def _swatch(i: int) -> ui.Html:
  dash = _DASH_ARRAYS[i // ui.NUM_COLORS % len(_DASH_ARRAYS)]
  return ui.Html(
    f'<svg viewBox="0 0 30 10" aria-hidden="true"><path d="M0 5H30" '
    f'stroke="var(--c{i % ui.NUM_COLORS})" stroke-width="3" '
    f'stroke-dasharray="{dash}"/></svg>'
  )


def _draw(figure, curves, series: Mapping[str, int], unit: str) -> None:
  """Thin lines for the runs of an arm under the thick line of their mean."""
  from matplotlib import ticker

  axis, arms = figure.subplots(), {}
  for run, points in curves:
    if run.arm is not None:
      arms.setdefault(run.arm, []).append(dict(points))

  def plot(points, i, **style):
    marker = "o" if len(points) <= 12 else None
    axis.plot(
      *zip(*points, strict=True), _DASHES[i // ui.NUM_COLORS % len(_DASHES)],
      color=ui.SERIES[i % ui.NUM_COLORS], marker=marker, markersize=3, **style,
    )  # fmt: skip

  for run, points in curves:
    thin = run.arm is not None and len(arms[run.arm]) > 1
    style = {"linewidth": 0.8, "alpha": 0.45} if thin else {"linewidth": 1.5}
    plot(points, series[run.series], **style)
  for arm, members in arms.items():
    shared = sorted(set.intersection(*map(set, members)))
    if len(members) > 1 and shared:
      mean = [(s, float(np.mean([m[s] for m in members]))) for s in shared]
      plot(mean, series[arm], linewidth=2)
  values = [value for _, points in curves for _, value in points]
  if unit == "loss" and min(values) > 0 and max(values) > 30 * min(values):
    axis.set_yscale("log")
  else:
    axis.yaxis.set_major_locator(ticker.MaxNLocator(5))
  axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
  axis.yaxis.set_minor_formatter(ticker.NullFormatter())
  axis.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
  axis.xaxis.set_major_formatter(
    lambda value, _: f"{value / 1e3:g}k" if value >= 1e4 else f"{value:g}"
  )
  axis.set(xlabel="step", ylabel=unit)


def _flatten(node: Any, place: str = "") -> dict[str, str]:
  """Dotted field -> its value as JSON."""
  if isinstance(node, dict) and node:
    found = {}
    for key, value in node.items():
      found |= _flatten(value, f"{place}.{key}" if place else key)
    return found
  shown = node if isinstance(node, str) else json.dumps(node)
  return {place: ui.hide_paths(shown)}


def config_differences(runs: Sequence[_report_folders.Run]) -> ui.Html:
  """A row for every field that is not the same in all runs."""
  if len(runs) < 2:
    return ui.Html("")
  flat = [_flatten(run.config) for run in runs]
  fields = sorted({field for one in flat for field in one})
  rows = [[f, *(one.get(f, "(absent)") for one in flat)] for f in fields]
  rows = [row for row in rows if len(set(row[1:])) > 1]
  title = ui.tag("h2", "What differs between the configs")
  if not rows:
    return ui.join([title, ui.tag("p", "Nothing: the configs are the same.")])
  return ui.join(
    [title, ui.table(["field", *(run.label for run in runs)], rows)]
  )
