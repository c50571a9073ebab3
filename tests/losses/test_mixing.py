import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

GOLDEN = pathlib.Path(__file__).parents[1] / "goldens/decoupled_mixup.npz"
LOGITS = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)


def mixed_targets(a, b, weight, num_classes):
  one_hot = np.eye(num_classes)
  return weight * one_hot[a] + (1 - weight) * one_hot[b]


@pytest.mark.parametrize(("alt", "power"), [("", 1.0), ("__alt", 0.0)])
def test_matches_official_code(alt, power):
  golden = np.load(GOLDEN, allow_pickle=False)
  a, b, x = golden["in_y_a"], golden["in_y_b"], golden["in_logits"]
  targets = mixed_targets(a, b, float(golden[f"hp_lam{alt}"]), x.shape[-1])
  one_class = a == b

  def f(x):
    values = losses.decoupled_mixup_loss(
      x,
      jnp.asarray(targets, jnp.float32),
      eta=float(golden["hp_eta"]),
      power=power,
    )
    # The official reduction: rows of one class are averaged apart.
    return values[~one_class].mean() + values[one_class].mean()

  value, grad = jax.jit(jax.value_and_grad(f))(jnp.asarray(x, jnp.float32))
  expected = golden[f"grad_logits{alt}"]
  # The loss computes in float32 whatever comes in.
  np.testing.assert_allclose(value, golden[f"out_loss{alt}"], rtol=1e-6)
  scale = 1e-5 * np.abs(expected).max()
  np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=scale)


def test_decoupled_matches_a_loop():
  targets = np.zeros((6, 5), np.float32)
  targets[:, :3] = [0.5, 0.3, 0.2]
  targets[0] = np.eye(5)[2]
  got = jax.jit(
    lambda x, t: losses.decoupled_mixup_loss(x, t, eta=0.7, power=0.5)
  )(LOGITS, targets)
  for z, t, value in zip(LOGITS, targets, got, strict=True):
    want = np.log(np.exp(z).sum()) - t @ z
    classes = np.flatnonzero(t > 0)
    for i in classes if len(classes) > 1 else ():
      kept = [k for k in range(5) if k == i or k not in classes]
      want -= 0.7 * t[i] ** 0.5 * (z[i] - np.log(np.exp(z[kept]).sum()))
    np.testing.assert_allclose(value, want, rtol=1e-5)


def test_eta_zero_is_soft_cross_entropy():
  targets = jnp.asarray(mixed_targets([0] * 6, [1] * 6, 0.3, 5), jnp.float32)
  got = losses.decoupled_mixup_loss(LOGITS, targets, eta=0.0)
  want = losses.soft_cross_entropy_loss(LOGITS, targets)
  np.testing.assert_array_equal(got, want)


def test_mixed_classes_do_not_compete():
  targets = jnp.asarray(mixed_targets([0], [1], 0.3, 5), jnp.float32)

  def terms(z):
    whole = losses.decoupled_mixup_loss(z[None], targets, eta=1.0)
    return (whole - losses.soft_cross_entropy_loss(z[None], targets)).sum()

  # Neither term depends on the other's logit: no mixed second derivative.
  hessian = jax.jit(jax.hessian(terms))(jnp.asarray(LOGITS[0]))
  np.testing.assert_allclose(hessian[0, 1], 0.0, atol=1e-6)
  assert hessian[0, 2] < -0.01


def test_binary_targets_are_raised():
  targets = jnp.asarray(mixed_targets([0] * 6, [1] * 6, 0.2, 5), jnp.float32)
  got = jax.jit(lambda x, y: losses.decoupled_mixup_bce_loss(x, y, t=0.5))
  raised = np.zeros((6, 5), np.float32)
  raised[:, :2] = [0.5, 1.0]
  want = losses.binary_cross_entropy_loss(LOGITS, raised)
  np.testing.assert_allclose(got(LOGITS, targets), want, rtol=1e-5)


def test_region_loss_reads_the_mean_token():
  tokens = np.random.default_rng(1).normal(size=(6, 7, 5)).astype(np.float32)
  where = np.arange(7) < np.arange(6)[:, None]
  f = jax.jit(losses.region_label_loss)
  targets = jnp.asarray(np.eye(5)[[0, 1, 2, 3, 4, 0]], jnp.float32)
  got = f(tokens, targets, where)
  assert got[0] == 0.0
  for i in range(1, 6):
    want = losses.soft_cross_entropy_loss(tokens[i, :i].mean(0), targets[i])
    np.testing.assert_allclose(got[i], want, rtol=1e-5)
  grad = jax.jit(jax.grad(lambda x: f(x, targets, where).sum()))
  assert np.isfinite(grad(1e4 * tokens)).all()
  assert not grad(tokens)[0].any()
  with pytest.raises(ValueError, match="where must have the shape"):
    f(tokens, targets, where[:, :3])


@pytest.mark.parametrize(
  ("name", "settings", "message"),
  [
    ("decoupled_mixup_loss", dict(eta=-1.0), "eta must be at least 0"),
    ("decoupled_mixup_bce_loss", dict(xi=0.0), r"xi must be in \(0, 1\]"),
    ("decoupled_mixup_bce_loss", dict(t=0.0), "t must be above 0"),
  ],
)
def test_errors(name, settings, message):
  with pytest.raises(ValueError, match=message):
    getattr(losses, name)(LOGITS, LOGITS, **settings)
  with pytest.raises(ValueError, match="targets must have the shape of logits"):
    getattr(losses, name)(LOGITS, LOGITS[:, :3])
