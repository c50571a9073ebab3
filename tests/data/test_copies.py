import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import data

IMAGES = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 4, 4, 3)))


def test_rotations_turn_anticlockwise():
  copies = data.rotations(IMAGES)
  assert copies.shape == (2, 4, 4, 4, 3)
  for k in range(4):
    np.testing.assert_array_equal(
      copies[:, k], np.rot90(np.asarray(IMAGES), k, (1, 2))
    )
  half = data.rotations(IMAGES[:, :2], quarter_turns=(0, 2))
  np.testing.assert_array_equal(half[:, 1], IMAGES[:, :2][:, ::-1, ::-1])


def test_color_permutations_are_all_orders():
  copies = np.asarray(data.color_permutations(IMAGES))
  assert copies.shape == (2, 6, 4, 4, 3)
  np.testing.assert_array_equal(copies[:, 0], IMAGES)
  assert len({row[0, 0].tobytes() for row in copies[0]}) == 6
  np.testing.assert_array_equal(np.sort(copies, -1)[:, 5], np.sort(IMAGES, -1))
  cyclic = np.asarray(data.color_permutations(IMAGES, cyclic=True))
  np.testing.assert_array_equal(cyclic[:, 1], np.roll(IMAGES, -1, -1))
  np.testing.assert_array_equal(cyclic[:, 2], np.roll(IMAGES, -2, -1))


def test_errors():
  with pytest.raises(ValueError, match=r"square.*\(2, 4\)"):
    data.rotations(IMAGES[:, :2])
  with pytest.raises(ValueError, match="start with 0"):
    data.rotations(IMAGES, quarter_turns=(1, 2))
  with pytest.raises(ValueError, match="3 channels, got 1"):
    data.color_permutations(IMAGES[..., :1])
