import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import optim

PARAMS = {
  "a/kernel": jnp.ones(2),
  "a/bias": jnp.ones(2),
  "head/kernel": jnp.ones(2),
}
GRADS = jax.tree.map(lambda x: 0.5 * x, PARAMS)


def first_update(**kwargs):
  tx = optim.make_optimizer(learning_rate=0.1, **kwargs)
  return jax.jit(lambda g, p: tx.update(g, tx.init(p), p)[0])(GRADS, PARAMS)


def test_weight_decay_spares_biases():
  got = first_update(name="sgd", weight_decay=0.2)
  np.testing.assert_allclose(got["a/kernel"], -0.1 * (0.5 + 0.2), rtol=1e-6)
  np.testing.assert_allclose(got["a/bias"], -0.1 * 0.5, rtol=1e-6)


def test_decoupled_decay_is_the_optimisers_own():
  got = first_update(name="adamw", weight_decay=0.2)
  mask = {k: "kernel" in k for k in PARAMS}
  tx = optax.adamw(0.1, weight_decay=0.2, mask=mask)
  want, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
  for name in PARAMS:
    np.testing.assert_allclose(got[name], want[name], rtol=1e-6)


def test_global_norm_is_clipped_before_anything():
  got = first_update(name="sgd", clip_norm=0.1)
  norm = optax.global_norm(got)
  np.testing.assert_allclose(norm, 0.1 * 0.1, rtol=1e-5)


def test_groups_take_their_own_optimiser_and_scale():
  groups = (
    dict(pattern="^head", lr_scale=10.0),
    dict(pattern="bias", name="lion", b1=0.9),
  )
  got = first_update(name="sgd", momentum=0.9, groups=groups)
  np.testing.assert_allclose(got["a/kernel"], -0.05, rtol=1e-6)
  np.testing.assert_allclose(got["head/kernel"], -0.5, rtol=1e-6)
  np.testing.assert_allclose(got["a/bias"], -0.1, rtol=1e-6)  # Lion: the sign.


@pytest.mark.parametrize(
  ("kwargs", "message"),
  [
    (dict(name="sdg"), "optimizer.name must be a public name"),
    (dict(name="sgd", momentun=0.9), "Did you mean 'momentum'"),
    (dict(name="sgd", groups=(dict(lr_scale=1.0),)), "pattern must be given"),
    (
      dict(name="sgd", groups=(dict(pattern="a", lrscale=1.0),)),
      r"optimizer.groups\[0\].lrscale",
    ),
  ],
)
def test_bad_sections(kwargs, message):
  with pytest.raises(ValueError, match=message):
    optim.make_optimizer(learning_rate=0.1, **kwargs)


def test_schedules_pass_through_their_corners():
  cosine = optim.cosine(peak_lr=1.0, total_steps=12, warmup_steps=2)
  values = [float(cosine(t)) for t in (0, 1, 2, 7, 12)]
  np.testing.assert_allclose(values, [0, 0.5, 1, 0.5, 0], atol=1e-6)
  linear = optim.linear(peak_lr=1.0, total_steps=10, final_lr=0.2)
  np.testing.assert_allclose(float(linear(5)), 0.6, rtol=1e-6)
  steps = optim.step_decay(peak_lr=1.0, total_steps=10, boundaries=(0.5, 0.8))
  np.testing.assert_allclose(
    [float(steps(t)) for t in (4, 6, 9)], [1, 0.1, 0.01], rtol=1e-5
  )
  flat = optim.constant(peak_lr=0.3, total_steps=4, warmup_steps=1)
  np.testing.assert_allclose([float(flat(t)) for t in (0, 1, 3)], [0, 0.3, 0.3])
  with pytest.raises(ValueError, match="warmup_steps must be in"):
    optim.cosine(peak_lr=1.0, total_steps=2, warmup_steps=2)
  with pytest.raises(ValueError, match="fractions of total_steps"):
    optim.step_decay(peak_lr=1.0, total_steps=2, boundaries=(30,))
