import numpy as np
import pytest

from jaxcls import data


def rows(split, **options):
  source = data.load_source("group_addition", split, **options)
  return source.fetch(source.ids), source


def test_pairs_and_sums():
  train, source = rows("train", moduli=(5,), train_fraction=0.6)
  test, _ = rows("test", moduli=(5,), train_fraction=0.6)
  assert len(train["x"]) == 15 and len(test["x"]) == 10
  x = np.concatenate([train["x"], test["x"]])
  labels = np.concatenate([train["label"], test["label"]])
  first, second = x[:, :5].argmax(1), x[:, 5:].argmax(1)
  np.testing.assert_array_equal(labels, (first + second) % 5)
  assert len(np.unique(5 * first + second)) == 25
  assert source.num_classes == 5 and source.field == "x"


def test_product_group():
  train, _ = rows("train", moduli=(2, 3), train_fraction=0.9)
  first, second = train["x"][:, :6].argmax(1), train["x"][:, 6:].argmax(1)
  want = (first // 3 + second // 3) % 2 * 3 + (first % 3 + second % 3) % 3
  np.testing.assert_array_equal(train["label"], want)


def test_split_depends_on_the_seed_alone():
  same = [rows("train", seed=1)[0]["x"] for _ in range(2)]
  np.testing.assert_array_equal(*same)
  assert (rows("train", seed=2)[0]["x"] != same[0]).any()


def test_bad_options():
  with pytest.raises(ValueError, match="moduli must be at least 2"):
    data.load_source("group_addition", moduli=(1,))
  with pytest.raises(ValueError, match="train_fraction in"):
    data.load_source("group_addition", train_fraction=1.0)
