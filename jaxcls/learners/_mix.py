"""Mixing at the inputs or inside the network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcls import _lookup, data


def find_mixing(
  section: Mapping[str, Any] | None,
) -> Callable[..., data.Mixed] | None:
  """The function of (inputs, targets, key) that `learner.mixing` names.

  Raises:
    ConfigError: an unknown name or field.
  """
  if section is None:
    return None
  supplied = ("images", "targets", "key")
  return _lookup.bind(section, data, field="learner.mixing", supplied=supplied)


class Mixer:
  """A tap that mixes the batch at one place, drawn from several.

  It lives for one trace of one pass. Every place mixes what it sees with the
  same key; the drawn one's result goes on, the others pass unchanged.

  Source: Verma et al. 2018, arXiv:1806.05236 (manifold mixup).
  """

  def __init__(
    self,
    mixing: Callable[..., data.Mixed],
    places: Sequence[str],
    targets: jax.Array,
    key: jax.Array,
  ):
    """Draws the place.

    Args:
      mixing: function of (inputs, targets, key), as in `jaxcls.data`.
      places: "input" or names of taps.
      targets: [b c], not yet mixed.
      key: PRNG key.
    """
    self.mixing, self.places, self.targets = mixing, tuple(places), targets
    self.key, self.drawn = key, jnp.zeros((), jnp.int32)
    if len(self.places) > 1:
      self.key, place_key = jax.random.split(key)
      self.drawn = jax.random.randint(place_key, (), 0, len(self.places))
    self.found, self.seen = {}, []

  def __call__(self, name: str, x: jax.Array) -> jax.Array:
    """Mixes x where this is the drawn place."""
    self.seen.append(name)
    if name not in self.places:
      return x
    mixed = self.mixing(x, self.targets, self.key)
    self.found[name] = mixed._replace(inputs=None)
    if len(self.places) == 1:
      return mixed.inputs
    return jnp.where(self.drawn == self.places.index(name), mixed.inputs, x)

  def mixed(self) -> data.Mixed:
    """Targets, partners and weights of the drawn place; no inputs.

    Raises:
      ValueError: a place that the model did not pass.
    """
    for name in self.places:
      if name not in self.found:
        raise ValueError(
          "learner.mixing_at must name 'input' or taps of the model, got "
          f"{name!r}.{_lookup.nearest(name, self.seen)}"
        )
    found = [self.found[name] for name in self.places]
    return jax.tree.map(lambda *rows: jnp.stack(rows)[self.drawn], *found)
