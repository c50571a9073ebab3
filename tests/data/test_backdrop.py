import numpy as np
import pytest

from jaxcls import data


def load(split="test", **options):
  return data.load_source("mnist5k_backdrop", split=split, **options)


def test_the_picture_is_shared_and_its_brightness_is_not():
  source = load()
  batch = source.fetch(np.array([0, 500, 999, -1]))
  np.testing.assert_array_equal(
    batch["image"], load().fetch(np.array([0, 500, 999, -1]))["image"]
  )
  images = source.read(source.ids)[..., 0].astype(float)
  around = np.ones((28, 28), bool)
  around[7:21, 7:21] = False
  lit = images[0] > 0
  assert 0.4 < lit[around].mean() < 0.6
  bright = source.columns["brightness"]
  expected = np.outer(bright * 255, lit[around])
  np.testing.assert_allclose(images[:, around], expected, atol=0.51)
  assert 0.5 <= bright.min() < 0.51 and 0.99 < bright.max() <= 1
  # Independent of the class, up to chance.
  means = [bright[source.labels == c].mean() for c in range(10)]
  np.testing.assert_allclose(means, 0.75, atol=0.06)
  assert data.source_spec("mnist5k_backdrop").input_shape == (28, 28, 1)


def test_the_digit_is_at_half_size_and_alone_without_the_picture():
  plain, digits = load(strength=0.0), data.load_source("mnist5k", "test")
  rows = np.arange(5)
  images = plain.read(rows)[..., 0].astype(float)
  assert plain.version != load().version
  np.testing.assert_array_equal(plain.labels, digits.labels)
  small = digits.read(rows).reshape(5, 14, 2, 14, 2).mean(axis=(2, 4))
  np.testing.assert_allclose(images[:, 7:21, 7:21], small, atol=0.51)
  assert images.sum() == images[:, 7:21, 7:21].sum()
  np.testing.assert_array_equal(
    load().read(rows)[:, 7:21, 7:21, 0], images[:, 7:21, 7:21]
  )
  with pytest.raises(ValueError, match="strength must be in"):
    load(strength=2.0)
