import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

GOLDEN = pathlib.Path(__file__).parents[1] / "goldens/dcc.npz"


def golden_logits(params, x):
  """The official test network: 3x3 convolution, ReLU, 2x2 means, linear."""
  x = jax.lax.conv_general_dilated(
    x, params["conv"], (1, 1), "SAME",
    dimension_numbers=("NCHW", "HWIO", "NCHW"),
  )  # fmt: skip
  x = jax.nn.relu(x + params["conv_b"][:, None, None])
  b, c, h, w = x.shape
  x = x.reshape(b, c, h // 2, 2, w // 2, 2).mean((3, 5)).reshape(b, -1)
  return x @ params["fc"] + params["fc_b"]


@pytest.mark.parametrize("suffix", ["", "__alt"])
def test_matches_the_official_code(suffix):
  with np.load(GOLDEN, allow_pickle=False) as data:
    g = dict(data)
  contrast = bool(g[f"hp_contrast{suffix}"])
  with jax.enable_x64(True):
    params = {
      "conv": jnp.asarray(g["in_conv_W"].transpose(2, 3, 1, 0)),
      "conv_b": jnp.asarray(g["in_conv_b"]),
      "fc": jnp.asarray(g["in_fc_W"].T),
      "fc_b": jnp.asarray(g["in_fc_b"]),
    }
    real = jnp.asarray(g["in_real"])
    classes, per_class = len(real), len(g["in_syn"]) // len(real)

    def cross_entropy(params, x, labels):
      log_probs = jax.nn.log_softmax(golden_logits(params, x))
      return -log_probs[jnp.arange(len(x)), labels].mean()

    gradient = jax.grad(cross_entropy)

    def loss(synthetic):
      split = synthetic.reshape(classes, per_class, *synthetic.shape[1:])
      label = lambda x, c: jnp.full(len(x), c)
      on = lambda x, c: gradient(params, x, label(x, c))
      targets = [on(real[c], c) for c in range(classes)]
      if contrast:
        target = jax.tree.map(lambda *x: sum(x) / classes, *targets)
        labels = jnp.repeat(jnp.arange(classes), per_class)
        return losses.gradient_matching_loss(
          gradient(params, synthetic, labels), target
        )
      found = [on(split[c], c) for c in range(classes)]
      return sum(map(losses.gradient_matching_loss, found, targets))

    value, grad = jax.jit(jax.value_and_grad(loss))(jnp.asarray(g["in_syn"]))
    np.testing.assert_allclose(value, g[f"out_loss{suffix}"], rtol=1e-8)
    np.testing.assert_allclose(
      grad, g[f"grad_syn{suffix}"], rtol=1e-7, atol=1e-11
    )


def test_hand_value_and_scale():
  g = {"a": jnp.array([[3.0, 0.0], [4.0, 1.0]]), "b": jnp.ones(2)}
  t = {"a": jnp.array([[4.0, 0.0], [3.0, -2.0]]), "b": -jnp.ones(2)}
  # Columns: cosine 24 / 25 and -1; the vector "b" does not count.
  got = losses.gradient_matching_loss(g, t)
  np.testing.assert_allclose(got, (1 - 24 / 25) + 2, rtol=1e-5)
  scaled = jax.tree.map(lambda x: 7 * x, t)
  np.testing.assert_allclose(
    losses.gradient_matching_loss(g, scaled), got, rtol=1e-5
  )


def test_zero_gradients_are_safe():
  zero = {"a": jnp.zeros((3, 2))}
  value, grad = jax.value_and_grad(losses.gradient_matching_loss)(zero, zero)
  assert value == 2 and jnp.isfinite(grad["a"]).all()


@pytest.mark.parametrize(
  ("targets", "settings"),
  [
    ({"a": jnp.ones((2, 3))}, {}),
    ({"b": jnp.ones((3, 2))}, {}),
    ({"a": jnp.ones((3, 2))}, dict(eps=0.0)),
  ],
)
def test_bad_input(targets, settings):
  with pytest.raises(ValueError, match="must"):
    losses.gradient_matching_loss({"a": jnp.ones((3, 2))}, targets, **settings)
