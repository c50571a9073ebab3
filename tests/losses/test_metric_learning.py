import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.test_util import check_grads
from jaxtyping import jaxtyped

from jaxcls import losses

N, D = 12, 4
LABELS = np.arange(N) % 3
CALLS = {
  "triplet_loss": dict(margin=0.5),
  "pair_loss": dict(margin=1.2),
}
every_loss = pytest.mark.parametrize("name", CALLS)


def example(dtype=jnp.float32, scale=None):
  z = np.random.default_rng(0).normal(size=(N, D))
  z = scale * z if scale else z / np.linalg.norm(z, axis=1, keepdims=True)
  return jnp.asarray(z, dtype)


def call(name, z, y=LABELS, where=None, **options):
  f = jaxtyped(getattr(losses, name), typechecker=beartype)
  return f(z, jnp.asarray(y), where=where, **{**CALLS[name], **options})


def triplets(z, y, margin, semi_hard):
  """For every anchor, the losses of its triplets."""
  z = np.asarray(z, np.float64)
  d = ((z[:, None] - z) ** 2).sum(-1)
  found = [[] for _ in y]
  for a in range(len(y)):
    for p in np.flatnonzero(y == y[a]):
      for n in np.flatnonzero(y != y[a]):
        gap = d[a, n] - d[a, p]
        if p != a and gap < margin and not (semi_hard and gap <= 0):
          found[a].append(margin - gap)
  return found


@pytest.mark.parametrize("mining", ["semi_hard", "all"])
def test_triplet_matches_a_loop(mining):
  got = jax.jit(lambda z: call("triplet_loss", z, mining=mining))(example())
  found = triplets(example(), LABELS, 0.5, mining == "semi_hard")
  expected = [np.mean(t) if t else 0 for t in found]
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mining", ["semi_hard", "all"])
def test_triplet_matches_pytorch_metric_learning(mining):
  pml = pytest.importorskip("pytorch_metric_learning")
  import torch
  from pytorch_metric_learning import distances, miners
  from pytorch_metric_learning import losses as theirs

  del pml
  distance = distances.LpDistance(power=2)
  kind = "semihard" if mining == "semi_hard" else "all"
  miner = miners.TripletMarginMiner(
    margin=0.5, type_of_triplets=kind, distance=distance
  )
  loss = theirs.TripletMarginLoss(margin=0.5, distance=distance)
  z = torch.tensor(np.asarray(example()), requires_grad=True)
  y = torch.tensor(LABELS)
  value = loss(z, y, miner(z, y))
  value.backward()
  counts = [
    len(t) for t in triplets(example(), LABELS, 0.5, mining == "semi_hard")
  ]
  weights = jnp.asarray(counts) / sum(counts)
  ours = lambda z: call("triplet_loss", z, mining=mining) @ weights
  got, grad = jax.jit(jax.value_and_grad(ours))(example())
  np.testing.assert_allclose(got, value.item(), rtol=1e-5)
  # Theirs also divides the embeddings by their norm, which is 1.
  tangent = lambda g: g - (g * example()).sum(-1, keepdims=True) * example()
  np.testing.assert_allclose(
    tangent(grad), z.grad.numpy(), rtol=1e-4, atol=1e-6
  )


def test_pairs_match_a_loop():
  z, y = np.asarray(example(), np.float64), LABELS.copy()
  y[0] = 7  # Alone.
  d = np.sqrt(((z[:, None] - z) ** 2).sum(-1))
  expected = []
  for i in range(N):
    pull = [d[i, j] ** 2 for j in range(N) if j != i and y[j] == y[i]]
    push = [(1.2 - d[i, j]) ** 2 for j in range(N) if y[j] != y[i]]
    push = [v for v, j in zip(push, np.flatnonzero(y != y[i]), strict=True)
            if d[i, j] < 1.2]  # fmt: skip
    expected.append(sum(np.mean(v) for v in (pull, push) if v))
  got = jax.jit(lambda z: call("pair_loss", z, y))(example())
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


@every_loss
def test_rows_that_are_not_kept_do_not_exist(name):
  keep = np.arange(N) % 5 > 0
  z = example().at[~keep].set(jnp.nan)
  f = lambda z: call(name, z, where=jnp.asarray(keep))
  got, grad = jax.jit(lambda z: (f(z), jax.grad(lambda z: f(z).sum())(z)))(z)
  expected = call(name, z[keep], LABELS[keep])
  np.testing.assert_allclose(got[keep], expected, rtol=1e-4, atol=1e-6)
  np.testing.assert_array_equal(got[~keep], 0)
  assert np.isfinite(grad).all()


@pytest.mark.parametrize(
  ("dtype", "scale", "keep"),
  [
    (jnp.bfloat16, None, True),
    (jnp.float32, 1e4, True),
    (jnp.float32, 1e-30, True),  # All rows the same.
    (jnp.float32, None, False),
  ],
)
@every_loss
def test_finite_values_and_gradients(name, dtype, scale, keep):
  f = lambda z: call(name, z, where=jnp.full(N, keep))
  value, grad = jax.jit(
    lambda z: (f(z), jax.grad(lambda z: f(z).sum())(z))
  )(example(dtype, scale))  # fmt: skip
  assert value.dtype == jnp.float32 and value.shape == (N,)
  assert np.isfinite(value).all()
  assert np.isfinite(grad.astype(jnp.float32)).all()


@every_loss
def test_gradient(name):
  f = jax.jit(lambda z: call(name, z).sum())
  check_grads(f, (example(),), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


@every_loss
@pytest.mark.parametrize(
  ("changes", "error", "message"),
  [
    (dict(labels=jnp.ones(N)), TypeError, "labels must be integer"),
    (dict(embeddings=jnp.ones(N)), ValueError, "embeddings must have shape"),
    (dict(embeddings=jnp.ones((N, D), int)), TypeError, "floating point"),
    (dict(margin=0.0), ValueError, "margin must be above 0"),
    (dict(where=jnp.ones(N)), TypeError, "where must be bool"),
  ],
)
def test_wrong_input_raises(name, changes, error, message):
  given = dict(embeddings=example(), labels=jnp.asarray(LABELS), **CALLS[name])
  with pytest.raises(error, match=message):
    getattr(losses, name)(**{**given, **changes})


def test_unknown_mining_raises():
  with pytest.raises(ValueError, match="mining must be one of"):
    call("triplet_loss", example(), mining="hard")


def test_normalised_softmax_pulls_along_the_sphere():
  z, c = 3 * example(), jnp.eye(3, D)
  f = lambda z: losses.normalized_softmax_loss(
    z, c, jnp.asarray(LABELS), temperature=0.1
  ).sum()
  grad = jax.jit(jax.grad(f))(z)
  assert np.abs(grad).max() > 0.1
  np.testing.assert_allclose((grad * z).sum(-1), 0, atol=1e-4)
