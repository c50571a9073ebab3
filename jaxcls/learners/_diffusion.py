"""A conditional diffusion model that classifies by its denoising error."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import classifiers, data, ops
from jaxcls.learners import _training_state

WEIGHTINGS = ("uniform", "fitted")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diffusion:
  """Denoises images of known classes; the class that denoises best is the one.

  Training: the mean of |target - prediction|^2 at a random time, the class
  hidden from a share of the examples. Prediction:
  logits_c = -sum_t w_t |target_t - prediction(x_t, t, c)|^2
  over a few times spread evenly; the noise at each of them is the same for
  every class, so what it adds to all of them cancels. The model is
  `models.denoiser`.

  Batch: `image` [b h w c], best in [-1, 1]; `label` [b] int, -1 = trained on
  without a class.

  Attributes:
    schedule: "linear", "cosine" (the noise is predicted) or "rectified_flow"
      (the velocity).
    num_levels: times in training.
    condition_dropout: share of the examples without a class, in [0, 1).
    ema_decay: 0 keeps no average; else predictions are of averaged weights.
    num_times: times in prediction.
    time_range: part of the times that is used in prediction, within [0, 1];
      a part of it is a truncated weighting.
    weighting: "uniform" (w = 1 / num_times), or "fitted" on the evaluation set
      "val" at the end of a stage; then `uniform_logits` is an output too.
    l2: of `classifiers.fit_timestep_weights`.
    noise_seed: of the noise in prediction.

  Source: Jeong et al. 2025, arXiv:2505.17955; Li et al. 2023,
    arXiv:2303.16203; classes hidden: Ho & Salimans 2022, arXiv:2207.12598.
  Differs: the noise is also the same for all images; no class is dropped
    early.
  """

  schedule: str = "cosine"
  num_levels: int = 1000
  condition_dropout: float = 0.1
  ema_decay: float = 0.0
  num_times: int = 30
  time_range: tuple[float, float] = (0.0, 1.0)
  weighting: str = "uniform"
  l2: float = 1.0
  noise_seed: int = 0

  def __post_init__(self):
    """Checks every field, so that a typo fails before any compile."""
    low, high = self.time_range
    if not 0 <= low < high <= 1:
      raise ValueError(
        f"time_range must be increasing within [0, 1], got {low} and {high}."
      )
    if self.weighting not in WEIGHTINGS:
      raise ValueError(
        f"weighting must be one of {WEIGHTINGS}, got {self.weighting!r}."
      )
    for name in ("condition_dropout", "ema_decay"):
      if not 0 <= getattr(self, name) < 1:
        raise ValueError(
          f"{name} must be in [0, 1), got {getattr(self, name)}."
        )
    if not 1 <= self.num_times <= self.num_levels:
      raise ValueError(
        f"num_times must be in [1, num_levels = {self.num_levels}], got "
        f"{self.num_times}."
      )
    if self.schedule not in ops.diffusion.SCHEDULES:
      raise ValueError(
        f"schedule must be one of {ops.diffusion.SCHEDULES}, got "
        f"{self.schedule!r}."
      )

  def init(self, net, state, batch, key):
    """Memory: `ema` (params, stats), `weights` [t]."""
    del net, batch, key
    memory = {"weights": jnp.full((self.num_times,), 1.0 / self.num_times)}
    if self.ema_decay:
      copy = functools.partial(jax.tree.map, jnp.copy)
      memory["ema"] = {"params": copy(state.params), "stats": copy(state.stats)}
    return memory

  def _denoise(self, net, params, stats, x, noise, level, classes, **kwargs):
    """Mean squared error [b] at the levels [b], told these classes [b]."""
    levels = ops.noise_levels(self.schedule, self.num_levels)
    at = lambda values: values[level].reshape(-1, *[1] * (x.ndim - 1))
    noisy = at(levels.signal) * x + at(levels.noise) * noise
    told = {"time": (level + 0.5) / self.num_levels, "condition": classes}
    tap = lambda name, value: told.get(name, value)
    out, stats = net(params, stats, noisy, tap=tap, **kwargs)
    gap = out["prediction"] - ops.noise_target(self.schedule, x, noise)
    return (gap**2).reshape(len(x), -1).mean(axis=-1), stats

  def loss(self, net, params, state, batch, key):
    """Mean over the batch, each example at a time of its own."""
    keys = jax.random.split(key, 4)
    x, labels = data.inputs(batch), batch["label"]
    level = jax.random.randint(keys[0], labels.shape, 0, self.num_levels)
    noise = jax.random.normal(keys[1], x.shape)
    hidden = jax.random.bernoulli(keys[2], self.condition_dropout, labels.shape)
    classes = jnp.where(hidden | (labels < 0), net.num_classes, labels)
    values, stats = self._denoise(
      net, params, state.stats, x, noise, level, classes, train=True,
      key=keys[3],
    )  # fmt: skip
    return values.mean(), _training_state.Aux(stats)

  def after_update(self, net, state, aux):
    """Moves the averaged weights."""
    del net, aux
    if not self.ema_decay:
      return state.memory
    new = {"params": state.params, "stats": state.stats}
    average = _training_state.ema(state.memory["ema"], new, self.ema_decay)
    return {**state.memory, "ema": average}

  def levels(self) -> np.ndarray:
    """[t] int: the levels of prediction, the middles of equal parts."""
    low, high = self.time_range
    middle = (np.arange(self.num_times) + 0.5) / self.num_times
    places = (low + (high - low) * middle) * self.num_levels
    return np.minimum(places.astype(int), self.num_levels - 1)

  def errors(self, net, params, stats, x, key):
    """Denoising error of every time and class, [b t c].

    Args:
      net: the model.
      params: its weights; stats: its statistics.
      stats: see params.
      x: [b h w c].
      key: of the noise: one draw a time, the same for all rows and classes.
    """
    b, c = len(x), net.num_classes
    tiled = jnp.repeat(x, c, axis=0)
    classes = jnp.tile(jnp.arange(c), b)
    noise = jax.random.normal(key, (self.num_times, *x.shape[1:]))

    def at_time(inputs):
      level, noise = inputs
      found, _ = self._denoise(
        net, params, stats, tiled, jnp.broadcast_to(noise, tiled.shape),
        jnp.full((b * c,), level), classes,
      )  # fmt: skip
      return found.reshape(b, c)

    found = jax.lax.map(at_time, (jnp.asarray(self.levels()), noise))
    return jnp.swapaxes(found, 0, 1)

  def predict(self, net, state, batch):
    """`logits`, `errors` [b t c] and the `features` of the clean image."""
    own = {"params": state.params, "stats": state.stats}
    weights = state.memory.get("ema", own)
    x = data.inputs(batch)
    out, _ = net(weights["params"], weights["stats"], x)
    errors = self.errors(
      net, weights["params"], weights["stats"], x,
      jax.random.key(self.noise_seed),
    )  # fmt: skip
    logits = -jnp.einsum("t,btc->bc", state.memory["weights"], errors)
    return {
      "features": out["features"],
      "logits": logits,
      "uniform_logits": -errors.mean(axis=1),
      "errors": errors,
    }

  def end_stage(self, net, state, context):
    """Fits the weights of the times to the labels of val."""
    if self.weighting != "fitted":
      return state
    val = context.stage.evals.get("val")
    if val is None:
      raise ValueError(
        "weighting 'fitted' needs the evaluation set 'val', got "
        f"{sorted(context.stage.evals)}. Set scenario.val_fraction."
      )
    found = context.predict(state, "val", ("errors",))
    fitted = classifiers.fit_timestep_weights(
      jnp.asarray(found["errors"]), jnp.asarray(val.all_labels[found["id"]]),
      l2=self.l2,
    )  # fmt: skip
    memory = {**state.memory, "weights": fitted["weights"]}
    return state.replace(memory=memory)
