"""Sequences whose label is the value of the last key."""

import numpy as np
import pytest

from jaxcls import data


def test_label_is_the_value_after_the_asked_key():
  options = dict(num_pairs=3, num_keys=5, num_values=4, num_examples=200)
  source = data.load_source("recall", **options)
  batch = source.fetch(source.ids)
  assert batch["image"].shape == (200, 7, 1, 9)
  tokens = batch["image"][:, :, 0].argmax(-1)
  assert (batch["image"].sum(-1) == 1).all()
  keys, values = tokens[:, 0:6:2], tokens[:, 1:6:2] - 5
  assert keys.max() < 5 and 0 <= values.min() and values.max() < 4
  found = keys == tokens[:, 6:]
  np.testing.assert_array_equal(found.sum(1), 1)
  np.testing.assert_array_equal(values[found], batch["label"])


def test_splits_are_drawn_apart_and_repeat():
  load = lambda split: data.load_source("recall", split, num_examples=50)
  fetch = lambda source: source.fetch(source.ids)["image"]
  train = fetch(load("train"))
  np.testing.assert_array_equal(train, fetch(load("train")))
  assert (train != fetch(load("test"))).any()


def test_more_pairs_than_keys():
  with pytest.raises(ValueError, match="num_pairs at most num_keys"):
    data.load_source("recall", num_pairs=4, num_keys=3)
