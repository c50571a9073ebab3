"""Copies of one classifier that differ in a small network beside it."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import _lookup
from jaxcls.models import _net

_START = "tracers/"


class TracerCopies:
  """A classifier C and n small networks T_i: copies M_i = C + weight * T_i.

  Outputs: those of C ("logits" [b c] among them); "tracer_logits" [b n c];
  "tracer_outputs" [b n c], their tanh, T_i; "copy_scores" [b n c], M_i =
  softmax(C) + weight * T_i, whose largest is the copy's class.

  Parameters and statistics of C keep its own paths, so that a phase before can
  train it alone; those of the tracers are at "tracers/<path>", [n ...]. C is
  always in evaluation mode. Used as `Net` is.
  """

  def __init__(
    self, main: _net.Net, tracer: _net.Net, copies: int, weight: float
  ):
    """Joins; see `tracer_copies`."""
    self.main, self.tracer = main, tracer
    self.copies, self.weight = copies, weight
    self.num_classes, self.input_shape = main.num_classes, main.input_shape
    wider = lambda shapes: {
      _START + k: jax.ShapeDtypeStruct((copies, *v.shape), v.dtype)
      for k, v in shapes.items()
    }
    self.param_shapes = {**main.param_shapes, **wider(tracer.param_shapes)}
    self.stats_shapes = {**main.stats_shapes, **wider(tracer.stats_shapes)}

  def init(self, key: jax.Array):
    """Returns float32 (params, stats); every tracer has a key of its own.

    Kernels that would start at zero are drawn with variance 1 / fan_in: an
    output of zero has no direction that noise could turn.
    """
    own = [self._init(jax.random.fold_in(key, i)) for i in range(self.copies)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *own)
    params, stats = (
      {_START + k: v for k, v in flat.items()} for flat in stacked
    )
    main = self.main.init(key)
    return {**main[0], **params}, {**main[1], **stats}

  def _init(self, key):
    params, stats = self.tracer.init(jax.random.fold_in(key, 0x72AC))
    for i, (path, kernel) in enumerate(sorted(params.items())):
      if path.endswith("kernel"):
        fan_in = np.prod(kernel.shape[:-1])
        drawn = jax.random.normal(jax.random.fold_in(key, i), kernel.shape)
        drawn = drawn / np.sqrt(fan_in)
        params[path] = jnp.where((kernel == 0).all(), drawn, kernel)
    return params, stats

  def one_copy(self, params, stats, i):
    """Copy i as its buyer gets it: (net with copies = 1, params, stats)."""
    only = lambda flat: {
      k: jax.lax.dynamic_slice_in_dim(v, i, 1) if k.startswith(_START) else v
      for k, v in flat.items()
    }
    net = TracerCopies(self.main, self.tracer, 1, self.weight)
    return net, only(params), only(stats)

  def __call__(
    self, params, stats, x, *, train=False, key=None, tap=_net.identity
  ):
    """Applies C (with the tap) and all tracers; see `Net.__call__`."""
    own = lambda flat: {
      k: v for k, v in flat.items() if not k.startswith(_START)
    }
    tracers = lambda flat: {
      k.removeprefix(_START): v for k, v in flat.items() if k.startswith(_START)
    }
    outputs, main_stats = self.main(own(params), own(stats), x, tap=tap)

    # One after the other: vmap would make grouped convolutions of theirs.
    found = []
    for i in range(self.copies):
      one = jax.tree.map(lambda v: v[i], (tracers(params), tracers(stats)))  # noqa: B023
      tracer_key = None if key is None else jax.random.fold_in(key, i)
      out, moved = self.tracer(*one, x, train=train, key=tracer_key)
      found.append((out["logits"].astype(jnp.float32), moved))
    logits = jnp.stack([logits for logits, _ in found], axis=1)
    moved = jax.tree.map(
      lambda *leaves: jnp.stack(leaves), *[stats for _, stats in found]
    )
    traced = jnp.tanh(logits)
    main = jax.nn.softmax(outputs["logits"].astype(jnp.float32))
    outputs = {
      **outputs,
      "tracer_logits": logits,
      "tracer_outputs": traced,
      "copy_scores": main[:, None] + self.weight * traced,
    }
    return outputs, {**main_stats, **{_START + k: v for k, v in moved.items()}}


def tracer_copies(
  *,
  num_classes: int,
  input_shape: tuple[int, ...],
  main: Mapping[str, Any],
  tracer: Mapping[str, Any],
  copies: int = 5,
  weight: float = 0.15,
) -> TracerCopies:
  """Copies of a classifier, each with a tracer of its own in parallel.

  Args:
    num_classes: width of `logits` and of every copy's scores.
    input_shape: shape of one example.
    main: the classifier C: `name` of a model of this package and its
      settings.
    tracer: the same for the tracers.
    copies: n, how many, >= 1.
    weight: of a tracer's outputs, which are in [-1, 1], in a copy's scores,
      >= 0; a class that leads C's probabilities by 2 * weight cannot lose.

  Returns:
    A net with the inputs of C, and its outputs and further ones; see
    `TracerCopies`.

  Raises:
    ValueError: copies < 1, weight < 0, or an unknown name or setting.

  Source: Fang et al. 2022, arXiv:2301.01218, eq. 1 of the version of ICCV
    2023.
  Differs: C's outputs are normalised by a softmax (the paper only says "into
    [0, 1]"); tracers start from keys of their own and not as permutations of
    one, which the later version adds.

  >>> from jaxcls import models
  >>> net = models.tracer_copies(
  ...   num_classes=3,
  ...   input_shape=(4,),
  ...   main=dict(name="mlp", hidden=(8,)),
  ...   tracer=dict(name="mlp", hidden=(2,)),
  ...   copies=2,
  ... )
  >>> params, stats = net.init(jax.random.key(0))
  >>> net(params, stats, jnp.ones((6, 4)))[0]["copy_scores"].shape
  (6, 2, 3)
  """
  if copies < 1:
    raise ValueError(f"copies must be at least 1, got {copies}.")
  if weight < 0:
    raise ValueError(f"weight must be >= 0, got {weight}.")
  from jaxcls import models  # not at import: it imports this file

  made = [
    _lookup.call(
      section, models, field=f"model.{name}", num_classes=num_classes,
      input_shape=tuple(input_shape),
    )
    for name, section in (("main", main), ("tracer", tracer))
  ]  # fmt: skip
  return TracerCopies(*made, copies, weight)
