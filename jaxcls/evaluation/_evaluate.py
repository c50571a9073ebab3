"""Several named metrics in one jitted call, as Python floats."""

import functools
import inspect

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import _lookup

# What a metric may ask of the stage by the name of its argument: arrays [c],
# and `bag`, the column [n] of the rows.
STAGE_INPUTS = ("seen", "new", "task_of_class", "class_counts", "bag")


def evaluate_predictions(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  metrics,
  where: Bool[Array, " n"] | None = None,
  stage=None,
) -> dict[str, float]:
  """Computes named metrics of this package together.

  Runs on the host, around one compiled program; not for use inside jit.

  Args:
    logits: [n c], any float type; numpy arrays are fine.
    labels: [n], class ids in [0, c), -1 = unlabelled, not counted.
    metrics: sequence of metric names or of dicts with "name" and that
      metric's keyword arguments: ["accuracy", dict(name="top_k_accuracy",
      k=5)].
    where: [n], True = keep; None keeps all.
    stage: {name: array} for metrics that take one of STAGE_INPUTS.

  Returns:
    {key: value} in the order asked for. The key is the name, and with
    keyword arguments the call: "top_k_accuracy(k=5)". A value is nan when no
    row counts. A metric that is a vector gives "<key>/<i>" for each entry that
    is not nan.

  Raises:
    ValueError: a name is unknown (the nearest one is suggested) or a metric
      is a matrix (call `confusion_matrix` yourself) or needs more of the stage
      than was given; a label is outside [-1, c); shapes do not match.
    TypeError: metrics is one string, or a metric does not have that keyword
      argument.

  Source: no paper.
  Differs: nothing known.

  >>> evaluate_predictions(jnp.eye(2), jnp.zeros(2, int), metrics=["accuracy"])
  {'accuracy': 0.5}
  """
  if isinstance(metrics, str):
    raise TypeError(f"metrics must be a sequence of names, got {metrics!r}.")
  specs = tuple(_parse(metric) for metric in metrics)
  logits, labels = jnp.asarray(logits), jnp.asarray(labels)
  if where is not None:
    where = jnp.asarray(where)
  stage = {name: jnp.asarray(a) for name, a in (stage or {}).items()}
  values, lowest, highest = _compute(specs)(logits, labels, where, stage)
  if lowest < -1 or highest >= logits.shape[-1]:
    raise ValueError(
      f"labels must be in [-1, {logits.shape[-1]}), got values from "
      f"{int(lowest)} to {int(highest)}."
    )
  found = {}
  for spec, value in zip(specs, values, strict=True):
    if not value.ndim:
      found[_key(*spec)] = float(value)
    for i, entry in enumerate(value.tolist() if value.ndim else ()):
      if entry == entry:
        found[f"{_key(*spec)}/{i}"] = entry
  return found


def check_metrics(metrics) -> None:
  """Raises as `evaluate_predictions` would for these names, without data.

  Args:
    metrics: sequence of names or of dicts with "name" and arguments.

  Raises:
    ValueError: an unknown name, with the nearest known one.
    TypeError: a metric does not have that keyword argument.
  """
  for metric in metrics:
    _parse(metric)


def _metric_functions():
  """Public metrics by name: functions of (logits, labels, *, ..., where)."""
  from jaxcls import evaluation  # not at import: it imports this file

  found = {}
  for name, f in inspect.getmembers(evaluation, inspect.isfunction):
    arguments = list(inspect.signature(f).parameters)
    if arguments[:2] == ["logits", "labels"] and "metrics" not in arguments:
      found[name] = f
  return found


def _parse(metric):
  """A name or a dict -> (name, sorted keyword arguments), both checked."""
  options = {} if isinstance(metric, str) else dict(metric)
  name = metric if isinstance(metric, str) else options.pop("name", None)
  known = _metric_functions()
  if name not in known:
    raise ValueError(
      f"metrics must name public metrics of jaxcls.evaluation, got {name!r}."
      f"{_lookup.nearest(name, known)}"
    )
  accepted = set(list(inspect.signature(known[name]).parameters)[2:])
  for option in options:
    if option not in accepted - {"where", *STAGE_INPUTS}:
      raise TypeError(
        f"metrics: {name} has no argument {option!r}; it takes "
        f"{sorted(accepted - {'where', *STAGE_INPUTS})}."
      )
  return name, tuple(sorted(options.items()))


def _key(name, options):
  """ "accuracy", or "top_k_accuracy(k=5)" when there are arguments."""
  if not options:
    return name
  return f"{name}({', '.join(f'{k}={v}' for k, v in options)})"


@functools.lru_cache(maxsize=32)
def _compute(specs):
  """One jitted function for a tuple of (name, keyword arguments)."""
  known = _metric_functions()

  def compute(logits, labels, where, stage):
    values = []
    for name, options in specs:
      wanted = inspect.signature(known[name]).parameters
      given = {k: stage[k] for k in STAGE_INPUTS if k in wanted and k in stage}
      for k in STAGE_INPUTS:
        if k in wanted and k not in given:
          raise ValueError(f"metric {name!r} needs {k} of the stage, got none.")
      value = known[name](logits, labels, where=where, **given, **dict(options))
      if value.ndim > 1:
        raise ValueError(
          f"metrics must be numbers or vectors, got {name!r} of shape "
          f"{value.shape}; call that function itself."
        )
      values.append(value)
    lowest = labels.min(initial=0)
    return values, lowest, labels.max(initial=-1)

  return jax.jit(compute)
