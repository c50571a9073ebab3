import subprocess
import sys

TFDS_PROGRAM = """
import io, logging, pathlib, sys
import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2
from jaxcls import data

logging.disable(logging.WARNING)
with tfds.testing.mock_data(num_examples=6):
  mnist = data.load_source("tfds:mnist", "test")
  assert mnist.version == "tfds-3.0.1" and mnist.num_classes == 10
  batch = mnist.fetch(np.array([5, -1, 0]))
  assert batch["image"].shape == (3, 28, 28, 1)
  assert batch["label"].tolist() == [mnist.labels[5], -1, mnist.labels[0]]
  cifar = data.load_source("tfds:cifar100")
  assert cifar.fetch(np.array([1]))["coarse_label"].dtype == np.int32
  big = data.load_source("tfds:imagenet2012", image_size=32)
  assert big.fetch(np.array([1, 2]))["image"].shape == (2, 32, 32, 3)
  try:
    data.load_source("tfds:caltech101")
  except ValueError as error:
    assert "image_size" in str(error)
  else:
    raise AssertionError("images of several sizes need image_size")
for name, want in (("mnizt", ValueError), ("mnist", OSError)):
  try:
    data.load_source("tfds:" + name, data_dir=sys.argv[1])
  except want as error:
    assert "mnist" in str(error)
  else:
    raise AssertionError(name)

# What download_and_prepare(file_format="array_record") leaves on disk.
folder = pathlib.Path(sys.argv[1]) / "mnist" / "3.0.1"
folder.mkdir(parents=True)
images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
writer = array_record_module.ArrayRecordWriter(
  str(folder / "mnist-train.array_record-00000-of-00001"), "group_size:1"
)
for i in range(3):
  png, example = io.BytesIO(), tf_example_pb2.Example()
  Image.fromarray(images[i, ..., 0]).save(png, "PNG")
  feature = example.features.feature
  feature["image"].bytes_list.value.append(png.getvalue())
  feature["label"].int64_list.value.append(i + 4)
  writer.write(example.SerializeToString())
writer.close()
template = tfds.core.ShardedFileTemplate(
  data_dir=folder,
  dataset_name="mnist",
  split="train",
  filetype_suffix="array_record",
)
split = tfds.core.SplitInfo(
  name="train", shard_lengths=[3], num_bytes=1, filename_template=template
)
tfds.folder_dataset.write_metadata(
  data_dir=str(folder),
  features=tfds.builder("mnist").info.features,
  split_infos=[split],
  filename_template=template,
  check_data=False,
)
mnist = data.load_source("tfds:mnist", data_dir=sys.argv[1])
assert mnist.labels.tolist() == [4, 5, 6]
assert (mnist.fetch(np.arange(3))["image"] == images).all()
try:
  data.load_source("tfds:mnist", "tset", data_dir=sys.argv[1])
except ValueError as error:
  assert "(train), got 'tset'" in str(error)
else:
  raise AssertionError("unknown split")
assert "tensorflow" not in sys.modules
"""

IMPORT_PROGRAM = """
import sys
import jaxcls.data
late = "grain sklearn PIL tensorflow_datasets mlxtend array_record".split()
assert not [m for m in late if m in sys.modules], sys.modules.keys()
from jax._src import xla_bridge
assert not xla_bridge._backends
"""


def run_program(text, *arguments):
  done = subprocess.run(
    [sys.executable, "-c", text, *map(str, arguments)],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr


def test_tfds_without_tensorflow(tmp_path):
  run_program(TFDS_PROGRAM, tmp_path)


def test_import_is_light():
  run_program(IMPORT_PROGRAM)
