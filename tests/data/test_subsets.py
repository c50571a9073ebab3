import numpy as np
import pytest

from jaxcls import data, scenarios

LABELS = np.repeat(np.arange(4), [50, 60, 40, 50])


def test_long_tail_follows_the_formula():
  rows = data.long_tailed_subset(LABELS, ratio=8, num_head=40, seed=3)
  assert np.bincount(LABELS[rows]).tolist() == [40, 20, 10, 5]
  again = data.long_tailed_subset(LABELS, ratio=8, num_head=40, seed=3)
  other = data.long_tailed_subset(LABELS, ratio=8, num_head=40, seed=4)
  assert (rows == again).all()
  assert set(rows) != set(other)


def test_sizes_of_the_others():
  rows = data.stratified_subset(LABELS, num_examples=20, seed=0)
  assert np.bincount(LABELS[rows]).tolist() == [5, 6, 4, 5]
  rows = data.per_class_subset(LABELS, num_per_class=7, seed=0)
  assert np.bincount(LABELS[rows]).tolist() == [7, 7, 7, 7]
  assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize(
  ("name", "settings", "match"),
  [
    ("stratified_subset", dict(num_examples=0), r"\[1, 200\], got 0"),
    ("per_class_subset", dict(num_per_class=41), "class 2 .* 40 examples"),
    ("long_tailed_subset", dict(ratio=0.5), "ratio must be >= 1"),
    ("long_tailed_subset", dict(ratio=100), "class 3 .* asked for 0"),
  ],
)
def test_bad_sizes_are_named(name, settings, match):
  with pytest.raises(ValueError, match=match):
    getattr(data, name)(LABELS, seed=0, **settings)


def test_scenario_keeps_a_subset_and_whole_test_sets():
  scenario = scenarios.Standard(
    source="digits",
    val_fraction=0.1,
    subset=dict(name="long_tailed_subset", ratio=10, num_head=100),
  )
  (stage,) = scenario.stages(0)
  train = stage.streams["train"].source
  assert np.bincount(train.labels)[[0, -1]].tolist() == [100, 10]
  assert len(stage.evals["test"]) == 360
  assert len(stage.evals["val"]) == 144
  assert not set(train.ids) & set(stage.evals["val"].ids)
  assert scenario.templates()["train"].source.num_train == len(train)
