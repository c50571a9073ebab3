import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import models

X = jax.random.normal(jax.random.key(0), (5, 4))


def body():
  return models.mlp(num_classes=3, input_shape=(4,), hidden=(8,))


def test_heads_are_what_they_say():
  net = models.add_heads(
    body(),
    {
      # Named before the head that it reads.
      "prediction": dict(width=2, input="projection", bias=False),
      "projection": dict(width=6, hidden=(7,), unit_norm=True),
      "prototypes": dict(width=5, cosine_scale=10.0),
      "normed": dict(width=3, hidden=(4,), norm="batch"),
    },
  )
  params, stats = net.init(jax.random.key(1))
  assert {k: v.shape for k, v in params.items()} == {
    k: v.shape for k, v in net.param_shapes.items()
  }
  assert stats.keys() == net.stats_shapes.keys() != set()
  out, same = jax.jit(net)(params, stats, X)
  assert same.keys() == stats.keys()
  h = out["features"]
  layer = lambda name, x: (
    x @ params[f"heads/{name}/kernel"] + params.get(f"heads/{name}/bias", 0)
  )
  z = layer("projection/out", jax.nn.relu(layer("projection/layers/0", h)))
  z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
  np.testing.assert_allclose(out["projection"], z, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
    out["prediction"], layer("prediction/out", z), rtol=1e-4, atol=1e-5
  )
  w = params["heads/prototypes/out/kernel"]
  cosine = (h @ w) / (
    jnp.linalg.norm(h, axis=1)[:, None] * jnp.linalg.norm(w, axis=0)
  )
  np.testing.assert_allclose(out["prototypes"], 10 * cosine, rtol=1e-4)


def test_training_moves_only_the_statistics_of_batch_norm():
  net = models.add_heads(
    body(), {"p": dict(width=3, hidden=(4,), norm="batch")}
  )
  params, stats = net.init(jax.random.key(1))
  _, moved = jax.jit(lambda p, s, x: net(p, s, x, train=True))(params, stats, X)
  assert moved.keys() == stats.keys()
  assert any((moved[k] != stats[k]).any() for k in stats)


@pytest.mark.parametrize(
  "make",
  [
    lambda **kw: models.mlp(hidden=(4,), **kw),
    lambda **kw: models.convnet(widths=(4,), hidden=None, **kw),
    lambda **kw: models.vit(variant="mu/4", depth=1, **kw),
    lambda **kw: models.resnet(depth=10, width=2, **kw),
  ],
  ids=["mlp", "convnet", "vit", "resnet"],
)
def test_cosine_classifier(make):
  net = make(num_classes=3, input_shape=(8, 8, 1), cosine_scale=16.0)
  params, stats = net.init(jax.random.key(1))
  x = jax.random.normal(jax.random.key(0), (5, 8, 8, 1))
  out, _ = jax.jit(net)(params, stats, x)
  h, w = out["features"].astype(jnp.float32), params["head/kernel"]
  norms = jnp.linalg.norm(h, axis=1)[:, None] * jnp.linalg.norm(w, axis=0)
  np.testing.assert_allclose(
    out["logits"], 16 * (h @ w) / norms, rtol=1e-4, atol=1e-5
  )
  # A feature of zeros has a finite gradient.
  zero = {k: jnp.zeros_like(v) for k, v in params.items()}
  grad = jax.grad(lambda p: net(p, stats, x)[0]["logits"].sum())(zero)
  assert all(np.isfinite(g).all() for g in grad.values())


@pytest.mark.parametrize(
  ("heads", "match"),
  [
    ({"logits": dict(width=2)}, "new name"),
    ({"p": dict(width=2, input="feature")}, "Did you mean 'features'"),
    ({"p": dict(width=2, input="p")}, "input must name an output, got 'p'"),
    ({"p": dict(width=2, hiden=(3,))}, "Did you mean 'hidden'"),
    ({"p": dict()}, "width must be given"),
  ],
)
def test_mistakes_are_named(heads, match):
  with pytest.raises(ValueError, match=match):
    models.add_heads(body(), heads)
