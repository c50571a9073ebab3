import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import models

KEY = jax.random.key(0)
IMAGES = jax.random.uniform(KEY, (4, 8, 8, 1))
SHAPE = dict(num_classes=3, input_shape=(8, 8, 1))
MAIN = dict(name="convnet", widths=(4,), hidden=8)
TRACER = dict(name="convnet", widths=(2,), hidden=None)


def make(**changes):
  return models.tracer_copies(
    **SHAPE, **{**dict(main=MAIN, tracer=TRACER, copies=3), **changes}
  )


def test_scores_are_the_classifier_plus_the_tracers():
  net = make(weight=0.2)
  params, stats = net.init(KEY)
  assert {k: v.shape for k, v in params.items()} == {
    k: v.shape for k, v in net.param_shapes.items()
  }
  out = jax.jit(lambda p, s, x: net(p, s, x)[0])(params, stats, IMAGES)
  main = models.convnet(**SHAPE, widths=(4,), hidden=8)
  own = lambda flat: {k: flat[k] for k in flat if k[:8] != "tracers/"}
  want = main(own(params), own(stats), IMAGES)[0]
  np.testing.assert_allclose(out["logits"], want["logits"], atol=1e-6)
  tracer = models.convnet(**SHAPE, widths=(2,), hidden=None)
  for i in range(3):
    ith = lambda flat: {k[8:]: v[i] for k, v in flat.items() if k[:8] == "tracers/"}  # noqa: B023, E501 # fmt: skip
    logits = tracer(ith(params), ith(stats), IMAGES)[0]["logits"]
    np.testing.assert_allclose(out["tracer_logits"][:, i], logits, atol=1e-6)
    scores = jax.nn.softmax(want["logits"]) + 0.2 * jnp.tanh(logits)
    np.testing.assert_allclose(out["copy_scores"][:, i], scores, atol=1e-5)
  # Tracers start apart, and none of them at zero.
  assert jnp.abs(out["tracer_outputs"]).max(axis=(0, 2)).min() > 1e-3
  assert jnp.ptp(out["tracer_outputs"], axis=1).max() > 1e-3


def test_training_moves_only_the_tracers_statistics():
  net = make()
  params, stats = net.init(KEY)
  _, moved = jax.jit(lambda: net(params, stats, IMAGES, train=True))()
  assert moved.keys() == stats.keys()
  for path in stats:
    changed = bool((moved[path] != stats[path]).any())
    assert changed == path.startswith("tracers/"), path


def test_one_copy_is_that_copy():
  net = make()
  params, stats = net.init(KEY)
  want = net(params, stats, IMAGES)[0]["copy_scores"]

  @jax.jit
  def alone(i):
    copy, *weights = net.one_copy(params, stats, i)
    return copy(*weights, IMAGES)[0]["copy_scores"][:, 0]

  for i in range(3):
    np.testing.assert_allclose(alone(i), want[:, i], atol=1e-6)


def test_errors():
  with pytest.raises(ValueError, match="copies must be at least 1, got 0"):
    make(copies=0)
  with pytest.raises(ValueError, match="weight must be >= 0, got -1"):
    make(weight=-1.0)
  with pytest.raises(ValueError, match=r"model.tracer.width .*'widths'"):
    make(tracer=dict(name="convnet", width=3))
