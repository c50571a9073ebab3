import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import data, learners, losses, models

SHAPE, KEY, C, B = (16, 16, 1), jax.random.key(0), 3, 4
IMAGES = jax.random.uniform(KEY, (B, *SHAPE))
LABELS = jnp.array([0, 1, 2, 0])
BATCH = {"image": IMAGES, "label": LABELS}


@pytest.fixture(scope="module")
def net():
  net = models.vit(
    num_classes=C, input_shape=SHAPE, variant="mu/4", pool="cls", depth=1,
    return_attention=True,
  )  # fmt: skip
  return models.add_heads(net, {"token_logits": dict(width=C, input="tokens")})


def start(net):
  params, stats = jax.jit(net.init)(KEY)
  rng, tx = np.random.default_rng(0), optax.sgd(0.1)
  params = {k: v + 0.1 * rng.normal(size=v.shape) for k, v in params.items()}
  params = {k: np.float32(v) for k, v in params.items()}
  return learners.State(
    step=jnp.zeros((), jnp.int32), params=params, stats=stats,
    opt_state=(), memory={}, key=KEY, tx=tx,
  )  # fmt: skip


@functools.partial(jax.jit, static_argnums=0)
def _forward(net, params, images):
  seen = {}

  def tap(name, x):
    seen[name] = x
    return x

  return net(params, {}, images, tap=tap)[0], seen


def forward(net, state, images):
  """Outputs and what the taps saw, as numpy arrays."""
  return jax.tree.map(np.asarray, _forward(net, state.params, images))


def test_attention_is_that_of_the_last_block(net):
  state = start(net)
  out, seen = forward(net, state, IMAGES)
  assert out["attention"].shape == (B, 2, 17, 17)
  np.testing.assert_allclose(out["attention"].sum(-1), 1.0, rtol=1e-5)
  # One block: its output follows from these weights.
  p = state.params
  norm = lambda x: (
    (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
  )
  dense = lambda x, name: x @ p[f"{name}/kernel"] + p[f"{name}/bias"]
  scale = lambda x, name: norm(x) * p[f"{name}/scale"] + p[f"{name}/bias"]
  y = scale(seen["stem"], "block0/norm1")
  values = dense(y, "block0/attn/value").reshape(B, 17, 2, -1)
  y = np.einsum("bhts,bshd->bthd", out["attention"], values)
  x = seen["stem"] + dense(y.reshape(B, 17, -1), "block0/attn/out")
  y = dense(scale(x, "block0/norm2"), "block0/mlp/up")
  x = x + dense(np.asarray(jax.nn.gelu(y)), "block0/mlp/down")
  np.testing.assert_allclose(seen["block0"], x, rtol=1e-3, atol=1e-4)


def test_attention_of_stacked_blocks(net):
  state = start(net)
  stacked = models.vit(
    num_classes=C, input_shape=SHAPE, variant="mu/4", pool="cls", depth=1,
    scan_blocks=True, return_attention=True,
  )  # fmt: skip
  params = {
    k.replace("block0/", "blocks/"): v[None] if "block0/" in k else v
    for k, v in state.params.items()
    if not k.startswith("heads/")
  }
  got = _forward(stacked, params, IMAGES)[0]["attention"]
  want = forward(net, state, IMAGES)[0]["attention"]
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(net, learner, state, key):
  return learner.loss(net, state.params, state, BATCH, key)


def test_three_losses(net):
  state = start(net)
  learner = learners.AttentionMixing(
    probability=1.0, region_weight=0.5, consistency_weight=2.0
  )
  assert learner.init(net, state, BATCH, KEY) == {}
  total, aux = run(net, learner, state, KEY)
  out, _ = forward(net, state, IMAGES)
  attention = out["attention"][:, :, 1:, 1:].mean((1, 2)).reshape(B, 4, 4)
  targets = np.float32(0.9 * np.eye(C)[LABELS] + 0.1 / C)
  mixed, pasted = jax.jit(data.smmix)(
    IMAGES, targets, attention, jax.random.split(KEY, 3)[0]
  )
  after, _ = forward(net, state, mixed.inputs)
  task = losses.soft_cross_entropy_loss(after["logits"], mixed.targets)
  np.testing.assert_allclose(aux.metrics["class_loss"], task.mean(), rtol=1e-4)
  lam = float(mixed.weight[0])
  own = np.asarray(out["logits"])
  wanted = lam * own + (1 - lam) * np.roll(own, 1, axis=0)
  gap = losses.kl_divergence_loss(after["logits"], wanted, temperature=1.0)
  np.testing.assert_allclose(
    aux.metrics["consistency_loss"], gap.mean(), rtol=1e-3, atol=1e-6
  )
  # The token head is linear: the mean token's logits.
  region = []
  for i in range(B):
    inside = np.asarray(pasted[i]).ravel()
    for kept, label in ((~inside, targets[i]), (inside, targets[i - 1])):
      mean = after["tokens"][i][kept].mean(0)
      logits = mean @ state.params["heads/token_logits/out/kernel"]
      logits += state.params["heads/token_logits/out/bias"]
      region.append(np.log(np.exp(logits).sum()) - (label * logits).sum())
  np.testing.assert_allclose(
    aux.metrics["region_loss"], np.mean(region), rtol=1e-4
  )
  want = task.mean() + 0.5 * np.mean(region) + 2.0 * gap.mean()
  np.testing.assert_allclose(total, want, rtol=1e-4)


def test_otherwise_mixup(net):
  state = start(net)
  learner = learners.AttentionMixing(probability=0.0, label_smoothing=0.0)
  total, aux = run(net, learner, state, KEY)
  mixed = jax.jit(functools.partial(data.mixup, alpha=0.8))(
    IMAGES, jax.nn.one_hot(LABELS, C), jax.random.split(KEY, 3)[0]
  )
  logits = forward(net, state, mixed.inputs)[0]["logits"]
  want = losses.soft_cross_entropy_loss(logits, mixed.targets).mean()
  np.testing.assert_allclose(total, want, rtol=1e-4)
  assert aux.metrics["region_loss"] == aux.metrics["consistency_loss"] == 0


def test_errors():
  with pytest.raises(ValueError, match="probability must be in"):
    learners.AttentionMixing(probability=2.0)
  with pytest.raises(ValueError, match="label_smoothing must be in"):
    learners.AttentionMixing(label_smoothing=1.0)
  plain = models.vit(num_classes=C, input_shape=SHAPE, variant="mu/4")
  state = start(plain)
  with pytest.raises(ValueError, match="'attention'.*return_attention=True"):
    learners.AttentionMixing().init(plain, state, BATCH, KEY)
