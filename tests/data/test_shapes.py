import numpy as np
import pytest

from jaxcls import data
from jaxcls.data import _shapes


def load(split="train", **options):
  return data.load_source("shapes", split=split, **options)


def test_images_depend_on_split_and_id_only():
  one, other = load(num_train=96), load(num_train=96)
  ids = np.array([90, 3, 41])
  batch = one.fetch(ids)
  assert batch["image"].shape == (3, 24, 24, 3)
  assert batch["image"].dtype == np.uint8
  np.testing.assert_array_equal(batch["image"], other.fetch(ids)["image"])
  np.testing.assert_array_equal(
    batch["image"][1:2], load(num_train=96).fetch(ids[1:2])["image"]
  )
  # Read again, from memory.
  np.testing.assert_array_equal(batch["image"], one.fetch(ids)["image"])
  test = load("test").fetch(ids)["image"]
  assert (test != batch["image"]).any()
  pair = batch["attribute"] * 8 + batch["object"]
  np.testing.assert_array_equal(pair, batch["label"])
  assert one.class_names[9] == "yellow square"
  assert np.bincount(one.labels).tolist() == [2] * 48


def test_colour_and_shape_are_what_the_class_says():
  source = load(num_train=480, image_size=16)
  images = source.read(source.ids).astype(float)
  # The most saturated pixel is the object's; its hue names the attribute.
  high, low = images.max(-1), images.min(-1)
  spots = (high - low).reshape(480, -1).argmax(1)
  rgb = images.reshape(480, -1, 3)[np.arange(480), spots]
  reference = np.array([_shapes._rgb(a / 6, 0.9, 0.9) for a in range(6)])
  norm = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
  guess = (norm(rgb - rgb.mean(-1, keepdims=True)) @ norm(
    reference - reference.mean(-1, keepdims=True)).T).argmax(1)  # fmt: skip
  assert (guess == source.columns["attribute"]).mean() > 0.95
  area = ((high - low) > 90).reshape(480, -1).sum(1)
  of = lambda kind: area[source.columns["object"] == kind].mean()
  assert of(1) > of(4) and of(0) > of(5)  # square > ring, circle > bar


def test_two_objects_are_twins():
  source = load(
    objects_per_image=2, num_attributes=3, num_objects=2, num_train=60
  )
  assert source.num_classes == 6
  assert source.class_names[:2] == (
    "red circle and yellow square", "yellow circle and red square",
  )  # fmt: skip
  assert source.columns["attribute"].shape == (60, 2)
  assert source.fetch(np.arange(2))["image"].shape == (2, 24, 24, 3)


def test_patterns_are_second_attributes():
  options = dict(num_attributes=2, num_objects=2, num_patterns=3)
  source = load(num_train=220, image_size=16, **options)
  assert source.num_classes == (2 + 3 + 6) * 2
  assert source.class_names[0] == "red circle"
  assert source.class_names[4] == "striped circle"
  assert source.class_names[-1] == "yellow checked square"
  batch = source.fetch(source.ids)
  images, pattern = batch["image"].astype(float), batch["pattern"]
  assert set(np.unique(pattern)) == {-1, 0, 1, 2}
  # Grey where there is no colour, dark rows or columns where stripes are.
  colour = np.percentile(np.ptp(images, axis=3).reshape(220, -1), 90, axis=1)
  grey = batch["attribute"] == -1
  assert colour[grey].max() < colour[~grey].min()
  light = images.max(3)
  along = [np.abs(np.diff(light, axis=a)).mean((1, 2)) for a in (1, 2)]
  contrast = along[0] - along[1]
  assert contrast[pattern == 0].mean() > 5 > -5 > contrast[pattern == 1].mean()
  assert abs(contrast[pattern == 2].mean()) < 3
  assert source.version != load(num_train=220, image_size=16).version


def test_images_without_patterns_are_those_of_version_1():
  source = load(num_train=96, image_size=8)
  assert source.version == "shapes-1-8-6-8-1-plain-96"
  assert int(source.read(source.ids).sum()) == 1045827


def test_renderings_differ_in_light_alone():
  plain, shifted = load(num_train=96), load(num_train=96, rendering="shifted")
  np.testing.assert_array_equal(plain.labels, shifted.labels)
  means = [s.read(s.ids).mean() for s in (plain, shifted)]
  assert means[0] < 110 < 150 < means[1]
  assert plain.version != shifted.version
  spec = data.source_spec("shapes", image_size=16)
  assert spec.input_shape == (16, 16, 3) and spec.num_classes == 48


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (dict(rendering="odd"), "rendering must be one of"),
    (dict(num_objects=9), "num_objects must be at most 8, got 9"),
    (dict(objects_per_image=3), "objects_per_image must be 1 or 2, got 3"),
    (dict(num_train=0), "must be positive"),
    (dict(num_patterns=4), "num_patterns must be at most 3, got 4"),
    (dict(num_patterns=1, objects_per_image=2), "0 for two objects"),
    (dict(objects_per_image=2, num_objects=1), "at least 2"),
    (dict(colour=3), "option 'colour' is not known"),
  ],
)
def test_bad_options_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    load(**options)


def test_pair_classes_are_all_the_combinations_once():
  one = data.pair_classes(num_attributes=3, num_objects=4)
  assert one.shape == (12, 1, 2)
  assert len(np.unique(one.reshape(12, 2), axis=0)) == 12
  two = data.pair_classes(num_attributes=3, num_objects=4, objects_per_image=2)
  assert two.shape == (4 * 3 * 3 * 2 // 2, 2, 2)
  # Twins hold the same words; within an image nothing comes twice.
  a, b = two[::2], two[1::2]
  np.testing.assert_array_equal(np.sort(a, axis=1), np.sort(b, axis=1))
  assert (two[:, 0] != two[:, 1]).all()
  patterns = data.pair_classes(num_attributes=2, num_objects=2, num_patterns=3)
  assert patterns.shape == ((2 + 3 + 6) * 2, 1, 3)
  for options, match in (
    (dict(num_attributes=1, num_objects=2, objects_per_image=2), "at least 2"),
    (dict(num_attributes=2, num_objects=2, objects_per_image=3), "1 or 2"),
  ):
    with pytest.raises(ValueError, match=match):
      data.pair_classes(**options)
