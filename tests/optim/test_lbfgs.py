import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from jaxcls import optim

MATRIX = jnp.array([[3.0, 1.0], [1.0, 2.0]])
RIGHT = jnp.array([1.0, -4.0])


def quadratic(x):
  return 0.5 * x @ MATRIX @ x - RIGHT @ x


def rosenbrock(x):
  return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def test_quadratic_by_hand():
  # Cramer: det 5; x = (1 * 2 + 4 * 1, -4 * 3 - 1 * 1) / 5.
  x, gradient, steps = jax.jit(
    lambda x: optim.fit_lbfgs(quadratic, x, tolerance=1e-5)
  )(jnp.zeros(2))
  np.testing.assert_allclose(x, [6 / 5, -13 / 5], rtol=1e-4)
  assert gradient <= 1e-5
  assert 0 < steps < 20


def test_is_scipys_minimum():
  with jax.enable_x64():
    start = np.array([-1.2, 1.0])
    expected = scipy.optimize.minimize(
      rosenbrock, start, method="BFGS", options=dict(gtol=1e-6)
    )
    x, gradient, steps = optim.fit_lbfgs(rosenbrock, start, tolerance=1e-8)
  np.testing.assert_allclose(x, expected.x, atol=1e-4)
  np.testing.assert_allclose(x, [1.0, 1.0], rtol=1e-6)
  assert float(gradient) <= 1e-8
  assert steps < 100


def test_small_head_is_torchs():
  torch = pytest.importorskip("torch")
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(20, 3)).astype(np.float32), rng.integers(0, 4, 20)

  def objective(params):
    logits = x @ params["kernel"] + params["bias"]
    values = jax.nn.log_softmax(logits)[jnp.arange(20), y]
    return -values.mean() + 0.05 * (params["kernel"] ** 2).sum()

  start = {"kernel": jnp.zeros((3, 4)), "bias": jnp.zeros(4)}
  params, _, _ = jax.jit(
    lambda p: optim.fit_lbfgs(objective, p, tolerance=1e-5)
  )(start)
  kernel = torch.zeros(3, 4, requires_grad=True)
  bias = torch.zeros(4, requires_grad=True)
  tx = torch.optim.LBFGS(
    [kernel, bias], max_iter=200, line_search_fn="strong_wolfe",
    tolerance_grad=1e-6,
  )  # fmt: skip

  def closure():
    tx.zero_grad()
    logits = torch.tensor(x) @ kernel + bias
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y))
    loss = loss + 0.05 * (kernel**2).sum()
    loss.backward()
    return loss

  tx.step(closure)
  np.testing.assert_allclose(
    params["kernel"], kernel.detach().numpy(), atol=2e-3
  )
  np.testing.assert_allclose(params["bias"], bias.detach().numpy(), atol=2e-3)


def test_no_steps_is_the_start():
  x, gradient, steps = optim.fit_lbfgs(quadratic, jnp.ones(2), max_iterations=0)
  np.testing.assert_allclose(x, [1.0, 1.0])
  np.testing.assert_allclose(gradient, 7.0)  # A 1 - b = (3, 7).
  assert steps == 0


def test_vmap_over_starts():
  starts = jnp.array([[0.0, 0.0], [5.0, -5.0]])
  fit = jax.jit(
    jax.vmap(lambda x: optim.fit_lbfgs(quadratic, x, tolerance=1e-5)[0])
  )
  np.testing.assert_allclose(fit(starts), [[1.2, -2.6]] * 2, rtol=1e-4)


def test_bfloat16_is_computed_in_float32():
  x, gradient, _ = optim.fit_lbfgs(
    quadratic, jnp.zeros(2, jnp.bfloat16), tolerance=1e-5
  )
  assert x.dtype == jnp.bfloat16
  assert gradient <= 1e-5
  np.testing.assert_allclose(x.astype(jnp.float32), [1.2, -2.6], rtol=0.01)


@pytest.mark.parametrize(
  "kwargs", [dict(max_iterations=-1), dict(tolerance=float("nan"))]
)
def test_bad_input_is_named(kwargs):
  with pytest.raises(ValueError, match="must be >= 0"):
    optim.fit_lbfgs(quadratic, jnp.zeros(2), **kwargs)
