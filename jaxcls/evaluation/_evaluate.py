"""Several named metrics in one jitted call, as Python floats."""

import functools
import inspect

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcls import _lookup


def evaluate_predictions(
  logits: Float[Array, "n c"],
  labels: Int[Array, " n"],
  *,
  metrics,
  where: Bool[Array, " n"] | None = None,
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

  Returns:
    {key: value} in the order asked for. The key is the name, and with
    keyword arguments the call: "top_k_accuracy(k=5)". A value is nan when no
    row counts.

  Raises:
    ValueError: a name is unknown (the nearest one is suggested) or a metric
      is not a scalar (call `confusion_matrix` and `per_class_accuracy`
      yourself); a label is outside [-1, c); shapes do not match.
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
  values, lowest, highest = _compute(specs)(logits, labels, where)
  if lowest < -1 or highest >= logits.shape[-1]:
    raise ValueError(
      f"labels must be in [-1, {logits.shape[-1]}), got values from "
      f"{int(lowest)} to {int(highest)}."
    )
  return {_key(*spec): float(v) for spec, v in zip(specs, values, strict=True)}


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
    if option not in accepted - {"where"}:
      raise TypeError(
        f"metrics: {name} has no argument {option!r}; it takes "
        f"{sorted(accepted - {'where'})}."
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

  def compute(logits, labels, where):
    values = []
    for name, options in specs:
      value = known[name](logits, labels, where=where, **dict(options))
      if value.ndim:
        raise ValueError(
          f"metrics must be scalars, got {name!r} of shape {value.shape}; "
          "call that function itself."
        )
      values.append(value)
    lowest = labels.min(initial=0)
    return values, lowest, labels.max(initial=-1)

  return jax.jit(compute)
