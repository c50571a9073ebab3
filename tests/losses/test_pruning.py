import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses


def slow(mass, ratio):
  """The definition, row by row."""
  found = np.zeros(mass.shape, bool)
  for row, keep in zip(mass, found, strict=True):
    total = 0.0
    for k in np.argsort(-row, kind="stable"):
      if row[k] <= 0 or total >= ratio * row.sum() * (1 - 1e-6):
        break
      keep[k], total = True, total + row[k]
  return found


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9, 1.0])
def test_matches_the_definition(ratio):
  mass = np.random.default_rng(0).exponential(size=(20, 9)).astype(np.float32)
  mass[:, 3] = 0.0
  mass[0] = 0.0
  got = jax.jit(lambda m: losses.top_mass_targets(m, ratio=ratio))(mass)
  np.testing.assert_array_equal(got, slow(mass, ratio))
  assert not got[0].any() and not got[:, 3].any()


def test_by_hand_and_in_batches():
  mass = jnp.array([[5.0, 3.0, 2.0], [1.0, 1.0, 8.0]], jnp.bfloat16)
  got = losses.top_mass_targets(mass[None], ratio=0.8)
  want = [[[True, True, False], [False, False, True]]]
  np.testing.assert_array_equal(got, want)
  with pytest.raises(ValueError, match=r"ratio must be in \(0, 1\], got 0.0"):
    losses.top_mass_targets(mass, ratio=0.0)
