"""Gates that switch a network's filters off, example by example."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxcls.models import _heads, _net

_RULES = ("predicted", "fixed", "open")


class GatedNet:
  """A Net whose filters at some taps are masked.

  At a gated tap the maps a [b h w f] become a * mask. The mask is predicted
  from the maps at the tap before, by a small network on their largest and mean
  values ("predicted"), is the same for all inputs, stats
  "gates/<tap>/mask" [f] ("fixed"), or all ones ("open"). No gradient passes
  into or out of the predictors' inputs and masks.

  Outputs, beside the net's own, for each gated tap: "<tap>_mass" [b f], the
  share of each filter in the unmasked maps' total (of ReLU outputs);
  "<tap>_mask" [b f]; and "<tap>_mask_logits" [b f] if predicted. Parameters
  of the predictors are at "gates/<tap>/...". Used as `Net` is.
  """

  def __init__(self, net, gates: dict, rule: str, predictors: dict):
    """Joins; see `add_filter_gates`."""
    self.net, self.gates, self.rule = net, gates, rule
    self.predictors = predictors
    self.num_classes, self.input_shape = net.num_classes, net.input_shape
    mask = lambda f: jax.ShapeDtypeStruct((f,), jnp.float32)
    self.param_shapes = dict(net.param_shapes)
    self.stats_shapes = dict(net.stats_shapes)
    for name, (_, filters) in gates.items():
      if rule == "fixed":
        self.stats_shapes[f"gates/{name}/mask"] = mask(filters)
      if rule == "predicted":
        own = predictors[name].param_shapes
        self.param_shapes |= {f"gates/{name}/{k}": v for k, v in own.items()}

  def init(self, key: jax.Array):
    """Returns float32 (params, stats); fixed masks start open."""
    params, stats = map(dict, self.net.init(key))
    for i, (name, (_, filters)) in enumerate(self.gates.items()):
      if self.rule == "fixed":
        stats[f"gates/{name}/mask"] = jnp.ones((filters,))
      if self.rule == "predicted":
        own, _ = self.predictors[name].init(jax.random.fold_in(key, 0x6A7E + i))
        params |= {f"gates/{name}/{k}": v for k, v in own.items()}
    return params, stats

  def __call__(
    self, params, stats, x, *, train=False, key=None, tap=_net.identity
  ):
    """Applies the model with its gates; see `Net.__call__`."""
    own = lambda flat: {
      k: v for k, v in flat.items() if not k.startswith("gates/")
    }
    seen, found = {}, {}

    def gate(name, a):
      a = tap(name, a)
      if name in self.gates:
        mask, outputs = self._mask(params, stats, name, a, seen)
        found.update({f"{name}_{k}": v for k, v in outputs.items()})
        a = a * mask[:, None, None, :].astype(a.dtype)
      seen[name] = a
      return a

    out, new = self.net(
      own(params), own(stats), x, train=train, key=key, tap=gate
    )
    fixed = {k: v for k, v in stats.items() if k.startswith("gates/")}
    return {**out, **found}, {**new, **fixed}

  def _mask(self, params, stats, name, a, seen):
    """The mask [b f] of one tap, and what is told of it."""
    mass = jnp.abs(a.astype(jnp.float32)).sum(axis=(1, 2))
    total = mass.sum(axis=-1, keepdims=True)
    mass = mass / jnp.where(total > 0, total, 1.0)
    told = {"mass": jax.lax.stop_gradient(mass)}
    mask = jnp.ones_like(mass)
    if self.rule == "fixed":
      mask = mask * stats[f"gates/{name}/mask"]
    if self.rule == "predicted":
      before = jax.lax.stop_gradient(seen[self.gates[name][0]])
      before = before.astype(jnp.float32)
      pooled = [before.max(axis=(1, 2)), before.mean(axis=(1, 2))]
      start = f"gates/{name}/"
      weights = {
        k.removeprefix(start): v
        for k, v in params.items()
        if k.startswith(start)
      }
      predict = self.predictors[name]
      logits = predict(weights, {}, jnp.concatenate(pooled, axis=-1))[0]["out"]
      told["mask_logits"] = logits
      mask = (logits > 0).astype(jnp.float32)
    told["mask"] = mask
    return jax.lax.stop_gradient(mask), told


def add_filter_gates(
  net: _net.Net,
  *,
  taps: Sequence[str],
  rule: str = "predicted",
  hidden: int = 32,
) -> GatedNet:
  """Lets a net switch filters off at some taps.

  Args:
    net: a model with maps at its taps, such as a convnet or a ResNet.
    taps: which; a predicted gate needs a tap with maps before it.
    rule: "predicted", "fixed" or "open"; see `GatedNet`.
    hidden: width of a predictor's hidden layer.

  Returns:
    A net with the same inputs, and further outputs.

  Raises:
    ValueError: an unknown rule, or a tap that the model does not pass, that
      has no maps, or that has none before it.

  Source: Elkerdawy et al. 2021, arXiv:2110.08232 (Fire Together Wire
    Together).

  >>> from jaxcls import models
  >>> net = models.convnet(num_classes=3, input_shape=(8, 8, 1), widths=(4, 6))
  >>> net = models.add_filter_gates(net, taps=("stage2",))
  >>> params, stats = net.init(jax.random.key(0))
  >>> net(params, stats, jnp.ones((2, 8, 8, 1)))[0]["stage2_mask"].shape
  (2, 6)
  """
  if rule not in _RULES:
    raise ValueError(f"model.gates.rule must be one of {_RULES}, got {rule!r}.")
  shapes = {}

  def look(name, a):
    shapes[name] = a.shape
    return a

  x = jax.ShapeDtypeStruct((1, *net.input_shape), jnp.float32)
  run = lambda p, s, x: net(p, s, x, tap=look)[0]
  jax.eval_shape(run, net.param_shapes, net.stats_shapes, x)
  order, gates, predictors = list(shapes), {}, {}
  for name in taps:
    if name not in shapes or len(shapes[name]) != 4:
      maps = [k for k, s in shapes.items() if len(s) == 4]
      raise ValueError(
        f"model.gates.taps must name taps with maps, got {name!r}. The model "
        f"has {', '.join(maps)}."
      )
    before = order[order.index(name) - 1] if order.index(name) else None
    if before is None or len(shapes[before]) != 4:
      raise ValueError(
        f"model.gates.taps must have maps before them, got {name!r}, which "
        "comes first."
      )
    filters = shapes[name][-1]
    gates[name] = (before, filters)
    if rule == "predicted":
      predictors[name] = _heads.head(
        d_in=2 * shapes[before][-1], width=filters, hidden=(hidden,)
      )
  return GatedNet(net, gates, rule, predictors)
