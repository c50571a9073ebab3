"""A Flax NNX module as a pure function over flat dicts of arrays."""

from collections.abc import Callable

import jax
from flax import nnx

from jaxcls.models import _surgery

Params = dict[str, jax.Array]
Tap = Callable[[str, jax.Array], jax.Array]


def identity(name: str, x: jax.Array) -> jax.Array:
  """The tap that does nothing."""
  del name
  return x


class _InitKeys:
  """The keys of `nnx.Rngs(params=key)`, counted by a number of Python.

  flax counts in a Variable, whose every update under a trace looks through all
  equations before it: building took time quadratic in the depth.
  """

  def __init__(self, key: jax.Array):
    self.key, self.count = key, 0

  def params(self) -> jax.Array:
    """Returns the next key."""
    key = jax.random.fold_in(self.key, self.count)
    self.count += 1
    return key


class Net:
  """Pure `init` and `apply` of a module; static, so close over it.

  Outside a Net there are only flat dicts keyed by path, such as
  "block0/attn/query/kernel"; no NNX object crosses a function boundary.

  >>> from jaxcls import models
  >>> net = models.mlp(num_classes=3, input_shape=(4,), hidden=(8,))
  >>> params, stats = net.init(jax.random.key(0))
  >>> outputs, stats = net(params, stats, jax.numpy.ones((2, 4)))
  >>> {name: x.shape for name, x in outputs.items()}
  {'features': (2, 8), 'logits': (2, 3)}
  """

  def __init__(
    self,
    make: Callable[[nnx.Rngs], nnx.Module],
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
  ):
    """Builds the description; runs no initialiser and needs no device.

    Args:
      make: builds the module; called as `module(x, key=key, tap=tap)`, it
        returns a dict with `features`, `logits` and maybe `tokens`, `maps`.
      num_classes: width of `logits`.
      input_shape: shape of one example.
    """
    self.make = make
    self.num_classes = num_classes
    self.input_shape = tuple(input_shape)
    module = nnx.eval_shape(lambda: make(_InitKeys(jax.random.key(0))))
    module.train()
    self._graph = {True: nnx.graphdef(module)}
    module.eval()
    self._graph[False] = nnx.graphdef(module)
    flat = nnx.to_flat_state(nnx.state(module))
    self._paths = {"/".join(map(str, path)): path for path, _ in flat}
    self.param_shapes, self.stats_shapes = _split(module)

  def init(self, key: jax.Array) -> tuple[Params, Params]:
    """Returns float32 (params, stats), each a flat dict keyed by path."""
    return _split(self.make(_InitKeys(key)))

  def __call__(
    self,
    params: Params,
    stats: Params,
    x: jax.Array,
    *,
    train: bool = False,
    key: jax.Array | None = None,
    tap: Tap = identity,
  ) -> tuple[dict[str, jax.Array], Params]:
    """Applies the module.

    Args:
      params: flat dict; LoRA factors beside a kernel are merged into it.
      stats: flat dict of batch statistics.
      x: [b ...], one batch of inputs of `input_shape`.
      train: True uses batch statistics, dropout and returns new `stats`.
      key: needed only where the module drops units in training.
      tap: called as `tap(name, activation)` at the module's named points;
        what it returns goes on in place of the activation.

    Returns:
      The named outputs and the statistics after this batch.

    Raises:
      ValueError: x is not of `input_shape`, or the parameters' paths are not
        those of the module.
    """
    if x.shape[1:] != self.input_shape:
      raise ValueError(
        f"x must have shape [b, {', '.join(map(str, self.input_shape))}], "
        f"got {x.shape}. Build the model with input_shape={x.shape[1:]}."
      )
    module = self._bind(_surgery.merge_lora(params), stats, train)
    outputs = module(x, key=key, tap=tap)
    return outputs, (_split(module)[1] if train else stats)

  def _bind(self, params: Params, stats: Params, train: bool) -> nnx.Module:
    leaves = {**params, **stats}
    if leaves.keys() != self._paths.keys():
      missing = sorted(self._paths.keys() - leaves.keys())
      extra = sorted(leaves.keys() - self._paths.keys())
      raise ValueError(
        "params and stats must hold exactly the model's paths, got "
        f"missing {missing[:4]} and unexpected {extra[:4]}."
      )
    tree = {self._paths[name]: leaf for name, leaf in leaves.items()}
    state = nnx.traversals.unflatten_mapping(tree)
    return nnx.merge(self._graph[train], state)


def _split(module: nnx.Module) -> tuple[Params, Params]:
  """Flat dicts of the parameters and of the batch statistics."""
  flat = lambda kind: {
    "/".join(map(str, path)): variable.get_value()
    for path, variable in nnx.to_flat_state(nnx.state(module, kind))
  }
  return flat(nnx.Param), flat(nnx.BatchStat)
