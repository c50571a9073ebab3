"""Differentially private gradients and what they cost."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxcls import _precision


def private_gradient(
  gradient: Callable[[Any, Any], Any],
  params: Any,
  examples: Any,
  *,
  clip_norm: float,
  noise_multiplier: float,
  where: jax.Array | None = None,
  batch_size: float | None = None,
  key: jax.Array,
) -> Any:
  """Mean of clipped per-example gradients plus Gaussian noise (DP-SGD).

  g = (sum_i g_i / max(1, ||g_i|| / C) + N(0, sigma^2 C^2 I)) / B

  with g_i = gradient(params, example_i), the norm over all its parameters.
  Feed g to any optax optimiser, and `noise_multiplier` to `epsilon_spent`.
  That guarantee is about Poisson sampling: draw every example with
  probability q, pad to a fixed size with `where` False and give
  batch_size = q n, which must not depend on the draw.

  Args:
    gradient: (params, one example without the batch axis) -> grads. No batch
      statistics: they would mix the examples.
    params: pytree of arrays.
    examples: pytree of arrays [b ...].
    clip_norm: C > 0, in units of the gradient.
    noise_multiplier: sigma >= 0, no unit; 0 has no privacy.
    where: [b] bool, True = drawn; None keeps all.
    batch_size: B > 0; None is b.
    key: PRNG key of this step; never use it twice.

  Returns:
    A pytree like the gradients, in their types; summed in float32.

  Raises:
    ValueError: clip_norm, noise_multiplier or batch_size out of range;
      examples or where without the same leading axis.

  Source: Abadi et al. 2016, arXiv:1607.00133 (Deep Learning with
    Differential Privacy), algorithm 1.
  Differs: nothing known; `optax.contrib.differentially_private_aggregate` is
    the same from given per-example gradients, without `where`.

  >>> f = lambda w, x: x * w
  >>> x, key = jnp.array([3.0, 0.5]), jax.random.key(0)
  >>> sharp = dict(clip_norm=1.0, noise_multiplier=0.0, key=key)
  >>> print(private_gradient(f, jnp.ones(()), x, **sharp))
  0.75
  """
  _check_noise(clip_norm, noise_multiplier)
  size = _batch_axis(examples, where)
  batch_size = size if batch_size is None else batch_size
  if not batch_size > 0:
    raise ValueError(
      f"batch_size must be > 0, got {batch_size}. For an empty draw, give "
      "the expected size and mask the rows with where."
    )
  where = jnp.ones(size, bool) if where is None else where

  def clipped(example, keep):
    # Select, do not multiply: a padded row may hold nan.
    grads = gradient(params, example)
    kept = jax.tree.map(lambda g: jnp.where(keep, g, jnp.zeros_like(g)), grads)
    return _clip(kept, clip_norm)

  shapes = jax.eval_shape(
    gradient, params, jax.tree.map(lambda x: x[0], examples)
  )
  grads = jax.vmap(clipped)(examples, where)
  return _noisy_mean(
    grads, shapes, clip_norm * noise_multiplier, batch_size, key
  )


def private_value_and_grad(
  value_and_grad: Callable[..., tuple[Any, Any]],
  params: Any,
  *args: Any,
  clip_norm: float,
  noise_multiplier: float,
) -> tuple[Any, Any]:
  """`private_gradient` where a learner takes its gradient.

  g = (sum_i g_i / max(1, ||g_i|| / C) + N(0, sigma^2 C^2 I)) / b

  with g_i the gradient for row i alone, which goes through the learner with a
  key of its own. In a config: `learner.gradient = dict(
  name="private_value_and_grad", clip_norm=1.0, noise_multiplier=1.1)`. Loss and
  metrics are means over training examples and are not private.

  Args:
    value_and_grad: (params, stats, batch, key) -> ((loss, aux), grads), aux
      with `stats` and `metrics`.
    params: pytree of arrays.
    *args: stats, batch (pytree of arrays [b ...]) and key.
    clip_norm: C > 0, in units of the gradient.
    noise_multiplier: sigma >= 0, no unit; 0 has no privacy.

  Returns:
    ((loss, aux), grads): means over all b rows, also those left out; g in the
    types of params, summed in float32. With accumulation_steps of k the noise
    is sqrt(k) times as large.

  Raises:
    ValueError: clip_norm or noise_multiplier out of range, an empty batch, or a
      model with batch statistics, which mix the examples.

  Source: Abadi et al. 2016, arXiv:1607.00133, algorithm 1.
  Differs: the engine's batches are of a shuffled epoch, no Poisson samples;
    see `epsilon_spent`.

  >>> def value_and_grad(w, stats, x, key):
  ...   return (0.5 * w * (x**2).sum(), stats), (x**2).sum() / 2
  >>> args = jnp.ones(()), {}, jnp.array([1.0, 4.0]), jax.random.key(0)
  >>> _, grads = private_value_and_grad(
  ...   value_and_grad, *args, clip_norm=1.0, noise_multiplier=0.0
  ... )
  >>> print(grads)
  0.75
  """
  _check_noise(clip_norm, noise_multiplier)
  stats, batch, key = args
  if jax.tree.leaves(stats):
    raise ValueError(
      "private gradients need a model without batch statistics, got some. Use "
      "norm='group', or a model without normalisation."
    )
  size = _batch_axis(batch, None)
  noise_key, row_key = jax.random.split(key)

  def one(example, key):
    found, grads = value_and_grad(params, stats, example, key)
    return found, _clip(grads, clip_norm)

  alone = jax.tree.map(lambda x: x[:, None], batch)
  found, grads = jax.vmap(one)(alone, jax.random.split(row_key, size))
  mean = jax.tree.map(lambda x: x.mean(axis=0), found)
  std = clip_norm * noise_multiplier
  return mean, _noisy_mean(grads, params, std, size, noise_key)


def _check_noise(clip_norm: float, noise_multiplier: float) -> None:
  if not 0 < clip_norm < math.inf:
    raise ValueError(f"clip_norm must be > 0 and finite, got {clip_norm}.")
  if not 0 <= noise_multiplier < math.inf:
    raise ValueError(
      f"noise_multiplier must be >= 0 and finite, got {noise_multiplier}."
    )


def _clip(grads, clip_norm: float):
  """One example's gradients, float32, of norm at most clip_norm."""
  wide = jax.tree.map(lambda g: g.astype(_precision.wide(g)), grads)
  scale = clip_norm / jnp.maximum(optax.tree.norm(wide), clip_norm)
  return jax.tree.map(lambda g: scale * g, wide)


def _noisy_mean(grads, like, std: float, batch_size: float, key):
  """(sum of grads [b ...] + normal noise) / batch_size, typed as `like`."""
  total = jax.tree.map(lambda g: g.sum(axis=0), grads)
  leaves, structure = jax.tree.flatten(total)
  keys = jax.random.split(key, len(leaves))
  noise = [
    std * jax.random.normal(k, g.shape, g.dtype)
    for k, g in zip(keys, leaves, strict=True)
  ]
  noisy = jax.tree.map(jnp.add, total, structure.unflatten(noise))
  return jax.tree.map(
    lambda g, s: (g / batch_size).astype(s.dtype), noisy, like
  )


def _batch_axis(examples, where) -> int:
  """The common leading size."""
  leaves = jax.tree.leaves(examples)
  shapes = [jnp.shape(x) for x in leaves]
  sizes = {s[0] if s else None for s in shapes}
  if len(sizes) != 1 or sizes <= {None, 0}:
    raise ValueError(
      "examples must share one leading axis of at least one row, got shapes "
      f"{shapes}."
    )
  (size,) = sizes
  if where is not None and (where.shape, where.dtype) != ((size,), jnp.bool_):
    raise ValueError(
      f"where must be bool of shape ({size},), got {where.dtype} of shape "
      f"{where.shape}."
    )
  return size


def epsilon_spent(
  *,
  noise_multiplier: float,
  sampling_rate: float,
  num_steps: int,
  delta: float,
  accountant: str = "pld",
) -> float:
  """The epsilon of (epsilon, delta)-privacy after steps of DP-SGD.

  Every step is a Gaussian of standard deviation sigma C on a sum of
  sensitivity C over a Poisson sample; neighbours differ by one example more
  or less. Needs the `privacy` extra: `pip install 'jaxcls[privacy]'`.

  Args:
    noise_multiplier: sigma >= 0; 0 gives inf.
    sampling_rate: q in (0, 1], probability that a step draws an example.
      Batches of a shuffled epoch are not Poisson samples: then the figure is
      the usual approximation, not a guarantee.
    num_steps: updates done, >= 0.
    delta: in (0, 1), well below one over the number of examples.
    accountant: "pld" (privacy loss distribution, tightest) or "rdp" (Renyi,
      the moments accountant's successor).

  Returns:
    epsilon >= 0, an upper bound.

  Raises:
    ValueError: a value out of range or an unknown accountant.
    ImportError: dp-accounting is not installed.

  Source: Abadi et al. 2016, arXiv:1607.00133; Mironov et al. 2019,
    arXiv:1908.10530 (Renyi); Google's dp-accounting does the work.
  Differs: nothing known.

  >>> epsilon_spent(
  ...   noise_multiplier=0.0, sampling_rate=0.1, num_steps=1, delta=1e-5
  ... )
  inf
  """
  if not 0 <= noise_multiplier < math.inf:
    raise ValueError(
      f"noise_multiplier must be >= 0 and finite, got {noise_multiplier}."
    )
  if not (0 < sampling_rate <= 1 and 0 < delta < 1 and num_steps >= 0):
    raise ValueError(
      "sampling_rate must be in (0, 1], delta in (0, 1) and num_steps >= 0, "
      f"got {sampling_rate}, {delta} and {num_steps}."
    )
  if accountant not in ("pld", "rdp"):
    raise ValueError(f"accountant must be 'pld' or 'rdp', got {accountant!r}.")
  if num_steps == 0 or noise_multiplier == 0:
    return math.inf if num_steps else 0.0
  try:
    import dp_accounting
    from dp_accounting import pld, rdp
  except ImportError as error:
    raise ImportError(
      "epsilon_spent needs dp-accounting, which is not installed. "
      "Run pip install 'jaxcls[privacy]'."
    ) from error
  gaussian = dp_accounting.GaussianDpEvent(noise_multiplier)
  step = dp_accounting.PoissonSampledDpEvent(sampling_rate, gaussian)
  make = {"pld": pld.PLDAccountant, "rdp": rdp.RdpAccountant}[accountant]
  return float(make().compose(step, num_steps).get_epsilon(delta))
