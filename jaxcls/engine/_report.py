"""One self-contained HTML page about runs and comparisons."""

import html
import importlib.resources
import os
import pathlib
import string
from collections.abc import Sequence

from jaxcls.engine import (
  _folder,
  _report_folders,
  _report_overview,
  _report_run,
)
from jaxcls.engine import _report_markup as ui


def report(
  workdirs: Sequence[str | os.PathLike] | str, output: str | os.PathLike
) -> pathlib.Path:
  """Writes one HTML page about runs, finished or not, and comparisons.

  The page asks for nothing else: style and images are inside, and no path of
  this machine is. Images, matrices and calibration are shown of the first six
  runs.

  Args:
    workdirs: run folders of `train`, or folders of `compare`.
    output: the file to write; its folder is made.

  Returns:
    The file's path.

  Raises:
    RunFolderError: a folder is missing or holds no run, a file in it is not
      readable as JSON, or the output cannot be written.
  """
  if isinstance(workdirs, str | os.PathLike):
    workdirs = [workdirs]
  runs, comparisons = _report_folders.collect(workdirs)
  names = dict.fromkeys(
    _report_folders.name_of(folder)
    for folder in _report_folders.absolute(workdirs)
  )
  title = "jaxcls report: " + ", ".join(names)
  distinct = dict.fromkeys(run.series for run in runs)
  series = {name: i for i, name in enumerate(distinct)}
  body = [
    ui.tag("h1", title),
    _report_overview.navigation(runs),
    *(
      _report_overview.comparison(name, *found, series)
      for name, found in comparisons.items()
    ),
    _report_overview.summary(runs),
    _report_overview.curves(runs, series),
    _report_overview.config_differences(runs),
    *(_report_run.run_section(i, run) for i, run in enumerate(runs)),
  ]
  template = importlib.resources.files("jaxcls.engine") / "report.html"
  page = string.Template(template.read_text("utf-8")).substitute(
    title=html.escape(title), body="\n".join(body)
  )
  path = pathlib.Path(output).expanduser()
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    _folder.write(path, page)
  except OSError as error:
    raise _folder.RunFolderError(
      f"output must be a file that can be written, got {str(output)!r} "
      f"({error.strerror})."
    ) from error
  return path
