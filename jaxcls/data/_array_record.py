"""ArrayRecord files: one file a split (or shard), one record an example."""

import functools
import io
import pathlib
import re
import struct

import numpy as np

from jaxcls.data import _readers

# Label and number of classes, ahead of the `.npy` bytes of the image.
RECORD_HEADER = struct.Struct("<ii")


def write_array_record(
  path: str | pathlib.Path,
  images: np.ndarray,
  labels: np.ndarray,
  *,
  num_classes: int,
) -> None:
  """Writes examples for `array_record:<folder>`, one record an example.

  A record is label and num_classes as two little-endian int32, then the image
  in `.npy` format. Call the file `<folder>/<split>.array_record`, or
  `<split>-00000-of-00004.array_record` and so on for several shards.

  Args:
    path: the file; written anew.
    images: [n h w c] uint8 or float32.
    labels: [n] int in [0, num_classes).
    num_classes: of the whole data set, not only of this file.

  Raises:
    ValueError: lengths differ, or a label is out of range.
  """
  from array_record.python import array_record_module

  images, labels = np.asarray(images), np.asarray(labels)
  _readers.check_lengths(images, labels, "labels")
  if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
    raise ValueError(
      f"labels must be in [0, {num_classes}), got {labels.min()} to "
      f"{labels.max()}."
    )
  # Groups of one record: random access then reads one example, not 65,536.
  writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
  for image, label in zip(images, labels, strict=True):
    buffer = io.BytesIO(RECORD_HEADER.pack(int(label), num_classes))
    buffer.seek(0, io.SEEK_END)
    np.save(buffer, image, allow_pickle=False)
    writer.write(buffer.getvalue())
  writer.close()


def _decode_record(record: bytes, origin) -> np.ndarray:
  try:
    buffer = io.BytesIO(record)
    buffer.seek(RECORD_HEADER.size)
    return np.load(buffer, allow_pickle=False)
  except (ValueError, EOFError) as error:
    raise ValueError(
      f"{origin} must hold records of jaxcls.data.write_array_record "
      f"({error}): write the file again."
    ) from error


def _decode_records(rows, *, records, shape, dtype, origin) -> np.ndarray:
  images = np.empty((len(rows), *shape), dtype)
  records = records.__getitems__([int(r) for r in rows]) if len(rows) else []
  for i, record in enumerate(records):
    image = _decode_record(record, origin)
    if image.shape != shape:
      raise ValueError(
        f"{origin} must hold images of one shape, got {image.shape} in row "
        f"{rows[i]} after {shape} in row 0."
      )
    images[i] = image
  return images


def array_record_table(path: str, split: str) -> _readers.Table:
  """Reads what `write_array_record` wrote; images are decoded when fetched.

  The labels are read from all records once, at load.
  """
  from array_record.python import array_record_data_source

  root = pathlib.Path(path).expanduser()
  shards = {}
  for file in sorted(root.glob("*.array_record")):
    name = re.sub(r"-\d+-of-\d+$", "", file.stem)
    shards.setdefault(name, []).append(str(file))
  if not shards:
    raise FileNotFoundError(
      f"{root} must be a folder with <split>.array_record files: write them "
      "with jaxcls.data.write_array_record."
    )
  _readers.check_split(split, shards, f"array_record:{path}")
  origin = f"{root}/{split}.array_record"
  try:
    records = array_record_data_source.ArrayRecordDataSource(shards[split])
    heads = [
      RECORD_HEADER.unpack_from(record)
      for start in range(0, len(records), 1024)
      for record in records.__getitems__(
        range(start, min(start + 1024, len(records)))
      )
    ]
  except (ValueError, RuntimeError, IndexError, struct.error) as error:
    raise ValueError(
      f"{origin} must be a whole ArrayRecord file ({error}): write it again "
      "with jaxcls.data.write_array_record."
    ) from error
  first = _decode_record(records[0], origin) if heads else np.zeros((0,))
  read = functools.partial(
    _decode_records,
    records=records,
    shape=first.shape,
    dtype=first.dtype,
    origin=origin,
  )
  return _readers.Table(
    "image" if first.ndim == 3 else "x",
    read,
    np.array([label for label, _ in heads], np.int32),
    heads[0][1] if heads else 1,
    None,
    first.shape,
    first.dtype,
    origin,
  )
