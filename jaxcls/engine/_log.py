"""The run folder's records: metrics.jsonl, TensorBoard, the progress bar."""

import json
import math
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax


class Metrics:
  """Appends records to metrics.jsonl and TensorBoard; process 0 writes.

  One JSON object a line, with `step` and named numbers. Names under "time/"
  are wall-clock readings; everything else is reproduced by a resumed run.
  """

  def __init__(self, folder: pathlib.Path, *, keep_until: int):
    """Opens the log, dropping records after step `keep_until`."""
    self.path = folder / "metrics.jsonl"
    self._active = jax.process_index() == 0
    if not self._active:
      return
    kept = [r for r in read_metrics(folder) if r["step"] <= keep_until]
    # Written aside and renamed: a kill here loses nothing.
    aside = self.path.with_suffix(".tmp")
    aside.write_text("".join(json.dumps(r) + "\n" for r in kept))
    os.replace(aside, self.path)
    self._file = self.path.open("a")
    import tensorboardX

    self._board = tensorboardX.SummaryWriter(
      str(folder / "tensorboard"), purge_step=keep_until + 1
    )

  def write(self, step: int, record: Mapping[str, Any]) -> None:
    """Writes one record; strings (versions) are not sent to TensorBoard."""
    if not self._active:
      return
    # JSON knows no NaN: null says that there is no number.
    record = {k: _finite(v) for k, v in record.items()}
    self._file.write(json.dumps({"step": step, **record}) + "\n")
    self._file.flush()
    for name, value in record.items():
      if isinstance(value, int | float):
        self._board.add_scalar(name, value, step)

  def sync(self) -> None:
    """Returns once every record is on disk."""
    if self._active:
      os.fsync(self._file.fileno())

  def close(self) -> None:
    """Closes both files."""
    if self._active:
      self._file.close()
      self._board.close()


def _finite(value: Any) -> Any:
  bad = isinstance(value, float) and not math.isfinite(value)
  return None if bad else value


def read_metrics(folder: pathlib.Path | str) -> list[dict[str, Any]]:
  """Reads metrics.jsonl; a line cut short by a kill is left out."""
  path = pathlib.Path(folder) / "metrics.jsonl"
  records = []
  for line in path.read_text().splitlines() if path.exists() else []:
    try:
      records.append(json.loads(line))
    except json.JSONDecodeError:
      continue
  return records


class Progress:
  """A live bar with throughput and time left on a terminal; else silent."""

  def __init__(self, description: str, total_steps: int, step: int):
    """Describes the bar.

    Args:
      description: shown before it.
      total_steps: its end.
      step: where it starts.
    """
    from rich import console, progress

    # Redirected output must not carry control codes or be wrapped.
    self._console = console.Console()
    live = jax.process_index() == 0 and self._console.is_terminal
    self._bar = progress.Progress(
      progress.TextColumn("[bold]{task.description}"),
      progress.BarColumn(),
      progress.MofNCompleteColumn(),
      progress.TextColumn("{task.fields[rate]}"),
      progress.TimeRemainingColumn(),
      progress.TextColumn("{task.fields[metrics]}"),
      console=self._console,
      disable=not live,
    )
    self._task = self._bar.add_task(
      description, total=total_steps, completed=step, rate="", metrics=""
    )

  def __enter__(self) -> "Progress":
    """Shows the bar."""
    self._bar.start()
    return self

  def __exit__(self, *error: Any) -> None:
    """Takes the bar down, whatever happened."""
    self._bar.stop()

  def update(self, step: int, record: Mapping[str, float]) -> None:
    """Moves the bar; called at log steps."""
    names = [k for k in record if k.endswith(("loss", "accuracy"))][:3]
    text = " ".join(
      f"{k.removeprefix('train/')} {record[k]:.4g}" for k in names
    )
    rate = record.get("time/examples_per_second")
    rate = f"{rate:,.0f} examples/s" if rate else ""
    self._bar.update(self._task, completed=step, metrics=text, rate=rate)

  def say(self, text: str) -> None:
    """Prints a line above the bar, on process 0."""
    if jax.process_index() == 0:
      self._console.print(text, highlight=False, soft_wrap=True, markup=False)


class Clock:
  """Throughput between two log steps; evaluation and saving do not count."""

  def __init__(self):
    """The first lap holds compilation and gives no reading."""
    self._time, self._step = None, None

  def lap(self, step: int, examples_per_step: int) -> dict[str, float]:
    """Readings since the last lap, if there was one."""
    now, last, then = time.perf_counter(), self._step, self._time
    self._time, self._step = now, step
    if then is None or step == last:
      return {}
    per_step = (now - then) / (step - last)
    return {
      "time/seconds_per_step": per_step,
      "time/examples_per_second": examples_per_step / per_step,
    }

  def skip(self) -> None:
    """Drops the lap in which something else ran."""
    self._time = None


def environment() -> dict[str, Any]:
  """Versions, devices, command line and git commit of this run."""
  import importlib.metadata as metadata

  packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain")
  devices = jax.devices()
  return {
    "command": sys.argv,
    "python": sys.version.split()[0],
    "packages": {p: metadata.version(p) for p in (*packages, "jaxcls")},
    "platform": devices[0].platform,
    "device_kind": devices[0].device_kind,
    "num_devices": len(devices),
    "num_processes": jax.process_count(),
    "git": _git_state(),
  }


def _git_state() -> dict[str, Any]:
  """Commit of the source tree, and whether it had changes; None without git."""
  root = pathlib.Path(__file__).resolve().parents[2]

  def git(*words):
    try:
      return subprocess.run(
        ["git", "-C", str(root), *words],
        capture_output=True, text=True, timeout=10, check=True,
      ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
      return None

  commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain")
  return {"commit": commit, "modified": bool(changes) if commit else None}
