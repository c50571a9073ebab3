import itertools

import numpy as np

from jaxcls import evaluation

RNG = np.random.default_rng(0)


def test_equals_the_best_of_all_permutations():
  labels = RNG.integers(0, 4, 40)
  clusters = np.where(RNG.random(40) < 0.6, (labels + 1) % 4, 3 - labels)
  labels[:5] = -1
  logits = np.eye(4, dtype=np.float32)[clusters]
  new = np.array([False, True, False, True])
  got = evaluation.evaluate_predictions(
    logits, labels, stage=dict(new=new),
    metrics=(
      "clustering_accuracy", "old_clustering_accuracy",
      "new_clustering_accuracy",
    ),
  )  # fmt: skip
  kept = labels >= 0
  right = lambda s: np.array(s)[clusters] == labels
  best = max(
    itertools.permutations(range(4)), key=lambda s: right(s)[kept].mean()
  )
  expected = right(best)
  is_new = kept & new[labels]
  np.testing.assert_allclose(got["clustering_accuracy"], expected[kept].mean())
  np.testing.assert_allclose(
    got["new_clustering_accuracy"], expected[is_new].mean(), rtol=1e-6
  )
  np.testing.assert_allclose(
    got["old_clustering_accuracy"], expected[kept & ~is_new].mean(), rtol=1e-6
  )
