"""Objectives of mixed examples: what they show of both classes counts."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcls.losses import _bernoulli, _checks, _softmax


def decoupled_mixup_loss(
  logits: Float[Array, "*b c"],
  targets: Float[Array, "*b c"],
  *,
  eta: float = 0.1,
  power: float = 0.0,
  threshold: float = 1e-3,
) -> Float[Array, "*b"]:
  """Cross-entropy of mixed targets plus one term for each mixed class alone.

  M holds the classes with targets above the threshold. If there are two or
  more, the other mixed classes are left out of each one's softmax:
  loss = -sum_k t_k log softmax(z)_k + eta sum_{i in M} t_i^power (-log phi_i),
  phi_i = exp(z_i) / (exp(z_i) + sum_{k not in M} exp(z_k)).
  So a mixed class never competes with the one that it is mixed with.

  Args:
    logits: [*b c], any float type; computed in float32.
    targets: [*b c], >= 0, rows sum to 1; the mixed labels.
    eta: weight of the decoupled terms, >= 0; 0 is soft cross-entropy.
    power: >= 0; 0 weighs all mixed classes alike, 1 by their share.
    threshold: least target of a mixed class; above the share of label
      smoothing, if there is any.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    ValueError: targets do not have the shape of logits, or a number is
      negative.

  Source: Liu et al. 2022, arXiv:2203.10761, DM(CE). Released code: openmixup,
    whose configs have power 1.
  Differs: released code orders the two weights by the first row of a batch,
    so that they change places with its labels; leaves the terms out at a
    share of exactly 1/2; and averages rows of one class apart. Here every row
    stands for itself.

  >>> targets = jnp.array([[0.5, 0.5, 0.0]])
  >>> print(decoupled_mixup_loss(jnp.zeros((1, 3)), targets, eta=1.0))
  [2.4849067]
  """
  _checks.check_same_shape("targets", targets, "logits", logits)
  for name, value in (("eta", eta), ("power", power), ("threshold", threshold)):
    _checks.check_number(name, value, "at least 0", lambda v: v >= 0)
  x, t = _softmax.shifted(logits), targets.astype(jnp.float32)
  mixed = t > threshold
  mixed &= mixed.sum(axis=-1, keepdims=True) > 1
  soft = _softmax.log_sum_exp(x) * t.sum(axis=-1) - (t * x).sum(axis=-1)
  rest = jax.nn.logsumexp(jnp.where(mixed, -1e30, x), axis=-1, keepdims=True)
  # -log phi_i = log(1 + exp(rest - z_i)).
  alone = jax.nn.softplus(jnp.where(mixed, rest - x, 0.0))
  weight = jnp.where(mixed, t, 1.0) ** power
  return soft + eta * jnp.where(mixed, weight * alone, 0.0).sum(axis=-1)


def decoupled_mixup_bce_loss(
  logits: Float[Array, "*b c"],
  targets: Float[Array, "*b c"],
  *,
  xi: float = 0.8,
  t: float = 1.0,
) -> Float[Array, "*b"]:
  """Binary cross-entropy with mixed targets raised: both classes are there.

  loss = (1 / c) sum_k BCE(sigmoid(z_k), min(1, (targets_k / xi)^t)).

  Args:
    logits: [*b c], any float type; computed in float32.
    targets: [*b c], in [0, 1]; the mixed labels.
    xi: share from which a class counts in full, in (0, 1].
    t: > 0; below 1 raises small shares more.

  Returns:
    [*b] float32, nats, one value per example: the mean over its c classes.

  Raises:
    ValueError: targets do not have the shape of logits, xi is not in (0, 1],
      or t <= 0.

  Source: Liu et al. 2022, arXiv:2203.10761, DM(BCE); the rescaling as in the
    released code, openmixup (`lambda_adjust`).
  Differs: released code sums over classes, which is c times larger.

  >>> targets = jnp.array([[0.8, 0.2]])
  >>> print(decoupled_mixup_bce_loss(jnp.zeros((1, 2)), targets))
  [0.6931472]
  """
  _checks.check_same_shape("targets", targets, "logits", logits)
  _checks.check_number("xi", xi, "in (0, 1]", lambda v: 0 < v <= 1)
  _checks.check_number("t", t, "above 0", lambda v: v > 0)
  shares = jnp.clip(targets.astype(jnp.float32) / xi, 0.0, 1.0)
  shares = jnp.where(shares > 0, jnp.where(shares > 0, shares, 1.0) ** t, 0.0)
  return _bernoulli.nll(logits.astype(jnp.float32), shares).mean(axis=-1)


def region_label_loss(
  token_logits: Float[Array, "*b n c"],
  targets: Float[Array, "*b c"],
  where: Bool[Array, "*b n"],
) -> Float[Array, "*b"]:
  """Cross-entropy of what one region of a mixed image says of its own label.

  loss = -sum_k t_k log softmax(mean_{i in region} token_logits_i)_k;
  with a linear head that is the head of the region's mean token.

  Args:
    token_logits: [*b n c], any float type; computed in float32.
    targets: [*b c], the label of the image that the region comes from.
    where: [*b n], True = of the region.

  Returns:
    [*b] float32, nats, one value per example; 0 for an empty region.

  Raises:
    ValueError: shapes do not match.

  Source: Chen et al. 2022, arXiv:2212.12977, fine-grained label loss.
  Differs: nothing known.

  >>> where = jnp.array([[True, False]])
  >>> print(region_label_loss(jnp.zeros((1, 2, 2)), jnp.eye(2)[:1], where))
  [0.6931472]
  """
  _checks.check_same_shape("where", where, "tokens", token_logits[..., 0])
  _checks.check_same_shape(
    "targets", targets, "logits", token_logits[..., 0, :]
  )
  kept = where[..., None]
  total = jnp.where(kept, token_logits.astype(jnp.float32), 0.0).sum(axis=-2)
  count = where.sum(axis=-1, dtype=jnp.float32)
  x = _softmax.shifted(total / jnp.maximum(count, 1.0)[..., None])
  t = targets.astype(jnp.float32)
  values = _softmax.log_sum_exp(x) * t.sum(axis=-1) - (t * x).sum(axis=-1)
  return jnp.where(count > 0, values, 0.0)
