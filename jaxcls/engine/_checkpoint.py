"""Atomic, asynchronous checkpoints: state and position together."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxcls import learners
from jaxcls.engine import _mesh

MIN_SLICE_BYTES = 2**20


class Checkpoints:
  """The checkpoints of one run folder, numbered by step.

  A save is written aside and renamed when complete, so a kill in the middle
  loses only the steps since the one before.
  """

  def __init__(self, folder: pathlib.Path, *, keep: int | None):
    """Opens or makes the folder; removes what a killed save left.

    Args:
      folder: absolute path.
      keep: how many of the newest to keep; None reads only.
    """
    writes = keep is not None
    options = ocp.CheckpointManagerOptions(
      max_to_keep=keep, cleanup_tmp_directories=writes, create=writes,
      read_only=not writes,
    )  # fmt: skip
    self.folder = folder
    handlers = {
      "state": ocp.PyTreeCheckpointHandler(
        type_handler_registry=ocp.type_handlers.create_type_handler_registry(
          (jax.Array, _array_handler()),
        )
      ),
      "meta": ocp.JsonCheckpointHandler(),
    }
    self._manager = ocp.CheckpointManager(
      folder.resolve(), options=options, item_handlers=handlers
    )

  def save(
    self,
    step: int,
    state: learners.State,
    meta: Mapping[str, Any],
    *,
    force: bool = False,
  ) -> None:
    """Starts a save; the caller may donate `state` at once.

    Args:
      step: number of the checkpoint.
      state: what to save.
      meta: JSON-like, saved with it.
      force: replaces a checkpoint of the same step.
    """
    if force and step in self._manager.all_steps():
      self._manager.wait_until_finished()
      self._manager.delete(step)
    self._manager.save(
      step,
      force=force,
      args=ocp.args.Composite(
        state=ocp.args.PyTreeSave(_arrays(state)),
        meta=ocp.args.JsonSave(dict(meta)),
      ),
    )

  def latest(self) -> int | None:
    """Step of the newest complete checkpoint."""
    return self._manager.latest_step()

  def steps(self) -> list[int]:
    """Steps of the complete checkpoints, ascending."""
    return sorted(self._manager.all_steps())

  def meta(self, step: int) -> dict[str, Any]:
    """The JSON part of a checkpoint."""
    args = ocp.args.Composite(meta=ocp.args.JsonRestore())
    return self._manager.restore(step, args=args)["meta"]

  def restore(
    self, step: int, abstract: learners.State, mesh: jax.sharding.Mesh
  ) -> learners.State:
    """Restores a state onto a mesh, whatever mesh it was saved from.

    Args:
      step: a complete checkpoint.
      abstract: shapes wanted; its optimiser and filter are kept.
      mesh: where the arrays go.

    Raises:
      ValueError: the checkpoint holds other arrays than the config asks for.
    """
    shardings = _mesh.state_shardings(abstract, mesh)
    target = jax.tree.map(
      lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s),
      _arrays(abstract),
      _arrays(shardings),
    )
    self._check(step, target)
    how = ocp.checkpoint_utils.construct_restore_args(target)
    restored = self._manager.restore(
      step,
      args=ocp.args.Composite(
        state=ocp.args.PyTreeRestore(target, restore_args=how)
      ),
    )["state"]
    leaves = [restored[k] for k in _arrays(abstract)]
    return jax.tree.unflatten(jax.tree.structure(abstract), leaves)

  def read(self, step: int) -> dict[str, Any]:
    """All arrays of a checkpoint, keyed by path such as "params/head/bias"."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    how = dict.fromkeys(self._saved(step), ocp.ArrayRestoreArgs(sharding=here))
    args = ocp.args.Composite(state=ocp.args.PyTreeRestore(restore_args=how))
    arrays = self._manager.restore(step, args=args)["state"]
    return {k: _host(array) for k, array in arrays.items()}

  def _saved(self, step: int) -> Mapping[str, Any]:
    """What a checkpoint holds: array metadata keyed by path."""
    saved = self._manager.item_metadata(step)["state"]
    return getattr(saved, "tree", saved)

  def _check(self, step: int, target: Mapping[str, Any]) -> None:
    saved = self._saved(step)
    problems = [f"{k} is missing" for k in target if k not in saved]
    problems += [f"{k} is not in the model" for k in saved if k not in target]
    for k in target:
      shape = getattr(saved.get(k), "shape", None)
      is_key = jax.dtypes.issubdtype(target[k].dtype, jax.dtypes.prng_key)
      if shape is not None and not is_key and tuple(shape) != target[k].shape:
        problems.append(f"{k} has shape {tuple(shape)}, not {target[k].shape}")
    if problems:
      raise ValueError(
        f"the checkpoint {self.folder / str(step)} must fit the config, but "
        f"{'; '.join(problems[:3])}. Use the config it was trained with "
        "(config.json in the run folder) or another --workdir."
      )

  def reached_preemption(self, step: int) -> bool:
    """Whether all processes agree that this step is the last."""
    return self._manager.reached_preemption(step)

  def wait(self) -> None:
    """Returns once every started save is complete."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits, then releases the manager's threads."""
    self._manager.wait_until_finished()
    self._manager.close()


def _array_handler() -> ocp.type_handlers.ArrayHandler:
  """Replicas share the writing of large arrays only.

  Each share is a slice, and each slice of another shape a program to compile:
  for the small arrays of a network that takes longer than to write them.
  """
  return ocp.type_handlers.ArrayHandler(
    min_slice_bytes_for_replica_parallel=MIN_SLICE_BYTES
  )


def _host(array: Any) -> np.ndarray:
  """A numpy array; of a typed PRNG key its words."""
  if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
    array = jax.random.key_data(array)
  return np.asarray(array)


def load_weights(path: str) -> dict[str, np.ndarray]:
  """Reads params and stats of a run's newest checkpoint.

  Args:
    path: the run folder; its best checkpoint is taken if there is one.

  Returns:
    One flat dict of host arrays keyed by path.

  Raises:
    ValueError: no complete checkpoint there.
  """
  for kind in ("best", "checkpoints"):
    folder = pathlib.Path(path).expanduser().absolute() / kind
    found = Checkpoints(folder, keep=None) if folder.is_dir() else None
    if found is not None and found.latest() is not None:
      arrays = found.read(found.latest())
      found.close()
      split = [(name.split("/", 1), array) for name, array in arrays.items()]
      wanted = ("params", "stats")
      return {name[1]: a for name, a in split if name[0] in wanted}
  raise ValueError(
    f"a run folder must hold a complete checkpoint, got {path!r}, which "
    "does not. Train it first, or correct the path."
  )


def _arrays(state: Any) -> dict[str, Any]:
  """Leaves keyed by path: no container type has to survive the disk."""
  flat, _ = jax.tree_util.tree_flatten_with_path(state)
  name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
  return {name(path): leaf for path, leaf in flat}
