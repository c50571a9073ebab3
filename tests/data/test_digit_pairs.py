"""Pairs of digits whose label names both."""

import numpy as np
import pytest

from jaxcls import data


def test_images_hold_both_digits_and_labels_name_them():
  source = data.load_source("mnist5k_pairs", "test", num_examples=500)
  batch = source.fetch(source.ids)
  assert batch["image"].shape == (100, 14, 22, 1)
  assert source.num_classes == 100
  digits = data.load_source("mnist5k", "test")
  images = digits.fetch(digits.ids)["image"][..., 0]
  small = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
  near = lambda x, y: np.abs(x[None] - y).mean(axis=(1, 2)).argmin()
  for i in range(5):
    image = batch["image"][i, :, :, 0]
    # Columns 0 to 7 are the left digit's alone, 14 to 21 the right one's.
    left = near(image[:, :8], small[:, :, :8])
    right = near(image[:, 14:], small[:, :, 6:])
    got = 10 * digits.labels[left] + digits.labels[right]
    assert got == batch["label"][i]


def test_too_few_examples():
  with pytest.raises(ValueError, match="num_examples must be at least 5"):
    data.load_source("mnist5k_pairs", num_examples=1)
