"""What holds for every public function of a package, said once.

A package joins with a table: one Case for each of its public functions. A
public function without a row fails `test_every_public_name_has_a_row`.
"""

import doctest
import importlib
import inspect
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.sharding import Mesh, PartitionSpec
from jax.test_util import check_grads
from jaxtyping import jaxtyped

from jaxcls import losses

NUM_CLASSES = 3
CLASS_MEANS = np.array([[2, 0, 0], [0, 1, 1], [1, 1, 1]], np.float32)
PRIOR = np.array([0.7, 0.2, 0.1], np.float32)


class Case(NamedTuple):
  """How a public function is called with logits [*b c] and labels [*b].

  per_example: the result is one value per example and no example touches
  another, so vmap and shard_map over the batch must change nothing.
  Otherwise the result is a scalar.
  """

  call: Callable
  per_example: bool = True


def soft(y):
  """Targets [*b c], rows summing to 1, that prefer the label."""
  one_hot = jax.nn.one_hot(y, NUM_CLASSES, dtype=jnp.float32)
  return 0.7 * one_hot + 0.3 / NUM_CLASSES


def mixed(y):
  """Targets [*b c] of the label and the class after it."""
  one_hot = lambda y: jax.nn.one_hot(y, NUM_CLASSES, dtype=jnp.float32)
  return 0.7 * one_hot(y) + 0.3 * one_hot((y + 1) % NUM_CLASSES)


def two_copies(x):
  """Joint logits [*b 2 2*c] of two copies that agree."""
  return jnp.stack([jnp.repeat(x, 2, axis=-1)] * 2, axis=-2)


def fixed_teacher(x):
  """Logits [*b c] that do not depend on the values of x."""
  return jnp.broadcast_to(jnp.array([1.0, 0.0, -2.0], x.dtype), x.shape)


LOSSES = {
  "arcface_loss": Case(
    lambda f, x, y: f(x / 4, y, margin=0.5, temperature=0.1)
  ),
  "asymmetric_loss": Case(
    lambda f, x, y: f(
      x, soft(y), gamma_positive=0.5, gamma_negative=4.0, clip=0.05
    )
  ),
  "bi_tempered_loss": Case(lambda f, x, y: f(x, y, t1=0.7, t2=1.4)),
  "binary_cross_entropy_loss": Case(lambda f, x, y: f(x, soft(y))),
  "coral_loss": Case(lambda f, x, y: f(x[..., :2], y)),
  "corn_loss": Case(lambda f, x, y: f(x[..., :2], y)),
  "cosface_loss": Case(lambda f, x, y: f(x, y, margin=0.3, temperature=0.2)),
  "cross_entropy_loss": Case(lambda f, x, y: f(x, y, label_smoothing=0.1)),
  "cumulative_link_loss": Case(
    lambda f, x, y: f(x[..., 0], jnp.array([-0.5, 1.0]), y)
  ),
  "decoupled_distillation_loss": Case(
    lambda f, x, y: f(
      x, fixed_teacher(x), y, alpha=1.0, beta=8.0, temperature=4.0
    )
  ),
  "decoupled_mixup_bce_loss": Case(lambda f, x, y: f(x, mixed(y), t=0.5)),
  "decoupled_mixup_loss": Case(
    lambda f, x, y: f(x, mixed(y), eta=0.5, power=0.5)
  ),
  "entropy": Case(lambda f, x, y: f(x)),
  "focal_loss": Case(lambda f, x, y: f(x, y, gamma=0.5)),
  "forward_forward_loss": Case(
    lambda f, x, y: f(x[..., 0], (y == 0).astype(jnp.float32))
  ),
  "generalized_cross_entropy_loss": Case(lambda f, x, y: f(x, y, q=0.7)),
  "jensen_shannon_divergence": Case(lambda f, x, y: f(x, fixed_teacher(x))),
  "kl_divergence_loss": Case(
    lambda f, x, y: f(x, fixed_teacher(x), temperature=4.0)
  ),
  "label_denoising_loss": Case(
    lambda f, x, y: f(x, fixed_teacher(x), jnp.float32(2.0))
  ),
  "large_margin_softmax_loss": Case(
    lambda f, x, y: f(x, jnp.asarray(CLASS_MEANS), y, margin=3)
  ),
  "ldam_loss": Case(
    lambda f, x, y: f(
      x, y, jnp.array([100, 20, 5]), max_margin=0.5, temperature=0.2
    )
  ),
  "log_partition_loss": Case(lambda f, x, y: f(x)),
  "joint_label_loss": Case(lambda f, x, y: f(two_copies(x), y)),
  "logit_adjusted_loss": Case(lambda f, x, y: f(x, y, jnp.asarray(PRIOR))),
  "logit_normalized_loss": Case(
    lambda f, x, y: f(x, y, jnp.array([0, 1, 1]), temperature=0.5)
  ),
  "mean_where": Case(
    lambda f, x, y: f(x[..., 0], x[..., 0] < 1), per_example=False
  ),
  "multi_margin_loss": Case(lambda f, x, y: f(x, y, power=2)),
  "multiclass_hinge_loss": Case(lambda f, x, y: f(x, y, margin=0.8)),
  "mutual_information": Case(
    lambda f, x, y: f(jnp.stack([x, fixed_teacher(x)], axis=-2))
  ),
  "norm_direction_loss": Case(
    lambda f, x, y: f(x, fixed_teacher(x), y, jnp.asarray(CLASS_MEANS))
  ),
  "normalized_softmax_loss": Case(
    lambda f, x, y: f(x, jnp.asarray(CLASS_MEANS), y, temperature=0.2)
  ),
  "poly_loss": Case(lambda f, x, y: f(x, y, epsilon=2.0)),
  "relative_entropy": Case(lambda f, x, y: f(x, fixed_teacher(x))),
  "sigmoid_focal_loss": Case(
    lambda f, x, y: f(x, soft(y), gamma=0.5, alpha=0.25)
  ),
  "soft_bi_tempered_loss": Case(lambda f, x, y: f(x, soft(y), t1=0.7, t2=1.4)),
  "soft_cross_entropy_loss": Case(lambda f, x, y: f(x, soft(y))),
  "soft_kl_divergence_loss": Case(lambda f, x, y: f(x, soft(y))),
  "sparsemax_loss": Case(lambda f, x, y: f(x, y)),
  "spherical_softmax_loss": Case(lambda f, x, y: f(x, y, epsilon=0.1)),
  "squared_error_loss": Case(lambda f, x, y: f(x, y)),
  "standard_normal_kl": Case(lambda f, x, y: f(x, jnp.float32(0.3))),
  "symmetric_cross_entropy_loss": Case(
    lambda f, x, y: f(x, y, alpha=0.1, beta=1.0)
  ),
  "taylor_softmax_loss": Case(lambda f, x, y: f(x, y)),
  "temperature_scaled_loss": Case(lambda f, x, y: f(x, y, temperature=2.0)),
  "z_loss": Case(lambda f, x, y: f(x, y, a=0.5, b=2.0)),
}

TABLES = {"losses": (losses, LOSSES)}
# Not a function of (logits, labels): what follows is checked in its own file.
OWN_TESTS = {
  "losses": {
    # tests/losses/test_bags.py
    "bag_scores",
    "first_in_batch",
    "partial_label_contrastive_loss",
    # tests/losses/test_discovery.py
    "adaptive_pseudo_labels",
    "mean_entropy_loss",
    "prototype_separation_loss",
    # tests/losses/test_feature_learning.py
    "feature_energy",
    "ridge_signal",
    # tests/losses/test_pruning.py
    "top_mass_targets",
    # tests/losses/test_separation.py
    "misfit_normalized_loss",
    # tests/losses/test_spherical.py
    "spherical_log_softmax",
    "taylor_log_softmax",
    # tests/losses/test_semi_supervised.py
    "align_distribution",
    "one_vs_all_loss",
    "open_set_targets",
    "aggregate_joint_logits",  # tests/losses/test_label_augmentation.py
    "class_balanced_weights",  # tests/losses/test_long_tailed.py
    "class_aware_alignment_loss",  # tests/learners/test_test_time.py
    "correlation_distillation_loss",  # tests/losses/test_distillation.py
    "focal_supcon_loss",  # tests/losses/test_focal_contrastive.py
    "gradient_matching_loss",  # tests/losses/test_condensation.py
    "groco_loss",  # tests/losses/test_groco.py
    "region_label_loss",  # tests/losses/test_mixing.py
    "subclass_contrastive_loss",  # tests/losses/test_contrastive.py
    # tests/losses/test_metric_learning.py
    "pair_loss",
    "triplet_loss",
  }
}
ROWS = [(p, name) for p, (_, cases) in TABLES.items() for name in cases]
PER_EXAMPLE = [(p, name) for p, name in ROWS if TABLES[p][1][name].per_example]
every_row = pytest.mark.parametrize(("package", "name"), ROWS)
every_per_example_row = pytest.mark.parametrize(
  ("package", "name"), PER_EXAMPLE
)


def public_functions(module):
  return {n for n, f in inspect.getmembers(module, inspect.isfunction)}


def bind(package, name, typed=False):
  """The case as a function of (logits, labels) only."""
  module, cases = TABLES[package]
  f = getattr(module, name)
  f = jaxtyped(f, typechecker=beartype) if typed else f
  return lambda x, y: cases[name].call(f, x, y)


def example(batch, dtype=jnp.float32):
  x = np.random.default_rng(0).normal(size=(*batch, NUM_CLASSES))
  y = np.arange(int(np.prod(batch))).reshape(batch) % NUM_CLASSES
  return jnp.asarray(x, dtype), jnp.asarray(y, jnp.int32)


@pytest.mark.parametrize("package", TABLES)
def test_every_public_name_has_a_row(package):
  module, cases = TABLES[package]
  assert public_functions(module) == set(cases) | OWN_TESTS.get(package, set())


@every_row
def test_docstring_has_source_and_true_examples(package, name):
  f = getattr(TABLES[package][0], name)
  doc = inspect.getdoc(f)
  assert "\nSource: " in doc
  assert "\nDiffers: " in doc
  module = importlib.import_module(f.__module__)
  tests = doctest.DocTestFinder(recurse=False).find(f, name, module)
  assert any(test.examples for test in tests)
  runner = doctest.DocTestRunner(verbose=False)
  for test in tests:
    assert runner.run(test).failed == 0


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("batch", [(4,), (2, 2), (0,)])
@every_row
def test_shape_dtype_and_finite_grad(package, name, batch, dtype):
  call = bind(package, name, typed=True)  # the annotations must hold
  f = jax.jit(
    lambda x, y: (call(x, y), jax.grad(lambda x: call(x, y).sum())(x))
  )
  with jax.numpy_dtype_promotion("strict"):
    value, grad = f(*example(batch, dtype))
  expected = batch if TABLES[package][1][name].per_example else ()
  assert value.shape == expected
  assert value.dtype == jnp.float32
  assert grad.dtype == dtype
  assert np.isfinite(value).all()
  assert np.isfinite(grad.astype(jnp.float32)).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@every_row
def test_finite_at_extreme_logits(package, name, dtype):
  rows = [[1, -1, -1], [-1, 1, 1], [1, 1, 1], [-1, -1, -1], [0, 1, -1]]
  x = jnp.asarray(np.repeat(rows, NUM_CLASSES, axis=0) * 1e4, dtype)
  y = jnp.tile(jnp.arange(NUM_CLASSES), len(rows))
  call = bind(package, name)
  value, grad = jax.jit(
    lambda x, y: (call(x, y), jax.grad(lambda x: call(x, y).sum())(x))
  )(x, y)
  assert np.isfinite(value).all()
  assert np.isfinite(grad.astype(jnp.float32)).all()


@every_row
def test_gradient_matches_finite_differences(package, name):
  x, y = example((4,))
  call = bind(package, name)
  f = jax.jit(lambda x: call(x, y).sum())
  check_grads(f, (x,), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


@every_row
def test_jit_equals_eager(package, name):
  x, y = example((4,))
  f = bind(package, name)
  np.testing.assert_allclose(jax.jit(f)(x, y), f(x, y), rtol=1e-5, atol=1e-6)


@every_per_example_row
def test_vmap_equals_batch(package, name):
  x, y = example((4,))
  f = bind(package, name)
  np.testing.assert_allclose(
    jax.jit(jax.vmap(f))(x, y), jax.jit(f)(x, y), rtol=1e-5, atol=1e-6
  )


@every_per_example_row
def test_shard_map_equals_one_device(package, name):
  x, y = example((8,))
  f = bind(package, name)
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  rows = PartitionSpec("data")
  sharded = jax.shard_map(f, mesh=mesh, in_specs=(rows, rows), out_specs=rows)
  both = jax.jit(
    lambda x, y: (sharded(x, y), jax.grad(lambda x: sharded(x, y).sum())(x))
  )
  one = jax.jit(lambda x, y: (f(x, y), jax.grad(lambda x: f(x, y).sum())(x)))
  for got, expected in zip(both(x, y), one(x, y), strict=True):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
