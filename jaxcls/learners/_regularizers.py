"""Terms that are added to a loss, of any output of the model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcls import _lookup, losses


class Regularizer(NamedTuple):
  """weight * mean over examples of penalty(output)."""

  name: str
  weight: float
  output: str
  penalty: Callable[[jax.Array], jax.Array]


def find_regularizers(
  sections: Sequence[Mapping[str, Any]],
) -> tuple[Regularizer, ...]:
  """The regularisers that a config names.

  Args:
    sections: mappings with `name` (a loss of logits alone), its
      hyperparameters, and maybe `weight` (1) and `output` ("logits").

  Raises:
    ConfigError: an unknown name or field.
  """
  found = []
  for i, section in enumerate(sections):
    field, section = f"learner.regularizers[{i}]", dict(section)
    weight = section.pop("weight", 1.0)
    output = section.pop("output", "logits")
    penalty = _lookup.bind(section, losses, field=field, supplied=("logits",))
    found.append(Regularizer(section["name"], weight, output, penalty))
  return tuple(found)


def regularize(
  regularizers: Sequence[Regularizer],
  out: Mapping[str, jax.Array],
  where: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """The weighted sum of the terms, and each term's mean by name.

  Args:
    regularizers: of `find_regularizers`.
    out: the model's outputs [b ... c]; a penalty of [b ...] is summed over
      the axes between.
    where: [b] bool, the rows that count.

  Raises:
    ValueError: an output that the model does not have.
  """
  total, means = jnp.zeros(()), {}
  for term in regularizers:
    if term.output not in out:
      raise ValueError(
        "learner.regularizers must be of an output of the model, got "
        f"{term.output!r}.{_lookup.nearest(term.output, out)}"
      )
    of = out[term.output]
    values = term.penalty(of).reshape(len(of), -1).sum(axis=1)
    means[term.name] = losses.mean_where(values, where)
    total += term.weight * means[term.name]
  return total, means
