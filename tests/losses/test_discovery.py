import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import losses

GOLDEN = pathlib.Path(__file__).parents[1] / "goldens/protogcd.npz"


@pytest.mark.parametrize(
  ("suffix", "epoch", "start", "teacher"),
  [("", 50, 0.2, 0.05), ("__alt", 150, 0.0, 0.04)],
)
def test_terms_match_the_official_code(suffix, epoch, start, teacher):
  with np.load(GOLDEN, allow_pickle=False) as data:
    g = dict(data)
  ratio = np.concatenate([np.linspace(start, 1.0, 100), np.ones(200)])[epoch]

  def f(out, prototypes):
    views = jnp.split(out, 2)
    targets = [
      losses.adaptive_pseudo_labels(v, ratio=ratio, temperature=teacher)
      for v in views
    ]
    distill = jnp.mean(
      jnp.stack(
        [
          losses.soft_cross_entropy_loss(views[1 - i] / 0.1, targets[i])
          for i in range(2)
        ]
      )
    )
    entropy = losses.mean_entropy_loss(out / 0.1)[0]
    separation = losses.prototype_separation_loss(
      prototypes, temperature=0.1
    ).mean()
    total = distill + 2 * entropy + separation
    return total, (distill, entropy, separation)

  arrays = [jnp.float32(g[f"in_{n}"]) for n in ("student_out", "prototypes")]
  f = jax.jit(jax.value_and_grad(f, argnums=(0, 1), has_aux=True))
  (total, parts), grads = f(*arrays)
  close = lambda a, name: np.testing.assert_allclose(
    a, g[name + suffix], rtol=5e-4, atol=1e-5
  )
  for value, name in zip(
    parts, ("distill", "entropy_reg", "proto_sep"), strict=True
  ):
    close(value, f"out_{name}")
  close(total, "out_loss")
  close(grads[0], "grad_student_out")
  close(grads[1], "grad_prototypes")


def test_ratio_is_the_share_of_hard_targets():
  x = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
  f = jax.jit(
    lambda x, r: losses.adaptive_pseudo_labels(x, ratio=r, temperature=0.5)
  )
  for ratio in (0.0, 0.3, 1.0):
    hard = (np.asarray(f(x, ratio)).max(1) == 1).sum()
    assert hard == round(10 * ratio)


@pytest.mark.parametrize("size", [0.0, 1e4])
def test_finite_at_extremes(size):
  x = size * jnp.asarray(np.sign(np.random.default_rng(0).normal(size=(4, 3))))
  for f in (
    lambda x: losses.mean_entropy_loss(x).sum(),
    lambda x: losses.prototype_separation_loss(x, temperature=0.1).sum(),
    lambda x: losses.adaptive_pseudo_labels(
      x, ratio=0.5, temperature=0.1
    ).sum(),
  ):
    value, grad = jax.value_and_grad(f)(x)
    assert np.isfinite(value) and np.isfinite(grad).all()


@pytest.mark.parametrize(
  ("call", "match"),
  [
    (
      lambda: losses.adaptive_pseudo_labels(
        jnp.ones((2, 1)), ratio=0.5, temperature=1.0
      ),
      "c >= 2",
    ),
    (
      lambda: losses.adaptive_pseudo_labels(
        jnp.ones((2, 2)), ratio=1.5, temperature=1.0
      ),
      "ratio",
    ),
    (lambda: losses.mean_entropy_loss(jnp.ones(3)), r"\[b c\]"),
    (
      lambda: losses.prototype_separation_loss(
        jnp.ones((1, 2)), temperature=1.0
      ),
      "c >= 2",
    ),
  ],
)
def test_mistakes_are_named(call, match):
  with pytest.raises(ValueError, match=match):
    call()
