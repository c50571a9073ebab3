"""Common corruptions of test images, on the host, each a function of its id."""

import dataclasses

import numpy as np

from jaxcls.data import _plans, _sources

# Strength at severity 1 to 5.
_LEVELS = {
  "gaussian_noise": (0.08, 0.14, 0.2, 0.28, 0.38),
  "gaussian_blur": (0.6, 0.9, 1.2, 1.6, 2.0),
  "contrast": (0.6, 0.45, 0.3, 0.2, 0.12),
  "rotation": (10.0, 20.0, 30.0, 40.0, 50.0),
  "occlusion": (0.2, 0.3, 0.4, 0.45, 0.5),
  "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
  "invert": (0.2, 0.4, 0.6, 0.8, 1.0),
}
CORRUPTIONS = tuple(_LEVELS)


def corrupt_images(
  images: np.ndarray,
  ids: np.ndarray,
  *,
  name: str,
  severity: int,
  seed: int = 0,
) -> np.ndarray:
  """Corrupts images; the same example always in the same way.

  With s the strength at the severity: gaussian_noise adds N(0, s^2);
  gaussian_blur has standard deviation s pixels at 28 pixels' height, in
  proportion elsewhere; contrast scales the distance to the image's mean by s;
  rotation turns by +-s degrees; occlusion sets a square of side s * height to
  the image's mean; brightness adds s; invert is (1 - s) x + s (1 - x).

  Args:
    images: [b h w c] uint8, or float in [0, 1].
    ids: [b] int >= 0, which with the seed decide what is random.
    name: one of CORRUPTIONS.
    severity: 1 to 5.
    seed: >= 0.

  Returns:
    [b h w c] of the dtype of images, in its range.

  Raises:
    ValueError: an unknown name or severity.

  Source: after Hendrycks & Dietterich 2019, arXiv:1903.12261.
  Differs: fewer corruptions; strengths chosen for 28-pixel images.

  >>> x = np.full((1, 4, 4, 1), 51, np.uint8)
  >>> got = corrupt_images(x, np.array([0]), name="invert", severity=5)
  >>> print(got[0, 0, 0])
  [204]
  """
  if name not in _LEVELS:
    raise ValueError(f"corruption must be one of {CORRUPTIONS}, got {name!r}.")
  if severity not in range(1, 6):
    raise ValueError(f"severity must be 1 to 5, got {severity}.")
  whole = images.dtype == np.uint8
  x = images / np.float32(255) if whole else images.astype(np.float32)
  strength = _LEVELS[name][severity - 1]
  corrupt = globals()[f"_{name}"]
  out = np.stack(
    [
      corrupt(image, strength, np.random.Generator(_plans.random_bits(seed, i)))
      for image, i in zip(x, np.asarray(ids).tolist(), strict=True)
    ]
  )
  out = np.clip(out, 0, 1)
  return np.round(255 * out).astype(np.uint8) if whole else out.astype(
    images.dtype
  )  # fmt: skip


def _gaussian_noise(x, strength, rng):
  return x + strength * rng.standard_normal(x.shape)


def _gaussian_blur(x, strength, rng):
  from scipy import ndimage

  del rng
  sigma = strength * x.shape[0] / 28
  return ndimage.gaussian_filter(x, (sigma, sigma, 0))


def _contrast(x, strength, rng):
  del rng
  return x.mean() + strength * (x - x.mean())


def _rotation(x, strength, rng):
  from scipy import ndimage

  angle = strength * (1 if rng.random() < 0.5 else -1)
  return ndimage.rotate(x, angle, (1, 0), reshape=False, order=1)


def _occlusion(x, strength, rng):
  side = max(1, round(strength * x.shape[0]))
  top, left = (int(rng.integers(0, n - side + 1)) for n in x.shape[:2])
  x = x.copy()
  x[top : top + side, left : left + side] = x.mean()
  return x


def _brightness(x, strength, rng):
  del rng
  return x + strength


def _invert(x, strength, rng):
  del rng
  return (1 - strength) * x + strength * (1 - x)


def corrupt_source(
  source: _sources.Source, *, name: str, severity: int, seed: int = 0
) -> _sources.Source:
  """The source with every image corrupted when it is read."""
  read = lambda ids: corrupt_images(
    source.read(ids), ids, name=name, severity=severity, seed=seed
  )
  version = f"{source.version}-{name}{severity}.{seed}"
  return dataclasses.replace(source, read=read, version=version)
