"""The factored layer: W = V U + 1 shift^T + 1 mean^T, never written out.

`mean` is the mean row of W, and what remains, V U + 1 shift^T, has zero column
sums; Q is its Gram matrix. For o = W h, the mean of o is mean.h, the sum of
squares about it h^T Q h, and o_c less the mean is (U^T V_c + shift).h.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls.ops.spherical import _losses

# A step may shrink no direction of W to less than 1 - _MAX_SHRINK of itself.
_MAX_SHRINK = 0.9
_POWER_STEPS = 8
_highest = functools.partial(jax.default_matmul_precision, "highest")


def init_spherical(kernel: Float[Array, "D d"]) -> dict[str, Array]:
  """The layer's state for a kernel W, one row a class; costs O(D d**2).

  Args:
    kernel: [D d], D >= 2, float32 or float64. Not all zero for the Z-loss,
      whose gradient is 0 there.

  Returns:
    A flat dict of arrays, to be checkpointed and donated as it is: rows
    V [D d]; mixer U [d d]; shift [d]; mean [d]; gram Q [d d]; log_condition
    [], an upper bound of log cond(U); and three int32 counters of the steps
    so far that were rectified, refolded, or clipped (`spherical_update`).

  Raises:
    TypeError: kernel is not float32 or float64.
    ValueError: kernel is not a matrix with at least 2 rows and 1 column.
  """
  if kernel.dtype not in (jnp.float32, jnp.float64):
    raise TypeError(
      f"kernel must be float32 or float64, got {kernel.dtype}: the factors "
      "need the precision."
    )
  if kernel.ndim != 2 or kernel.shape[0] < 2 or kernel.shape[1] < 1:
    raise ValueError(
      "kernel must have shape [D d] with D >= 2 classes and d >= 1, got "
      f"{kernel.shape}."
    )
  counters = ("rectified_steps", "refolded_steps", "clipped_steps")
  counts = {name: jnp.zeros((), jnp.int32) for name in counters}
  return _factor(kernel) | counts


def _factor(kernel):
  """The arrays of a state with U = 1."""
  dtype, d = kernel.dtype, kernel.shape[1]
  mean = kernel.mean(axis=0)
  rows = kernel - mean
  with _highest():
    gram = rows.T @ rows
  return {
    "rows": rows,
    "mixer": jnp.eye(d, dtype=dtype),
    "shift": jnp.zeros(d, dtype),
    "mean": mean,
    "gram": gram,
    "log_condition": jnp.zeros((), dtype),
  }


def spherical_kernel(state: dict[str, Array]) -> Float[Array, "D d"]:
  """W [D d], written out: for evaluation, export, tests; O(D d**2)."""
  with _highest():
    rows = state["rows"] @ state["mixer"]
  return rows + (state["shift"] + state["mean"])


def spherical_refold(state: dict[str, Array]) -> dict[str, Array]:
  """The same W with U = 1 and everything else computed afresh; O(D d**2)."""
  refolded = _factor(spherical_kernel(state))
  count = state["refolded_steps"] + 1
  return state | refolded | {"refolded_steps": count}


def _check_batch(state, features, labels):
  d = state["mixer"].shape[0]
  if features.ndim != 2 or features.shape[1] != d or features.shape[0] < 1:
    raise ValueError(
      f"features must have shape [m {d}] with m >= 1, got {features.shape}."
    )
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise TypeError(f"labels must be integer class ids, got {labels.dtype}.")
  if labels.shape != features.shape[:1]:
    raise ValueError(
      f"labels must have shape {features.shape[:1]} to match features, got "
      f"{labels.shape}."
    )


def _statistics(state, h, labels):
  """The statistics, the centred rows T of the labels, and H Q: [m d] each."""
  t = state["rows"][labels] @ state["mixer"] + state["shift"]
  hq = h @ state["gram"]
  # The recursion for Q rounds: a sum of squares below 0 would be a nan.
  squares = jnp.maximum((hq * h).sum(axis=1), 0.0)
  stats = _losses.SphericalStatistics(
    h @ state["mean"], squares, (t * h).sum(axis=1)
  )
  return stats, t, hq


def spherical_forward(
  state: dict[str, Array],
  features: Float[Array, "m d"],
  labels: Int[Array, " m"],
  *,
  loss: Any,
) -> tuple[Float[Array, " m"], _losses.SphericalStatistics]:
  """The losses of a batch, without the D logits; O(m d**2).

  Differentiable with respect to the features; the state gets no gradient (its
  arrays depend on each other): `spherical_update` trains it.

  Args:
    state: of `init_spherical`.
    features: [m d], computed in the state's type.
    labels: [m], class ids in [0, D); not checked, the values are traced.
    loss: of `make_spherical_loss`.

  Returns:
    [m], one value per example, not reduced; and the statistics.

  Raises:
    TypeError: labels are not integers.
    ValueError: the shapes do not match the state or one another.
  """
  _check_batch(state, features, labels)
  state = jax.lax.stop_gradient(state)
  with _highest():
    h = features.astype(state["rows"].dtype)
    stats, _, _ = _statistics(state, h, labels)
  return loss(stats, state["rows"].shape[0]), stats


def spherical_update(
  state: dict[str, Array],
  features: Float[Array, "m d"],
  labels: Int[Array, " m"],
  *,
  loss: Any,
  learning_rate: float | Float[Array, ""],
  weight_decay: float | Float[Array, ""] = 0.0,
  max_condition: float | None = 1000.0,
  rectify_rank: int = 4,
) -> tuple[dict[str, Array], Float[Array, " m"], Float[Array, "m d"]]:
  """One exact SGD step on W for the mean loss of the batch, O(m d**2 + d**3).

  W <- (1 - learning_rate * weight_decay) * W - learning_rate * dW. U decays
  along the mean of the features, so float32 would overflow in time. The guard
  bounds the growth of cond(U) at every step from the step's own eigenvalues;
  only when the bound exceeds max_condition is U decomposed, and if need be V U
  is rewritten: the rectify_rank worst singular values are moved from U to V,
  O(D d r), or, where that is not enough, all are and Q is computed afresh,
  O(D d**2). W itself stays what it is.

  A step that would shrink a direction of W by more than 0.9 (the dense step
  is then near divergence, and U near singular) is taken with the smaller
  learning rate that shrinks it by 0.9; `clipped_steps` counts them.

  Args:
    state: of `init_spherical`; donate it.
    features: [m d], computed in the state's type.
    labels: [m], class ids in [0, D), duplicates add up; not checked.
    loss: of `make_spherical_loss`.
    learning_rate: > 0. Only plain SGD has a factored form: no momentum, no
      Adam. dW is of size 1 / D for all but the label's row.
    weight_decay: >= 0, with learning_rate * weight_decay < 0.1.
    max_condition: > 1; None switches the guard off. 1000 costs float32 about
      3 of its 7 digits in the worst direction.
    rectify_rank: singular values moved at a time, >= 1; more than d is d.

  Returns:
    The new state; [m] losses before the step, not reduced; [m d], the gradient
    of their mean with respect to the features, before the step.

  Raises:
    TypeError: labels are not integers.
    ValueError: shapes that do not match, or a number out of its range.

  Source: Vincent et al. 2015, arXiv:1412.7091, the factored update; de
    Brebisson & Vincent 2016, arXiv:1604.08859, its use for the Z-loss.
  Differs: the mean row apart; U^-1 solved for, not tracked; the guard.
  """
  _check_batch(state, features, labels)
  _check_numbers(learning_rate, weight_decay, max_condition, rectify_rank)
  m, (num_classes, d) = features.shape[0], state["rows"].shape
  dtype = state["rows"].dtype
  h = features.astype(dtype)
  with _highest():
    stats, t, hq = _statistics(state, h, labels)
    per_example, pull_back = jax.vjp(lambda s: loss(s, num_classes), stats)
    slope = pull_back(jnp.full_like(per_example, 1.0 / m))[0]
    # The gradient to o is alpha (e_c - 1/D) + beta (o - mean) + gamma / D.
    alpha, beta, gamma = slope.target, 2.0 * slope.squares, slope.mean
    d_features = (
      alpha[:, None] * t + beta[:, None] * hq + jnp.outer(gamma, state["mean"])
    )
    keep = 1.0 - jnp.asarray(learning_rate * weight_decay, dtype)
    rate = jnp.asarray(learning_rate, dtype)
    shrink, grow = _eigenvalue_bounds(h, beta)
    fits = jnp.minimum(1.0, _MAX_SHRINK * keep / (rate * shrink + 1e-30))
    rate = rate * fits
    alpha, beta, gamma = rate * alpha, rate * beta, rate * gamma
    state = _step(state, h, labels, t, hq, (alpha, beta, gamma), keep)
    grown = jnp.log((keep + rate * grow) / (keep - rate * shrink))
    state["log_condition"] += grown
    state["clipped_steps"] += (fits < 1.0).astype(jnp.int32)
    if max_condition is not None:
      state = _guard(state, max_condition, min(rectify_rank, d))
  return state, per_example, d_features


def _check_numbers(learning_rate, weight_decay, max_condition, rank):
  known = lambda v: isinstance(v, int | float)
  if known(learning_rate) and not learning_rate > 0:
    raise ValueError(f"learning_rate must be more than 0, got {learning_rate}.")
  if known(weight_decay) and not weight_decay >= 0:
    raise ValueError(f"weight_decay must be at least 0, got {weight_decay}.")
  if known(weight_decay) and known(learning_rate):
    if not learning_rate * weight_decay < 0.1:
      raise ValueError(
        "learning_rate * weight_decay must be less than 0.1, got "
        f"{learning_rate * weight_decay}."
      )
  if max_condition is not None and not max_condition > 1:
    raise ValueError(f"max_condition must be more than 1, got {max_condition}.")
  if rank < 1:
    raise ValueError(f"rectify_rank must be at least 1, got {rank}.")


def _eigenvalue_bounds(h, beta):
  """Of H^T diag(beta) H, the largest eigenvalue and minus the smallest.

  From the positive and the negative betas apart; power iteration from the
  mean, which dominates, and a tenth more for what it has not found yet.
  """
  weights = jnp.stack([jnp.maximum(beta, 0.0), jnp.maximum(-beta, 0.0)], 1)
  trace = (weights * (h**2).sum(axis=1, keepdims=True)).sum(axis=0)
  tiny = jnp.finfo(h.dtype).tiny
  v = h.T @ weights
  for _ in range(_POWER_STEPS):
    v = v / jnp.maximum(jnp.sqrt((v**2).sum(axis=0)), tiny)
    v = h.T @ (weights * (h @ v))
  found = jnp.sqrt((v**2).sum(axis=0))
  bounds = jnp.minimum(1.1 * found, trace)
  return bounds[0], bounds[1]


def _step(state, h, labels, t, hq, weights, keep):
  """The new factors; the weights already carry the learning rate."""
  num_classes = state["rows"].shape[0]
  alpha, beta, gamma = weights
  row, column = alpha[:, None], beta[:, None]
  # A = keep - H^T diag(beta) H is only ever applied, from its factors.
  apply = lambda x: keep * x - (x @ h.T) @ (column * h)
  mixer = apply(state["mixer"])
  shift = apply(state["shift"]) + (alpha @ h) / num_classes
  mean = keep * state["mean"] - (gamma @ h) / num_classes
  solved = jnp.linalg.solve(mixer.T, h.T).T
  # Scattered after V was read, and without another use of it: in place.
  rows = state["rows"].at[labels].add(-row * solved)
  # Q' = A Q A + the label terms: keep^2 Q + H^T Z + Z^T H, of rank 2 m.
  same = (labels[:, None] == labels[None, :]).astype(h.dtype)
  inner = 0.5 * column * (hq @ h.T) * beta
  inner += row * (t @ h.T) * beta
  inner += 0.5 * row * (same - 1.0 / num_classes) * alpha
  z = inner @ h - keep * (column * hq + row * t)
  half = h.T @ z
  gram = keep**2 * state["gram"] + half + half.T
  new = {"rows": rows, "mixer": mixer, "shift": shift, "mean": mean}
  return state | new | {"gram": gram}


def _guard(state, max_condition, rank):
  """Measures U where the bound says so, and rewrites V U where U says so."""
  d = state["mixer"].shape[0]
  limit = jnp.log(jnp.asarray(max_condition, state["mixer"].dtype))

  def measure(mixer):
    left, s, _ = jnp.linalg.svd(mixer)
    logs = jnp.log(jnp.maximum(s, jnp.finfo(s.dtype).tiny))
    level = jnp.median(logs)
    worst = jnp.argsort(-jnp.abs(logs - level))[:rank]
    x, ratio = left[:, worst], jnp.exp(logs[worst] - level)
    spread = lambda v: v.max() - v.min()
    rest = spread(logs.at[worst].set(level))
    # Half of the limit: what is not rewritten now has time until it must be.
    nothing = spread(logs) <= limit / 2
    action = jnp.where(nothing, 0, jnp.where(rest <= limit / 2, 1, 2))
    condition = jnp.where(
      nothing, spread(logs), jnp.where(action == 1, rest, 0)
    )
    return action, condition, x, ratio, jnp.exp(level)

  def skip(mixer):
    dtype = mixer.dtype
    x, ratio = jnp.zeros((d, rank), dtype), jnp.ones(rank, dtype)
    return 0, state["log_condition"], x, ratio, jnp.ones((), dtype)

  due = ~(state["log_condition"] <= limit)
  action, condition, x, ratio, level = jax.lax.cond(
    due, measure, skip, state["mixer"]
  )

  def rectify(state):
    # V <- V M, U <- M^-1 U with M = level (1 + X diag(ratio - 1) X^T).
    rows, mixer = state["rows"], state["mixer"]
    rows = level * (rows + ((rows @ x) * (ratio - 1.0)) @ x.T)
    mixer = (mixer + (x * (1.0 / ratio - 1.0)) @ (x.T @ mixer)) / level
    count = state["rectified_steps"] + 1
    return state | {"rows": rows, "mixer": mixer, "rectified_steps": count}

  state = state | {"log_condition": condition}
  state = _when(action == 1, rectify, state)
  return _when(action == 2, spherical_refold, state)


def _when(condition, f, state):
  """f(state) or state. A conditional would copy the D rows, a loop does not."""
  once = lambda carry: (jnp.zeros((), bool), f(carry[1]))
  return jax.lax.while_loop(lambda c: c[0], once, (condition, state))[1]
