"""Losses beside optax and PyTorch: CPU time of value and gradient.

Run:  python experiments/bench/losses.py
      (needs `pip install "jaxcls[bench]"` for the PyTorch columns)

The mean over a batch of 1024 rows of 1000 classes and its gradient, float32;
the ordinal losses have 1000 thresholds, joint labels 4 copies of 250 classes.
The losses of pairs and triplets take 256 rows of 16 classes, and the PyTorch
column is pytorch-metric-learning's, which means over triplets where ours means
over anchors: tests/losses/test_metric_learning.py compares the values. Times
are process CPU seconds on one core, medians of 7 after a warm-up, the
contenders of a loss interleaved: only ratios within one run mean something. The
allocator keeps what is freed, for all contenders alike. Where neither library
has the function, its time stands alone, and over that of cross-entropy.
"""

import ctypes
import functools
import json
import os
import pathlib
import time

os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["JAX_PLATFORMS"] = "cpu"
# glibc gives large blocks back to the kernel at once and pays page faults for
# them at every call; with M_TRIM_THRESHOLD and M_MMAP_THRESHOLD it keeps them.
for option in (-1, -3):
  ctypes.CDLL(None).mallopt(option, 1 << 30)
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from jaxcls import losses  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
REPEATS, CALLS = 7, 5
BATCH, CLASSES, WIDTH = 1024, 1000, 128


def interleave(contenders):
  """Median CPU seconds of each {name: function without arguments}."""
  for f in contenders.values():
    f()
  times = {name: [] for name in contenders}
  for i in range(REPEATS):
    # Back and forth, so that none always follows the same neighbour.
    for name, f in list(contenders.items())[:: 1 if i % 2 else -1]:
      f()  # what its neighbour left in the caches is not its own
      begin = time.process_time()
      for _ in range(CALLS):
        f()
      times[name].append((time.process_time() - begin) / CALLS)
  return {name: sorted(t)[REPEATS // 2] for name, t in times.items()}


def data():
  """Arrays that the losses take, by name."""
  rng = np.random.default_rng(0)
  shape = (BATCH, CLASSES)
  logits = rng.normal(size=shape) * 2
  softmax = lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True)
  counts = 1 + (1000 * 0.99 ** np.arange(CLASSES)).astype(np.int32)
  floats = {
    "logits": logits,
    "other": rng.normal(size=shape),
    "soft": softmax(rng.normal(size=shape)),
    "multi": rng.random(shape) < 0.01,
    "cosines": np.tanh(logits / 4),
    "embeddings": rng.normal(size=(BATCH, WIDTH)),
    "prototypes": rng.normal(size=(CLASSES, WIDTH)),
    "members": rng.normal(size=(BATCH // 4, 4, CLASSES)),
    "scores": rng.normal(size=BATCH),
    "thresholds": np.sort(rng.normal(size=CLASSES - 1)),
    "prior": counts / counts.sum(),
  }
  out = {k: np.asarray(v, np.float32) for k, v in floats.items()}
  out["rows"] = out["embeddings"][:256]
  out["rows"] /= np.linalg.norm(out["rows"], axis=1, keepdims=True)
  out["row_labels"] = (np.arange(256) % 16).astype(np.int32)
  out["joint"] = rng.normal(size=(BATCH // 4, 4, CLASSES)).astype(np.float32)
  out["joint_labels"] = rng.integers(0, CLASSES // 4, BATCH // 4)
  out["joint_labels"] = out["joint_labels"].astype(np.int32)
  out["binary"] = np.stack([logits, out["other"]], -1).astype(np.float32)
  out["tasks"] = (np.arange(CLASSES) // 100).astype(np.int32)
  mixed = np.zeros(shape, np.float32)
  mixed[np.arange(BATCH), rng.integers(0, CLASSES, BATCH)] += 0.6
  mixed[np.arange(BATCH), rng.integers(0, CLASSES, BATCH)] += 0.4
  out["mixed"] = mixed
  out["counts"] = counts
  out["labels"] = rng.integers(0, CLASSES, BATCH).astype(np.int32)
  return out


# name: (arguments, hyperparameters), the first argument is differentiated.
OURS = {
  "cross_entropy_loss": ("logits labels", {}),
  "cross_entropy_loss, smoothed": (
    "logits labels",
    dict(label_smoothing=0.1),
  ),
  "soft_cross_entropy_loss": ("logits soft", {}),
  "temperature_scaled_loss": ("logits labels", dict(temperature=2.0)),
  "focal_loss": ("logits labels", dict(gamma=2.0)),
  "poly_loss": ("logits labels", dict(epsilon=2.0)),
  "generalized_cross_entropy_loss": ("logits labels", dict(q=0.7)),
  "symmetric_cross_entropy_loss": (
    "logits labels",
    dict(alpha=0.1, beta=1.0),
  ),
  "bi_tempered_loss": ("logits labels", dict(t1=0.8, t2=1.2)),
  "soft_bi_tempered_loss": ("logits soft", dict(t1=0.8, t2=1.2)),
  "logit_adjusted_loss": ("logits labels prior", {}),
  "ldam_loss": (
    "logits labels counts",
    dict(max_margin=0.5, temperature=1 / 30),
  ),
  "cosface_loss": ("cosines labels", dict(margin=0.35, temperature=1 / 64)),
  "arcface_loss": ("cosines labels", dict(margin=0.5, temperature=1 / 64)),
  "normalized_softmax_loss": (
    "embeddings prototypes labels",
    dict(temperature=0.1),
  ),
  "large_margin_softmax_loss": (
    "embeddings prototypes labels",
    dict(margin=4),
  ),
  "multiclass_hinge_loss": ("logits labels", {}),
  "multi_margin_loss": ("logits labels", {}),
  "sparsemax_loss": ("logits labels", {}),
  "spherical_softmax_loss": ("logits labels", dict(epsilon=0.1)),
  "taylor_softmax_loss": ("logits labels", {}),
  "z_loss": ("logits labels", dict(a=0.5, b=2.0)),
  "log_partition_loss": ("logits", {}),
  "squared_error_loss": ("logits labels", {}),
  "binary_cross_entropy_loss": ("logits multi", {}),
  "sigmoid_focal_loss": ("logits multi", dict(gamma=2.0, alpha=0.25)),
  "asymmetric_loss": (
    "logits multi",
    dict(gamma_positive=1.0, gamma_negative=4.0, clip=0.05),
  ),
  "coral_loss": ("logits labels", {}),
  "corn_loss": ("logits labels", {}),
  "cumulative_link_loss": ("scores thresholds labels", {}),
  "entropy": ("logits", {}),
  "soft_kl_divergence_loss": ("logits soft", {}),
  "kl_divergence_loss": ("logits other", dict(temperature=4.0)),
  "relative_entropy": ("logits other", {}),
  "jensen_shannon_divergence": ("logits other", {}),
  "mutual_information": ("members", {}),
  "decoupled_mixup_loss": ("logits mixed", {}),
  "decoupled_mixup_bce_loss": ("logits mixed", {}),
  "joint_label_loss": ("joint joint_labels", {}),
  "logit_normalized_loss": (
    "logits labels tasks",
    dict(temperature=0.1, num_tasks=10),
  ),
  "misfit_normalized_loss": ("logits labels", {}),
  "one_vs_all_loss": ("binary labels", {}),
  "decoupled_distillation_loss": (
    "logits other labels",
    dict(alpha=1.0, beta=8.0, temperature=4.0),
  ),
  "correlation_distillation_loss": ("logits other", {}),
  "pair_loss": ("rows row_labels", dict(margin=0.5)),
  "triplet_loss": ("rows row_labels", dict(margin=0.5)),
}
# Means over something else than ours.
OTHER_MEANS = ("triplet_loss",)


def one_hot(labels):
  """[b c] float32."""
  return jax.nn.one_hot(labels, CLASSES)


def optax_losses():
  """The same functions of the same arguments, where optax has them."""
  o = optax.losses
  log_softmax = jax.nn.log_softmax
  integer = o.softmax_cross_entropy_with_integer_labels
  return {
    "cross_entropy_loss": integer,
    "cross_entropy_loss, smoothed": lambda x, y: o.softmax_cross_entropy(
      x, o.smooth_labels(one_hot(y), 0.1)
    ),
    "soft_cross_entropy_loss": o.softmax_cross_entropy,
    "temperature_scaled_loss": lambda x, y: integer(x / 2.0, y),
    "poly_loss": lambda x, y: o.poly_loss_cross_entropy(
      x, one_hot(y), epsilon=2.0
    ),
    "logit_adjusted_loss": lambda x, y, p: integer(x + jnp.log(p), y),
    "multiclass_hinge_loss": o.multiclass_hinge_loss,
    "sparsemax_loss": o.multiclass_sparsemax_loss,
    "squared_error_loss": lambda x, y: o.squared_error(x, one_hot(y)).mean(-1),
    "binary_cross_entropy_loss": lambda x, t: o.sigmoid_binary_cross_entropy(
      x, t
    ).mean(-1),
    "sigmoid_focal_loss": lambda x, t: o.sigmoid_focal_loss(
      x, t, alpha=0.25, gamma=2.0
    ).mean(-1),
    "soft_kl_divergence_loss": lambda x, t: o.kl_divergence(log_softmax(x), t),
    "kl_divergence_loss": lambda x, t: (
      16
      * o.kl_divergence_with_log_targets(log_softmax(x / 4), log_softmax(t / 4))
    ),
    "relative_entropy": lambda x, t: o.kl_divergence_with_log_targets(
      log_softmax(t), log_softmax(x)
    ),
  }


def torch_losses():
  """The same as means over the batch, where PyTorch has them; {} without it."""
  try:
    import torch
    import torch.nn.functional as F
  except ImportError:
    return None, {}
  torch.set_num_threads(1)
  metric = metric_learning_losses()
  kl = functools.partial(F.kl_div, reduction="batchmean")
  ce, log_softmax = F.cross_entropy, functools.partial(F.log_softmax, dim=-1)
  bce = F.binary_cross_entropy_with_logits
  return torch, {
    **metric,
    "cross_entropy_loss": ce,
    "cross_entropy_loss, smoothed": lambda x, y: ce(x, y, label_smoothing=0.1),
    "soft_cross_entropy_loss": ce,
    "temperature_scaled_loss": lambda x, y: ce(x / 2.0, y),
    "logit_adjusted_loss": lambda x, y, p: ce(x + torch.log(p), y),
    "multi_margin_loss": F.multi_margin_loss,
    "squared_error_loss": lambda x, y: F.mse_loss(
      x, F.one_hot(y, CLASSES).float()
    ),
    "binary_cross_entropy_loss": bce,
    "log_partition_loss": lambda x: (torch.logsumexp(x, -1) ** 2).mean(),
    "normalized_softmax_loss": lambda x, w, y: ce(
      F.linear(F.normalize(x), F.normalize(w)) / 0.1, y
    ),
    "soft_kl_divergence_loss": lambda x, t: kl(log_softmax(x), t),
    "kl_divergence_loss": lambda x, t: (
      16 * kl(log_softmax(x / 4), log_softmax(t / 4), log_target=True)
    ),
    "relative_entropy": lambda x, t: kl(
      log_softmax(t), log_softmax(x), log_target=True
    ),
  }


def metric_learning_losses():
  """Those of pytorch-metric-learning; {} without it."""
  try:
    from pytorch_metric_learning import distances, losses, miners
  except ImportError:
    return {}
  distance = distances.LpDistance(power=2)
  miner = miners.TripletMarginMiner(
    margin=0.5, type_of_triplets="semihard", distance=distance
  )
  triplet = losses.TripletMarginLoss(margin=0.5, distance=distance)
  return {"triplet_loss": lambda z, y: triplet(z, y, miner(z, y))}


def jax_call(f, arrays):
  """Value and gradient of the mean, compiled, as a function of nothing."""
  both = jax.jit(jax.value_and_grad(lambda *a: f(*a).mean()))
  arrays = [jnp.asarray(a) for a in arrays]
  return lambda: jax.block_until_ready(both(*arrays))


def torch_call(torch, f, arrays):
  """Value and gradient of what is a mean already."""
  first, *rest = [
    torch.from_numpy(a).long() if a.dtype == np.int32 else torch.from_numpy(a)
    for a in arrays
  ]
  first.requires_grad_()

  def call():
    value = f(first, *rest)
    return value.detach(), torch.autograd.grad(value, first)[0]

  return call


def main():
  """Times every loss and writes the results."""
  arrays, theirs = data(), optax_losses()
  torch, torchs = torch_losses()
  results, unit = {}, None
  print(f"{'ms':34} {'ours':>7} {'optax':>7} {'torch':>7}  theirs / ours")
  for name, (arguments, hyperparameters) in OURS.items():
    inputs = [arrays[a] for a in arguments.split()]
    f = getattr(losses, name.split(",")[0])
    f = functools.partial(f, **hyperparameters)
    contenders = {"ours": jax_call(f, inputs)}
    if name in theirs:
      contenders["optax"] = jax_call(theirs[name], inputs)
    if name in torchs:
      contenders["torch"] = torch_call(torch, torchs[name], inputs)
    value, gradient = contenders["ours"]()
    for other in list(contenders.values())[1:]:
      v, g = other()
      if name in OTHER_MEANS:
        continue
      np.testing.assert_allclose(value, v, rtol=2e-5, atol=1e-6, err_msg=name)
      np.testing.assert_allclose(gradient, g, rtol=1e-3, atol=1e-7)
    row = {k: round(1e3 * t, 3) for k, t in interleave(contenders).items()}
    unit = unit or row["ours"]
    row |= {
      f"{k} / ours": round(row[k] / row["ours"], 2)
      for k in ("optax", "torch")
      if k in row
    }
    row["ours / cross-entropy"] = round(row["ours"] / unit, 2)
    results[name] = row
    cells = [f"{row[k]:7.2f}" if k in row else 7 * " " for k in contenders]
    columns = {k: 7 * " " for k in ("ours", "optax", "torch")}
    columns |= dict(zip(contenders, cells, strict=True))
    ratios = [f"{k} {row[f'{k} / ours']}" for k in list(contenders)[1:]]
    print(f"{name:34} {' '.join(columns.values())}  {', '.join(ratios)}")
  (HERE / "losses.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
  main()
