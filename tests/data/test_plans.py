import pickle
import time
from concurrent import futures

import numpy as np
import pytest

from jaxcls import data

# Ids that are not 0..n-1, so that a plan cannot confuse ids and positions.
IDS = np.arange(23) * 3 + 100
LABELS = np.repeat(np.arange(3), [3, 8, 12])

PLANS = {
  "uniform": lambda seed: data.UniformPlan(IDS, 5, 40, seed),
  "class_balanced": lambda seed: data.ClassBalancedPlan(
    IDS, LABELS, 5, 40, seed
  ),
  "weighted": lambda seed: data.WeightedPlan(IDS, LABELS + 1, 5, 40, seed),
  "episodic": lambda seed: data.EpisodicPlan(IDS, LABELS, 2, 1, 2, 40, seed),
}


@pytest.mark.parametrize("name", PLANS)
def test_is_a_pure_function_of_seed_and_step(name):
  plan = PLANS[name](0)
  steps = [plan[i] for i in range(len(plan))]
  assert all(s.dtype == np.int64 and np.isin(s, IDS).all() for s in steps)
  fresh = PLANS[name](0)
  for i in (39, 0, 17, 39, 16):
    np.testing.assert_array_equal(fresh[i], steps[i])
  copy = pickle.loads(pickle.dumps(plan))
  np.testing.assert_array_equal(copy[np.int64(7)], steps[7])
  other = PLANS[name](1)
  assert any((other[i] != steps[i]).any() for i in range(3))
  with futures.ThreadPoolExecutor(4) as pool:
    threaded = list(pool.map(PLANS[name](0).__getitem__, range(40)))
  np.testing.assert_array_equal(threaded, steps)


@pytest.mark.parametrize("name", PLANS)
def test_ends_with_index_error(name):
  plan = PLANS[name](0)
  for step in (-1, 40):
    with pytest.raises(IndexError, match=rf"\[0, 40\), got {step}"):
      plan[step]


def test_uniform_sees_each_example_once_an_epoch():
  plan = data.UniformPlan(IDS, 5, 46, seed=2)
  stream = np.concatenate([plan[i] for i in range(46)]).reshape(10, 23)
  for epoch in stream:
    np.testing.assert_array_equal(np.sort(epoch), IDS)
  assert (stream[0] != stream[1]).any()


def test_uniform_order_is_pinned():
  # Philox's bits are guaranteed by numpy, so this order may never change.
  assert data.UniformPlan(np.arange(8), 8, 1, seed=0)[0].tolist() == [
    1,
    4,
    5,
    6,
    2,
    0,
    3,
    7,
  ]


def test_uniform_batch_may_be_the_whole_split():
  plan = data.UniformPlan(IDS, 23, 3, seed=0)
  np.testing.assert_array_equal(np.sort(plan[2]), IDS)


def test_uniform_hands_out_copies():
  plan = data.UniformPlan(IDS, 5, 40, seed=0)
  first = plan[0].copy()
  plan[0][:] = 0
  np.testing.assert_array_equal(plan[0], first)


def test_sequential_is_one_padded_pass():
  plan = data.SequentialPlan(IDS, 10)
  steps = np.stack([plan[i] for i in range(len(plan))])
  assert steps.shape == (3, 10)
  np.testing.assert_array_equal(steps.ravel()[:23], IDS)
  np.testing.assert_array_equal(steps.ravel()[23:], -np.ones(7))
  assert data.SequentialPlan(IDS[:2], 4)[0].tolist() == [100, 103, -1, -1]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_class_balanced_frequencies(power):
  plan = data.ClassBalancedPlan(IDS, LABELS * 5, 500, 20, 0, power=power)
  drawn = np.concatenate([plan[i] for i in range(20)])
  counts = np.array([3, 8, 12])
  want = counts ** (1 - power) / (counts ** (1 - power)).sum()
  labels = LABELS[(drawn - 100) // 3]
  np.testing.assert_allclose(np.bincount(labels) / 1e4, want, atol=0.02)
  # Within a class all examples are drawn alike.
  share = np.bincount((drawn - 100) // 3) / 1e4
  np.testing.assert_allclose(share, (want / counts)[LABELS], atol=0.015)


def test_class_balanced_is_fast_at_many_classes():
  labels = np.random.default_rng(0).integers(0, 1000, 50000)
  plan = data.ClassBalancedPlan(np.arange(50000), labels, 256, 200, 0)
  start = time.process_time()
  for i in range(200):
    plan[i]
  assert 200 * 256 / (time.process_time() - start) > 200_000


def test_weighted_frequencies():
  weights = np.zeros(23)
  weights[[2, 22]] = 1.0, 3.0
  plan = data.WeightedPlan(IDS, weights, 1000, 4, 0)
  drawn = np.concatenate([plan[i] for i in range(4)])
  assert set(drawn) == {IDS[2], IDS[22]}
  assert abs((drawn == IDS[22]).mean() - 0.75) < 0.03


def test_episodes_follow_the_layout():
  plan = data.EpisodicPlan(
    IDS, LABELS, way=2, shot=1, query=2, num_episodes=60, seed=0
  )
  layout = data.episode_layout(2, 1, 2)
  seen = set()
  for i in range(60):
    ids = plan[i]
    assert len(set(ids)) == 6
    labels = LABELS[(ids - 100) // 3]
    support, query = labels[layout.support], labels[layout.query]
    assert support[0] != support[1]
    np.testing.assert_array_equal(query, support[layout.query_labels])
    np.testing.assert_array_equal(layout.support_labels, [0, 1])
    seen |= set(ids)
  assert seen == set(IDS)


def test_grain_reads_a_plan():
  import grain

  plan = data.UniformPlan(IDS, 5, 12, seed=0)
  dataset = grain.MapDataset.source(plan)[4:]
  np.testing.assert_array_equal(dataset[0], plan[4])
  assert len(dataset) == 8


def test_errors():
  with pytest.raises(ValueError, match="at most the 23 examples.*got 24"):
    data.UniformPlan(IDS, 24, 1, 0)
  with pytest.raises(ValueError, match="batch_size must be positive, got 0"):
    data.UniformPlan(IDS, 0, 1, 0)
  with pytest.raises(ValueError, match="num_steps must be positive, got -1"):
    data.WeightedPlan(IDS, LABELS, 2, -1, 0)
  with pytest.raises(ValueError, match="batch_size must be positive"):
    data.SequentialPlan(IDS, 0)
  for bad in ([], [[1]], [0.5]):
    with pytest.raises(ValueError, match="vector of integers"):
      data.SequentialPlan(bad, 1)
  with pytest.raises(ValueError, match=r"labels must have shape \(23,\)"):
    data.ClassBalancedPlan(IDS, LABELS[1:], 2, 1, 0)
  for bad in (LABELS[1:], LABELS - 1.0, LABELS * 0, LABELS + np.inf):
    with pytest.raises(ValueError, match="weights must"):
      data.WeightedPlan(IDS, bad, 2, 1, 0)
  with pytest.raises(ValueError, match="way must be at most the 3 classes"):
    data.EpisodicPlan(IDS, LABELS, 4, 1, 1, 1, 0)
  with pytest.raises(ValueError, match="= 4 examples, got 3 of class 0"):
    data.EpisodicPlan(IDS, LABELS, 2, 2, 2, 1, 0)
  with pytest.raises(ValueError, match="shot must be positive"):
    data.episode_layout(2, 0, 1)


def test_random_order_is_a_permutation_of_its_seed_and_path():
  order = data.random_order(50, 3, 1)
  np.testing.assert_array_equal(np.sort(order), np.arange(50))
  np.testing.assert_array_equal(order, data.random_order(50, 3, 1))
  assert (order != data.random_order(50, 3, 2)).any()
  assert (order != data.random_order(50, 4, 1)).any()
  assert data.random_order(0, 3).shape == (0,)
