"""The definition: every layer as a gather, differentiated by jax."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls.ops.sorting import _network


def cumulative(v, relaxation):
  """F: how far a comparator is open, from 0 (swap) to 1 (keep)."""
  if relaxation in ("logistic", "logistic_art"):
    return jax.nn.sigmoid(v)
  if relaxation == "cauchy":
    return jnp.arctan(v) / jnp.pi + 0.5
  size = jnp.where(jnp.abs(v) > 0.25, jnp.abs(v), 1.0)
  tail = jnp.sign(v) * (0.5 - 1 / (16 * size)) + 0.5
  return jnp.where(jnp.abs(v) > 0.25, tail, v + 0.5)


def tables(network: _network.Network) -> tuple[np.ndarray, np.ndarray]:
  """[depth n]: the partner of each wire, and whether the wire gets the min."""
  partner = np.tile(np.arange(network.n), (network.depth, 1))
  is_min = np.ones_like(partner, bool)
  for layer, (low, high) in enumerate(network.comparators()):
    partner[layer, low], partner[layer, high] = high, low
    is_min[layer, high] = False
  return partner, is_min


def sort(x, network: _network.Network, steepness):
  """Sorted values [n] and the relaxed permutation [n n] of one row x [n].

  A wire w with partner u keeps alpha = F(steepness (x_u - x_w)) of its own
  value if it gets the smaller one, F(steepness (x_w - x_u)) if the larger,
  and takes 1 - alpha of its partner's. The columns of the permutation, which
  starts as the identity, are mixed alike.
  """

  def layer(carry, table):
    x, permutation = carry
    partner, is_min = table
    gap = jnp.where(is_min, 1, -1) * (x[partner] - x)
    if network.relaxation == "logistic_art":
      gap = gap / (jnp.abs(gap) + 1e-10) ** network.art_lambda
    alpha = cumulative(steepness * gap, network.relaxation)
    mix = lambda row: alpha * row + (1 - alpha) * row[..., partner]
    return (mix(x), mix(permutation)), None

  carry = (x, jnp.eye(network.n, dtype=x.dtype))
  carry, _ = jax.lax.scan(layer, carry, tables(network))
  return carry
