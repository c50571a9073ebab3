"""Readers of file formats: IDX, npz, image folders and CSV."""

import csv
import functools
import gzip
import pathlib
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

IMAGE_SUFFIXES = frozenset(
  ".png .jpg .jpeg .bmp .gif .tif .tiff .webp .pgm .ppm".split()
)


class Table(NamedTuple):
  """One split as a reader found it; `load_source` checks it.

  `read(rows [b]) -> [b *input_shape]`; `labels` [n] as stored; `num_classes`
  None means largest label plus one; `origin` names the labels in errors.
  """

  field: str
  read: Callable[[np.ndarray], np.ndarray]
  labels: np.ndarray
  num_classes: int | None
  class_names: tuple[str, ...] | None
  input_shape: tuple[int, ...]
  dtype: Any
  origin: str
  columns: dict[str, np.ndarray] = {}
  version: str | None = None


def check_split(split: str, splits, name: str) -> None:
  """Raises ValueError that lists `splits` unless `split` is one of them."""
  if split not in splits:
    listed = ", ".join(sorted(splits)) or "none"
    raise ValueError(
      f"split must be one of the splits of {name} ({listed}), got {split!r}."
    )


def array_table(inputs, labels, *, origin, num_classes=None, **fields) -> Table:
  """A table held in memory: inputs [n h w c] (images) or [n ...] features."""
  return Table(
    read=inputs.__getitem__,
    labels=labels,
    num_classes=num_classes,
    class_names=fields.pop("class_names", None),
    input_shape=inputs.shape[1:],
    dtype=inputs.dtype,
    origin=origin,
    field=fields.pop("field", "image"),
    **fields,
  )


# IDX: the format of MNIST.


def read_idx(path: pathlib.Path) -> np.ndarray:
  """Reads one unsigned-byte IDX file, gzipped if its name ends in .gz.

  Raises:
    OSError: the file cannot be opened.
    ValueError: truncated, not gzip, not IDX, or not of unsigned bytes.
  """
  opener = gzip.open if path.suffix == ".gz" else open
  fix = "download it again"
  try:
    with opener(path, "rb") as file:
      content = file.read()
  except (EOFError, gzip.BadGzipFile, zlib.error) as error:
    raise ValueError(
      f"{path} must be a whole gzip file ({error}): {fix}."
    ) from error
  if len(content) < 4 or content[:2] != b"\0\0":
    raise ValueError(f"{path} must start with an IDX header: {fix}.")
  if content[2] != 8:
    raise ValueError(
      f"{path} must hold unsigned bytes (IDX type 8), got type {content[2]}."
    )
  rank, start = content[3], 4 + 4 * content[3]
  if len(content) < start:
    raise ValueError(f"{path} must hold a whole IDX header: {fix}.")
  shape = struct.unpack(f">{rank}I", content[4:start])
  want, got = int(np.prod(shape)), len(content) - start
  if got != want:
    raise ValueError(
      f"{path} must hold {want} bytes of data for shape {shape}, "
      f"got {got}: {fix}."
    )
  return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def idx_table(
  path: str, split: str, *, num_classes: int | None = None, missing: str = ""
) -> Table:
  """Reads a folder with the file names of MNIST, gzipped or not."""
  stems = {"train": "train", "test": "t10k"}
  check_split(split, stems, f"idx:{path}")
  root = pathlib.Path(path).expanduser()

  def find(stem: str, kind: str) -> pathlib.Path:
    names = [f"{stem}-{kind}-ubyte.gz", f"{stem}-{kind}-ubyte"]
    for name in names:
      if (root / name).is_file():
        return root / name
    raise FileNotFoundError(
      f"{root} must hold {names[0]} or {names[1]}: "
      f"{missing or 'correct the folder'}."
    )

  images = read_idx(find(stems[split], "images-idx3"))
  label_path = find(stems[split], "labels-idx1")
  labels = read_idx(label_path)
  images = images[..., None] if images.ndim == 3 else images
  check_lengths(images, labels, label_path)
  if num_classes is None:
    both = [read_idx(find(stem, "labels-idx1")) for stem in stems.values()]
    num_classes = 1 + max((int(x.max()) for x in both if x.size), default=0)
  return array_table(
    images, labels, num_classes=num_classes, origin=str(label_path)
  )


def check_lengths(inputs, labels, origin) -> None:
  """Raises ValueError unless there is one label for each input."""
  if labels.ndim != 1 or len(inputs) != len(labels):
    raise ValueError(
      f"{origin} must hold one label for each of {len(inputs)} examples, "
      f"got labels of shape {labels.shape}."
    )


# npz: several named arrays in one file.


def _load_npz(file: pathlib.Path, wanted) -> dict[str, np.ndarray]:
  fix = "write it again with np.savez"
  with open(file, "rb") as opened:
    if opened.read(2) != b"PK":
      raise ValueError(f"{file} must be a .npz file: {fix}.")
    opened.seek(0)
    try:
      with np.load(opened, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files if wanted(key)}
    except (zipfile.BadZipFile, EOFError, ValueError, zlib.error) as error:
      raise ValueError(
        f"{file} must be a whole .npz file without pickled objects "
        f"({error}): {fix}."
      ) from error


def npz_table(
  path: str, split: str, *, num_classes: int | None = None
) -> Table:
  """Reads `{split}_images` or `{split}_x`, and `{split}_labels`."""
  file = pathlib.Path(path).expanduser()
  names = (f"{split}_images", f"{split}_x")
  arrays = _load_npz(file, lambda k: k in names or k.endswith("_labels"))
  known = {
    k.removesuffix("_labels"): v for k, v in arrays.items() if k not in names
  }
  check_split(split, known, f"npz:{path}")
  key = names[0] if names[0] in arrays else names[1]
  if key not in arrays:
    raise ValueError(f"{file} must hold an array {names[0]} or {names[1]}.")
  field = "image" if key == names[0] else "x"
  inputs, labels = arrays[key], known[split]
  origin = f"{file}, array {split}_labels"
  check_lengths(inputs, labels, origin)
  if field == "x" or inputs.dtype.kind == "f":
    inputs = inputs.astype(np.float32)
  elif inputs.dtype != np.uint8:
    raise ValueError(
      f"{file}, array {key} must be uint8 or float, got {inputs.dtype}."
    )
  if field == "image":
    inputs = inputs[..., None] if inputs.ndim == 3 else inputs
    if inputs.ndim != 4:
      raise ValueError(
        f"{file}, array {key} must have shape [n h w] or [n h w c], "
        f"got {inputs.shape}."
      )
  if num_classes is None and all(x.dtype.kind in "iu" for x in known.values()):
    num_classes = 1 + max(
      (int(x.max()) for x in known.values() if x.size), default=0
    )
  return array_table(
    inputs, labels, num_classes=num_classes, origin=origin, field=field
  )


# Image folders: root/<split>/<class>/*.png.


def fit_image(image, image_size: int):
  """Resizes the shorter side of a PIL image, then crops the centre square."""
  scale = image_size / min(image.size)
  width, height = (max(image_size, round(s * scale)) for s in image.size)
  if (width, height) != image.size:
    from PIL import Image

    image = image.resize((width, height), Image.Resampling.BILINEAR)
  left, top = (width - image_size) // 2, (height - image_size) // 2
  return image.crop((left, top, left + image_size, top + image_size))


def decode_image(
  path: pathlib.Path, image_size: int | None, channels: int
) -> np.ndarray:
  """Decodes one file to [h w channels] uint8; ValueError names a bad file."""
  from PIL import Image

  try:
    with Image.open(path) as file:
      image = file.convert("RGB" if channels == 3 else "L")
  except (OSError, SyntaxError, ValueError, struct.error) as error:
    if isinstance(error, FileNotFoundError):
      raise
    raise ValueError(
      f"{path} must be a whole image file ({error}): replace or delete it, "
      'or load with on_bad="skip".'
    ) from error
  if image_size is not None:
    image = fit_image(image, image_size)
  return np.asarray(image, np.uint8).reshape(*image.size[::-1], channels)


def _decode_rows(rows, *, paths, shape, image_size, channels) -> np.ndarray:
  images = np.empty((len(rows), *shape), np.uint8)
  for i, row in enumerate(rows):
    image = decode_image(paths[row], image_size, channels)
    if image.shape != shape:
      raise ValueError(
        f"{paths[row]} must have shape {shape} as the first image has, got "
        f"{image.shape}: load with image_size=<pixels>."
      )
    images[i] = image
  return images


def _class_folders(root: pathlib.Path, split: str) -> list[str]:
  folders = lambda at: sorted(
    p.name for p in at.iterdir() if p.is_dir() and p.name[0] != "."
  )
  splits = folders(root)
  check_split(split, splits, f"folder:{root}")
  names = folders(root / ("train" if "train" in splits else split))
  unknown = sorted(set(folders(root / split)) - set(names))
  if unknown:
    raise ValueError(
      f"{root / split} must hold only the classes of {root / 'train'}, "
      f"got {unknown[0]!r}."
    )
  return names


def folder_table(
  path: str,
  split: str,
  *,
  image_size: int | None = None,
  channels: int = 3,
  on_bad: str = "error",
) -> Table:
  """Lists root/<split>/<class>/<image>; the images are decoded when fetched.

  The classes are the sorted folder names of `train`, or of the split itself
  where there is no `train`. `on_bad="skip"` decodes every file once, here.
  """
  if channels not in (1, 3):
    raise ValueError(f"channels must be 1 or 3, got {channels}.")
  if on_bad not in ("error", "skip"):
    raise ValueError(f"on_bad must be 'error' or 'skip', got {on_bad!r}.")
  root = pathlib.Path(path).expanduser()
  if not root.is_dir():
    raise FileNotFoundError(
      f"{root} must be a folder root/<split>/<class>/<image>: correct the path."
    )
  names = _class_folders(root, split)
  found = [
    (file, label)
    for label, name in enumerate(names)
    if (root / split / name).is_dir()
    for file in sorted((root / split / name).iterdir())
    if file.suffix.lower() in IMAGE_SUFFIXES
  ]
  if on_bad == "skip":
    found = _skip_bad(found, channels, root / split)
  paths = [file for file, _ in found]
  labels = np.array([label for _, label in found], np.int32)
  shape = decode_image(paths[0], image_size, channels).shape if paths else ()
  read = functools.partial(
    _decode_rows,
    paths=paths,
    shape=shape,
    image_size=image_size,
    channels=channels,
  )
  return Table(
    "image",
    read,
    labels,
    len(names),
    tuple(names),
    shape,
    np.dtype(np.uint8),
    str(root / split),
  )


def _skip_bad(found, channels, where):
  good, bad = [], []
  for file, label in found:
    try:
      decode_image(file, None, channels)
      good.append((file, label))
    except ValueError:
      bad.append(file)
  if bad:
    warnings.warn(
      f"{where}: skipped {len(bad)} of {len(found)} files that could not be "
      f"decoded, first {bad[0]}.",
      stacklevel=2,
    )
  return good


# CSV: tabular data.


def csv_table(
  path: str,
  split: str,
  *,
  label_column: str = "label",
  feature_columns: tuple[str, ...] | None = None,
  num_classes: int | None = None,
) -> Table:
  """Reads numeric features and a label from a table with a header line.

  Where the file exists, a split is the rows whose `split` column names it, or
  `train` is all rows; where it does not, a split is `<stem>_<split>.csv`.
  Labels that are not all numbers are names; their ids follow the sorted names
  of all splits.
  """
  file = pathlib.Path(path).expanduser()
  tables = {}  # split -> list of (file, line number, row)
  if file.is_file():
    for line, row in _csv_rows(file):
      tables.setdefault(row.get("split", "train"), []).append((file, line, row))
  siblings = [] if file.is_file() else file.parent.glob(f"{file.stem}_*.csv")
  for part in sorted(siblings):
    name = part.stem[len(file.stem) + 1 :]
    tables[name] = [(part, line, row) for line, row in _csv_rows(part)]
  if not tables and not file.is_file():
    raise FileNotFoundError(
      f"{file} or {file.stem}_{split}.csv must exist: correct the path."
    )
  check_split(split, tables, f"csv:{path}")
  rows = tables[split]
  header = list(rows[0][2]) if rows else []
  if rows and label_column not in header:
    raise ValueError(
      f"label_column must be a column of {rows[0][0]} ({', '.join(header)}), "
      f"got {label_column!r}."
    )
  columns = feature_columns or [
    c for c in header if c not in (label_column, "split")
  ]
  features = np.array(
    [[_number(at, line, row, c) for c in columns] for at, line, row in rows],
    np.float32,
  ).reshape(len(rows), len(columns))
  every = [
    row[label_column]
    for part in tables.values()
    for *_, row in part
    if label_column in row
  ]
  labels, names = _csv_labels([row[label_column] for *_, row in rows], every)
  if labels.dtype.kind == "i" and names is None and num_classes is None:
    num_classes = 1 + max(int(v) for v in every)
  return array_table(
    features,
    labels,
    origin=f"{rows[0][0] if rows else file}, column {label_column}",
    num_classes=num_classes if names is None else len(names),
    class_names=names,
    field="x",
  )


def _csv_rows(file: pathlib.Path):
  with open(file, newline="", encoding="utf-8") as lines:
    reader = csv.DictReader(lines)
    for row in reader:
      if None in row or None in row.values():
        raise ValueError(
          f"{file}, line {reader.line_num} must have "
          f"{len(reader.fieldnames or ())} fields: correct or delete it."
        )
      yield reader.line_num, row


def _number(file, line, row, column) -> float:
  try:
    value = float(row[column])
  except KeyError:
    raise ValueError(
      f"feature column {column!r} must be a column of {file} "
      f"({', '.join(row)})."
    ) from None
  except ValueError:
    value = float("nan")
  if not np.isfinite(value):
    raise ValueError(
      f"{file}, line {line}, column {column} must be a finite number, got "
      f"{row[column]!r}: correct it or leave it out of feature_columns."
    )
  return value


def _csv_labels(values, every):
  if all(re.fullmatch(r"\s*[-+]?\d+\s*", v) for v in every):
    return np.array([int(v) for v in values], np.int64), None
  try:
    return np.array([float(v) for v in values]), None
  except ValueError:
    names = sorted(set(every))
    index = {name: i for i, name in enumerate(names)}
    return np.array([index[v] for v in values], np.int64), tuple(names)
