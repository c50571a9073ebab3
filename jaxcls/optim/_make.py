"""An optax transformation from the optimizer section of a config."""

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import optax

from jaxcls import _lookup
from jaxcls.optim import _paths

_OURS = (
  "name", "clip_norm", "transforms", "update_transforms", "seed",
  "weight_decay", "decay_pattern", "groups",
)  # fmt: skip


def make_optimizer(
  *,
  name: str,
  learning_rate: optax.ScalarOrSchedule,
  clip_norm: float | None = None,
  transforms: Sequence[Mapping[str, Any]] = (),
  update_transforms: Sequence[Mapping[str, Any]] = (),
  seed: int = 0,
  weight_decay: float = 0.0,
  decay_pattern: str = "kernel",
  groups: Sequence[Mapping[str, Any]] = (),
  **hyperparameters: Any,
) -> optax.GradientTransformation:
  """Builds an optimiser for flat dicts of parameters keyed by path.

  Args:
    name: public name of `jaxcls.optim` or optax: "sgd", "adamw", "lion" ...
    learning_rate: number or schedule.
    clip_norm: clips the global norm of all gradients first; None does not.
    transforms: gradient transformations between clipping and the optimiser,
      each a mapping with `name`, a public name of `jaxcls.optim` or optax,
      and its hyperparameters.
    update_transforms: the same, after the optimiser, on the updates: where
      the learning rate is scaled (`scale_by_layer`).
    seed: given to those transforms that take one and do not name their own.
    weight_decay: decoupled where the optimiser has it (adamw, lion), else
      added to the gradient before it (sgd), as in PyTorch.
    decay_pattern: regular expression of the paths that are decayed; the
      default spares biases, norms and embeddings.
    groups: for paths matching `pattern`, another optimiser: each a mapping
      with `pattern` and any of `lr_scale`, `name`, `weight_decay` and
      hyperparameters, defaults taken from the outer ones. The first match
      wins.
    **hyperparameters: passed to the optimiser (momentum, b1, ...).

  Returns:
    A plain optax transformation.

  Raises:
    ValueError: unknown optimiser or hyperparameter, bad group.
  """
  outer = dict(
    name=name, weight_decay=weight_decay, decay_pattern=decay_pattern,
    **hyperparameters,
  )  # fmt: skip
  chain = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
  chain += [
    _transform(section, seed, f"optimizer.transforms[{i}]")
    for i, section in enumerate(transforms)
  ]
  last = [
    _transform(section, seed, f"optimizer.update_transforms[{i}]")
    for i, section in enumerate(update_transforms)
  ]
  if not groups:
    tx = _single(learning_rate, outer, "optimizer")
    return optax.chain(*chain, tx, *last)
  transforms = {"": _single(learning_rate, outer, "optimizer")}
  patterns = []
  for i, group in enumerate(groups):
    field, group = f"optimizer.groups[{i}]", dict(group)
    if "pattern" not in group:
      raise ValueError(
        f"{field}.pattern must be given, got {group}. Set it to a regular "
        "expression over parameter paths."
      )
    patterns.append(group.pop("pattern"))
    scale = group.pop("lr_scale", 1.0)
    # Another optimiser does not inherit the first one's hyperparameters.
    other = group.get("name", name) != name
    base = {k: v for k, v in outer.items() if k in _OURS} if other else outer
    tx = _single(learning_rate, {**base, **group}, field)
    transforms[str(i)] = optax.chain(tx, optax.scale(scale))

  def labels(params):
    hits = lambda path: (
      i for i, p in enumerate(patterns) if re.search(p, path)
    )
    return {path: str(next(hits(path), "")) for path in params}

  return optax.chain(*chain, optax.multi_transform(transforms, labels), *last)


def _transform(section: Mapping[str, Any], seed: int, field: str):
  """A gradient transformation, seeded where it draws."""
  from jaxcls import optim

  section = dict(section)
  if "name" not in section:
    raise ValueError(f"{field}.name must be given, got {section}.")
  name = section.pop("name")
  target = _lookup.find(name, optim, optax, field=f"{field}.name")
  _lookup.check_fields(section, target, field=field)
  if "seed" in inspect.signature(target).parameters:
    section.setdefault("seed", seed)
  return target(**section)


def _single(learning_rate, section: dict, field: str):
  """One optimiser with its weight decay and mask."""
  from jaxcls import optim

  section = dict(section)
  target = _lookup.find(
    section.pop("name"), optim, optax, field=f"{field}.name"
  )
  decay, pattern = section.pop("weight_decay"), section.pop("decay_pattern")
  mask = _paths.path_mask(pattern)
  _lookup.check_fields(
    section, target, field=field, supplied=("learning_rate",), extra=_OURS
  )
  takes = inspect.signature(target).parameters
  if "weight_decay" in takes:
    kwargs = {"mask": mask} if "mask" in takes else {}
    return target(learning_rate, weight_decay=decay, **kwargs, **section)
  tx = target(learning_rate, **section)
  if not decay:
    return tx
  return optax.chain(optax.add_decayed_weights(decay, mask), tx)
