"""Which filters an example needs."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def top_mass_targets(
  mass: Float[Array, "*b f"], *, ratio: float
) -> Bool[Array, "*b f"]:
  """The fewest entries that together hold a share of the mass.

  Sorted by mass, the first k with cumulative share >= ratio, k as small as
  possible. An entry without mass is never among them.

  Args:
    mass: [*b f], >= 0, any float type; computed in float32.
    ratio: share, in (0, 1].

  Returns:
    [*b f] bool; no gradient. All False where there is no mass.

  Raises:
    ValueError: ratio is outside (0, 1].

  Source: Elkerdawy et al. 2021, arXiv:2110.08232 (self-supervised masks).
  Differs: ties go to the lower index.

  >>> print(top_mass_targets(jnp.array([1.0, 6.0, 3.0]), ratio=0.8))
  [False  True  True]
  """
  if not 0 < ratio <= 1:
    raise ValueError(f"ratio must be in (0, 1], got {ratio}.")
  mass = mass.astype(jnp.float32)
  total = mass.sum(axis=-1, keepdims=True)
  order = jnp.argsort(-mass, axis=-1, stable=True)
  ranked = jnp.take_along_axis(mass, order, axis=-1)
  # Taken while what comes before does not reach the share yet.
  before = ranked.cumsum(axis=-1) - ranked
  taken = (before < ratio * total * (1 - 1e-6)) & (ranked > 0)
  rank = jnp.argsort(order, axis=-1, stable=True)
  return jnp.take_along_axis(taken, rank, axis=-1)
