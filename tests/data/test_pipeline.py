import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import data

SHAPE = dict(shape=(8, 8, 1), num_classes=3, num_examples=48)


@pytest.fixture(scope="module")
def source():
  return data.load_source("fake", **SHAPE)


def batches(source, start=0, **kwargs):
  plan = data.UniformPlan(source.ids, 8, 9, seed=1)
  other = data.ClassBalancedPlan(source.ids, source.labels, 4, 9, seed=2)
  found = data.host_batches(
    {"labeled": plan, "unlabeled": other},
    {"labeled": source.fetch, "unlabeled": source.fetch},
    start=start,
    **kwargs,
  )
  return list(found)


def assert_equal(some, others):
  assert len(some) == len(others)
  for a, b in zip(some, others, strict=True):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_resume_at_any_step_is_the_same_stream(source):
  whole = batches(source)
  assert len(whole) == 9 and whole[0].keys() == {"labeled", "unlabeled"}
  for start in (0, 4, 8):
    assert_equal(batches(source, start), whole[start:])


@pytest.mark.slow
def test_workers_change_nothing(source):
  assert_equal(batches(source, 3, workers=1), batches(source, 3))


def test_processes_hold_their_rows(source):
  whole = batches(source)
  rows = [np.array([0, 1, 6, 7]), np.array([2, 3, 4, 5])]
  parts = [batches(source, rows={"labeled": r}) for r in rows]
  for step in range(9):
    for r, part in zip(rows, parts, strict=True):
      np.testing.assert_array_equal(
        part[step]["labeled"]["id"], whole[step]["labeled"]["id"][r]
      )
      assert part[step]["unlabeled"]["id"].shape == (4,)


def test_transform_augments_with_a_key_only(source):
  normalize = dict(name="normalize", mean=(0.5,), std=(0.5,))
  stream = data.Stream(
    source=source,
    augment=(dict(name="random_crop", padding=2),),
    views=((), (dict(name="random_flip", probability=1.0),)),
    preprocess=(normalize,),
  )
  batch = source.fetch(source.ids[:4])
  plain = stream.transform(batch)
  want = (batch["image"] / 255.0 - 0.5) / 0.5
  np.testing.assert_allclose(plain["image"], want, rtol=1e-5, atol=1e-6)
  assert "views" not in plain
  train = stream.transform(batch, jax.random.key(0))
  assert (train["image"] != plain["image"]).any()
  np.testing.assert_allclose(train["views"][:, 0], want, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(
    train["views"][:, 1], want[:, :, ::-1], rtol=1e-5, atol=1e-6
  )
  again = stream.transform(batch, jax.random.key(0))
  assert (again["image"] == train["image"]).all()


def test_shapes_without_data():
  spec = data.source_spec("tfds:imagenet2012")
  stream = data.Stream(
    source=spec, preprocess=(dict(name="center_crop", size=192),)
  )
  batch = data.abstract_batch(stream, 32)
  assert batch["image"].shape == (32, 224, 224, 3)
  assert batch["image"].dtype == jnp.uint8
  shape = data.transformed_shape(
    spec.input_shape, spec.dtype, stream.preprocess
  )
  assert shape == (192, 192, 3)


def test_features_take_no_image_operations():
  source = data.load_source("fake", shape=(5,), num_classes=2, num_examples=8)
  batch = data.Stream(source=source).transform(source.fetch(source.ids))
  assert data.inputs(batch).shape == (8, 5)
  with pytest.raises(ValueError, match="scenario.augment must be empty"):
    data.Stream(source=source, augment=(dict(name="random_flip"),))
  with pytest.raises(ValueError, match="known|Did you mean|must be a public"):
    data.Stream(source=source, sampler="uniform").plan(
      batch_size=2, num_steps=1, seed=0
    )
