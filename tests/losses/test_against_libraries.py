"""Values and gradients of optax and of PyTorch where they have the function."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import losses

B, C = 6, 5
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(B, C)) * 2, jnp.float32)
OTHER = jnp.asarray(RNG.normal(size=(B, C)), jnp.float32)
Y = jnp.asarray(RNG.integers(0, C, B), jnp.int32)
SOFT = jax.nn.softmax(OTHER)
MULTI = jnp.asarray(RNG.random((B, C)) < 0.4, jnp.float32)
HOT = jax.nn.one_hot(Y, C)
W = jnp.asarray(RNG.normal(size=(C, C)), jnp.float32)
PRIOR = jnp.array([0.4, 0.3, 0.15, 0.1, 0.05])

theirs = optax.losses
log_softmax = jax.nn.log_softmax
integer = theirs.softmax_cross_entropy_with_integer_labels

# name: ours and theirs, functions of the logits, one value per example.
OPTAX = {
  "cross_entropy": (
    lambda x: losses.cross_entropy_loss(x, Y),
    lambda x: integer(x, Y),
  ),
  "smoothed": (
    lambda x: losses.cross_entropy_loss(x, Y, label_smoothing=0.1),
    lambda x: theirs.softmax_cross_entropy(x, theirs.smooth_labels(HOT, 0.1)),
  ),
  "soft": (
    lambda x: losses.soft_cross_entropy_loss(x, SOFT),
    lambda x: theirs.softmax_cross_entropy(x, SOFT),
  ),
  "temperature": (
    lambda x: losses.temperature_scaled_loss(x, Y, temperature=2.0),
    lambda x: integer(x / 2.0, Y),
  ),
  "poly": (
    lambda x: losses.poly_loss(x, Y, epsilon=2.0),
    lambda x: theirs.poly_loss_cross_entropy(x, HOT, epsilon=2.0),
  ),
  "logit_adjusted": (
    lambda x: losses.logit_adjusted_loss(x, Y, PRIOR),
    lambda x: integer(x + jnp.log(PRIOR), Y),
  ),
  "hinge": (
    lambda x: losses.multiclass_hinge_loss(x, Y),
    lambda x: theirs.multiclass_hinge_loss(x, Y),
  ),
  "sparsemax": (
    lambda x: losses.sparsemax_loss(x, Y),
    lambda x: theirs.multiclass_sparsemax_loss(x, Y),
  ),
  "squared": (
    lambda x: losses.squared_error_loss(x, Y),
    lambda x: theirs.squared_error(x, HOT).mean(-1),
  ),
  "binary": (
    lambda x: losses.binary_cross_entropy_loss(x, MULTI),
    lambda x: theirs.sigmoid_binary_cross_entropy(x, MULTI).mean(-1),
  ),
  "sigmoid_focal": (
    lambda x: losses.sigmoid_focal_loss(x, MULTI, gamma=2.0, alpha=0.25),
    lambda x: theirs.sigmoid_focal_loss(x, MULTI, gamma=2.0, alpha=0.25).mean(
      -1
    ),
  ),
  "sigmoid_focal, soft": (
    lambda x: losses.sigmoid_focal_loss(x, SOFT, gamma=1.5),
    lambda x: theirs.sigmoid_focal_loss(x, SOFT, gamma=1.5).mean(-1),
  ),
  "soft_kl": (
    lambda x: losses.soft_kl_divergence_loss(x, SOFT),
    lambda x: theirs.kl_divergence(log_softmax(x), SOFT),
  ),
  "soft_kl, zeros": (
    lambda x: losses.soft_kl_divergence_loss(x, HOT),
    lambda x: theirs.kl_divergence(log_softmax(x), HOT),
  ),
  "distillation": (
    lambda x: losses.kl_divergence_loss(x, OTHER, temperature=4.0),
    lambda x: (
      16
      * theirs.kl_divergence_with_log_targets(
        log_softmax(x / 4), log_softmax(OTHER / 4)
      )
    ),
  ),
  "relative_entropy": (
    lambda x: losses.relative_entropy(x, OTHER),
    lambda x: theirs.kl_divergence_with_log_targets(
      log_softmax(OTHER), log_softmax(x)
    ),
  ),
}


def check(got, expected):
  """Value and gradient of the mean, to 1e-6 of the largest entry."""
  for a, b in zip(got, expected, strict=True):
    b = np.asarray(b)
    scale = max(1.0, np.abs(b).max())
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * scale)


def both(f):
  return jax.jit(jax.value_and_grad(lambda x: f(x).mean()))


@pytest.mark.parametrize("name", OPTAX)
def test_same_as_optax(name):
  ours, other = OPTAX[name]
  check(both(ours)(X), both(other)(X))
  each = jax.jit(ours)(X), jax.jit(other)(X)
  np.testing.assert_allclose(*each, rtol=2e-6, atol=1e-6)


def torch_cases():
  """name: (ours of logits, theirs of a tensor, reduced to the mean)."""
  torch = pytest.importorskip("torch")
  F = torch.nn.functional
  tensor = lambda a: torch.from_numpy(np.array(a))
  y, soft, multi = tensor(Y).long(), tensor(SOFT), tensor(MULTI)
  other, prior, w = tensor(OTHER), tensor(PRIOR), tensor(W)
  log_probs = lambda x: F.log_softmax(x, dim=-1)
  kl = lambda a, b: F.kl_div(a, b, reduction="batchmean", log_target=True)
  return {
    "cross_entropy": (OPTAX["cross_entropy"][0], F.cross_entropy, y),
    "smoothed": (
      OPTAX["smoothed"][0],
      lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1),
      y,
    ),
    "soft": (OPTAX["soft"][0], F.cross_entropy, soft),
    "temperature": (
      OPTAX["temperature"][0],
      lambda x, y: F.nll_loss(log_probs(x / 2), y),
      y,
    ),
    "logit_adjusted": (
      OPTAX["logit_adjusted"][0],
      lambda x, y: F.cross_entropy(x + torch.log(prior), y),
      y,
    ),
    "multi_margin": (
      lambda x: losses.multi_margin_loss(x, Y, margin=1.5),
      lambda x, y: F.multi_margin_loss(x, y, margin=1.5),
      y,
    ),
    "multi_margin, squared": (
      lambda x: losses.multi_margin_loss(x, Y, power=2),
      lambda x, y: F.multi_margin_loss(x, y, p=2),
      y,
    ),
    "squared": (
      OPTAX["squared"][0],
      lambda x, y: F.mse_loss(x, F.one_hot(y, C).float()),
      y,
    ),
    "binary": (
      OPTAX["binary"][0],
      F.binary_cross_entropy_with_logits,
      multi,
    ),
    "multilabel_soft_margin": (
      OPTAX["binary"][0],
      F.multilabel_soft_margin_loss,
      multi,
    ),
    "normalized_softmax": (
      lambda x: losses.normalized_softmax_loss(x, W, Y, temperature=0.5),
      lambda x, y: F.cross_entropy(
        F.linear(F.normalize(x), F.normalize(w)) / 0.5, y
      ),
      y,
    ),
    "log_partition": (
      losses.log_partition_loss,
      lambda x, _: (torch.logsumexp(x, -1) ** 2).mean(),
      y,
    ),
    "soft_kl": (
      OPTAX["soft_kl"][0],
      lambda x, t: F.kl_div(log_probs(x), t, reduction="batchmean"),
      soft,
    ),
    "distillation": (
      OPTAX["distillation"][0],
      lambda x, t: 16 * kl(log_probs(x / 4), log_probs(t / 4)),
      other,
    ),
    "relative_entropy": (
      OPTAX["relative_entropy"][0],
      lambda x, t: kl(log_probs(t), log_probs(x)),
      other,
    ),
  }


def test_same_as_torch():
  torch = pytest.importorskip("torch")
  for name, (ours, theirs, target) in torch_cases().items():
    x = torch.from_numpy(np.array(X)).requires_grad_()
    value = theirs(x, target)
    gradient = torch.autograd.grad(value, x)[0]
    try:
      check(both(ours)(X), (value.detach().numpy(), gradient.numpy()))
    except AssertionError as error:
      raise AssertionError(name) from error
