import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import data, engine, optim, scenarios

CLIENTS, STEPS, D = 4, 5, 3
RNG = np.random.default_rng(0)
# f_i(x) = (x - m_i)^T A_i (x - m_i) / 2: client i alone would go to m_i.
CURVES = RNG.uniform(0.2, 2.0, (CLIENTS, D))
OPTIMA = 5 * RNG.normal(size=(CLIENTS, D))
BEST = (CURVES * OPTIMA).sum(0) / CURVES.sum(0)


def batches_of(clients):
  repeat = lambda a: jnp.repeat(jnp.asarray(a[clients])[:, None], STEPS, axis=1)
  return {"curve": repeat(CURVES), "optimum": repeat(OPTIMA)}


def gradient(x, batch):
  return batch["curve"] * (x - batch["optimum"])


def run(rounds, *, clients=None, control_variates=False,
        variance_reduction=False, **kwargs):  # fmt: skip
  state = optim.init_federated(
    jnp.zeros(D), num_clients=CLIENTS, control_variates=control_variates,
    variance_reduction=variance_reduction,
  )  # fmt: skip
  one = jax.jit(
    lambda x, state, batches, clients: optim.federated_round(
      gradient, x, state, batches, clients, local_lr=0.1, **kwargs
    )
  )
  x = jnp.zeros(D)
  for i in range(rounds):
    chosen = np.arange(CLIENTS) if clients is None else clients(i)
    x, state = one(x, state, batches_of(chosen), jnp.asarray(chosen))
  return np.asarray(x), state


def test_averaging_matches_a_loop():
  got, _ = run(3)
  x = np.zeros(D)
  for _ in range(3):
    ends = []
    for curve, optimum in zip(CURVES, OPTIMA, strict=True):
      own = x.copy()
      for _ in range(STEPS):
        own -= 0.1 * curve * (own - optimum)
      ends.append(own)
    x = np.mean(ends, axis=0)
  np.testing.assert_allclose(got, x, rtol=1e-5)


def test_scaffold_with_momentum_matches_a_loop():
  beta, order = 0.3, [(0, 2), (1, 3), (2, 3), (0, 1)]
  got, state = run(
    4, clients=lambda i: np.array(order[i]), control_variates=True, beta=beta
  )
  x, g = np.zeros(D), np.zeros(D)
  own, mean = np.zeros((CLIENTS, D)), np.zeros(D)
  for clients in order:
    ends, means = [], []
    for i in clients:
      y, total = x.copy(), np.zeros(D)
      for _ in range(STEPS):
        grad = CURVES[i] * (y - OPTIMA[i])
        total += grad / STEPS
        y -= 0.1 * (beta * (grad - own[i] + mean) + (1 - beta) * g)
      ends.append(y)
      means.append(total)
    g = (x - np.mean(ends, axis=0)) / (0.1 * STEPS)
    x = x - 0.1 * STEPS * g
    change = np.mean([m - own[i] for i, m in zip(clients, means, strict=True)],
                     axis=0)  # fmt: skip
    mean = mean + len(clients) / CLIENTS * change
    own[list(clients)] = means
  np.testing.assert_allclose(got, x, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(state.control, mean, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(state.controls, own, rtol=1e-4, atol=1e-5)


def test_variance_reduction_matches_a_loop():
  beta = 0.4
  got, state = run(4, beta=beta, variance_reduction=True)
  x, g, past = np.zeros(D), np.zeros(D), np.zeros(D)
  for _ in range(4):
    ends = []
    for curve, optimum in zip(CURVES, OPTIMA, strict=True):
      y = x.copy()
      for _ in range(STEPS):
        grad, old = curve * (y - optimum), curve * (past - optimum)
        y -= 0.1 * (grad + (1 - beta) * (g - old))
      ends.append(y)
    g = (x - np.mean(ends, axis=0)) / (0.1 * STEPS)
    past, x = x, x - 0.1 * STEPS * g
  np.testing.assert_allclose(got, x, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(state.direction, g, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("control_variates", [False, True])
def test_full_weight_on_the_gradient_switches_momentum_off(control_variates):
  kwargs = dict(control_variates=control_variates)
  plain, _ = run(5, **kwargs)
  reduced, _ = run(5, beta=1.0, variance_reduction=True, **kwargs)
  np.testing.assert_allclose(plain, reduced, rtol=1e-6)


def test_averaging_stalls_where_momentum_converges():
  error = lambda x: np.abs(x - BEST).max()
  stalled = [error(run(rounds)[0]) for rounds in (300, 600)]
  assert min(stalled) > 0.1
  np.testing.assert_allclose(*stalled, rtol=1e-3)
  for kwargs in (
    dict(beta=0.05),
    dict(control_variates=True),
    dict(beta=0.2, control_variates=True),
    dict(beta=0.2, control_variates=True, variance_reduction=True),
  ):
    assert error(run(600, **kwargs)[0]) < stalled[0] / 5, kwargs
  # As beta falls the fixed point of FedAvg-M goes to the optimum.
  biases = [error(run(3000, beta=b)[0]) for b in (0.2, 0.02)]
  assert biases[1] < biases[0] / 5
  assert error(run(600, control_variates=True)[0]) < 1e-3


def test_proximal_term_keeps_clients_near():
  near, _ = run(1, proximal=5.0)
  far, _ = run(1)
  assert np.abs(near).sum() < np.abs(far).sum()


@pytest.mark.parametrize(
  "change", [dict(beta=0.0), dict(beta=1.5), dict(proximal=-1.0)]
)
def test_bad_numbers_are_named(change):
  with pytest.raises(ValueError, match=next(iter(change))):
    run(1, **change)


def test_partition_is_skewed_and_complete():
  labels = np.repeat(np.arange(5), 100)
  split = lambda alpha: data.dirichlet_partition(
    labels, num_clients=10, alpha=alpha, seed=1
  )
  counts = lambda alpha: np.stack(
    [np.bincount(labels[split(alpha) == i], minlength=5) for i in range(10)]
  )
  skewed, even = counts(0.1), counts(100.0)
  assert skewed.sum() == even.sum() == 500
  assert (skewed.sum(1) > 0).all()
  share = lambda c: (c.max(1) / c.sum(1)).mean()
  assert share(skewed) > 0.6 > 0.4 > share(even)
  assert (split(0.1) == split(0.1)).all()


def test_plan_gives_whole_clients():
  clients = np.repeat(np.arange(6), 10)
  plan = data.ClientPlan(
    ids=np.arange(60) + 5, clients=clients, batch_size=12, clients_per_round=3,
    num_steps=9, seed=0,
  )  # fmt: skip
  for i in range(9):
    owners = clients[plan[i] - 5].reshape(3, 4)
    assert (owners == owners[:, :1]).all()
    assert len(set(owners[:, 0])) == 3
  assert (plan[4] == plan[4]).all() and (plan[4] != plan[5]).any()
  with pytest.raises(ValueError, match="divisible by the 3 clients"):
    data.ClientPlan(
      ids=np.arange(60), clients=clients, batch_size=10, clients_per_round=3,
      num_steps=9, seed=0,
    )  # fmt: skip


def config(tiny, **learner):
  return tiny(
    scenario=dict(
      name="federated", source="digits", num_clients=8, alpha=0.3,
      clients_per_round=4, val_fraction=0.1,
    ),
    model=dict(name="mlp", hidden=(16,)),
    learner=dict(
      name="federated", num_clients=8, clients_per_round=4, local_steps=4,
      local_lr=0.1, **learner,
    ),
    total_steps=60, batch_size=128, evaluation=dict(metrics=("accuracy",)),
  )  # fmt: skip


@pytest.mark.parametrize(
  "learner",
  [
    dict(),
    dict(beta=0.3, control_variates=True, variance_reduction=True),
  ],
)
def test_learns_through_the_engine(tiny, tmp_path, learner):
  record = engine.train(config(tiny, **learner), str(tmp_path))
  assert record["test/accuracy"] > 0.6


def test_mistakes_are_named(tiny, tmp_path):
  made = config(tiny)
  made["batch_size"] = 120
  with pytest.raises(ValueError, match="clients_per_round . local_steps = 16"):
    engine.train(made, str(tmp_path / "a"))
  made = config(tiny)
  made["model"] = dict(name="convnet", widths=(4,))
  with pytest.raises(ValueError, match="no batch statistics"):
    engine.train(made, str(tmp_path / "b"))
  made = config(tiny)
  made["learner"]["num_clients"] = 9
  with pytest.raises(ValueError, match="num_clients must be the scenario's 8"):
    engine.train(made, str(tmp_path / "c"))
  with pytest.raises(ValueError, match="clients_per_round"):
    scenarios.Federated(
      source="digits", num_clients=2, alpha=1.0, clients_per_round=3
    )
