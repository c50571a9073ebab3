"""Classes split into equal subclasses, and the temperatures of the classes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcls import ops


def split_classes(
  embeddings: np.ndarray, labels: np.ndarray, *, min_size: int, key: jax.Array
) -> np.ndarray:
  """Subclass ids [n] of embeddings [n d], numbered from 0 over all classes.

  Class c of n_c examples becomes K_c = ceil(n_c / M) clusters of floor or
  ceil(n_c / K_c) examples, M = max(smallest class, min_size). Runs on the
  host; every class goes through one compiled program. -1 where the label is.

  Source: Hou et al. 2023, arXiv:2306.15925 (subclass balancing).
  """
  present, counts = np.unique(labels[labels >= 0], return_counts=True)
  bound = max(counts.min(), min_size)
  parts = -(-counts // bound)
  found, start = np.full(labels.shape, -1, np.int32), 0
  most, limit = int(parts.max()), int(counts.max())
  for i, (label, k) in enumerate(zip(present, parts, strict=True)):
    rows = np.flatnonzero(labels == label)
    if k > 1:
      x = np.zeros((limit, embeddings.shape[1]), np.float32)
      x[: rows.size] = embeddings[rows]
      assigned = _split(
        x, jnp.arange(limit) < rows.size, int(k), jax.random.fold_in(key, i),
        num_clusters=most,
      )  # fmt: skip
      found[rows] = start + np.asarray(assigned)[: rows.size]
    else:
      found[rows] = start
    start += int(k)
  return found


@functools.partial(jax.jit, static_argnames="num_clusters")
def _split(x, where, num_used, key, *, num_clusters):
  """Clusters [n] of the kept rows."""
  return ops.balanced_kmeans(
    x, num_clusters=num_clusters, num_used=num_used, where=where, key=key
  ).assignments


def dynamic_temperatures(
  embeddings: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  num_classes: int,
  temperature: float | Float[Array, ""],
  alpha: float = 10.0,
) -> Float[Array, " c"]:
  """A temperature for each class, higher where it is spread out.

  phi_c = sum_{i in c} |z_i - mean_c| / (n_c log(n_c + alpha)),
  t_c = temperature * exp(phi_c / mean phi), over the classes present.

  Args:
    embeddings: [n d].
    labels: [n], -1 = left out.
    num_classes: c.
    temperature: > 0, the lowest that comes out; also of absent classes.
    alpha: > 0, keeps small classes from large values.

  Returns:
    [c] float32.

  Source: Hou et al. 2023, arXiv:2306.15925 (dynamic temperature).
  Differs: the released code has temperature * phi_c / mean phi, with phi
    clipped between its 10th and 90th percentile.

  >>> z, y = jnp.array([[0.0], [2.0], [5.0]]), jnp.array([0, 0, 1])
  >>> t = dynamic_temperatures(z, y, num_classes=2, temperature=0.1)
  >>> print(f"{t[0]:.4f} {t[1]:.4f}")
  0.7389 0.1000
  """
  z = embeddings.astype(jnp.float32)
  members = jax.nn.one_hot(labels, num_classes)
  counts = members.sum(axis=0)
  means = members.T @ z / jnp.maximum(counts, 1)[:, None]
  gap = jnp.linalg.norm(z - means[jnp.maximum(labels, 0)], axis=-1)
  count = jnp.maximum(counts, 1)
  phi = members.T @ gap / (count * jnp.log(count + alpha))
  mean = phi.sum() / jnp.maximum((counts > 0).sum(), 1)
  share = phi / jnp.where(mean > 0, mean, 1)
  return jnp.float32(temperature) * jnp.exp(share)
