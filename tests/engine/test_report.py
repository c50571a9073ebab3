import html.parser
import json
import re

import numpy as np
import pytest

from jaxcls import cli, engine

VOID = {"meta", "link", "img", "br", "wbr", "path", "circle", "use"}


class Page(html.parser.HTMLParser):
  """The page's text, tables and addresses; fails on unbalanced tags."""

  def __init__(self, path):
    super().__init__()
    self.source = path.read_text("utf-8")
    self.tables, self.sources, self.addresses, self.ids = [], [], [], []
    self.headings, self.notes, self.labels, self.words = [], [], [], []
    self._open = []
    self.feed(self.source)
    self.close()
    assert not self._open
    self.text = " ".join("".join(self.words).split())

  def handle_starttag(self, tag, attrs):
    given = dict(attrs)
    self.ids += [given["id"]] if "id" in given else []
    self.addresses += [given[k] for k in ("href", "src") if k in given]
    self.sources += [given["src"]] if "src" in given else []
    self.labels += [given["aria-label"]] if "aria-label" in given else []
    if tag not in VOID:
      self._open.append((tag, given.get("class", "")))
    if tag == "table":
      self.tables.append([])
    if tag == "tr":
      self.tables[-1].append([])
    if tag in ("td", "th"):
      self.tables[-1][-1].append("")
    if tag in ("h1", "h2", "h3"):
      self.headings.append("")
    if "note" in given.get("class", "").split():
      self.notes.append("")

  def handle_startendtag(self, tag, attrs):
    self.handle_starttag(tag, attrs)
    if tag not in VOID:
      self.handle_endtag(tag)

  def handle_endtag(self, tag):
    if tag not in VOID:
      assert self._open.pop()[0] == tag

  def handle_data(self, words):
    tags = [tag for tag, _ in self._open]
    if "style" in tags:
      return
    self.words.append(words)
    if {"td", "th"} & set(tags):
      self.tables[-1][-1][-1] += words
    if tags and tags[-1] in ("h1", "h2", "h3"):
      self.headings[-1] += words
    if any("note" in kind.split() for _, kind in self._open):
      self.notes[-1] += words

  def table(self, *head):
    """Rows under the first table whose headings begin so."""
    for rows in self.tables:
      if rows[0][: len(head)] == list(head):
        return rows[1:]
    raise AssertionError(f"no table {head}: {[t[0] for t in self.tables]}")


CONFIG = dict(
  total_steps=40,
  batch_size=8,
  scenario=dict(
    name="standard",
    source="fake",
    options=dict(shape=(8, 8, 1), num_classes=3, num_examples=12),
  ),
  model=dict(name="mlp", widths=(4,)),
  learner=dict(name="supervised"),
)
ENVIRONMENT = {
  "command": [
    "/opt/x/bin/jaxcls", "train", "--config", "/home/me/secret/net.py",
    "--workdir", "/home/me/runs/one",
  ],
  "python": "3.11.7",
  "packages": {"jax": "0.10.2"},
  "platform": "cpu",
  "device_kind": "cpu",
  "num_devices": 4,
  "num_processes": 1,
  "git": {"commit": "0123456789abcdef", "modified": True},
}  # fmt: skip
LABELS = np.array([0, 0, 1, 1, 2, 2])


def predictions(folder, num_classes=3, labels=LABELS, ids=None):
  """Row 1 is a confident mistake (0 taken for 2), the rest are right."""
  said = labels.copy()
  said[1] = 2
  logits = 2.0 * np.eye(num_classes)[said]
  logits[1] *= 2
  ids = np.arange(len(labels)) if ids is None else ids
  (folder / "predictions").mkdir(exist_ok=True)
  np.savez(
    folder / "predictions" / "test.npz", logits=logits, label=labels, id=ids
  )


def fabricate(folder, *, finished=True, accuracy=0.75, **changes):
  """A run folder written by hand; its predictions name no data set's rows."""
  folder.mkdir(parents=True)
  config = engine.complete({**CONFIG, **changes})
  (folder / "config.json").write_text(json.dumps(config))
  (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
  records = [
    {
      "step": step, "train/loss": 9.0 / step, "train/accuracy": 0.5,
      "train/learning_rate": 0.1, "time/examples_per_second": float(step),
    }
    for step in (10, 20, 30)
  ]  # fmt: skip
  last = {"step": 40, "stage": "train", "evaluator_version": "1"}
  last |= {"val/accuracy": 0.5, "test/accuracy": accuracy}
  last |= {"test/version": "fake"}
  lines = [json.dumps(r) for r in (*records, last)]
  (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 5')
  if finished:
    (folder / "summary.json").write_text(json.dumps(last))
    predictions(folder)
  return folder


def page_of(tmp_path, *folders):
  path = engine.report(folders, tmp_path / "out" / "report.html")
  page = Page(path)
  assert not re.search(r"https?://|<script|url\((?!#)", page.source)
  assert all(a.startswith(("data:", "#")) for a in page.addresses)
  assert len(page.ids) == len(set(page.ids))
  local = {a[1:] for a in page.addresses if a.startswith("#")}
  assert local <= set(page.ids)
  assert str(tmp_path) not in page.source
  assert "/home/me" not in page.source and "/opt/x" not in page.source
  return page


def test_real_run_shows_numbers_curves_and_images(tmp_path, tiny):
  run = tmp_path / "real"
  record = engine.train(tiny(), str(run))
  page = page_of(tmp_path, run)
  (row,) = page.table("run", "state")
  assert row[:4] == ["real", "finished", "convnet", "12"]
  assert f"{record['test/accuracy']:.4f}" in row
  for title in ("Training loss", "Validation accuracy", "Learning rate"):
    assert f"{title} by step, 1 runs" in page.labels
  assert not page.notes
  # 96 test examples: up to 12 mistakes and 12 that are right, each a PNG.
  with np.load(run / "predictions" / "test.npz") as found:
    right = found["logits"].argmax(1) == found["label"]
  shown = min(12, right.sum()) + min(12, (~right).sum())
  assert len(page.sources) == shown
  assert all(s.startswith("data:image/png;base64,") for s in page.sources)
  classes = page.table("class", "accuracy")
  assert [r[0] for r in classes] == ["0", "1", "2"]
  assert sum(int(r[3]) for r in classes) == 96


def test_confusion_classes_and_calibration_have_hand_values(tmp_path):
  page = page_of(tmp_path, fabricate(tmp_path / "one"))
  assert page.table("true \\ said") == [
    ["0", "1", "", "1"], ["1", "", "2", ""], ["2", "", "", "2"],
  ]  # fmt: skip
  assert [r[1] for r in page.table("class")] == ["0.5000", "1.0000", "1.0000"]
  # Five rows are right with p, one is wrong with q, in bins of their own.
  p, q = (np.exp(x) / (np.exp(x) + 2) for x in (2.0, 4.0))
  error = (5 * (1 - p) + q) / 6
  assert f"Expected calibration error {error:.4f}" in page.text


def test_summary_reads_environment_and_last_evaluation(tmp_path):
  folders = [
    fabricate(tmp_path / "one"),
    fabricate(tmp_path / "two", finished=False, accuracy=0.25),
  ]
  one, two = page_of(tmp_path, *folders).table("run", "state", "config")
  # Steps, val and test accuracy, median of 10, 20 and 30 examples/s.
  assert one == [
    "one", "finished", "net", "40", "0.5000", "0.7500", "20", "4 × cpu",
    "01234567+",
  ]  # fmt: skip
  assert two[:2] == ["two", "not finished"] and two[5] == "0.2500"


def test_only_differing_fields_are_listed(tmp_path):
  runs = [
    fabricate(tmp_path / "a"),
    fabricate(tmp_path / "b", optimizer=dict(name="sgd", nesterov=True)),
  ]
  assert page_of(tmp_path, *runs).table("field", "a", "b") == [
    ["optimizer.name", "adamw", "sgd"],
    ["optimizer.nesterov", "(absent)", "true"],
  ]
  same = [runs[0], fabricate(tmp_path / "c")]
  assert "Nothing: the configs are the same." in page_of(tmp_path, *same).text


def test_every_text_is_escaped(tmp_path):
  evil = "<b onload='x'>&\"$title"
  run = fabricate(
    tmp_path / evil, model=dict(name=evil), learner=dict(name=evil)
  )
  other = fabricate(tmp_path / "other")
  page = page_of(tmp_path, run, other)
  assert "<b onload" not in page.source
  assert page.headings[0] == f"jaxcls report: {evil}, other"
  assert ["model.name", evil, "mlp"] in page.table("field")


def test_absolute_paths_lose_their_folders(tmp_path):
  source = "npz:/home/me/secret/data.npz"
  scenario = dict(name="standard", source=source, options=dict(root="/a/b c"))
  page = page_of(tmp_path, fabricate(tmp_path / "one", scenario=scenario))
  assert "npz:…/data.npz" in page.text and "…/net.py" in page.text
  assert any(n.startswith("No class names and no images") for n in page.notes)


def test_changed_data_set_is_noticed(tmp_path):
  run = fabricate(tmp_path / "one")
  test = engine_source_labels()
  predictions(run, labels=test)
  assert len(page_of(tmp_path, run).sources) == 12
  predictions(run, labels=(test + 1) % 3)
  page = page_of(tmp_path, run)
  assert not page.sources and "has changed since" in page.notes[0]


def engine_source_labels():
  from jaxcls import data

  return data.load_source(
    "fake", "test", **CONFIG["scenario"]["options"]
  ).labels


def test_features_have_no_images(tmp_path):
  options = dict(shape=(5,), num_classes=3, num_examples=12)
  scenario = {**CONFIG["scenario"], "options": options}
  run = fabricate(tmp_path / "one", scenario=scenario)
  from jaxcls import data

  predictions(run, labels=data.load_source("fake", "test", **options).labels)
  page = page_of(tmp_path, run)
  assert any("features of shape (5,)" in note for note in page.notes)


def test_many_classes_become_a_picture_and_the_worst_pairs(tmp_path):
  run = fabricate(tmp_path / "one")
  predictions(run, num_classes=60, labels=np.arange(60))
  page = page_of(tmp_path, run)
  assert page.table("true", "said") == [["1", "2", "1"]]
  lowest = page.table("class")
  assert len(lowest) == 20 and lowest[0][:2] == ["1", "0.0000"]
  assert "Confusion matrix of 60 classes" in page.source


def test_damaged_predictions_are_noted(tmp_path):
  run = fabricate(tmp_path / "one")
  path = run / "predictions" / "test.npz"
  whole = path.read_bytes()
  for damaged in (whole[:-40], whole[:20], b"", b"no zip"):
    path.write_bytes(damaged)
    (note,) = page_of(tmp_path, run).notes
    assert note.startswith("predictions/test.npz is damaged or was cut short")
  np.savez(path, logits=np.zeros((2, 3)), label=np.zeros(5, int), id=[0, 1])
  assert "is damaged" in page_of(tmp_path, run).notes[0]
  np.savez(path, logits=np.full((1, 3), np.nan), label=[0], id=[0])
  assert "diverged" in page_of(tmp_path, run).notes[0]
  path.unlink()
  assert "no predictions/test.npz" in page_of(tmp_path, run).notes[0]


def test_run_without_metrics_is_noted(tmp_path):
  run = fabricate(tmp_path / "one", finished=False)
  (run / "metrics.jsonl").write_text('{"step": 1, "train/loss"')
  page = page_of(tmp_path, run)
  assert "No metrics have been written yet." in page.notes
  (run / "metrics.jsonl").unlink()
  (run / "environment.json").unlink()
  assert "There is no environment.json." in page_of(tmp_path, run).notes


def test_versions_that_differ_are_noted(tmp_path):
  runs = [fabricate(tmp_path / name) for name in "ab"]
  summary = json.loads((runs[1] / "summary.json").read_text())
  summary["evaluator_version"] = "2"
  (runs[1] / "summary.json").write_text(json.dumps(summary))
  notes = page_of(tmp_path, *runs).notes
  assert any(n.startswith("evaluator_version differs") for n in notes)


def test_images_of_the_first_six_runs_only(tmp_path):
  runs = [fabricate(tmp_path / f"r{i}") for i in range(10)]
  page = page_of(tmp_path, *runs)
  assert page.headings.count("Reliability, test") == 6
  assert sum("first 6 runs only" in note for note in page.notes) == 4
  assert "Training loss by step, 10 runs" in page.labels


def make_comparison(root, claim="<i>better</i>"):
  """Two arms, two seeds; one run of arm b diverged."""
  for arm in "ab":
    for seed in (0, 1):
      fabricate(root / arm / f"seed{seed}", seed=seed)
  results = {
    "metric": "test/accuracy", "seeds": [0, 1], "baseline": "a",
    "claim": claim,
    "arms": {
      "a": {"values": [0.5, 0.7], "mean": 0.6, "std": 0.1414, "diverged": 0},
      "b": {
        "values": [0.75, None], "mean": 0.75, "std": None, "diverged": 1,
        "difference": {"mean": 0.25, "low": None, "high": None, "pairs": 1},
      },
    },
  }  # fmt: skip
  (root / "results.json").write_text(json.dumps(results))


def test_comparison_comes_first_and_groups_curves(tmp_path):
  root = tmp_path / "cmp"
  make_comparison(root)
  page = page_of(tmp_path, root)
  assert page.headings[1] == "Comparison cmp"
  a, b = page.table("arm", "mean", "std", "difference")
  assert a[:5] == ["a", "0.6000", "0.1414", "–", "baseline"]
  assert b[:5] == ["b", "0.7500", "–", "0.2500", "one pair: none"]
  assert a[6:] == ["0.5000", "0.7000"] and b[6:] == ["0.7500", "–"]
  assert "Claim: <i>better</i>" in page.text
  assert "1 runs diverged; they have no value." in page.notes
  labels = [row[0] for row in page.table("run", "state")]
  assert labels == ["a/seed0", "a/seed1", "b/seed0", "b/seed1"]
  # One legend entry and one colour an arm.
  legend = re.search(r'<ul class="legend">(.*?)</ul>', page.source)[1]
  assert re.findall(r"</svg> (\w+)</li>", legend) == ["a", "b"]
  chart = re.search(r'aria-label="Training loss.*?</svg>', page.source, re.S)[0]
  assert set(re.findall(r"var\(--c\d\)", chart)) == {"var(--c0)", "var(--c1)"}


def test_unfinished_and_two_comparisons(tmp_path):
  one, two = tmp_path / "x" / "cmp", tmp_path / "y" / "cmp"
  make_comparison(one)
  make_comparison(two)
  (two / "results.json").unlink()
  page = page_of(tmp_path, one, two)
  assert {"Comparison x/cmp", "Comparison y/cmp"} <= set(page.headings)
  assert any("4 runs have begun" in note for note in page.notes)
  legend = re.search(r'<ul class="legend">(.*?)</ul>', page.source)[1]
  assert "x/cmp: a" in legend and "y/cmp: b" in legend


def test_runs_of_one_name_are_told_apart(tmp_path):
  runs = [fabricate(tmp_path / name / "run") for name in "ab"]
  page = page_of(tmp_path, *runs, runs[0])
  assert [r[0] for r in page.table("run", "state")] == ["a/run", "b/run"]


def test_bad_folders_are_one_clear_error(tmp_path):
  out = tmp_path / "r.html"
  with pytest.raises(engine.RunFolderError, match="which is not there"):
    engine.report([tmp_path / "gone"], out)
  (tmp_path / "empty").mkdir()
  with pytest.raises(engine.RunFolderError, match="has no config.json"):
    engine.report(str(tmp_path / "empty"), out)
  with pytest.raises(engine.RunFolderError, match="got none"):
    engine.report([], out)
  run = fabricate(tmp_path / "one")
  with pytest.raises(engine.RunFolderError, match="output must be a file"):
    engine.report([run], tmp_path)
  (run / "config.json").write_text('{"seed": 1')
  with pytest.raises(engine.RunFolderError, match="must hold JSON"):
    engine.report([run], out)
  assert not out.exists()


def test_command_line(tmp_path, capsys):
  run, out = fabricate(tmp_path / "one"), tmp_path / "r.html"
  assert cli.main(["report", str(run), "--output", str(out)]) == 0
  assert capsys.readouterr().out == f"{out}\n" and Page(out).headings
  assert cli.main(["report", str(tmp_path / "gone")]) == 2
  assert "jaxcls report: workdir must be" in capsys.readouterr().err
