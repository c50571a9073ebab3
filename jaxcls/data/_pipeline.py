"""From plans of example ids to batches, on the host and inside the step."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import _lookup, data
from jaxcls.data import _augment, _policy, _sources

Batch = dict[str, Any]


def inputs(batch: Batch) -> jax.Array:
  """The model's input: `image` if the batch has it, else `x`."""
  return batch["image"] if "image" in batch else batch["x"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream:
  """A source of training batches: which examples, how drawn, how augmented.

  Attributes:
    source: the examples; a spec is enough for shapes and `transform`.
    sampler: name of a plan class in snake case ("uniform_plan",
      "class_balanced_plan", ...) or a mapping with `name` and its settings.
    augment: operations on `image`, in training only; see `make_augment`.
    views: one list of operations a view; views go to `views` [b v ...].
    preprocess: operations on `image` and `views`, in training and evaluation.
    batch_size: None takes the config's.
  """

  source: _sources.Source | _sources.SourceSpec
  sampler: str | Mapping[str, Any] = "uniform_plan"
  augment: Sequence[Mapping[str, Any]] = ()
  views: Sequence[Sequence[Mapping[str, Any]]] = ()
  preprocess: Sequence[Mapping[str, Any]] = ()
  batch_size: int | None = None

  def __post_init__(self):
    """Operations on images need images."""
    if self.source.field == "image":
      return
    for field in ("augment", "views", "preprocess"):
      if getattr(self, field):
        raise ValueError(
          f"scenario.{field} must be empty for a source of features, got "
          f"{getattr(self, field)}."
        )

  def plan(self, *, batch_size: int, num_steps: int, seed: int) -> Any:
    """The plan of `num_steps` global id vectors."""
    return _lookup.call(
      self.sampler,
      data,
      field="scenario.sampler",
      ids=self.source.ids,
      labels=self.source.labels,
      clients=self._column("client"),
      bags=self._column("bag"),
      batch_size=self.batch_size or batch_size,
      num_steps=num_steps,
      num_episodes=num_steps,
      seed=seed,
    )

  def _column(self, name):
    """[n] int, whose or in which the examples are; None where there is none."""
    column = self.source.columns.get(name)
    return None if column is None else column[self.source.ids]

  def transform(self, batch: Batch, key: jax.Array | None = None) -> Batch:
    """Augments (with a key) and preprocesses a batch inside the step.

    Args:
      batch: what `source.fetch` returned; uint8 images become [0, 1].
      key: PRNG key; None is evaluation: no augmentation and no views.

    Returns:
      The batch with float32 `image` and, in training, `views` if any.
    """
    if "image" not in batch:
      return batch
    image = _augment.to_float(batch["image"])
    finish = _policy.make_augment(self.preprocess)
    if key is None:
      return {**batch, "image": finish(image, None)}
    keys = jax.random.split(key, 1 + len(self.views))
    batch = dict(batch)
    if self.views:
      views = [
        finish(_policy.make_augment(ops)(image, k), None)
        for ops, k in zip(self.views, keys[1:], strict=True)
      ]
      batch["views"] = jnp.stack(views, axis=1)
    image = _policy.make_augment(self.augment)(image, keys[0])
    return {**batch, "image": finish(image, None)}


def transformed_shape(
  input_shape: Sequence[int], dtype: Any, preprocess: Sequence[Mapping]
) -> tuple[int, ...]:
  """Shape of one example after `preprocess`; runs nothing."""
  image = jax.ShapeDtypeStruct((1, *input_shape), dtype)
  if not preprocess:
    return tuple(input_shape)
  finish = _policy.make_augment(preprocess)
  out = jax.eval_shape(lambda x: finish(_augment.to_float(x), None), image)
  return out.shape[1:]


def abstract_batch(stream: Stream, batch_size: int) -> Batch:
  """Shapes and dtypes of a stream's batch as it leaves the host."""
  size, source = stream.batch_size or batch_size, stream.source
  struct = lambda shape, dtype: jax.ShapeDtypeStruct((size, *shape), dtype)
  return {
    source.field: struct(source.input_shape, source.dtype),
    "label": struct((), np.int32),
    "id": struct((), np.int32),
    **{k: _column(struct, v) for k, v in source.columns.items()},
  }


def _column(struct, column: np.ndarray | np.dtype):
  """Shape of a further column: an array of a source, a spec's dtype."""
  if isinstance(column, np.ndarray):
    return struct(column.shape[1:], column.dtype)
  return struct((), column)


def host_batches(
  plans: Mapping[str, Any],
  fetches: Mapping[str, Callable[[np.ndarray], Batch]],
  *,
  start: int = 0,
  rows: Mapping[str, np.ndarray] | None = None,
  workers: int = 0,
) -> Iterator[dict[str, Batch]]:
  """Iterates over this process's rows of each step's batches.

  Step i depends only on the plans, so resuming is `start=i`: bit-equal to
  the uninterrupted stream, with any number of workers.

  Args:
    plans: one a stream; `plan[i]` are step i's global ids.
    fetches: ids -> batch, one a stream.
    start: first step.
    rows: positions in the global batch that this process holds; None: all.
    workers: processes that fetch ahead; pays only where fetching decodes.

  Yields:
    {stream: batch of numpy arrays}.
  """
  import grain

  rows = rows or {}

  def load(ids: dict[str, np.ndarray]) -> dict[str, Batch]:
    return {
      name: fetches[name](x[rows[name]] if name in rows else x)
      for name, x in ids.items()
    }

  dataset = grain.MapDataset.source(_Plans(dict(plans)))[start:].map(load)
  options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
  dataset = dataset.to_iter_dataset(options)
  if workers:
    from absl import flags

    # grain reads its flags in the parent; outside absl.app nobody parsed them.
    if not flags.FLAGS.is_parsed():
      flags.FLAGS(["jaxcls"])
    multiprocessing = grain.MultiprocessingOptions(num_workers=workers)
    dataset = dataset.mp_prefetch(multiprocessing)
  return iter(dataset)


@dataclasses.dataclass(frozen=True)
class _Plans:
  """Several plans as one random-access source of {stream: ids}."""

  plans: dict[str, Any]

  def __len__(self) -> int:
    return min(len(plan) for plan in self.plans.values())

  def __getitem__(self, step: int) -> dict[str, np.ndarray]:
    return {name: plan[step] for name, plan in self.plans.items()}
