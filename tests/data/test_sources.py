import gzip
import pickle
import struct

import numpy as np
import pytest
from PIL import Image

from jaxcls import data

RNG = np.random.default_rng(0)


def write_idx(path, array, gz=True):
  head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
  content = head + array.tobytes()
  path.write_bytes(gzip.compress(content) if gz else content)


def write_idx_folder(root, gz=True, labels=None):
  root.mkdir(exist_ok=True)
  end = ".gz" if gz else ""
  arrays = {}
  for stem, n in (("train", 6), ("t10k", 4)):
    images = RNG.integers(0, 256, (n, 5, 4), np.uint8)
    y = np.arange(n, dtype=np.uint8) % 3
    if labels is not None and stem == "train":
      y = np.array(labels, np.uint8)
    write_idx(root / f"{stem}-images-idx3-ubyte{end}", images, gz)
    write_idx(root / f"{stem}-labels-idx1-ubyte{end}", y, gz)
    arrays[stem] = images, y
  return arrays


def write_folder(root, sizes=((6, 8), (6, 8)), name="train"):
  arrays = []
  for label in ("ant", "bee"):
    at = root / name / label
    at.mkdir(parents=True)
    for i, (height, width) in enumerate(sizes):
      pixels = RNG.integers(0, 256, (height, width, 3), np.uint8)
      Image.fromarray(pixels).save(at / f"{i}.png")
      arrays.append(pixels)
  return arrays


def check_batch(source, ids, images, labels):
  batch = source.fetch(np.array(ids))
  np.testing.assert_array_equal(batch[source.field], images)
  np.testing.assert_array_equal(batch["label"], labels)
  np.testing.assert_array_equal(batch["id"], ids)
  assert batch["label"].dtype == batch["id"].dtype == np.int32
  assert batch[source.field].dtype == source.dtype
  assert batch[source.field].shape[1:] == source.input_shape


# What every source can do.


def test_digits_split_is_fixed():
  train, test = data.load_source("digits"), data.load_source("digits", "test")
  assert (len(train), len(test)) == (1437, 360)
  assert train.version == test.version == "digits-split1"
  # First labels of the test split: they pin the published split for good.
  assert test.labels[:12].tolist() == [1, 5, 6, 5, 7, 2, 5, 7, 5, 9, 8, 4]
  assert np.ptp(np.bincount(test.labels)) <= 2
  both = np.concatenate(
    [s.fetch(s.ids)["image"].reshape(len(s), -1) for s in (train, test)]
  )
  from sklearn import datasets

  want = np.round(datasets.load_digits().data * 255 / 16)
  assert both.max() == 255 and both.astype(int).sum() == want.sum()


def test_mnist5k_is_balanced():
  test = data.load_source("mnist5k", "test")
  assert len(data.load_source("mnist5k")) == 4000
  np.testing.assert_array_equal(np.bincount(test.labels), [100] * 10)
  assert test.input_shape == (28, 28, 1) and test.dtype == np.uint8


def test_subset_keeps_ids():
  source = data.load_source("digits")
  part = source.subset([30, 10, 20]).subset([20, 30])
  assert part.ids.tolist() == [20, 30] and len(part) == 2
  np.testing.assert_array_equal(part.labels, source.labels[[20, 30]])
  whole = source.fetch(np.array([20, 30]))
  check_batch(part, [20, 30], whole["image"], whole["label"])
  assert part.version == source.subset([20, 30]).version != source.version
  assert part.num_classes == 10
  with pytest.raises(ValueError, match="must belong to digits .* got 10"):
    part.fetch(np.array([20, 10]))
  with pytest.raises(ValueError, match="got 1437"):
    source.subset([1437])
  for bad in ([], [1, 1]):
    with pytest.raises(ValueError, match="distinct ids"):
      source.subset(bad)


def test_fetch_pads_where_id_is_minus_one():
  source = data.load_source("digits")
  batch = source.fetch(np.array([3, -1]))
  assert batch["label"].tolist() == [source.labels[3], -1]
  assert batch["image"][0].any() and not batch["image"][1].any()
  only = source.fetch(np.array([-1, -1]))
  assert only["image"].shape == (2, 8, 8, 1) and not only["image"].any()
  with pytest.raises(ValueError, match="got -2"):
    source.fetch(np.array([-2]))


def test_split_source():
  source = data.load_source("digits").subset(np.arange(0, 1000))
  kept, held = data.split_source(source, 0.1, seed=1)
  assert len(held) == 100 and len(kept) == 900
  assert set(kept.ids) | set(held.ids) == set(range(1000))
  share = np.bincount(held.labels) / np.bincount(source.labels)
  np.testing.assert_allclose(share, 0.1, atol=0.01)
  again = data.split_source(source, 0.1, seed=1)[1]
  other = data.split_source(source, 0.1, seed=2)[1]
  assert again.version == held.version != other.version
  for bad in (0.0, 1.0, 1e-5):
    with pytest.raises(ValueError, match="fraction must"):
      data.split_source(source, bad, seed=0)


@pytest.mark.parametrize("name", ["digits", "mnist5k", "fake"])
def test_spec_agrees_with_source(name):
  source = data.load_source(name)
  spec = data.source_spec(name)
  assert spec[:5] == (
    source.input_shape,
    source.num_classes,
    source.dtype,
    len(source),
    source.field,
  )


def test_specs_need_no_data():
  assert data.source_spec("tfds:imagenet2012").input_shape == (224, 224, 3)
  spec = data.source_spec("tfds:imagenet2012", image_size=64)
  assert spec[:5] == ((64, 64, 3), 1000, np.uint8, 1281167, "image")
  assert data.source_spec("tfds:cifar100").num_classes == 100
  assert data.source_spec("tfds:svhn_cropped").num_train == 73257
  assert data.source_spec("fashion_mnist", root="/nowhere").num_train == 60000
  fake = data.source_spec("fake", shape=(7,), num_classes=3, num_examples=9)
  assert fake[:5] == ((7,), 3, np.float32, 9, "x")


def test_errors_name_the_nearest():
  with pytest.raises(ValueError, match="'digit'.*'digits'"):
    data.load_source("digit")
  with pytest.raises(ValueError, match="known name, got 'folder:'"):
    data.load_source("folder:")
  with pytest.raises(ValueError, match="'num_class'.*'num_classes'"):
    data.load_source("fake", num_class=3)
  with pytest.raises(ValueError, match="digits .test, train., got 'val'"):
    data.load_source("digits", "val")


def test_sources_pickle(tmp_path):
  write_folder(tmp_path)
  for name in ("digits", "fake", f"folder:{tmp_path}"):
    source = data.load_source(name)
    copy = pickle.loads(pickle.dumps(source))
    check_batch(copy, [2], source.fetch(np.array([2]))["image"], copy.labels[2])


# Formats.


@pytest.mark.parametrize("gz", [True, False])
def test_idx(tmp_path, gz):
  images, labels = write_idx_folder(tmp_path, gz)["t10k"]
  source = data.load_source(f"idx:{tmp_path}", "test")
  check_batch(source, [3, 1], images[[3, 1], ..., None], labels[[3, 1]])
  assert source.num_classes == 3 and source.class_names == ("0", "1", "2")
  assert data.source_spec(f"idx:{tmp_path}").num_train == 6


def test_fashion_mnist_reads_root(tmp_path):
  write_idx_folder(tmp_path)
  source = data.load_source("fashion_mnist", root=str(tmp_path))
  assert source.class_names[9] == "Ankle boot" and source.num_classes == 10
  with pytest.raises(
    OSError, match="/nowhere must hold .*dataset-fashion-mnist.*root="
  ):
    data.load_source("fashion_mnist", root="/nowhere")


def test_idx_errors(tmp_path):
  write_idx_folder(tmp_path, labels=[0, 1, 2, 7, 1, 0])
  with pytest.raises(ValueError, match=r"\[0, 3\), got 7 in example 3"):
    data.load_source(f"idx:{tmp_path}", num_classes=3)
  path = tmp_path / "train-images-idx3-ubyte.gz"
  whole = path.read_bytes()
  bad = {
    whole[: len(whole) // 2]: "whole gzip file",
    b"not gzip": "whole gzip file",
    gzip.compress(b"text"): "IDX header",
    gzip.compress(gzip.decompress(whole)[:-1]): "bytes of data",
    gzip.compress(b"\0\0\x0d\1" + bytes(8)): "unsigned bytes",
  }
  for content, message in bad.items():
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"train-images.*{message}"):
      data.load_source(f"idx:{tmp_path}")
  write_idx(path, np.zeros((5, 5, 4), np.uint8))
  with pytest.raises(ValueError, match="label for each of 5 examples"):
    data.load_source(f"idx:{tmp_path}")


def save_npz(path, **changes):
  arrays = dict(
    train_images=RNG.integers(0, 256, (4, 3, 3), np.uint8),
    train_labels=np.array([0, 1, 1, 0]),
    test_x=RNG.normal(size=(2, 5)),
    test_labels=np.array([2, 0]),
  )
  np.savez(path, **(arrays | changes))
  return arrays


def test_npz(tmp_path):
  path = tmp_path / "a.npz"
  arrays = save_npz(path)
  train = data.load_source(f"npz:{path}")
  images = arrays["train_images"][[2, 0], ..., None]
  check_batch(train, [2, 0], images, [1, 0])
  # The largest label of all splits counts, not only of this one.
  assert train.num_classes == 3
  test = data.load_source(f"npz:{path}", "test")
  assert test.field == "x" and test.dtype == np.float32
  check_batch(test, [1], arrays["test_x"][[1]].astype(np.float32), [0])


def test_npz_errors(tmp_path):
  path = tmp_path / "a.npz"
  cases = [
    (dict(train_labels=np.array([0, 1, -1, 0])), "got -1 in example 2"),
    (dict(train_labels=np.array([0.0, 1, 1, 0])), "train_labels.*integers"),
    (dict(train_labels=np.array([0, 1])), "one label for each of 4"),
    (dict(train_images=np.zeros((4, 3, 3), int)), "uint8 or float"),
    (dict(train_images=np.zeros((4, 3), np.uint8)), r"\[n h w c\]"),
    (dict(train_images=np.array([None])), r"a\.npz .*pickled objects"),
    (
      dict(train_images=np.zeros((0, 3, 3), np.uint8), train_labels=[]),
      "at least one example",
    ),
  ]
  for changes, message in cases:
    save_npz(path, **changes)
    with pytest.raises(ValueError, match=message):
      data.load_source(f"npz:{path}")
  save_npz(path)
  with pytest.raises(ValueError, match=r"\(test, train\), got 'val'"):
    data.load_source(f"npz:{path}", "val")
  path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(ValueError, match=r"a\.npz must be a whole"):
    data.load_source(f"npz:{path}")
  path.write_text("text")
  with pytest.raises(ValueError, match=r"a\.npz must be a \.npz file"):
    data.load_source(f"npz:{path}")
  with pytest.raises(FileNotFoundError):
    data.load_source(f"npz:{tmp_path / 'none.npz'}")


def test_folder(tmp_path):
  arrays = write_folder(tmp_path)
  write_folder(tmp_path, name="test")
  source = data.load_source(f"folder:{tmp_path}")
  assert source.class_names == ("ant", "bee")
  check_batch(source, [3, 0], [arrays[3], arrays[0]], [1, 0])
  gray = data.load_source(f"folder:{tmp_path}", channels=1)
  assert gray.input_shape == (6, 8, 1)
  (tmp_path / "test" / "wasp").mkdir()
  with pytest.raises(ValueError, match="only the classes.*'wasp'"):
    data.load_source(f"folder:{tmp_path}", "test")
  with pytest.raises(ValueError, match=r"\(test, train\), got 'val'"):
    data.load_source(f"folder:{tmp_path}", "val")


def test_folder_resizes_and_crops(tmp_path):
  arrays = write_folder(tmp_path, sizes=((6, 8), (4, 4)))
  with pytest.raises(ValueError, match=r"1\.png .*image_size="):
    data.load_source(f"folder:{tmp_path}").fetch(np.array([0, 1]))
  source = data.load_source(f"folder:{tmp_path}", image_size=6)
  # 6 is the shorter side already: only the crop is left to do.
  check_batch(source, [0], arrays[0][None, :, 1:7], [0])
  assert source.fetch(np.array([1]))["image"].shape == (1, 6, 6, 3)


def test_folder_with_bad_files(tmp_path):
  write_folder(tmp_path)
  path = tmp_path / "train" / "bee" / "0.png"
  for content in (path.read_bytes()[:120], b"not an image"):
    path.write_bytes(content)
    source = data.load_source(f"folder:{tmp_path}")
    with pytest.raises(ValueError, match=r"bee/0\.png must be a whole image"):
      source.fetch(np.array([2]))
    with pytest.warns(UserWarning, match="skipped 1 of 4 .*bee/0.png"):
      source = data.load_source(f"folder:{tmp_path}", on_bad="skip")
    assert source.labels.tolist() == [0, 0, 1]
  with pytest.raises(ValueError, match="on_bad must be"):
    data.load_source(f"folder:{tmp_path}", on_bad="ignore")
  with pytest.raises(ValueError, match="channels must be"):
    data.load_source(f"folder:{tmp_path}", channels=4)
  with pytest.raises(OSError, match="must be a folder"):
    data.load_source(f"folder:{tmp_path / 'none'}")
  (tmp_path / "empty" / "ant").mkdir(parents=True)
  with pytest.raises(ValueError, match="'empty'.*at least one example"):
    data.load_source(f"folder:{tmp_path}", "empty")


def test_csv_with_split_column(tmp_path):
  path = tmp_path / "t.csv"
  path.write_text(
    "a,kind,b,split\n1,cat,2,train\n3,dog,4,train\n5,emu,6,test\n"
  )
  source = data.load_source(f"csv:{path}", label_column="kind")
  check_batch(source, [1, 0], [[3, 4], [1, 2]], [1, 0])
  assert source.class_names == ("cat", "dog", "emu")
  assert source.field == "x" and source.dtype == np.float32
  one = data.load_source(
    f"csv:{path}", "test", label_column="kind", feature_columns=("b",)
  )
  check_batch(one, [0], [[6]], [2])


def test_csv_with_a_file_per_split(tmp_path):
  (tmp_path / "t_train.csv").write_text("a,label\n1,0\n2,1\n")
  (tmp_path / "t_test.csv").write_text("a,label\n3,4\n")
  (tmp_path / "t_units.csv").write_text("column,unit\na,metre\n")
  source = data.load_source(f"csv:{tmp_path / 't.csv'}")
  assert source.num_classes == 5
  check_batch(source, [1], [[2]], [1])


def test_csv_errors(tmp_path):
  path = tmp_path / "t.csv"
  cases = [
    ("a,label\nx,0\n", r"line 2, column a must be a finite number, got 'x'"),
    ("a,label\n,0\n", r"line 2, column a"),
    ("a,label\n1\n", r"line 2 must have 2 fields"),
    ("a,label\n1,0.5\n", r"column label must be integers, got .*0\.5"),
    ("a,label\n1,-1\n", r"got -1 in example 0"),
    ("a,kind\n1,0\n", r"label_column must be a column .*kind"),
    ("a,label\n", r"none\), got 'train'"),
  ]
  for text, message in cases:
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
      data.load_source(f"csv:{path}")
  path.write_text("a,label\n1,0\n")
  with pytest.raises(ValueError, match="feature column 'z'"):
    data.load_source(f"csv:{path}", feature_columns=("z",))
  with pytest.raises(OSError, match="must exist"):
    data.load_source(f"csv:{tmp_path / 'none.csv'}")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_array_record(tmp_path, dtype):
  images = RNG.integers(0, 256, (5, 3, 4, 3)).astype(dtype)
  labels = np.array([2, 0, 1, 2, 0])
  for shard, rows in enumerate((slice(0, 3), slice(3, 5))):
    data.write_array_record(
      tmp_path / f"train-0000{shard}-of-00002.array_record",
      images[rows],
      labels[rows],
      num_classes=4,
    )
  source = data.load_source(f"array_record:{tmp_path}")
  assert source.num_classes == 4 and source.labels.tolist() == labels.tolist()
  check_batch(source, [4, 0, 2], images[[4, 0, 2]], [0, 2, 1])
  with pytest.raises(ValueError, match=r"\(train\), got 'test'"):
    data.load_source(f"array_record:{tmp_path}", "test")


def test_array_record_errors(tmp_path):
  with pytest.raises(OSError, match="write_array_record"):
    data.load_source(f"array_record:{tmp_path}")
  path = tmp_path / "train.array_record"
  images = np.zeros((2, 3, 3, 1), np.uint8)
  with pytest.raises(ValueError, match=r"\[0, 2\), got 0 to 2"):
    data.write_array_record(path, images, [0, 2], num_classes=2)
  with pytest.raises(ValueError, match="one label for each of 2"):
    data.write_array_record(path, images, [0], num_classes=2)
  data.write_array_record(path, images, [0, 1], num_classes=2)
  path.write_bytes(path.read_bytes()[:-70000])
  with pytest.raises(ValueError, match=r"train\.array_record must be a whole"):
    data.load_source(f"array_record:{tmp_path}")


def test_fake_is_deterministic_and_learnable():
  options = dict(shape=(6, 6, 1), num_classes=4, num_examples=200, seed=3)
  train = data.load_source("fake", **options)
  test = data.load_source("fake", "test", **options)
  again = data.load_source("fake", **options).fetch(np.array([7, 3]))["image"]
  x, y = train.fetch(train.ids)["image"].reshape(200, -1), train.labels
  np.testing.assert_array_equal(x[[7, 3]], again.reshape(2, -1))
  assert len(np.unique(x, axis=0)) == 200
  centres = np.stack([x[y == c].mean(0) for c in range(4)])
  z = test.fetch(test.ids)["image"].reshape(200, 1, -1)
  predicted = ((z - centres) ** 2).sum(-1).argmin(-1)
  assert (predicted == test.labels).mean() > 0.9
  other = data.load_source("fake", **options | dict(seed=4))
  assert (other.labels != y).any()
  with pytest.raises(ValueError, match="must be positive"):
    data.load_source("fake", num_examples=0)
