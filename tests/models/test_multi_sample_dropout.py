import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import learners, losses, models
from jaxcls.models import _layers

KWARGS = dict(num_classes=3, input_shape=(8, 8, 1), dropout=0.5)
MAKE = {
  "convnet": lambda **kw: models.convnet(widths=(4,), hidden=8, **kw),
  "resnet": lambda **kw: models.resnet(depth=10, width=4, **kw),
}
X = jax.random.normal(jax.random.key(0), (6, 8, 8, 1))
LABELS = jnp.arange(6) % 3


def started(name, **options):
  net = MAKE[name](**KWARGS, **options)
  params, stats = net.init(jax.random.key(1))
  # The head starts at zero, where no mask would matter.
  head = jax.random.normal(jax.random.key(2), params["head/kernel"].shape)
  return net, {**params, "head/kernel": head}, stats


@pytest.mark.parametrize("name", MAKE)
def test_loss_is_the_mean_of_single_masks(name):
  net, params, stats = started(name, dropout_samples=4)
  key = jax.random.key(3)
  call = jax.jit(lambda p: net(p, stats, X, train=True, key=key)[0])
  outputs = call(params)
  assert outputs["sample_logits"].shape == (6, 4, 3)
  dropout = _layers.Dropout(0.5)
  for i, k in enumerate(jax.random.split(key, 4)):
    h = dropout(outputs["features"], k)
    single = h @ params["head/kernel"] + params["head/bias"]
    np.testing.assert_allclose(
      outputs["sample_logits"][:, i], single, rtol=1e-5, atol=1e-5
    )
  learner = learners.Supervised()
  state = learners.State(
    step=jnp.int32(0), params=params, stats=stats, opt_state=(), memory={},
    key=key, tx=None,
  )  # fmt: skip
  batch = {"image": X, "label": LABELS}
  loss, aux = learner.loss(net, params, state, batch, key)
  samples = net(
    params, stats, X, train=True, key=jax.random.split(key)[1]
  )[0]["sample_logits"]  # fmt: skip
  each = [losses.cross_entropy_loss(samples[:, i], LABELS) for i in range(4)]
  np.testing.assert_allclose(loss, np.mean(each), rtol=1e-6)
  assert dataclasses.is_dataclass(state)
  assert np.isfinite(aux.metrics["accuracy"])


@pytest.mark.parametrize("name", MAKE)
def test_evaluation_is_that_of_the_plain_model(name):
  got = []
  for samples in (1, 4):
    net, params, stats = started(name, dropout_samples=samples)
    outputs, _ = net(params, stats, X)
    assert "sample_logits" not in outputs
    got.append(outputs["logits"])
  np.testing.assert_allclose(*got, rtol=1e-6)


def test_one_sample_is_ordinary_dropout():
  net, params, stats = started("convnet", dropout_samples=1)
  key = jax.random.key(3)
  outputs, _ = net(params, stats, X, train=True, key=key)
  h = _layers.Dropout(0.5)(outputs["features"], key)
  expected = h @ params["head/kernel"] + params["head/bias"]
  np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-5, atol=1e-5)
