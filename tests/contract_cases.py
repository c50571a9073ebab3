"""How the other public functions are called; the tables of all packages."""

import functools

import jax
import jax.numpy as jnp
from contract_losses import (
  CLASS_MEANS,
  LOSSES,
  NUM_CLASSES,
  Case,
  example,
  soft,
)

from jaxcls import attacks, classifiers, data, losses, optim

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


PROGRAM = optim.parse_program("m = interp(g, m, 0.9)\nupdate = mul(m, lr)")
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
  ),
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
  "run_program": Case(
    lambda f, x, y: f(PROGRAM, x, x, x, x, 0.1)[0], "rows", keeps_dtype=True
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
  ),
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
    "remove_dead_statements", "select_by_funnel", "simplify_program",
  },
}  # fmt: skip
