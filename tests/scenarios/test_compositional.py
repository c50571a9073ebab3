import numpy as np
import pytest

from jaxcls import scenarios


def make(**changes):
  return scenarios.CompositionalZeroShot(
    **{
      **dict(
        source="shapes", num_objects=4,
        options=dict(
          num_attributes=3, num_objects=4, num_train=240, num_test=120,
          image_size=8,
        ),
      ),
      **changes,
    }
  )  # fmt: skip


def test_parts_do_not_meet_and_every_primitive_is_seen():
  for seed in range(5):
    scenario = make(split_seed=seed)
    seen, val, test = scenario.pairs(12)
    np.testing.assert_array_equal(seen.astype(int) + val + test, np.ones(12))
    assert seen.sum() == 7 and val.sum() == 2
    grid = seen.reshape(3, 4)
    assert grid.any(0).all() and grid.any(1).all()
  other = make(split_seed=0).pairs(12)[0]
  assert (other != seen).any()


def test_stage_trains_on_seen_pairs_only():
  scenario = make()
  (stage,) = scenario.stages(0)
  seen, val, test = scenario.pairs(12)
  np.testing.assert_array_equal(stage.seen, seen)
  train = stage.streams["train"].source
  assert seen[train.labels].all()
  assert set(np.unique(train.labels)) == set(np.flatnonzero(seen))
  assert set(stage.evals["val"].labels) <= set(np.flatnonzero(seen | val))
  assert set(stage.evals["test"].labels) == set(np.flatnonzero(seen | test))
  assert not set(stage.evals["val"].ids) & set(train.ids)
  template = scenario.templates()["train"].source
  assert template.num_train == len(train)


def test_subset_is_of_seen_pairs():
  subset = dict(name="per_class_subset", num_per_class=3)
  scenario = make(subset=subset)
  (stage,) = scenario.stages(0)
  train = stage.streams["train"].source
  assert len(train) == 21 == scenario.templates()["train"].source.num_train


def test_rows_part_training_from_evaluation():
  # Rows 0 to 4 have one attribute (2 colours, 3 patterns), 5 to 10 have two.
  options = dict(
    num_attributes=2, num_objects=4, num_patterns=3, num_train=440,
    num_test=220, image_size=8,
  )  # fmt: skip
  scenario = make(options=options, train_rows=(0, 5), eval_rows=(5, 11))
  (stage,) = scenario.stages(0)
  seen, _, test = scenario.pairs(44)
  row = np.arange(44) // 4
  np.testing.assert_array_equal(stage.seen, seen & (row < 5))
  train = stage.streams["train"].source
  assert set(train.labels) == set(np.flatnonzero(stage.seen))
  two = set(np.flatnonzero(test & (row >= 5)))
  assert set(stage.evals["test"].labels) == two
  assert not two & set(np.flatnonzero(seen))
  # In the source itself the held-out val images are not yet taken away.
  template = scenario.templates()["train"].source.num_train
  assert abs(template - len(train)) < 0.1 * template


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (dict(train_rows=(2, 2)), r"train_rows must be None or \(start, stop\)"),
    (dict(seen_fraction=1.0), r"seen_fraction must be in \(0, 1\), got 1.0"),
    (dict(num_objects=5), "num_objects must divide the 12 classes, got 5"),
    (dict(seen_fraction=0.2), "at least 4 seen pairs"),
    (dict(val_pairs_fraction=0.01), "one unseen pair each"),
  ],
)
def test_bad_shares_are_named(changes, message):
  with pytest.raises(ValueError, match=message):
    make(**changes).pairs(12)
