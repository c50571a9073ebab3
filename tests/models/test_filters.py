import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import models

KEY = jax.random.key(0)
SHAPE = (3, 3, 2)
# Patches with a few strong directions, far from centred.
DRAWN = np.random.default_rng(0)
MIX = DRAWN.normal(size=(18, 18)) * 0.6 ** np.arange(18)
PATCHES = jnp.asarray(
  (DRAWN.normal(size=(500, 18)) @ MIX.T + 3).reshape(500, *SHAPE), jnp.float32
)


@functools.cache
def made(name, count=4):
  f = functools.partial(getattr(models, name), num_filters=count)
  return np.asarray(jax.jit(f)(PATCHES, key=KEY))


@pytest.mark.parametrize(
  "name",
  ["random", "orthogonal", "gabor", "dct", "pca", "kmeans", "oja"],
)
def test_filters_are_of_norm_one_and_differ(name):
  found = made(f"{name}_filters")
  assert found.shape == (*SHAPE, 4) and np.isfinite(found).all()
  flat = found.reshape(18, 4)
  np.testing.assert_allclose(np.linalg.norm(flat, axis=0), 1, rtol=1e-5)
  cosines = np.abs(flat.T @ flat) - np.eye(4)
  assert cosines.max() < 0.999
  if name in ("orthogonal", "dct", "pca"):
    np.testing.assert_allclose(cosines, 0, atol=1e-5)
  if name in ("gabor", "dct"):
    np.testing.assert_allclose(flat.sum(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(found[:, :, 0], found[:, :, 1])


def test_pca_is_the_svd_of_centred_patches():
  flat = np.asarray(PATCHES).reshape(500, 18)
  _, _, rows = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
  cosines = np.abs((rows[:4] * made("pca_filters").reshape(18, 4).T).sum(1))
  np.testing.assert_allclose(cosines, 1, atol=1e-4)


def test_oja_finds_the_first_principal_directions():
  learn = jax.jit(
    functools.partial(
      models.oja_filters, num_filters=4, batch_size=5, learning_rate=0.5
    )
  )
  pca, oja = made("pca_filters"), np.asarray(learn(PATCHES, key=KEY))
  pca, oja = pca.reshape(18, 4), oja.reshape(18, 4)
  cosines = np.abs((pca * oja).sum(axis=0))
  assert cosines[0] > 0.98 and cosines[1] > 0.9


def test_kmeans_filters_answer_to_their_cluster():
  # Two opposite patterns on a few pixels, with noise.
  pattern = np.zeros((3, 3, 1))
  pattern[0], pattern[2] = 1, -1
  signs = DRAWN.choice([-1, 1], size=(400, 1, 1, 1))
  x = signs * pattern + 0.1 * DRAWN.normal(size=(400, 3, 3, 1))
  find = jax.jit(functools.partial(models.kmeans_filters, num_filters=2))
  found = find(jnp.asarray(x, jnp.float32), key=KEY)
  answers = np.einsum("nhwc,hwcf->nf", x, found)
  first = answers[:, 0] > answers[:, 1]
  same = (first == (signs.ravel() > 0)).mean()
  assert max(same, 1 - same) > 0.99


def test_patches_are_cut_from_the_images():
  images = jnp.arange(2 * 4 * 5 * 1.0).reshape(2, 4, 5, 1)
  cut = jax.jit(
    functools.partial(models.image_patches, kernel_size=(2, 3), num_patches=200)
  )(images, key=KEY)
  first = np.asarray(cut[:, 0, 0, 0])
  offsets = np.array([[0, 1, 2], [5, 6, 7]])
  np.testing.assert_array_equal(cut[..., 0], first[:, None, None] + offsets)
  # 3 * 3 places an image, all of them drawn.
  assert len(np.unique(first)) == 18
  with pytest.raises(ValueError, match="kernel_size must be at most"):
    models.image_patches(images, kernel_size=(5, 2), num_patches=1, key=KEY)


@pytest.mark.parametrize("name", ["dct", "pca", "oja"])
def test_more_filters_than_a_patch_allows(name):
  with pytest.raises(ValueError, match="Use larger kernels"):
    getattr(models, f"{name}_filters")(PATCHES, num_filters=19, key=KEY)
