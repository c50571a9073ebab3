import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import classifiers, models

KEY = jax.random.key(0)
SETTINGS = dict(total_units=6, units_per_step=2, max_iterations=20)


def rows(num_classes):
  """Three blobs on a circle, every third row unlabelled."""
  rng = np.random.default_rng(0)
  labels = np.arange(45) % num_classes
  angle = 2 * np.pi * labels / num_classes
  centre = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
  x = centre + 0.5 * rng.normal(size=(45, 2))
  labels = np.where(np.arange(45) % 4 == 3, -1, labels)
  return jnp.asarray(x, jnp.float32), jnp.asarray(labels)


@pytest.fixture(scope="module", params=[2, 3])
def fitted(request):
  c = request.param
  fit = jax.jit(
    lambda x, y: classifiers.fit_boosted_network(
      x, y, num_classes=c, key=KEY, **SETTINGS
    )
  )
  return c, rows(c), fit(*rows(c))


def staged(params, x, num_steps):
  """The sum as the paper writes it, network by network."""
  total = np.asarray(params["start"], np.float64)[None]
  for t in range(num_steps):
    hidden = x @ np.asarray(params["hidden_kernel"][t]).T
    hidden = 1 / (1 + np.exp(-hidden - np.asarray(params["hidden_bias"][t])))
    total = total + hidden @ np.asarray(params["out_kernel"][t])
    total = total + np.asarray(params["out_bias"][t])
  return np.concatenate([-total, total], -1) if total.shape[1] == 1 else total


@pytest.mark.parametrize("num_steps", [0, 1, 3])
def test_one_network_is_the_staged_sum(fitted, num_steps):
  _, (x, _), params = fitted
  got = classifiers.predict_boosted_network(params, x, num_steps=num_steps)
  want = np.broadcast_to(staged(params, np.asarray(x), num_steps), got.shape)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_its_weights_run_in_the_mlp(fitted):
  c, (x, _), params = fitted
  net = models.mlp(
    num_classes=c, input_shape=(2,), hidden=(6,), activation="sigmoid"
  )
  weights = classifiers.boosted_network_params(params)
  assert {k: v.shape for k, v in weights.items()} == {
    k: v.shape for k, v in net.param_shapes.items()
  }
  out, _ = net(weights, {}, x)
  want = classifiers.predict_boosted_network(params, x)
  np.testing.assert_allclose(out["logits"], want, rtol=1e-4, atol=1e-5)


def test_loss_falls_and_is_the_negative_log_likelihood(fitted):
  _, (x, labels), params = fitted
  logits = classifiers.predict_boosted_network(params, x)
  log_probs = jax.nn.log_softmax(logits)
  kept = np.flatnonzero(labels >= 0)
  want = -np.asarray(log_probs)[kept, np.asarray(labels)[kept]].mean()
  np.testing.assert_allclose(params["loss"][-1], want, rtol=1e-4)
  assert (np.diff(params["loss"]) <= 0).all()
  assert params["loss"][-1] < 0.5


def test_first_step_is_newtons():
  # One step on all rows from F = 0: r = y - 1/3, p (1 - p) = 2/9.
  x, labels = rows(3)
  params = classifiers.fit_boosted_network(
    x, labels, num_classes=3, key=KEY, total_units=1, subsample=1.0,
    max_iterations=5,
  )  # fmt: skip
  kept = np.asarray(labels) >= 0
  found = staged(params, np.asarray(x)[kept], 1)
  residual = np.eye(3)[np.asarray(labels)[kept]] - 1 / 3
  # rho f minimises the second-order model along f: sum f r = sum f^2 2/9.
  np.testing.assert_allclose(
    (found * residual).sum(), (found**2).sum() * 2 / 9, rtol=1e-4
  )


def test_steps_that_would_raise_the_loss_are_halved():
  # All but one row certain after a few steps, one label is wrong.
  x = jnp.linspace(-3, 3, 40)[:, None]
  labels = (x[:, 0] > 0).astype(jnp.int32).at[0].set(1)
  params = classifiers.fit_boosted_network(
    x, labels, num_classes=2, key=KEY, total_units=20, max_iterations=50
  )
  assert jnp.isfinite(params["loss"]).all()
  assert (np.diff(params["loss"]) <= 0).all()


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (dict(total_units=5), "multiple of units_per_step, got 5 and 2"),
    (dict(subsample=0.0), r"subsample must be in \(0, 1\], got 0.0"),
    (dict(learning_rate=2.0), r"learning_rate must be in \(0, 1\], got 2.0"),
    (dict(num_classes=1), "num_classes must be above every label"),
  ],
)
def test_bad_numbers(change, message):
  x, labels = rows(2)
  settings = {"num_classes": 2, "key": KEY, **SETTINGS, **change}
  with pytest.raises(ValueError, match=message):
    classifiers.fit_boosted_network(x, labels, **settings)


def test_too_many_steps(fitted):
  with pytest.raises(ValueError, match=r"num_steps must be in \[0, 3\], got 4"):
    classifiers.boosted_network_params(fitted[2], num_steps=4)


def test_mlp_activation():
  with pytest.raises(ValueError, match="activation must be one of .*'sigmod'"):
    models.mlp(num_classes=2, input_shape=(2,), activation="sigmod")
