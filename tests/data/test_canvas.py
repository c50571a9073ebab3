import numpy as np
import pytest

from jaxcls import data


def load(split="test", **options):
  return data.load_source("mnist5k_canvas", split=split, **options)


def test_boxes_hold_the_digit_and_nothing_moves():
  plain, clean = load(), load(clutter=0)
  np.testing.assert_array_equal(
    plain.fetch(plain.ids[:9])["image"], load().fetch(plain.ids[:9])["image"]
  )
  batch = clean.fetch(np.array([0, 500, 999, -1]))
  assert batch["box"].shape == (4, 4) and not batch["box"][3].any()
  for image, box in zip(batch["image"][:3], batch["box"][:3], strict=True):
    ys, xs = np.nonzero(image[..., 0] >= 64)
    ends = (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)
    np.testing.assert_array_equal(box, ends)
  assert plain.version != clean.version
  spec = data.source_spec("mnist5k_canvas")
  assert spec.input_shape == plain.input_shape == (56, 56, 1)


def test_watermark_shows_the_class_in_the_asked_share():
  own, free = load(watermark=0.0, test_watermark=1.0), load(watermark=0.0)
  rows = np.arange(1000)
  tiles = own.read(rows)[:, :8, :8, 0].reshape(1000, -1)
  for label in range(10):
    assert len(np.unique(tiles[own.labels == label], axis=0)) == 1
  assert len(np.unique(tiles, axis=0)) == 10
  other = free.read(rows)[:, :8, :8, 0].reshape(1000, -1)
  assert 0.05 < (other == tiles).all(axis=1).mean() < 0.15
  np.testing.assert_array_equal(own.columns["mark_box"][0], [0, 0, 8, 8])
  assert own.version != free.version


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (dict(image_size=20), "image_size must be at least 28"),
    (dict(watermark=2.0), "watermark must be None or in"),
    (dict(cluter=3), "Did you mean 'clutter'"),
  ],
)
def test_wrong_options_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    load(**options)
