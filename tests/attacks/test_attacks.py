import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import attacks, models

RNG = np.random.default_rng(0)
# Three classes of a linear model: every answer is known in closed form.
WEIGHTS = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32)
IMAGES = jnp.asarray(RNG.uniform(0.4, 0.6, size=(5, 2, 3, 1)), jnp.float32)
LABELS = jnp.argmax(IMAGES.reshape(5, -1) @ WEIGHTS, axis=-1)


def linear(x):
  return x.reshape(len(x), 6) @ WEIGHTS


def norms(change):
  return np.linalg.norm(np.asarray(change).reshape(len(change), -1), axis=1)


def nearest_boundary():
  """Distance of each image to the nearest hyperplane between two classes."""
  logits, found = np.asarray(linear(IMAGES)), []
  for row, y in zip(logits, np.asarray(LABELS), strict=True):
    w = np.asarray(WEIGHTS) - np.asarray(WEIGHTS)[:, [y]]
    others = [k for k in range(3) if k != y]
    found.append(
      min((row[y] - row[k]) / np.linalg.norm(w[:, k]) for k in others)
    )
  return np.array(found)


def test_fgsm_of_two_classes_is_the_sign_of_the_weights():
  w = WEIGHTS[:, 0]
  f = lambda x: jnp.stack([x.reshape(len(x), -1) @ w, jnp.zeros(len(x))], 1)
  attack = jax.jit(
    lambda x, y, targeted: jax.lax.cond(
      targeted,
      lambda: attacks.fgsm(f, x, y, epsilon=0.1, targeted=True),
      lambda: attacks.fgsm(f, x, y, epsilon=0.1),
    )
  )
  step = 0.1 * jnp.sign(w).reshape(1, 2, 3, 1)
  zeros = jnp.zeros(5, int)
  got = attack(IMAGES, zeros, False)
  np.testing.assert_allclose(got, IMAGES - step, atol=1e-6)
  got = attack(IMAGES, zeros, True)
  np.testing.assert_allclose(got, IMAGES + step, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("key", [None, jax.random.key(1)])
def test_pgd_stays_in_ball_and_box_and_reaches_its_edge(norm, key):
  # Images at the box's edge, so that the projections meet.
  x = IMAGES.at[0].set(0.0).at[1].set(1.0)
  attack = lambda lower, upper: attacks.pgd(
    linear, x, LABELS, epsilon=0.3, step_size=0.1, steps=8, norm=norm, key=key,
    lower=lower, upper=upper,
  )  # fmt: skip
  size = lambda d: norms(d) if norm == "l2" else np.abs(d).max(axis=(1, 2, 3))
  got = jax.jit(lambda: attack(0.0, 1.0))()
  assert (size(got - x) <= 0.3 + 1e-6).all()
  assert got.min() >= 0 and got.max() <= 1
  free = jax.jit(lambda: attack(-9.0, 9.0))()
  # A linear margin's best step: all of the ball in one direction.
  np.testing.assert_allclose(size(free - x), 0.3, rtol=1e-4)
  logits = lambda z: np.take_along_axis(
    np.asarray(jax.nn.log_softmax(linear(z))), np.asarray(LABELS)[:, None], 1
  )
  assert (logits(free) < logits(x)).all()


def test_pgd_of_two_classes_l2_is_the_weights_direction():
  w = WEIGHTS[:, 0]
  # So sure that the gradient is 1e-17: its direction must survive.
  f = lambda x: jnp.stack(
    [-(x.reshape(len(x), -1) @ w), jnp.full(len(x), 40.0)], 1
  )
  call = lambda x, y: attacks.pgd(
    f, x, y, epsilon=0.2, step_size=0.1, steps=3, norm="l2", lower=-1.0,
    upper=2.0,
  )  # fmt: skip
  got = jax.jit(call)(IMAGES, jnp.ones(5, int))
  step = 0.2 * (w / jnp.linalg.norm(w)).reshape(1, 2, 3, 1)
  np.testing.assert_allclose(got, IMAGES - step, atol=1e-5)


def test_deepfool_of_a_linear_model_is_the_distance_to_the_hyperplane():
  attack = jax.jit(
    lambda x: attacks.deepfool(
      linear, x, overshoot=0.02, lower=-9.0, upper=9.0, max_steps=3
    )
  )
  got = attack(IMAGES)
  assert (jnp.argmax(linear(got), -1) != LABELS).all()
  np.testing.assert_allclose(
    norms(got - IMAGES), 1.02 * nearest_boundary(), rtol=1e-3
  )
  # An image of another class than its label stays.
  other = (LABELS + 1) % 3
  same = jax.jit(lambda x: attacks.deepfool(linear, x, other))(IMAGES)
  np.testing.assert_array_equal(same, IMAGES)


def test_deepfool_leaves_a_tie_and_survives_a_constant_model():
  tie = lambda x: jnp.stack([x[:, 0], 1 - x[:, 0]], axis=1)
  x = jnp.array([[0.5]])
  assert jnp.argmax(tie(attacks.deepfool(tie, x)), -1) == 1
  flat = lambda x: jnp.zeros((len(x), 3)) + 0 * x
  np.testing.assert_array_equal(attacks.deepfool(flat, x, max_steps=2), x)


def test_carlini_wagner_of_a_linear_model_is_near_the_hyperplane():
  attack = jax.jit(
    lambda x, y: attacks.carlini_wagner(
      linear, x, y, steps=150, search_steps=6, initial_weight=0.1,
      learning_rate=0.02, lower=-1.0, upper=2.0,
    )
  )  # fmt: skip
  got = attack(IMAGES, LABELS)
  assert (jnp.argmax(linear(got), -1) != LABELS).all()
  best = nearest_boundary()
  assert (norms(got - IMAGES) >= best * (1 - 1e-3)).all()
  assert (norms(got - IMAGES) <= best * 1.1 + 1e-3).all()


def test_carlini_wagner_leads_by_its_confidence_or_gives_the_image_back():
  attack = jax.jit(
    lambda x, y: attacks.carlini_wagner(
      linear, x, y, confidence=0.5, steps=100, search_steps=3,
      initial_weight=1.0, learning_rate=0.05, lower=-2.0, upper=3.0,
    )
  )  # fmt: skip
  logits = np.asarray(linear(attack(IMAGES, LABELS)))
  own = np.take_along_axis(logits, np.asarray(LABELS)[:, None], 1)[:, 0]
  assert (logits.max(axis=1) - own >= 0.5 - 1e-5).all()
  never = lambda x: jnp.zeros((len(x), 3)).at[:, 0].set(1.0) + 0 * x.sum()
  got = attacks.carlini_wagner(
    never, IMAGES, jnp.zeros(5, int), steps=2, search_steps=2
  )
  np.testing.assert_array_equal(got, IMAGES)


def test_attacks_on_a_network_fool_it_and_jit_is_eager():
  net = models.mlp(num_classes=3, input_shape=(2, 3, 1), hidden=(8,), init=1.0)
  params, stats = net.init(jax.random.key(0))
  f = lambda x: net(params, stats, x)[0]["logits"]
  y = jnp.argmax(f(IMAGES), axis=-1)
  call = lambda x: attacks.pgd(f, x, y, epsilon=0.5, step_size=0.1, steps=8)
  got = jax.jit(call)(IMAGES)
  np.testing.assert_allclose(got, call(IMAGES), atol=1e-5)
  before, after = (
    jax.nn.log_softmax(f(x))[jnp.arange(5), y] for x in (IMAGES, got)
  )
  assert (after < before).all()
  fooled = jax.jit(lambda x: attacks.deepfool(f, x, lower=-9.0, upper=9.0))
  assert (jnp.argmax(f(fooled(IMAGES)), -1) != y).all()
  half = jax.jit(call)(IMAGES.astype(jnp.bfloat16))
  assert half.dtype == jnp.float32
  empty = attacks.fgsm(linear, jnp.zeros((0, 6)), y[:0], epsilon=0.1)
  assert empty.shape == (0, 6)


def test_errors():
  x, y = IMAGES, LABELS
  pgd = lambda **kw: attacks.pgd(
    linear, x, y, **{**dict(epsilon=0.1, step_size=0.1, steps=2), **kw}
  )
  for call, error, message in (
    (lambda: pgd(norm="l1"), ValueError, "norm must be one of"),
    (lambda: pgd(epsilon=-1.0), ValueError, "epsilon must be at least 0"),
    (lambda: pgd(step_size=-1.0), ValueError, "step_size must be at least 0"),
    (lambda: pgd(steps=0), ValueError, "steps must be at least 1, got 0"),
    (lambda: pgd(lower=1.0), ValueError, "lower must be below upper"),
    (
      lambda: attacks.fgsm(linear, x, y[:2], epsilon=0.1),
      ValueError,
      r"labels must have shape \(5,\)",
    ),
    (
      lambda: attacks.fgsm(linear, x, y * 1.0, epsilon=0.1),
      TypeError,
      "labels must be integer",
    ),
    (
      lambda: attacks.fgsm(linear, y, y, epsilon=0.1),
      TypeError,
      "images must be floating point, got int32",
    ),
    (
      lambda: attacks.fgsm(linear, x[:, 0, 0, 0], y, epsilon=0.1),
      ValueError,
      "images must have shape",
    ),
    (
      lambda: attacks.deepfool(linear, x, max_steps=0),
      ValueError,
      "max_steps must be at least 1",
    ),
    (
      lambda: attacks.deepfool(linear, x, overshoot=-1.0),
      ValueError,
      "overshoot must be at least 0",
    ),
    (
      lambda: attacks.carlini_wagner(linear, x, y, confidence=-1.0),
      ValueError,
      "confidence must be at least 0",
    ),
    (
      lambda: attacks.carlini_wagner(linear, x, y, initial_weight=0.0),
      ValueError,
      "initial_weight must be above 0, got 0.0",
    ),
  ):
    with pytest.raises(error, match=message):
      call()
