"""The run folder: what was run, where, and whether it may go on."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxcls.engine import _config, _log


class RunFolderError(ValueError):
  """The run folder cannot be used; says why and what to do."""


def open_folder(workdir: str, config: Mapping[str, Any]) -> pathlib.Path:
  """Makes the run folder, or checks that it belongs to this config.

  Raises:
    RunFolderError: not writable, or another config's run.
  """
  folder = pathlib.Path(workdir).expanduser().absolute()
  stored = folder / "config.json"
  try:
    folder.mkdir(parents=True, exist_ok=True)
    if jax.process_index() == 0:
      probe = folder / ".writable"
      probe.touch()
      probe.unlink()
  except OSError as error:
    raise RunFolderError(
      f"workdir must be a folder that can be written, got {workdir!r} "
      f"({error.strerror}). Choose another --workdir."
    ) from error
  text = _config.to_json(config)
  if stored.exists():
    changed = _config.differences(
      json.loads(stored.read_text()), json.loads(text)
    )
    if changed:
      raise RunFolderError(
        f"workdir {workdir!r} must hold a run of this config, but "
        f"{'; '.join(changed[:3])}. Choose another --workdir, or give the "
        "config it was started with."
      )
  if jax.process_index() == 0:
    write(stored, text)
    environment = json.dumps(_log.environment(), indent=2) + "\n"
    write(folder / "environment.json", environment)
  return folder


@contextlib.contextmanager
def hold(folder: pathlib.Path) -> Iterator[None]:
  """Keeps other processes from training in a folder; a kill lets go of it.

  Raises:
    RunFolderError: another process holds it.
  """
  with contextlib.ExitStack() as stack:
    if jax.process_index() == 0:
      file = stack.enter_context(open(folder / ".lock", "w"))
      try:
        import fcntl

        # A record lock: a loader's forked workers do not inherit it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except (BlockingIOError, PermissionError) as error:
        raise RunFolderError(
          f"workdir must not be in use, but another process trains in "
          f"{str(folder)!r}. Wait for it, or choose another --workdir."
        ) from error
      except (ImportError, OSError):
        pass  # A system or a file system without locks.
    yield


def write(path: pathlib.Path, text: str) -> None:
  """Writes a file at once or not at all."""
  aside = path.with_name(path.name + ".tmp")
  aside.write_text(text)
  os.replace(aside, path)


def save_predictions(
  folder: pathlib.Path, predictions: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
  """Writes predictions/<split>.npz: logits, label, id."""
  (folder / "predictions").mkdir(exist_ok=True)
  for split, found in predictions.items():
    arrays = {k: found[k] for k in ("logits", "label", "id")}
    np.savez_compressed(folder / "predictions" / f"{split}.npz", **arrays)


def plot_curves(folder: pathlib.Path) -> None:
  """Draws curves.png from metrics.jsonl: loss and accuracy by step."""
  from matplotlib.figure import Figure

  records = _log.read_metrics(folder)
  names = sorted({k for r in records for k in r})
  panels = {
    "loss": [k for k in names if k.endswith(("loss", "log_likelihood"))],
    "accuracy": [k for k in names if k.endswith("accuracy")],
  }
  figure = Figure(figsize=(9, 3.5), layout="constrained")
  for axis, (title, chosen) in zip(
    figure.subplots(1, 2), panels.items(), strict=True
  ):
    for name in chosen:
      points = [(r["step"], r[name]) for r in records if name in r]
      style = "-" if len(points) > 1 else "o"
      axis.plot(*zip(*points, strict=True), style, label=name, markersize=4)
    axis.set(xlabel="step", title=title)
    if chosen:
      axis.legend(fontsize=7)
  figure.savefig(folder / "curves.png", dpi=120)
