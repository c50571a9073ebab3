"""How every public loss is called, and what the contract's tables share."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NUM_CLASSES = 3
CLASS_MEANS = np.array([[2, 0, 0], [0, 1, 1], [1, 1, 1]], np.float32)
PRIOR = np.array([0.7, 0.2, 0.1], np.float32)


class Case(NamedTuple):
  """How a public function is called with logits [*b c] and labels [*b].

  kind: what comes back.
    "value": one value per example, and no example touches another: vmap and
      shard_map over the batch change nothing.
    "rows": the same with further axes per example.
    "batch": one value per example of a batch [b] whose examples meet: no vmap,
      and it is the compiler that splits it over devices.
    "scalar": one number.
  gradient: False for functions that stop it or jump, so that finite differences
    say something else.
  mask: shape of the keyword `where`, of functions that have it; None for those
    whose answer without examples is another constant than 0.
  keeps_dtype: what comes back has the dtype of the input, not float32.
  strict: False for what rests on a library that adds floats to integers.
  """

  call: Callable
  kind: str = "value"
  gradient: bool = True
  mask: tuple[int, ...] | None = (4,)
  keeps_dtype: bool = False
  strict: bool = True


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


def two_views(x):
  """Embeddings [b 2 c] of two views."""
  return jnp.stack([x, x[..., ::-1]], axis=-2)


def fixed_teacher(x):
  """Logits [*b c] that do not depend on the values of x."""
  return jnp.broadcast_to(jnp.array([1.0, 0.0, -2.0], x.dtype), x.shape)


def counts(y):
  """Targets [b c], one-hot."""
  return jax.nn.one_hot(y, NUM_CLASSES, dtype=jnp.float32)


def example(batch, dtype=jnp.float32):
  x = np.random.default_rng(0).normal(size=(*batch, NUM_CLASSES))
  y = np.arange(int(np.prod(batch))).reshape(batch) % NUM_CLASSES
  return jnp.asarray(x, dtype), jnp.asarray(y, jnp.int32)


LOSSES = {
  "adaptive_pseudo_labels": Case(
    lambda f, x, y: f(x, ratio=0.5, temperature=0.5), "batch", gradient=False
  ),
  "aggregate_joint_logits": Case(lambda f, x, y: f(two_copies(x)), "rows"),
  "align_distribution": Case(
    lambda f, x, y: f(jax.nn.softmax(x), jnp.asarray(PRIOR)), "rows"
  ),
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
    lambda f, x, y: f(x[..., 0], x[..., 0] < 1), kind="scalar"
  ),
  "multi_margin_loss": Case(lambda f, x, y: f(x, y, power=2)),
  "multiclass_hinge_loss": Case(lambda f, x, y: f(x, y, margin=0.8)),
  "mutual_information": Case(
    lambda f, x, y: f(jnp.stack([x, fixed_teacher(x)], axis=-2)), mask=(4, 2)
  ),
  "norm_direction_loss": Case(
    lambda f, x, y: f(x, fixed_teacher(x), y, jnp.asarray(CLASS_MEANS))
  ),
  "noise_sensitive_loss": Case(
    lambda f, x, y: f(x, jax.nn.one_hot(y, NUM_CLASSES))
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
  "bag_scores": Case(
    lambda f, x, y: f(x[:, 0], y % 2, pooling="attention", attention=x[:, 1]),
    "batch",
  ),
  "class_aware_alignment_loss": Case(lambda f, x, y: f(x**2, x), "batch"),
  "class_balanced_weights": Case(
    lambda f, x, y: (
      f(jnp.array([100, 20, 5]), beta=0.9)[y] * x[..., 0].astype(jnp.float32)
    )
  ),
  "correlation_distillation_loss": Case(
    lambda f, x, y: f(x, counts(y)), "batch"
  ),
  "feature_energy": Case(lambda f, x, y: f(x, counts(y)).sum(), "scalar"),
  "first_in_batch": Case(
    lambda f, x, y: jnp.where(f(y), x[:, 0], 0).astype(jnp.float32), "batch"
  ),
  "focal_supcon_loss": Case(lambda f, x, y: f(x, y, temperature=0.5), "batch"),
  "gradient_matching_loss": Case(
    lambda f, x, y: f({"w": x}, {"w": counts(y)}), "scalar"
  ),
  "groco_loss": Case(
    lambda f, x, y: f(
      two_views(x), num_negatives=2, steepness=2.0, stop_gradient=False
    ),
    "batch",
  ),
  "mean_entropy_loss": Case(lambda f, x, y: f(x), "batch"),
  "misfit_normalized_loss": Case(
    lambda f, x, y: f(x, y), "batch", gradient=False
  ),
  "one_vs_all_loss": Case(
    lambda f, x, y: f(jnp.stack([x, x[..., ::-1]], axis=-1), y)
  ),
  "open_set_targets": Case(
    lambda f, x, y: f(jax.nn.softmax(x), jax.nn.sigmoid(x)), "rows"
  ),
  "pair_loss": Case(lambda f, x, y: f(x, y % 2, margin=0.5), "batch"),
  "partial_label_contrastive_loss": Case(
    lambda f, x, y: f(x, x[::-1], y, y[::-1], temperature=0.5), "batch"
  ),
  "prototype_separation_loss": Case(
    lambda f, x, y: f(x, temperature=0.5), "batch"
  ),
  "region_label_loss": Case(
    lambda f, x, y: f(two_views(x), soft(y), jnp.ones((*y.shape, 2), bool))
  ),
  "ridge_signal": Case(
    lambda f, x, y: f(x, counts(y), l2=0.5).sum(axis=1), "batch"
  ),
  "spherical_log_softmax": Case(lambda f, x, y: f(x, epsilon=0.1), "rows"),
  "subclass_contrastive_loss": Case(
    lambda f, x, y: f(
      x, y % 2, y, jnp.array([0.5, 1.0]), temperature=0.5, beta=0.2
    ),
    "batch",
  ),
  "taylor_log_softmax": Case(lambda f, x, y: f(x), "rows"),
  "top_mass_targets": Case(
    lambda f, x, y: jnp.where(f(jax.nn.relu(x), ratio=0.8), x, 0).astype(
      jnp.float32
    ),
    "rows",
  ),
  "triplet_loss": Case(lambda f, x, y: f(x, y % 2, margin=0.5), "batch"),
  "z_loss": Case(lambda f, x, y: f(x, y, a=0.5, b=2.0)),
}
