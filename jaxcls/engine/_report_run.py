"""The report's section about one run: how it does on the test set."""

import html
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcls import _lookup, data, evaluation, scenarios
from jaxcls.engine import (
  _config,
  _report_folders,
  _report_overview,
)
from jaxcls.engine import _report_markup as ui

_MAX_DETAILED = 6  # runs with matrices and images
_MAX_CELLS = 20  # classes of a confusion matrix that shows its counts
_NUM_SAMPLES = 12
_NUM_BINS = 15


def run_section(i: int, run: _report_folders.Run) -> ui.Html:
  parts = [ui.tag("h2", run.label)]
  if not run.records:
    parts.append(
      ui.note("metrics.jsonl is missing or empty: nothing is known.")
    )
  if i < _MAX_DETAILED:
    parts += _test_results(i, run)
  else:
    text = f"Matrices and images are shown of the first {_MAX_DETAILED} runs "
    parts.append(ui.note(f"{text}only. Ask for a report of this one alone."))
  whole = ui.hide_paths(_config.to_json(run.config))
  environment = _environment(run.environment)
  for name, inner in (
    ("Config", ui.tag("pre", whole)), ("Environment", environment),
  ):  # fmt: skip
    parts.append(ui.tag("details", ui.tag("summary", name), inner))
  return ui.tag("section", *parts, class_="run", id=f"run{i}")


def _environment(environment: Mapping[str, Any]) -> ui.Html:
  if not environment:
    return ui.note("There is no environment.json.")
  packages = environment.get("packages", {})
  command = list(environment.get("command", ()))
  git = environment.get("git") or {}
  state = {True: ", with changes", False: ", clean"}.get(
    git.get("modified"), ""
  )
  rows = [
    ["command", ui.hide_paths(" ".join(map(str, command)))],
    ["python", str(environment.get("python", "–"))],
    ["packages", ", ".join(f"{k} {v}" for k, v in packages.items())],
    ["platform", str(environment.get("platform", "–"))],
    ["devices", _report_overview.devices(environment)],
    ["processes", str(environment.get("num_processes", "–"))],
    ["commit", f"{git.get('commit') or '–'}{state}"],
  ]
  return ui.table(["", "value"], rows)


def _test_results(i: int, run: _report_folders.Run) -> list[ui.Html]:
  """Confusion, accuracy by class, calibration and samples of the test set."""
  found, problem = _predictions(run.folder)
  if problem:
    return [ui.note(problem)]
  num_classes = found["logits"].shape[1]
  source, missing = _test_source(run.config, found)
  names = [str(c) for c in range(num_classes)]
  if source is not None and source.num_classes == num_classes:
    names = [str(name) for name in source.class_names]
  parts = []
  if source is None:
    parts.append(ui.note(missing))
  counts = np.asarray(
    evaluation.confusion_matrix(found["logits"], found["label"])
  )
  left = ui.tag("div", _confusion(counts, names), _per_class(counts, names))
  right = ui.tag("div", _reliability(i, found))
  parts.append(ui.tag("div", left, right, class_="pair"))
  if source is not None:
    parts += _samples(found, source, names)
  return parts


def _predictions(folder: pathlib.Path):
  """(arrays with softmax added, None) or (None, what is wrong)."""
  path = folder / "predictions" / "test.npz"
  if not path.is_file():
    return None, (
      "There is no predictions/test.npz: the run has not been evaluated on "
      "the test split yet."
    )
  try:
    with path.open("rb") as raw, np.load(raw) as file:
      found = {name: file[name] for name in ("logits", "label", "id")}
    logits = found["logits"] = found["logits"].astype(np.float32)
    n, c = logits.shape
    if not found["label"].shape == found["id"].shape == (n,) or not n:
      raise ValueError(f"logits {n} x {c}, labels {found['label'].shape}")
    if not -1 <= found["label"].min() <= found["label"].max() < c:
      raise ValueError(f"labels must be in [-1, {c})")
  except (
    OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile,
    zlib.error,
  ) as error:  # fmt: skip
    reason = ui.hide_paths(str(error))
    return None, f"predictions/test.npz is damaged or was cut short ({reason})."
  if np.isnan(logits).any():
    return None, "predictions/test.npz holds NaN: the model has diverged."
  shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
  found["probs"] = shifted / shifted.sum(axis=1, keepdims=True)
  return found, None


def _test_source(config: Mapping[str, Any], found):
  """(the last stage's test set, None) or (None, why there are no images)."""
  try:
    config = _config.phase_configs(_config.plain(config))[-1]
    make = _lookup.bind(config["scenario"], scenarios, field="scenario")
    *_, stage = make().stages(config.get("seed", 0))
    source = stage.evals["test"]
    inside = found["id"].max() < len(source.all_labels)
    labels = source.all_labels[found["id"]] if inside else None
  except (ValueError, OSError, ImportError, KeyError, TypeError) as error:
    reason = ui.hide_paths(str(error))
    return None, f"No class names and no images: no data set here. {reason}"
  kept = found["label"] >= 0
  if labels is None or (labels != found["label"])[kept].any():
    return None, (
      "No class names and no images: the data set's labels are not those of "
      "the predictions; it has changed since."
    )
  return source, None


def _confusion(counts: np.ndarray, names: Sequence[str]) -> ui.Html:
  """Counts in shaded cells; of many classes one picture and the worst pairs."""
  # The root makes a few mistakes in a hundred visible.
  shade = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
  title = ui.tag("h3", "Confusion matrix, test")
  if len(names) > _MAX_CELLS:
    return ui.join([title, *_large_confusion(counts, shade, names)])
  rows = []
  for i, name in enumerate(names):
    cells = []
    for j, count in enumerate(counts[i]):
      kind = "hit" if i == j else "miss"
      kind += " dense" if shade[i, j] > 0.6 else ""
      style = {"class_": kind, "style": f"--v:{shade[i, j]:.2f}"}
      cells.append(ui.tag("td", count or "", **(style if count else {})))
    rows.append(ui.tag("tr", ui.tag("th", name, scope="row"), *cells))
  heads = [ui.tag("th", name, scope="col") for name in ("true \\ said", *names)]
  head = ui.tag("tr", *heads)
  caption = ui.tag("caption", "Rows: true class. Columns: prediction.")
  table = ui.tag(
    "table", caption, ui.tag("thead", head), ui.tag("tbody", *rows),
    class_="confusion",
  )  # fmt: skip
  return ui.join([title, ui.tag("div", table, class_="scroll")])


def _large_confusion(counts, shade, names) -> list[ui.Html]:
  image = np.zeros((*shade.shape, 4), np.uint8)
  image[..., :3] = (196, 74, 10)
  np.fill_diagonal(image[..., 0], 52)
  np.fill_diagonal(image[..., 1], 108)
  np.fill_diagonal(image[..., 2], 196)
  image[..., 3] = np.round(255 * shade)
  label = f"Confusion matrix of {len(names)} classes"
  picture = ui.Html(f'<img class="heat" alt="{label}" src="{ui.png(image)}">')
  wrong = counts - np.diag(np.diag(counts))
  order = np.argsort(-wrong, axis=None, kind="stable")[:10]
  pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
  rows = [[names[i], names[j], int(wrong[i, j])] for i, j in pairs]
  rows = [row for row in rows if row[2]]
  text = "Rows: true class, from the top. Columns: prediction, from the left."
  worst = ui.table(["true", "said", "times"], rows) if rows else ui.Html("")
  return [ui.tag("p", text, class_="soft"), picture, worst]


def _per_class(counts: np.ndarray, names: Sequence[str]) -> ui.Html:
  totals = counts.sum(axis=1)
  present = np.flatnonzero(totals)
  share = np.diag(counts) / np.maximum(totals, 1)
  title = "Accuracy by class, test"
  if len(present) > _MAX_CELLS:
    present = present[np.argsort(share[present], kind="stable")[:_MAX_CELLS]]
    title = f"Accuracy by class, test: the lowest {_MAX_CELLS}"
  bar = lambda v: ui.tag("span", class_="bar", style=f"--v:{v:.3f}")
  rows = [
    [names[c], float(share[c]), bar(share[c]), int(totals[c])] for c in present
  ]
  head = ["class", "accuracy", "", "examples"]
  return ui.join([ui.tag("h3", title), ui.table(head, rows)])


def _reliability(i: int, found: Mapping[str, np.ndarray]) -> ui.Html:
  """Accuracy over confidence in equal bins, those of the calibration error."""
  kept = found["label"] >= 0
  confidence = found["probs"].max(axis=1)[kept]
  right = (found["logits"].argmax(axis=1) == found["label"])[kept]
  title = ui.tag("h3", "Reliability, test")
  if not kept.any():
    return ui.join([title, ui.note("No test example has a label.")])
  name = "expected_calibration_error"
  ece = evaluation.evaluate_predictions(
    found["logits"],
    found["label"],
    metrics=[{"name": name, "num_bins": _NUM_BINS}],
  )
  bins = np.ceil(confidence * _NUM_BINS).astype(int) - 1
  bins = bins.clip(0, _NUM_BINS - 1)
  size = np.bincount(bins, minlength=_NUM_BINS)
  hits = np.bincount(bins, weights=right, minlength=_NUM_BINS)
  middle = (np.arange(_NUM_BINS) + 0.5) / _NUM_BINS

  def draw(figure):
    top, low = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    full, width = size > 0, 0.9 / _NUM_BINS
    heights = hits[full] / size[full]
    top.bar(middle[full], heights, width, color=ui.SERIES[0])
    top.plot([0, 1], [0, 1], "--", color=ui.INK, linewidth=1)
    top.set(ylabel="accuracy", ylim=(0, 1), xlim=(0, 1))
    low.bar(middle, size / size.sum(), width, color=ui.SERIES[7])
    low.set(ylabel="share", ylim=(0, 1), xlabel="confidence")

  label = "Reliability diagram: accuracy by confidence"
  text = (
    f"Expected calibration error {next(iter(ece.values())):.4f}, "
    f"{_NUM_BINS} equal bins. Below the dashed line: too sure of itself."
  )
  svg = ui.chart(draw, size=(4.6, 3.4), label=label, key=f"reliability{i}")
  return ui.join([title, ui.tag("p", text, class_="soft"), svg])


def _samples(found, source: data.Source, names) -> list[ui.Html]:
  """The most confident mistakes, and a few that are right."""
  if source.field != "image" or len(source.input_shape) != 3:
    shape = source.input_shape
    return [ui.note(f"No images: the examples are features of shape {shape}.")]
  confidence = found["probs"].max(axis=1)
  right = found["logits"].argmax(axis=1) == found["label"]
  wrong = np.flatnonzero(~right & (found["label"] >= 0))
  worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:_NUM_SAMPLES]
  good = np.random.default_rng(0).permutation(np.flatnonzero(right))
  parts = []
  for title, rows in (
    (f"Most confident of {len(wrong)} mistakes, test", worst),
    ("Some that are right, test", np.sort(good[:_NUM_SAMPLES])),
  ):
    parts.append(ui.tag("h3", title))
    if not len(rows):
      parts.append(ui.tag("p", "There are none."))
      continue
    try:
      images = source.fetch(found["id"][rows])["image"]
    except (ValueError, OSError) as error:
      parts.append(ui.note(f"No images: {ui.hide_paths(str(error))}"))
      continue
    figures = [
      _sample(image, found, row, names)
      for image, row in zip(images, rows, strict=True)
    ]
    parts.append(ui.tag("div", *figures, class_="samples"))
  return parts


def _sample(image: np.ndarray, found, row: int, names) -> ui.Html:
  true, said = found["label"][row], found["logits"][row].argmax()
  sure = found["probs"][row, said]
  words = f"{names[said]}, {sure:.2f}"
  if true != said:
    words = f"{names[true]}, said {words}"
  alt = f"example {found['id'][row]}: {words}"
  kind = ' class="tiny"' if max(image.shape[:2]) <= 64 else ""
  picture = f'<img{kind} alt="{html.escape(alt)}" src="{_thumbnail(image)}">'
  return ui.tag("figure", ui.Html(picture), ui.tag("figcaption", words))


def _thumbnail(image: np.ndarray) -> str:
  """A data address of [h w c], floats in [0, 1] or stretched to it."""
  from PIL import Image

  if image.dtype != np.uint8:
    image = np.nan_to_num(image.astype(np.float32))
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 1:
      image = (image - low) / max(high - low, 1e-12)
    image = np.round(255 * image).astype(np.uint8)
  image = image if image.shape[-1] == 3 else image[..., 0]
  if max(image.shape[:2]) > 160:
    picture = Image.fromarray(image)
    picture.thumbnail((160, 160))
    image = np.asarray(picture)
  return ui.png(np.ascontiguousarray(image))
