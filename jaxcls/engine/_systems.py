"""The register: the systems that work, and the evidence for each."""

import importlib
import importlib.resources
import tomllib
from collections.abc import Sequence
from typing import Any

STATUSES = ("matched", "deviates", "derived", "baseline")
# Partly: the main comparison shows, another clause of the claim does not.
EFFECTS = ("shown", "partly shown", "not shown", "none claimed")
REQUIRED = (
  "id", "title", "year", "family", "status", "parts", "configs", "effect",
  "evidence", "command",
)  # fmt: skip


def read_systems() -> list[dict[str, Any]]:
  """Rows of systems.toml.

  A row has `id`, `title`, `year`, `family`, `paper` (arXiv id or ""),
  `status`, `parts` (dotted public names), `configs` (files), `effect`
  (one of EFFECTS), `evidence` (figures) and `command` (that gives
  them again).
  """
  text = importlib.resources.files("jaxcls") / "systems.toml"
  return tomllib.loads(text.read_text()).get("system", [])


def find_systems(
  *,
  id: str | None = None,
  family: str | None = None,
  paper: str | None = None,
  status: str | None = None,
) -> list[dict[str, Any]]:
  """Rows that match every given filter; `paper` matches title or arXiv id.

  Raises:
    ValueError: no row matches; names what there is.
  """
  rows = read_systems()
  tests = {
    "id": lambda r: r["id"] == id,
    "family": lambda r: r["family"] == family,
    "paper": lambda r: paper.lower() in f"{r['title']} {r['paper']}".lower(),
    "status": lambda r: r["status"] == status,
  }
  given = dict(id=id, family=family, paper=paper, status=status)
  for name, value in given.items():
    if value is None:
      continue
    rows = [row for row in rows if tests[name](row)]
    if not rows:
      known = sorted({str(r.get(name, r["title"])) for r in read_systems()})
      raise ValueError(
        f"{name} must match a system, got {value!r}. Known: {', '.join(known)}."
      )
  return rows


def resolve_part(name: str) -> Any:
  """Imports a dotted public name such as "jaxcls.losses.focal_loss"."""
  module, _, attribute = name.rpartition(".")
  return getattr(importlib.import_module(module), attribute)


def print_systems(rows: Sequence[dict[str, Any]], *, whole: bool) -> None:
  """Prints a line a system, or everything known about each."""
  from rich import console, table

  out = console.Console()
  if whole:
    for row in rows:
      for key, value in row.items():
        text = ", ".join(value) if isinstance(value, list) else value
        out.print(f"{key:10} {text}", markup=False, highlight=False)
    return
  lines = table.Table()
  headings = "id", "family", "year", "status", "effect"
  for heading in headings:
    lines.add_column(heading)
  for row in rows:
    lines.add_row(*(str(row[heading]) for heading in headings))
  out.print(lines)
  out.print("Figures, parts and commands of a system: jaxcls systems ID")
