import numpy as np
import pytest

from jaxcls import data, scenarios

OLD = (5, 1, 7)


def make(**changes):
  settings = dict(source="digits", old_classes=OLD, val_fraction=0.2)
  return scenarios.Discovery(**{**settings, **changes})


def test_labels_of_a_share_of_the_old_classes_only():
  (stage,) = make().stages(0)
  source = stage.streams["train"].source
  unlabeled = stage.evals["unlabeled"]
  given = source.labels >= 0
  # Old classes are 0, 1, 2; half of their images keep the label.
  assert set(source.labels[given]) == {0, 1, 2}
  old = given.sum() + (unlabeled.labels < 3).sum()
  assert given.sum() == round(old / 2)
  assert set(unlabeled.labels) == set(range(10))
  assert set(unlabeled.ids) == set(source.ids[~given])
  assert stage.new.tolist() == [False] * 3 + [True] * 7
  # No label of a row outside the stream, such as val's, can be looked up.
  outside = np.setdiff1d(np.arange(len(source.all_labels)), source.ids)
  assert (source.all_labels[outside] == -1).all()


def test_classes_are_renamed_old_first():
  (stage,) = make().stages(0)
  order = np.array([*OLD, 0, 2, 3, 4, 6, 8, 9])
  for split, name in (("test", "test"), ("val", "train")):
    truth = data.load_source("digits", name)
    got = stage.evals[split]
    np.testing.assert_array_equal(order[got.labels], truth.all_labels[got.ids])
    assert got.class_names[0] == truth.class_names[5]


def test_half_of_a_batch_is_labelled_on_average():
  (stage,) = make().stages(0)
  stream = stage.streams["train"]
  plan = stream.plan(batch_size=64, num_steps=100, seed=0)
  ids = np.concatenate([plan[i] for i in range(100)])
  share = (stream.source.all_labels[ids] >= 0).mean()
  # 6,400 draws: a standard deviation of 0.6 points.
  assert abs(share - 0.5) < 0.03


def test_seed_chooses_the_labels_but_not_the_split():
  scenario = make()
  (a,), (b,), (c,) = (scenario.stages(s) for s in (0, 0, 1))
  labels = [x.streams["train"].source.labels for x in (a, b, c)]
  np.testing.assert_array_equal(labels[0], labels[1])
  assert (labels[0] != labels[2]).any()
  np.testing.assert_array_equal(a.evals["val"].ids, c.evals["val"].ids)
  # Seeds can be compared: their evaluation sets have one version.
  versions = lambda stage: {k: v.version for k, v in stage.evals.items()}
  assert versions(a) == versions(c)


def test_outliers_are_joined_to_the_test_images():
  (stage,) = make(outliers="digits").stages(0)
  inside, joined = stage.evals["test"], stage.evals["outliers"]
  n = len(inside)
  assert np.bincount(joined.labels).tolist() == [n, n]
  batch = joined.fetch(np.array([3, n + 3, -1]))
  assert batch["label"].tolist() == [0, 1, -1]
  expected = inside.fetch(inside.ids[[3]])["image"][0]
  for row in batch["image"][:2]:
    np.testing.assert_array_equal(row, expected)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (dict(labeled_fraction=1.0), "labeled_fraction must be in"),
    (dict(play="rounds"), "play must be one of"),
  ],
)
def test_bad_fields_raise(changes, message):
  with pytest.raises(ValueError, match=message):
    make(**changes)


def test_bad_sets_raise():
  for old in ((), (1, 1), tuple(range(10)), (11,)):
    with pytest.raises(ValueError, match="old_classes must be distinct"):
      make(old_classes=old).templates()
  with pytest.raises(ValueError, match="outliers must hold examples such as"):
    list(make(outliers="mnist5k").stages(0))
