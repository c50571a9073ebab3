import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import data, models

IDS = jnp.array([[3, 70_000, -1], [3, 5, 2], [9, 5, 2]])


def make(**settings):
  settings = {"rows": 50, "width": 4, "hidden": (8,), **settings}
  return models.embedding_mlp(num_classes=2, input_shape=(3,), **settings)


def stem(net, params, ids):
  """The joined embeddings [b t*c*d]."""
  seen = {}
  net(params, {}, ids, tap=lambda name, x: seen.setdefault(name, x))
  return seen["stem"]


def test_hashes_are_even_and_independent():
  ids = jnp.arange(20_000)
  one, two = (models.hash_ids(ids, size=10, seed=s) for s in (1, 2))
  counts = np.bincount(np.asarray(one), minlength=10)
  # 2,000 each, with a standard deviation of 42.
  assert np.abs(counts - 2000).max() < 200
  assert abs(float((one == two).mean()) - 0.1) < 0.01
  np.testing.assert_array_equal(one, models.hash_ids(ids, size=10, seed=1))
  with pytest.raises(ValueError, match="size must be in"):
    models.hash_ids(ids, size=0, seed=0)


@pytest.mark.parametrize("shared", [True, False])
def test_embeddings_are_rows_of_the_table(shared):
  net = make(lookups=(1, 2, 1), shared=shared)
  params, _ = net.init(jax.random.key(0))
  found = stem(net, params, IDS).reshape(3, 4, 4)
  table = np.asarray(params["table"])
  assert table.shape == (50, 4)
  size = 50 if shared else 16
  for row in range(3):
    for place, (t, j) in enumerate([(0, 0), (1, 0), (1, 1), (2, 0)]):
      at = int(models.hash_ids(IDS[row, t], size=size, seed=1000 * t + j))
      at += 0 if shared else t * size
      np.testing.assert_allclose(found[row, place], table[at])


def test_a_further_feature_needs_no_table_and_moves_none():
  params, _ = make().init(jax.random.key(0))
  wider = models.embedding_mlp(
    num_classes=2, input_shape=(4,), rows=50, width=4, hidden=(8,)
  )
  grown, _ = wider.init(jax.random.key(1))
  grown["table"] = params["table"]
  more = jnp.concatenate([IDS, IDS[:, :1]], axis=1)
  np.testing.assert_allclose(
    stem(wider, grown, more)[:, :12], stem(make(), params, IDS)
  )


def test_bad_settings():
  with pytest.raises(ValueError, match="lookups must be at least 1, one or 3"):
    make(lookups=(1, 2))
  with pytest.raises(ValueError, match="rows must be at least one"):
    make(rows=2, shared=False)
  with pytest.raises(ValueError, match=r"input_shape must be \(features,\)"):
    models.embedding_mlp(num_classes=2, input_shape=(3, 3), rows=9)


def test_clicks_have_long_tails_and_planted_effects():
  options = dict(num_features=3, largest=1000, num_examples=40_000)
  train = data.load_source("clicks", "train", **options)
  test = data.load_source("clicks", "test", **options)
  rows = train.fetch(train.ids)
  x, y = rows["x"], rows["label"]
  assert x.shape == (40_000, 3) and x.max(axis=0)[2] > 500
  first = np.bincount(x[:, 0], minlength=100)
  assert first[0] > 3 * first[9] > 0
  # The same values click in both splits.
  rate = lambda x, y: np.array([y[x[:, 0] == k].mean() for k in range(5)])
  other = test.fetch(test.ids)
  alike = np.corrcoef(rate(x, y), rate(other["x"], other["label"]))[0, 1]
  assert alike > 0.8 and 0.1 < y.mean() < 0.5
  with pytest.raises(ValueError, match="largest not below smallest"):
    data.load_source("clicks", largest=10)
