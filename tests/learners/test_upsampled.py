import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import data, engine, learners
from jaxcls.engine import _checkpoint

MODEL = dict(name="mlp", hidden=(12,))
BASE = dict(name="supervised", gradient=dict(name="sam_gradient", rho=0.05))


def config(tiny, **learner):
  learner = {"base": BASE, "num_examples": 96, **learner}
  made = tiny(
    model=MODEL, evaluation__metrics=("accuracy",),
    evaluation__every_steps=None, total_steps=5, log_every_steps=1,
    phases=(
      dict(name="warmup", total_steps=4, learner=dict(name="supervised")),
      dict(name="train", learner=dict(name="upsampled", **learner)),
    ),
  )  # fmt: skip
  return made


def weights(folder):
  found = _checkpoint.Checkpoints(folder / "checkpoints", keep=None)
  arrays = found.read(found.latest())
  found.close()
  return arrays


def test_slow_cluster_is_the_one_with_the_higher_loss():
  rng = np.random.default_rng(0)
  labels = np.array([0] * 10 + [1] * 8 + [-1] * 2 + [2])
  outputs = rng.normal(size=(21, 3)).astype(np.float32)
  values = rng.random(21)
  outputs[:4] += 50
  values[:4] += 3
  outputs[10:16] -= 50  # The larger cluster may be the slow one.
  values[10:16] += 1
  got = learners.slow_examples(outputs, labels, values, key=jax.random.key(0))
  expected = np.zeros(21, bool)
  expected[:4] = expected[10:16] = True
  np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("choose", ["slow", "random", "none"])
def test_run_repeats_what_is_chosen(tiny, tmp_path, choose):
  made = config(tiny, choose=choose, repeats=3)
  record = engine.train(made, str(tmp_path))
  assert 0 <= record["test/accuracy"] <= 1
  saved = weights(tmp_path)
  repeats, told = saved["memory/repeats"], saved["memory/found"]
  share = (repeats > 1).sum() / 72  # A quarter of 96 is val.
  if choose == "none":
    assert share == 0
  else:
    assert set(repeats) == {1, 3}
    np.testing.assert_allclose(share, told[2], rtol=1e-5)
  # From scratch: not the warm-up's weights.
  kernel = next(k for k in saved if re.match("params/(?!head).*kernel", k))
  path = kernel.removeprefix("params/")
  before = saved[f"memory/warmup/params/{path}"]
  assert np.abs(saved[kernel] - before).max() > 0.2


def test_random_takes_as_many_of_each_class():
  from jaxcls.learners import _upsampled

  labels = np.array([0, 0, 0, 1, 1, 1, 1, -1])
  slow = np.array([1, 0, 1, 0, 1, 0, 0, 0], bool)
  got = _upsampled._by_lot(slow, labels, jax.random.key(0))
  assert got[labels == 0].sum() == 2 and got[labels == 1].sum() == 1
  assert got.sum() == 3


def test_loss_is_that_of_the_base(tiny):
  made = engine.build(
    tiny(
      model=MODEL,
      learner=dict(name="upsampled", base=BASE, num_examples=96),
    )
  )
  batch = {"image": jnp.ones((4, 8, 8, 1)), "label": jnp.array([0, 1, 2, -1])}
  params, stats = made.net.init(jax.random.key(0))
  state = learners.State(
    jnp.int32(0), params, stats, (), {}, jax.random.key(0), None
  )
  memory = made.learner.init(made.net, state, batch, jax.random.key(0))
  both = [
    jax.jit(lambda p, x=x, s=s: x.loss(made.net, p, s, batch, state.key)[0])(
      params
    )
    for x, s in (
      (made.learner, state.replace(memory=memory)),
      (learners.Supervised(gradient=BASE["gradient"]), state),
    )
  ]
  np.testing.assert_allclose(*both, rtol=1e-6)


def test_errors(tiny, tmp_path):
  with pytest.raises(ValueError, match="choose must be one of"):
    learners.Upsampled(base=BASE, num_examples=1, choose="fast")
  with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
    learners.Upsampled(base=BASE, num_examples=1, repeats=0)
  with pytest.raises(ValueError, match="Did you mean 'Supervised'|supervised"):
    learners.Upsampled(base=dict(name="supervized"), num_examples=1)
  with pytest.raises(ValueError, match="a learner without 'refresh'"):
    learners.Upsampled(base=dict(name="contrastive"), num_examples=1)
  alone = tiny(
    model=MODEL, learner=dict(name="upsampled", base=BASE, num_examples=96)
  )
  with pytest.raises(ValueError, match="must have a warm-up model"):
    engine.train(alone, str(tmp_path / "a"))
  with pytest.raises(ValueError, match="num_examples must be above every"):
    engine.train(config(tiny, num_examples=5), str(tmp_path / "b"))


def test_repeated_plan_is_one_epoch_with_copies():
  ids, repeats = np.array([1, 4, 5]), np.array([9, 2, 0, 0, 1, 3])
  plan = data.repeated_plan(
    ids, repeats=repeats, batch_size=3, num_steps=4, seed=0
  )
  epoch = np.concatenate([plan[0], plan[1]])
  np.testing.assert_array_equal(np.sort(epoch), [1, 1, 4, 5, 5, 5])
  for bad in (np.ones(6), np.ones(5, int), -repeats):
    with pytest.raises(ValueError, match="repeats must"):
      data.repeated_plan(ids, repeats=bad, batch_size=1, num_steps=1, seed=0)
