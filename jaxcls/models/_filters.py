"""First-layer filters: drawn, by formula, or from patches of the data."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcls import ops


def image_patches(
  images: Float[Array, "b h w c"],
  *,
  kernel_size: tuple[int, int],
  num_patches: int,
  key: jax.Array,
) -> Float[Array, "n kh kw c"]:
  """Patches at places drawn with replacement.

  Args:
    images: [b h w c].
    kernel_size: (kh, kw), at most the images'.
    num_patches: n.
    key: of the places.

  Raises:
    ValueError: the patches are larger than the images.

  Source: Coates, Ng & Lee 2011, An analysis of single-layer networks.
  Differs: no normalisation of contrast.
  """
  (b, h, w, c), (kh, kw) = images.shape, kernel_size
  if kh > h or kw > w:
    raise ValueError(
      f"kernel_size must be at most the images' {(h, w)}, got {(kh, kw)}."
    )
  keys = jax.random.split(key, 3)
  limits = (b, h - kh + 1, w - kw + 1)
  at = [
    jax.random.randint(k, (num_patches,), 0, limit)
    for k, limit in zip(keys, limits, strict=True)
  ]
  cut = lambda i, y, x: jax.lax.dynamic_slice(
    images, (i, y, x, 0), (1, kh, kw, c)
  )[0]
  return jax.vmap(cut)(*at)


def random_filters(
  patches: Float[Array, "n kh kw c"], *, num_filters: int, key: jax.Array
) -> Float[Array, "kh kw c f"]:
  """Directions drawn uniformly; of the patches only the shape counts.

  Args:
    patches: [n kh kw c].
    num_filters: f >= 1.
    key: of the draw.

  Returns:
    [kh kw c f], each filter of norm 1.

  Source: none.
  Differs: nothing.
  """
  shape = (*patches.shape[1:], num_filters)
  return _finish(jax.random.normal(key, shape), patches)


def orthogonal_filters(
  patches: Float[Array, "n kh kw c"], *, num_filters: int, key: jax.Array
) -> Float[Array, "kh kw c f"]:
  """Random filters at right angles; more than a patch has values: in groups.

  Args, returns: as `random_filters`.

  Source: Saxe et al. 2014, arXiv:1312.6120.
  Differs: norm 1.
  """
  d = int(np.prod(patches.shape[1:]))
  groups = -(-num_filters // d)
  draws = jax.random.normal(key, (groups, d, d))
  bases = jnp.linalg.qr(draws)[0]
  return _finish(jnp.concatenate(list(bases), axis=1)[:, :num_filters], patches)


def gabor_filters(
  patches: Float[Array, "n kh kw c"], *, num_filters: int, key: jax.Array
) -> Float[Array, "kh kw c f"]:
  """Gabor functions: a plane wave under a Gaussian, without its mean.

  Even and odd phases of num_filters / 2 directions spread over half a turn,
  one wavelength and twice the deviation of the Gaussian being the patch's
  larger side; the same in every channel.

  Args:
    patches: [n kh kw c]; only the shape counts.
    num_filters: f >= 1.
    key: not used.

  Returns:
    [kh kw c f], each filter of norm 1; odd and even in turn.

  Source: Daugman 1985, Uncertainty relation for resolution in space.
  Differs: round Gaussians.
  """
  del key
  _, kh, kw, c = patches.shape
  side = max(kh, kw)
  y = np.arange(kh)[:, None, None] - (kh - 1) / 2
  x = np.arange(kw)[None, :, None] - (kw - 1) / 2
  angles = np.pi * (np.arange(num_filters) // 2) / (-(-num_filters // 2))
  wave = 2 * np.pi / side * (x * np.cos(angles) + y * np.sin(angles))
  odd = np.arange(num_filters) % 2 == 0
  values = np.where(odd, np.sin(wave), np.cos(wave))
  window = np.exp(-(x**2 + y**2) / (2 * (side / 2) ** 2))
  values = values * window
  values = values - window * values.sum((0, 1)) / window.sum()
  return _finish(jnp.asarray(_in_channels(values, c)), patches)


def dct_filters(
  patches: Float[Array, "n kh kw c"], *, num_filters: int, key: jax.Array
) -> Float[Array, "kh kw c f"]:
  """Products of cosines, the lowest frequencies first; no constant one.

  cos(pi u (y + 1/2) / kh) * cos(pi v (x + 1/2) / kw), by u / kh + v / kw and
  then by u; the same in every channel. At right angles to one another.

  Args:
    patches: [n kh kw c]; only the shape counts.
    num_filters: f, below kh * kw.
    key: not used.

  Returns:
    [kh kw c f], each filter of norm 1.

  Raises:
    ValueError: more filters than frequencies.

  Source: Ahmed, Natarajan & Rao 1974, Discrete cosine transform.
  Differs: without the constant.
  """
  del key
  _, kh, kw, c = patches.shape
  if num_filters >= kh * kw:
    raise ValueError(
      f"num_filters must be below {kh * kw} for the cosines of {kh} x {kw} "
      f"pixels, got {num_filters}. Use larger kernels."
    )
  pairs = [(u, v) for u in range(kh) for v in range(kw)][1:]
  pairs.sort(key=lambda uv: (uv[0] / kh + uv[1] / kw, uv[0]))
  u, v = np.array(pairs[:num_filters]).T
  y, x = np.arange(kh)[:, None, None], np.arange(kw)[None, :, None]
  values = np.cos(np.pi * u * (y + 0.5) / kh) * np.cos(
    np.pi * v * (x + 0.5) / kw
  )
  return _finish(jnp.asarray(_in_channels(values, c)), patches)


def pca_filters(
  patches: Float[Array, "n kh kw c"], *, num_filters: int, key: jax.Array
) -> Float[Array, "kh kw c f"]:
  """Principal directions of the patches, the largest variance first.

  Args:
    patches: [n kh kw c].
    num_filters: f, at most kh * kw * c.
    key: not used.

  Returns:
    [kh kw c f], each filter of norm 1; its largest value is positive.

  Raises:
    ValueError: more filters than a patch has values.

  Source: Chan et al. 2015, arXiv:1404.3606 (PCANet).
  Differs: patches are centred by their mean over the patches, not each by
    its own.
  """
  del key
  x = _centred(patches)
  if num_filters > x.shape[1]:
    raise ValueError(
      f"num_filters must be at most {x.shape[1]}, the values of a patch, got "
      f"{num_filters}. Use larger kernels."
    )
  _, vectors = jnp.linalg.eigh(x.T @ x / len(x))
  vectors = vectors[:, ::-1][:, :num_filters]
  top = jnp.take_along_axis(
    vectors, jnp.abs(vectors).argmax(axis=0)[None], axis=0
  )
  return _finish(vectors * jnp.sign(top), patches)


def kmeans_filters(
  patches: Float[Array, "n kh kw c"],
  *,
  num_filters: int,
  key: jax.Array,
  ridge: float = 0.1,
) -> Float[Array, "kh kw c f"]:
  """Centres of the clusters of the patches, whitened before.

  Each patch loses its own mean and is whitened (eigenvalues of the covariance
  plus ridge times their mean); the centres are mapped back through the same
  whitening, so that a filter's answer to a patch is the centre's to the
  whitened patch.

  Args:
    patches: [n kh kw c].
    num_filters: f, at most n.
    key: of k-means.
    ridge: > 0, no unit.

  Returns:
    [kh kw c f], each filter of norm 1.

  Source: Coates, Ng & Lee 2011, An analysis of single-layer networks.
  Differs: no normalisation of contrast.
  """
  x = patches.reshape(len(patches), -1).astype(jnp.float32)
  x = x - x.mean(axis=1, keepdims=True)
  x = x - x.mean(axis=0)
  values, vectors = jnp.linalg.eigh(x.T @ x / len(x))
  values = values.clip(0)
  # All-constant patches have no variance at all.
  scale = (values + ridge * values.mean() + 1e-12) ** -0.5
  whiten = (vectors * scale) @ vectors.T
  found = ops.kmeans(x @ whiten, num_clusters=num_filters, key=key)
  return _finish(whiten @ found.centroids.T, patches)


def oja_filters(
  patches: Float[Array, "n kh kw c"],
  *,
  num_filters: int,
  key: jax.Array,
  num_epochs: int = 20,
  batch_size: int = 20,
  learning_rate: float = 0.2,
) -> Float[Array, "kh kw c f"]:
  """Filters that a Hebbian rule learns from one batch of patches at a time.

  Sanger's form of Oja's rule: with y = W^T x, W += eta * (x y^T - W triu(y
  y^T)), averaged over a batch; eta falls as 1 / epoch. It converges to the
  principal directions; with one filter it is Oja's rule.

  Args:
    patches: [n kh kw c]; divided by the root of their mean squared norm.
    num_filters: f, at most kh * kw * c.
    key: of the first filters and of the order.
    num_epochs: times through the patches.
    batch_size: patches of an update; n is cut to a multiple of it.
    learning_rate: eta of the first epoch, < 1.

  Returns:
    [kh kw c f], each filter of norm 1.

  Raises:
    ValueError: more filters than a patch has values.

  Source: Oja 1982; Sanger 1989, Optimal unsupervised learning in a
    single-layer linear feedforward neural network.
  Differs: batches; columns longer than 1 are cut to 1.
  """
  x = _centred(patches)
  d = x.shape[1]
  if num_filters > d:
    raise ValueError(
      f"num_filters must be at most {d}, the values of a patch, got "
      f"{num_filters}. Use larger kernels."
    )
  x = x / jnp.sqrt((x**2).sum(axis=1).mean() + 1e-12)
  size = min(batch_size, len(x))
  first, order = jax.random.split(key)
  w = 0.1 * jax.random.normal(first, (d, num_filters))

  def step(w, batch_and_rate):
    batch, rate = batch_and_rate
    y = batch @ w
    pull = batch.T @ y / size
    w = w + rate * (pull - w @ jnp.triu(y.T @ y / size))
    return w / jnp.maximum(jnp.linalg.norm(w, axis=0), 1), None

  def epoch(w, i):
    places = jax.random.permutation(jax.random.fold_in(order, i), len(x))
    batches = x[places[: len(x) // size * size]].reshape(-1, size, d)
    rates = jnp.full((len(batches),), learning_rate / (1 + i))
    return jax.lax.scan(step, w, (batches, rates))[0], None

  w, _ = jax.lax.scan(epoch, w, jnp.arange(num_epochs))
  return _finish(w, patches)


def _centred(patches):
  x = patches.reshape(len(patches), -1).astype(jnp.float32)
  return x - x.mean(axis=0)


def _in_channels(values, channels):
  """[kh kw f] -> [kh kw c f], the same in every channel."""
  return np.repeat(values[:, :, None], channels, axis=2)


def _finish(filters, patches):
  """[kh kw c f] of norm 1."""
  flat = filters.reshape(-1, filters.shape[-1]).astype(jnp.float32)
  flat = ops.unit_norm(flat, axis=0)
  return flat.reshape(*patches.shape[1:], -1)
