"""HTML and inline SVG for the report, with every text escaped."""

import base64
import html
import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

NUM_COLORS = 8
# matplotlib draws in these; the page's style sheet gives them their colours,
# so that a chart follows the reader's light or dark scheme.
INK, _LINE = "#0a0b0c", "#0a0b0d"
SERIES = [f"#0a0c{i:02x}" for i in range(NUM_COLORS)]


class Html(str):
  """Markup; every other string is text and gets escaped."""


def _text(value: Any) -> str:
  """Escaped, unless it is markup already."""
  return value if isinstance(value, Html) else html.escape(str(value))


def tag(name: str, *children: Any, **attributes: Any) -> Html:
  """One element; an attribute's trailing underscore is dropped."""
  opening = "".join(
    f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
    for key, value in attributes.items()
  )
  inner = "".join(_text(child) for child in children)
  return Html(f"<{name}{opening}>{inner}</{name}>")


def join(parts: Iterable[Any], separator: str = "") -> Html:
  return Html(separator.join(_text(part) for part in parts))


def note(text: str) -> Html:
  return tag("p", text, class_="note")


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Html:
  """A table that scrolls by itself; the first cell of a row is its heading."""
  css = {"class_": "number"}

  def cell(value):
    numeric = isinstance(value, int | float) or value is None
    shown = number(value) if numeric else value
    return tag("td", shown, **(css if numeric else {}))

  numeric = [
    any(isinstance(row[i], int | float) for row in rows)
    for i in range(len(head))
  ]
  heads = [
    tag("th", breaks(name), scope="col", **(css if number else {}))
    for name, number in zip(head, numeric, strict=True)
  ]
  lines = [
    tag("tr", tag("th", row[0], scope="row"), *map(cell, row[1:]))
    for row in rows
  ]
  whole = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *lines))
  return tag("div", whole, class_="scroll")


def breaks(name: str) -> Html:
  """May be broken after a slash or an underscore."""
  return Html(re.sub(r"([/_])(?=\w\w)", r"\1<wbr>", html.escape(name)))


def number(value: float | None) -> str:
  if value is None:
    return "–"
  if isinstance(value, int):
    return f"{value:,}"
  if not math.isfinite(value):
    return str(value)
  if value and not 1e-3 <= abs(value) < 1e4:
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.3g}"
  return f"{value:.4f}"


def hide_paths(text: str) -> str:
  """Shortens absolute paths to their last part."""
  path = r"(^|(?<=[\s=:'\"(\[,]))/(?:[^/\s'\",)\]]+/)+([^/\s'\",)\]]*)"
  return re.sub(path, r"…/\2", text)


def png(image: np.ndarray) -> str:
  """A data address of [h w c] or [h w] uint8."""
  from PIL import Image

  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, "PNG", optimize=True)
  return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def chart(draw, *, size, label: str, key: str) -> Html:
  """Inline SVG of a matplotlib figure; `key` keeps its ids apart."""
  import matplotlib
  from matplotlib.figure import Figure

  style = {
    "svg.fonttype": "none", "svg.hashsalt": key, "font.size": 9,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": _LINE,
    "xtick.color": INK, "ytick.color": INK, "grid.color": _LINE,
    "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False,
    "axes.spines.right": False, "grid.linewidth": 0.6,
  }  # fmt: skip
  empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
  buffer = io.StringIO()
  with matplotlib.rc_context(style):
    figure = Figure(figsize=size, layout="constrained")
    draw(figure)
    figure.savefig(buffer, format="svg", transparent=True, metadata=empty)
  svg = buffer.getvalue()
  svg = svg[svg.index("<svg") :]
  box = re.search(r'viewBox="[^"]*"', svg)[0]
  name = html.escape(label)
  opening = f'<svg {box} role="img" aria-label="{name}">'
  svg = re.sub(r"<svg[^>]*>", lambda _: opening, svg, count=1)
  svg = svg.replace("xlink:href", "href").replace('id="', f'id="{key}-')
  svg = svg.replace('href="#', f'href="#{key}-').replace("(#", f"(#{key}-")
  svg = re.sub(r"(font: [\d.]+px) [^;\"]*", r"\1 system-ui, sans-serif", svg)
  svg = svg.replace(INK, "currentColor").replace(_LINE, "var(--line)")
  for i, color in enumerate(SERIES):
    svg = svg.replace(color, f"var(--c{i})")
  return Html(svg)
