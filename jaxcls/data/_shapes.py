"""Coloured shapes: every image is a composition of attributes and objects."""

import functools
import itertools
from typing import NamedTuple

import numpy as np

from jaxcls.data import _plans, _readers

ATTRIBUTES = ("red", "yellow", "green", "cyan", "blue", "magenta")
PATTERNS = ("striped", "barred", "checked")
OBJECTS = (
  "circle", "square", "triangle", "cross", "ring", "bar", "star", "half",
)  # fmt: skip


class _Rendering(NamedTuple):
  """Ranges of what is drawn: grey levels, shares of the image, degrees."""

  ground: tuple[float, float]
  slope: float
  saturation: tuple[float, float]
  turn: float
  radius: tuple[float, float]
  noise: float


RENDERINGS = {
  "plain": _Rendering((0.05, 0.25), 0.0, (0.8, 0.95), 0.0, (0.5, 0.8), 0.1),
  "varied": _Rendering((0.05, 0.95), 0.1, (0.45, 0.95), 0.0, (0.5, 0.8), 0.25),
  "shifted": _Rendering((0.7, 0.95), 0.1, (0.5, 0.65), 22.0, (0.5, 0.65), 0.25),
}
_SEED = 20261122  # Of the images; part of the version "shapes-1".


def pair_classes(
  *,
  num_attributes: int,
  num_objects: int,
  objects_per_image: int = 1,
  num_patterns: int = 0,
) -> np.ndarray:
  """What each class of the shapes holds, by attribute and object.

  One object: class a * num_objects + o. Two objects, of different kinds and
  colours: classes 2k and 2k + 1 hold the same words and differ in which object
  has which colour.

  With patterns an object has an attribute, a pattern or both: class r *
  num_objects + o, where row r is an attribute alone (A rows), a pattern alone
  (P rows) or attribute a with pattern p (row A + P + a P + p).

  Args:
    num_attributes: number of attributes, A.
    num_objects: number of objects, O.
    objects_per_image: 1 (A O classes) or 2 (O (O - 1) A (A - 1) / 2).
    num_patterns: P, second attributes; (A + P + A P) O classes.

  Returns:
    [c m 2] int: (attribute, object) of each of the m objects of a class; with
    patterns [c 1 3], (attribute, pattern, object), -1 where it has none.

  Raises:
    ValueError: too few of them, neither 1 nor 2 objects, or patterns on 2.

  >>> pair_classes(num_attributes=2, num_objects=2)[:, 0].tolist()
  [[0, 0], [0, 1], [1, 0], [1, 1]]
  >>> both = pair_classes(num_attributes=2, num_objects=2, objects_per_image=2)
  >>> both.tolist()
  [[[0, 0], [1, 1]], [[1, 0], [0, 1]]]
  >>> more = pair_classes(num_attributes=1, num_objects=1, num_patterns=1)
  >>> more[:, 0].tolist()
  [[0, -1, 0], [-1, 0, 0], [0, 0, 0]]
  """
  if objects_per_image not in (1, 2):
    raise ValueError(
      f"objects_per_image must be 1 or 2, got {objects_per_image}."
    )
  if min(num_attributes, num_objects) < objects_per_image:
    raise ValueError(
      f"num_attributes and num_objects must be at least {objects_per_image}, "
      f"got {num_attributes} and {num_objects}."
    )
  if num_patterns < 0 or (num_patterns and objects_per_image > 1):
    raise ValueError(
      "num_patterns must be at least 0, and 0 for two objects in an image, got "
      f"{num_patterns}."
    )
  attributes, objects = range(num_attributes), range(num_objects)
  patterns = range(num_patterns)
  if num_patterns:
    alone = [(a, -1) for a in attributes] + [(-1, p) for p in patterns]
    rows = alone + list(itertools.product(attributes, patterns))
    classes = [[(*row, o)] for row in rows for o in objects]
  elif objects_per_image == 1:
    classes = [[(a, o)] for a in attributes for o in objects]
  else:
    classes = [
      [(x, first), (y, second)]
      for first, second in itertools.combinations(objects, 2)
      for a, b in itertools.combinations(attributes, 2)
      for x, y in ((a, b), (b, a))
    ]
  return np.array(classes)


def shapes_table(
  split: str,
  *,
  image_size: int = 24,
  num_attributes: int = 6,
  num_objects: int = 8,
  objects_per_image: int = 1,
  rendering: str = "plain",
  num_train: int = 6000,
  num_test: int = 2400,
  num_patterns: int = 0,
) -> _readers.Table:
  """One or two coloured shapes at a random place, size and angle.

  Columns `attribute` and `object`: [n], for two objects [n 2], with patterns
  also `pattern`; classes as in `pair_classes`, each of them equally often. An
  example depends on (split, id) and the options only.

  Args:
    split: "train" or "test".
    image_size: side in pixels.
    num_attributes: colours, at most 6.
    num_objects: shapes, at most 8.
    objects_per_image: 1, or 2 side by side in random order.
    rendering: "plain" (saturated, on a dark ground), "varied" (any ground,
      pale or saturated, noisy) or "shifted" (on a light ground, smaller, pale,
      noisy, all hues turned by 22 degrees).
    num_train: examples of "train"; num_test: those of "test".
    num_patterns: dark stripes, bars or checks on the object, at most 3; an
      object without a colour is grey, one without a pattern is not striped.
  """
  _readers.check_split(split, ("train", "test"), "shapes")
  for name, value, known in (
    ("num_attributes", num_attributes, ATTRIBUTES),
    ("num_objects", num_objects, OBJECTS),
    ("num_patterns", num_patterns, PATTERNS),
  ):
    if value > len(known):
      raise ValueError(f"{name} must be at most {len(known)}, got {value}.")
  if rendering not in RENDERINGS:
    raise ValueError(
      f"rendering must be one of {tuple(RENDERINGS)}, got {rendering!r}."
    )
  classes = pair_classes(
    num_attributes=num_attributes, num_objects=num_objects,
    objects_per_image=objects_per_image, num_patterns=num_patterns,
  )  # fmt: skip
  n = num_test if split == "test" else num_train
  if min(n, image_size) < 1:
    raise ValueError(
      "num_train, num_test and image_size must be positive, got "
      f"{num_train}, {num_test} and {image_size}."
    )
  part = ("train", "test").index(split)
  labels = _plans.random_order(n, _SEED, part) % len(classes)
  pairs = classes[labels]
  style = RENDERINGS[rendering]
  draw = lambda row: _draw(pairs[row], part, row, image_size, style)
  read = functools.partial(_draw_rows, draw=draw, size=image_size, kept={})
  columns = {"attribute": pairs[..., 0], "object": pairs[..., -1]}
  if num_patterns:
    columns["pattern"] = pairs[..., 1]
  if objects_per_image == 1:
    columns = {name: column[:, 0] for name, column in columns.items()}
  names = tuple(
    " and ".join(_name(*held) for held in row) for row in classes.tolist()
  )
  options = (
    image_size, num_attributes, num_objects, objects_per_image, rendering, n,
  )  # fmt: skip
  if num_patterns:
    options = (*options, num_patterns)
  return _readers.Table(
    "image",
    read,
    labels,
    len(classes),
    names,
    (image_size, image_size, 3),
    np.dtype(np.uint8),
    "shapes",
    columns={k: v.astype(np.int32) for k, v in columns.items()},
    version="-".join(map(str, ("shapes-1", *options))),
  )


def _name(attribute, *pattern_and_object) -> str:
  """Such as "red striped circle"; what is -1 is not said."""
  *pattern, kind = pattern_and_object
  said = [ATTRIBUTES[attribute]] if attribute >= 0 else []
  said += [PATTERNS[p] for p in pattern if p >= 0]
  return " ".join([*said, OBJECTS[kind]])


def _uniforms(part: int, row: int, shape: tuple[int, ...]) -> np.ndarray:
  """Numbers in [0, 1) that depend on the part and the row alone."""
  bits = _plans.random_bits(_SEED, 2 + part, row).random_raw(shape)
  return (bits >> np.uint64(11)) * 2.0**-53


def _draw_rows(rows, *, draw, size, kept) -> np.ndarray:
  """Images of the rows; small ones stay in `kept` {row: image}."""
  images = np.empty((len(rows), size, size, 3), np.uint8)
  for i, row in enumerate(map(int, rows)):
    found = kept.get(row)
    images[i] = draw(row) if found is None else found
    if found is None and size <= 64:
      kept[row] = images[i].copy()
  return images


def _draw(pairs, part, row, size, style) -> np.ndarray:
  """One image [size size 3] uint8."""
  words = _uniforms(part, row, (8 + 8 * len(pairs),))
  whole, own = words[:8], words[8:].reshape(len(pairs), 8)
  y, x = (np.mgrid[:size, :size] + 0.5) * (2 / size) - 1
  between = lambda ends, u: ends[0] + (ends[1] - ends[0]) * u
  # A slope of light in a random direction.
  angle = 2 * np.pi * whole[1]
  light = style.slope * (np.cos(angle) * x + np.sin(angle) * y)
  image = np.repeat((between(style.ground, whole[0]) + light)[..., None], 3, 2)
  order = 1 if whole[2] < 0.5 else -1
  for i, (held, u) in enumerate(zip(pairs, own, strict=True)):
    attribute, *pattern, kind = held
    radius = between(style.radius, u[0]) * (1.0 if len(pairs) == 1 else 0.6)
    room = max(0.0, 0.95 - radius)
    centre = (2 * u[1:3] - 1) * room
    if len(pairs) > 1:
      side = order * (1 if i else -1)
      centre = np.array([0.5 * side + 0.05 * (2 * u[1] - 1), centre[1]])
    turn = np.deg2rad(25) * (2 * u[3] - 1)
    c, s = np.cos(turn), np.sin(turn)
    dx, dy = (x - centre[0]) / radius, (y - centre[1]) / radius
    outside = _SHAPES[kind](c * dx + s * dy, c * dy - s * dx)
    # One pixel of soft edge.
    cover = np.clip(0.5 - outside * radius * size / 2, 0, 1)[..., None]
    hue = attribute / len(ATTRIBUTES) + 0.05 * (2 * u[4] - 1) + style.turn / 360
    saturation = between(style.saturation, u[6]) if attribute >= 0 else 0.0
    colour = _rgb(hue, saturation, between((0.75, 1), u[5]))
    for which in pattern:
      colour = colour * _light(which, size)
    image = image * (1 - cover) + colour * cover
  noise = _uniforms(2 + part, row, (size, size, 3)) - 0.5
  image += style.noise * noise
  return np.clip(255 * image + 0.5, 0, 255).astype(np.uint8)


def _light(pattern: int, size: int) -> np.ndarray:
  """[size size 1]: 1, or 0.45 on every other eighth of the image's side."""
  odd = np.arange(size) * 8 // size % 2
  down, right = np.meshgrid(odd, odd, indexing="ij")
  dark = {0: down, 1: right, 2: down ^ right}.get(pattern, 0 * down)
  return (1 - 0.55 * dark)[..., None]


def _rgb(hue, saturation, value) -> np.ndarray:
  """RGB [3] of a hue (turns of the circle), saturation and value."""
  k = (np.array([5.0, 3.0, 1.0]) + 6 * hue) % 6
  return value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)


def _triangle(x, y):
  sides = [(0.0, 1.0), (0.866, -0.5), (-0.866, -0.5)]
  return np.max([a * x + b * y for a, b in sides], axis=0) - 0.5


def _cross(x, y):
  x, y = np.abs(x), np.abs(y)
  arm = lambda a, b: np.maximum(a - 1, b - 0.3)
  return np.minimum(arm(x, y), arm(y, x))


def _star(x, y):
  angle = (np.arctan2(x, -y) * 5 / (2 * np.pi)) % 1
  return np.hypot(x, y) - (0.35 + 0.65 * np.abs(2 * angle - 1))


# Unit shapes in the order of OBJECTS: below 0 inside.
_SHAPES = (
  lambda x, y: np.hypot(x, y) - 0.9,
  lambda x, y: np.maximum(np.abs(x), np.abs(y)) - 0.8,
  _triangle,
  _cross,
  lambda x, y: np.abs(np.hypot(x, y) - 0.7) - 0.25,
  lambda x, y: np.maximum(np.abs(x) - 1, np.abs(y) - 0.3),
  _star,
  lambda x, y: np.maximum(np.hypot(x, y) - 1, -y),
)
