import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcls import optim

PARAMS = {"kernel": jnp.linspace(-1, 1, 6).reshape(2, 3), "bias": jnp.ones(3)}
GRADS = [
  jax.tree.map(lambda p, t=t: jnp.sin(7 * p + 3 * t), PARAMS) for t in range(5)
]


def run(tx, params, grads):
  @jax.jit
  def step(params, state, g):
    updates, state = tx.update(g, state, params)
    return optax.apply_updates(params, updates), state

  state, out = tx.init(params), []
  for g in grads:
    params, state = step(params, state, g)
    out.append(params)
  return out, state


def test_matches_a_slow_loop_of_the_paper():
  lr, b1, b2, decay = 0.1, 0.8, 0.95, 0.3
  got, _ = run(optim.lion(lr, b1=b1, b2=b2, weight_decay=decay), PARAMS, GRADS)
  for name in PARAMS:
    w, m = np.array(PARAMS[name]), np.zeros(PARAMS[name].shape)
    for t, grads in enumerate(GRADS):
      g = np.asarray(grads[name])
      w = w - lr * (np.sign(b1 * m + (1 - b1) * g) + decay * w)
      m = b2 * m + (1 - b2) * g
      np.testing.assert_allclose(got[t][name], w, rtol=1e-5, atol=1e-6)


def test_is_optax_lion_over_100_steps():
  grads = GRADS * 20
  got, state = run(optim.lion(0.01, weight_decay=0.1), PARAMS, grads)
  expected, _ = run(optax.lion(0.01, weight_decay=0.1), PARAMS, grads)
  jax.tree.map(np.testing.assert_array_equal, got, expected)
  slots = [x for x in jax.tree.leaves(state) if x.ndim]
  assert len(slots) == len(PARAMS)


def test_every_entry_moves_by_the_learning_rate():
  schedule = optax.linear_schedule(0.1, 0.0, 5)
  got, _ = run(optim.lion(schedule), PARAMS, GRADS)
  path = [PARAMS, *got]
  for t in range(5):
    moved = jax.tree.map(lambda a, b: jnp.abs(a - b), path[t + 1], path[t])
    for name in PARAMS:
      np.testing.assert_allclose(moved[name], 0.1 * (1 - t / 5), atol=1e-6)


def test_mask_spares_the_bias():
  zeros = jax.tree.map(jnp.zeros_like, PARAMS)
  mask = optim.path_mask("kernel")
  tx = optim.lion(0.1, weight_decay=0.5, mask=mask)
  (got,), _ = run(tx, PARAMS, [zeros])
  np.testing.assert_allclose(got["kernel"], 0.95 * PARAMS["kernel"], rtol=1e-6)
  np.testing.assert_allclose(got["bias"], PARAMS["bias"])


def test_bfloat16_weights_keep_a_float32_momentum():
  narrow = lambda tree: jax.tree.map(lambda p: p.astype(jnp.bfloat16), tree)
  got, state = run(optim.lion(0.5), narrow(PARAMS), map(narrow, GRADS))
  expected, _ = run(optim.lion(0.5), PARAMS, GRADS[:1])
  assert got[0]["kernel"].dtype == jnp.bfloat16
  assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(state) if x.ndim)
  np.testing.assert_allclose(
    got[0]["kernel"].astype(jnp.float32), expected[0]["kernel"], atol=0.01
  )
  _, state = run(optim.lion(0.5, mu_dtype=None), narrow(PARAMS), [])
  assert all(x.dtype == jnp.bfloat16 for x in jax.tree.leaves(state) if x.ndim)


def test_config_reaches_it():
  tx = optim.make_optimizer(
    name="lion", learning_rate=0.1, b1=0.5, weight_decay=0.2
  )
  (got,), _ = run(tx, PARAMS, GRADS[:1])
  expected = optim.lion(
    0.1, b1=0.5, weight_decay=0.2, mask=optim.path_mask("kernel")
  )
  (want,), _ = run(expected, PARAMS, GRADS[:1])
  jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize(
  ("kwargs", "match"),
  [
    (dict(b1=1.0), "b1 must be in"),
    (dict(b2=-0.1), "b2 must be in"),
    (dict(weight_decay=-1.0), "weight_decay must be >= 0"),
  ],
)
def test_bad_input_is_named(kwargs, match):
  with pytest.raises(ValueError, match=match):
    optim.lion(0.1, **kwargs)
