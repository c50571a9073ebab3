"""What holds for every public function of a package, said once.

A package joins with a table: one Case for each of its public functions. What
takes no array of examples (sources, plans, programs, accountants) stands in
`HOST` instead and must occur in another test. A public function in neither
fails `test_every_public_name_has_a_row`.
"""

import functools
import inspect
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.test_util import check_grads
from jaxtyping import jaxtyped

from jaxcls import attacks, classifiers, data, losses, optim

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

stop = jax.lax.stop_gradient
Batch = functools.partial(Case, kind="batch")
# Images in, images of the same type out; the key draws for the whole batch.
Picture = functools.partial(Case, kind="batch", keeps_dtype=True)
Jump = functools.partial(Case, kind="batch", gradient=False)


def linear(x):
  """Logits [b c] of inputs [b c], float32."""
  return x.astype(jnp.float32) @ jnp.asarray(CLASS_MEANS)


BOX = dict(lower=-3e4, upper=3e4)
ATTACKS = {
  "carlini_wagner": Jump(
    lambda f, x, y: f(linear, stop(x), y, steps=3, search_steps=2, **BOX),
    strict=False,  # optax.adam
  ),
  "deepfool": Jump(lambda f, x, y: f(linear, stop(x), y, max_steps=2, **BOX)),
  "fgsm": Jump(lambda f, x, y: f(linear, x, y, epsilon=0.1, **BOX)),
  "pgd": Jump(
    lambda f, x, y: f(
      linear, x, y, epsilon=0.2, step_size=0.1, steps=2, norm="l2", **BOX
    )
  ),
}


def fit_and_predict(
  name, fit=None, predict=None, *, gradient=True, smooth=True
):
  """Rows of fit_<name> (and predict what was seen) and of predict_<name>.

  Args:
    name: of the estimator.
    fit: its keywords in both.
    predict: those of the prediction.
    gradient: whether one flows through the fit.
    smooth: whether the prediction has neither jumps nor poles.
  """
  fit, predict = {"num_classes": NUM_CLASSES, **(fit or {})}, predict or {}
  seen = (lambda x: x) if gradient else stop

  def fits(f, x, y):
    predict_fn = getattr(classifiers, f"predict_{name}")
    return predict_fn(f(seen(x), y, **fit), x, **predict)

  @functools.cache
  def params():
    # Now, though a test may be tracing: the fit has a row of its own.
    with jax.ensure_compile_time_eval():
      x, y = example((6,))
      return getattr(classifiers, f"fit_{name}")(x, y, **fit)

  def predicts(f, x, y):
    return f(params(), x, **predict)

  return {
    f"fit_{name}": Batch(fits, mask=None, gradient=gradient),
    f"predict_{name}": Batch(predicts, gradient=smooth),
  }


KERNEL = dict(coefficients=(0.0, 0.8, 0.0, 0.6), depth=2)
UNITS = dict(key=jax.random.key(0), total_units=1, max_iterations=2)
CLASSIFIERS = {
  **fit_and_predict("boosted_network", UNITS, gradient=False),
  **fit_and_predict("deep_kernel", {**KERNEL, "l2": 0.1}, KERNEL),
  **fit_and_predict("gaussian_discriminant", dict(shrinkage=0.5, ridge=0.1)),
  **fit_and_predict("knn", None, dict(k=2), gradient=False, smooth=False),
  **fit_and_predict(
    "logistic_regression", dict(l2=1.0, max_iterations=5), gradient=False
  ),
  **fit_and_predict("naive_bayes", dict(var_smoothing=0.1)),
  **fit_and_predict("nearest_class_mean"),
  **fit_and_predict("ridge", dict(l2=0.5)),
  **fit_and_predict(
    "singular_kernel", None, dict(exponent=2.0), gradient=False, smooth=False
  ),
  "boosted_network_params": Case(
    lambda f, x, y: sum(
      a.astype(jnp.float32).sum()
      for a in f(
        dict(
          hidden_kernel=jnp.stack([x, -x]),  # two steps, a unit each row
          hidden_bias=x[None, :, 0].repeat(2, 0),
          out_kernel=jnp.stack([x, x]),
          out_bias=x[:2],
          start=x[0],
        )
      ).values()
    ),
    "scalar",
  ),
  "calibrate_prototypes": Batch(
    lambda f, x, y: f(x, jnp.asarray(CLASS_MEANS), tau=2.0)
  ),
  "deep_kernel": Case(lambda f, x, y: f(jnp.tanh(x[..., 0]), **KERNEL)),
  "dual_activation": Case(
    lambda f, x, y: f((0.0, 0.8, 0.0, 0.6), jnp.tanh(x[..., 0]))
  ),
  "fit_timestep_weights": Case(
    lambda f, x, y: f(stop(x)[:, None], y, l2=1.0, max_iterations=5)[
      "weights"
    ].sum(),
    "scalar",
    gradient=False,
    mask=None,
  ),
  "merge_naive_bayes": Batch(
    lambda f, x, y: classifiers.predict_naive_bayes(
      f(
        classifiers.fit_naive_bayes(x, y, num_classes=3),
        classifiers.fit_naive_bayes(x[::-1], y, num_classes=3),
      ),
      x,
    )
  ),
}


def pictures(x):
  """Images [b 4 4 c] that vary from pixel to pixel."""
  grid = jnp.linspace(0.01, 0.1, 16).reshape(4, 4, 1).astype(x.dtype)
  return x[:, None, None, :] * grid


KEY = jax.random.key(1)
# dm_pix is not strict.
keyed = lambda **more: Picture(
  lambda f, x, y: f(pictures(x), KEY, **more), strict=False
)
mixes = lambda **more: Picture(
  lambda f, x, y: f(pictures(x), soft(y), KEY, **more).inputs
)
DATA = {
  "center_crop": keyed(size=2),
  "color_jitter": keyed(brightness=0.2, contrast=0.2),
  "color_permutations": Picture(lambda f, x, y: f(pictures(x))),
  "cutmix": mixes(alpha=1.0),
  "cutout": keyed(size=2),
  "gaussian_blur": keyed(),
  "hard_pair_mixup": Picture(
    lambda f, x, y: f(
      x, y, data.draw_hard_pairs(KEY, len(x), alpha=1.0), num_classes=3
    ).features[: len(x)]
  ),
  "mixup": mixes(alpha=1.0, per_example=True),
  "mixup_or_cutmix": mixes(mixup_alpha=1.0, cutmix_alpha=1.0),
  "normalize": Picture(lambda f, x, y: f(pictures(x), mean=(0.5,), std=(0.2,))),
  "rand_augment": Jump(
    lambda f, x, y: f(pictures(x), KEY, num_ops=1, ops=("equalize", "rotate")),
    keeps_dtype=True,
    strict=False,
  ),
  "random_crop": keyed(padding=1),
  "random_erasing": keyed(probability=1.0),
  "random_flip": keyed(),
  "random_grayscale": keyed(probability=0.5),
  "random_resized_crop": keyed(),
  "resize": keyed(size=3),
  "resizemix": mixes(per_example=True),
  "rotations": Picture(lambda f, x, y: f(pictures(x))),
  "smmix": Picture(
    lambda f, x, y: (
      f(pictures(x), soft(y), stop(pictures(x)[:, ::2, ::2, 0]), KEY)[0].inputs
    )
  ),
  "solarize": keyed(),
  "to_float": Case(lambda f, x, y: f(x), "rows"),
}


def update(transformation, x):
  """The first update [*b c] for the gradient x at the parameters x."""
  tree = {"layers": {"0": {"kernel": x}}}
  state = transformation.init(tree)
  return jax.tree.leaves(transformation.update(tree, state, tree)[0])[0]


def transforms(kind="rows", keeps_dtype=True, **more):
  """A gradient transformation of elements, or of whole arrays ("batch")."""
  return Case(
    lambda f, x, y: update(f(**more), x), kind, gradient=False,
    keeps_dtype=keeps_dtype, strict=False,
  )  # fmt: skip


def scheduled(**more):
  """A schedule: what it gives at the steps y, times x."""
  more = dict(peak_lr=0.1, total_steps=3, warmup_steps=1) | more
  return Case(
    lambda f, x, y: f(**more)(y) * x[..., 0].astype(jnp.float32), strict=False
  )


square = lambda params, row: ((params - row) ** 2).sum()
OPTIM = {
  "add_gradient_noise": transforms("batch", eta=0.1),
  "constant": scheduled(),
  "cosine": scheduled(final_lr=0.01),
  "descend_until_separated": Case(
    lambda f, x, y: f(
      optim.logistic_gradient,
      stop(x),
      2 * (y % 2) - 1,
      step_size=1.0,
      max_steps=3,
    )["weights"].sum(),
    "scalar",
    gradient=False,
  ),  # fmt: skip
  "federated_round": Case(
    lambda f, x, y: f(
      jax.grad(lambda w, row: square(w, row.astype(w.dtype))),
      jnp.zeros(3),
      optim.init_federated(jnp.zeros(3), num_clients=4),
      x[:4, None],
      jnp.arange(4),
      local_lr=0.1,
    )[0].sum(),
    "scalar",
  ),
  "fit_lbfgs": Case(
    lambda f, x, y: f(
      lambda w: square(w, stop(x).astype(jnp.float32)),
      jnp.zeros(3),
      max_iterations=3,
    )[0].sum(),
    "scalar",
    gradient=False,
  ),
  "linear": scheduled(),
  "lion": transforms(keeps_dtype=False, learning_rate=0.1, weight_decay=0.1),
  "logistic_gradient": Case(
    lambda f, x, y: (
      f(jnp.ones(3, x.dtype), x, 2 * (y % 2) - 1).astype(jnp.float32).sum()
    ),
    "scalar",
  ),
  "muon": transforms("batch", learning_rate=0.1),
  "perceptron_gradient": Case(
    lambda f, x, y: (
      f(jnp.ones(3, x.dtype), x, 2 * (y % 2) - 1).astype(jnp.float32).sum()
    ),
    "scalar",
  ),
  "private_gradient": Case(
    lambda f, x, y: f(
      jax.grad(lambda w, row: square(w, row.astype(w.dtype))),
      jnp.zeros(3),
      x,
      clip_norm=1.0,
      noise_multiplier=0.5,
      key=KEY,
    ).sum(),
    "scalar",
    mask=None,
  ),
  "private_value_and_grad": Case(
    lambda f, x, y: f(
      lambda w, stats, row, key: (
        (square(w, row[0].astype(w.dtype)), stats),
        2 * (w - row[0].astype(w.dtype)),
      ),
      jnp.zeros(3),
      {},
      x,
      KEY,
      clip_norm=1.0,
      noise_multiplier=0.5,
    )[1].sum(),
    "scalar",
  ),
  "sam_gradient": Picture(
    lambda f, x, y: f(
      jax.value_and_grad(lambda p: (p["kernel"] ** 2).sum()),
      {"kernel": x},
      rho=0.1,
    )[1]["kernel"]
  ),
  "sam_perturbation": Picture(
    lambda f, x, y: f({"kernel": x}, {"kernel": x}, rho=0.1)["kernel"]
  ),
  "scale_by_layer": transforms(decay=0.5),
  "scale_by_program": transforms(
    learning_rate=0.1, program="m = interp(g, m, 0.9)\nupdate = sign(m)"
  ),
  "step_decay": scheduled(boundaries=(0.5,)),
  "tract_conv": Picture(
    lambda f, x, y: f(ridge=0.1)(
      pictures(x),
      jnp.ones((2, 2, 3, 2), x.dtype),
      (1, 1),
      "SAME",
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
  ),  # fmt: skip
  "tract_dot_general": Picture(
    lambda f, x, y: f(ridge=0.1)(
      x, jnp.ones((3, 2), x.dtype), (((1,), (0,)), ((), ()))
    )
  ),
  "tract_gradient": Case(
    lambda f, x, y: (
      f(jnp.ones((3, 2), x.dtype), x, ridge=0.1).astype(jnp.float32).sum()
    ),
    "scalar",
  ),
}

TABLES = {
  "attacks": (attacks, ATTACKS),
  "classifiers": (classifiers, CLASSIFIERS),
  "data": (data, DATA),
  "losses": (losses, LOSSES),
  "optim": (optim, OPTIM),
}
# Nothing here takes an array of examples, or it runs on the host alone.
HOST = {
  "classifiers": {
    "estimate_num_classes", "optimal_coefficients", "singular_exponent",
  },
  "data": {
    "abstract_batch", "corrupt_images", "corrupt_source", "deal_bags",
    "dirichlet_partition", "draw_hard_pairs", "episode_layout", "host_batches",
    "inputs", "load_source", "long_tailed_subset", "make_augment",
    "multi_view", "pair_classes", "per_class_subset", "random_order",
    "repeated_plan", "source_spec", "split_source", "stratified_subset",
    "transformed_shape", "weak_strong", "write_array_record",
  },
  "optim": {
    "epsilon_spent", "format_program", "hard_margin", "init_federated",
    "layer_scales", "make_optimizer", "make_slow_separable", "mutate_program",
    "parse_program", "path_mask", "program_signature", "regularized_evolution",
    "remove_dead_statements", "run_program", "select_by_funnel",
    "simplify_program",
  },
}  # fmt: skip
ROWS = [(p, name) for p, (_, cases) in TABLES.items() for name in cases]
case_of = lambda row: TABLES[row[0]][1][row[1]]
PER_EXAMPLE = [row for row in ROWS if case_of(row).kind in ("value", "rows")]
BATCH = [row for row in ROWS if case_of(row).kind == "batch"]
# Further types only where logits come from a model in bfloat16.
EXTREME = [(*row, jnp.float32) for row in ROWS]
EXTREME += [(*row, jnp.bfloat16) for row in ROWS if row[0] == "losses"]
SMOOTH = [row for row in ROWS if case_of(row).gradient]
# Where examples meet, a batch has one axis, and several of them.
PLAIN = (((4,), jnp.float32), ((4,), jnp.bfloat16))
SHAPES = [
  pytest.param(*row, batch, dtype, id=f"{row[1]}-{batch}-{dtype.__name__}")
  for row in ROWS
  for batch, dtype in (
    *PLAIN,
    *(((2, 2), jnp.bfloat16), ((0,), jnp.float32)) * (row in PER_EXAMPLE),
  )
]


def takes_where(package, name):
  """Whether the public function has a keyword `where`."""
  f = getattr(TABLES[package][0], name)
  where = inspect.signature(f).parameters.get("where")
  keyword = where is not None and where.kind is inspect.Parameter.KEYWORD_ONLY
  return keyword and TABLES[package][1][name].mask is not None


MASKED = [row for row in ROWS if takes_where(*row)]
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
  host = HOST.get(package, set())
  assert public_functions(module) == set(cases) | host
  assert not host & set(cases)
  files = pathlib.Path(__file__).parent.glob("*/**/test_*.py")
  words = set(re.findall(r"\w+", "".join(p.read_text() for p in files)))
  assert host <= words


@pytest.mark.parametrize(("package", "name", "batch", "dtype"), SHAPES)
def test_shape_dtype_and_finite_grad(package, name, batch, dtype):
  case = TABLES[package][1][name]
  call = bind(package, name, typed=True)  # the annotations must hold
  f = jax.jit(
    lambda x, y: (call(x, y), jax.grad(lambda x: call(x, y).sum())(x))
  )
  promotion = "strict" if case.strict else "standard"
  with jax.numpy_dtype_promotion(promotion):
    value, grad = f(*example(batch, dtype))
  if case.kind == "scalar":
    assert value.shape == ()
  elif case.kind == "value":
    assert value.shape == batch
  else:
    assert value.shape[: len(batch)] == batch
  assert value.dtype == (dtype if case.keeps_dtype else jnp.float32)
  assert grad.dtype == dtype
  assert np.isfinite(value).all()
  assert np.isfinite(grad.astype(jnp.float32)).all()


@pytest.mark.parametrize(("package", "name", "dtype"), EXTREME)
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


@pytest.mark.parametrize(("package", "name"), SMOOTH)
def test_gradient_matches_finite_differences(package, name):
  x, y = example((4,))
  call = bind(package, name)
  f = jax.jit(lambda x: call(x, y).sum())
  check_grads(f, (x,), order=1, modes=["rev"], atol=1e-2, rtol=1e-2, eps=1e-3)


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


@pytest.mark.parametrize(("package", "name"), BATCH)
def test_split_over_devices_equals_one_device(package, name):
  x, y = example((8,))
  f = bind(package, name)
  both = jax.jit(lambda x, y: (f(x, y), jax.grad(lambda x: f(x, y).sum())(x)))
  mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
  rows = NamedSharding(mesh, PartitionSpec("data"))
  split = both(jax.device_put(x, rows), jax.device_put(y, rows))
  for got, expected in zip(split, both(x, y), strict=True):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("package", "name"), MASKED)
def test_nothing_kept_gives_zero_and_no_gradient(package, name):
  module, cases = TABLES[package]
  x, y = example((4,))
  f = functools.partial(
    getattr(module, name), where=jnp.zeros(cases[name].mask, bool)
  )
  call = lambda x: cases[name].call(f, x, y)
  value, grad = jax.jit(
    lambda x: (call(x), jax.grad(lambda x: call(x).sum())(x))
  )(x)
  assert not value.any()
  assert not grad.any()
