import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import optim


@pytest.mark.parametrize(("eta", "gamma"), [(0.3, 0.55), (0.01, 0.0)])
def test_variance_falls_as_the_paper_says(eta, gamma):
  tx = optim.add_gradient_noise(eta=eta, gamma=gamma, seed=1)
  zeros = jnp.zeros(40_000)

  @jax.jit
  def steps(state):
    step = lambda state, _: tx.update(zeros, state)[::-1]
    return jax.lax.scan(step, state, None, length=20)[1]

  noise = steps(tx.init(zeros))
  expected = eta / (1 + np.arange(20)) ** gamma
  np.testing.assert_allclose(noise.var(axis=1), expected, rtol=0.03)
  correlation = np.corrcoef(noise[0], noise[1])[0, 1]
  assert abs(correlation) < 0.03


def test_config_chains_it_after_clipping():
  grads = {"a/kernel": jnp.full(10_000, 100.0)}

  def first(run_seed, **kwargs):
    tx = optim.make_optimizer(
      name="sgd", learning_rate=1.0, clip_norm=1e-6, seed=run_seed,
      transforms=[dict(name="add_gradient_noise", eta=0.25, **kwargs)],
    )  # fmt: skip
    update = lambda g: tx.update(g, tx.init(g), g)[0]
    return jax.jit(update)(grads)["a/kernel"]

  # The clipped gradient is all but gone, the noise is not.
  np.testing.assert_allclose(first(0).std(), 0.5, rtol=0.03)
  assert np.abs(first(0) - first(1)).max() > 0.1
  np.testing.assert_allclose(first(0, seed=7), first(1, seed=7), rtol=1e-6)


def test_other_transforms_need_no_seed():
  tx = optim.make_optimizer(
    name="sgd", learning_rate=1.0, transforms=[dict(name="clip", max_delta=0.5)]
  )
  grads = jnp.array([3.0])
  assert tx.update(grads, tx.init(grads))[0] == -0.5
  assert isinstance(tx, optax.GradientTransformation)


@pytest.mark.parametrize(
  ("section", "match"),
  [
    (dict(name="add_gradient_nose", eta=1.0), "add_gradient_noise"),
    (dict(name="add_gradient_noise", etta=1.0), "eta"),
    (dict(eta=1.0), "name must be given"),
    (dict(name="add_gradient_noise", eta=-1.0), "must be >= 0"),
  ],
)
def test_mistakes_are_named(section, match):
  with pytest.raises(ValueError, match=match):
    optim.make_optimizer(name="sgd", learning_rate=1.0, transforms=[section])
