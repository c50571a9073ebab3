"""Joint prototypes for classes with labels and classes without names."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcls import _lookup, data, losses, ops
from jaxcls.learners import _training_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discovery:
  """SimGCD, and with separation_weight and ratio_end ProtoGCD.

  With cosines s of two views to all prototypes, p = softmax(s / temperature),
  z the unit projection and w = supervised_weight:
  loss = (1 - w) (D + entropy_weight E + separation_weight S + N) + w (C + P).
  D: mean cross-entropy of each view's p against the other view's targets
  (`adaptive_pseudo_labels`: a share of them hard, the rest softmax(s /
  teacher temperature)); E: `mean_entropy_loss` of all views' p; S: mean
  `prototype_separation_loss`; N: `nt_xent_loss` of z; and on labelled rows C:
  cross-entropy of p, P: `supcon_loss` of z. The defaults are SimGCD's.

  Batch: `views` [b 2 h w c]; `label` [b] int, -1 = unlabelled.

  The model's logits must be cosines: `model.cosine_scale` = 1. Predictions
  are p's logits, and the outlier scores `cosine_outlier` and `energy_outlier`
  [b 2]: a column of zeros and minus the largest cosine, or minus the
  logsumexp of p's logits.

  Attributes:
    temperature: of p, and of the separation.
    teacher_start, teacher_end: temperature of soft targets, moved linearly
      over the phase's first teacher_ramp_steps.
    teacher_ramp_steps: 0 is teacher_end at once.
    ratio_start, ratio_end: share of hard targets, moved linearly over the
      first ratio_ramp_steps; 0 and 0 keep all targets soft.
    ratio_ramp_steps: 0 is ratio_end at once.
    entropy_weight, separation_weight, supervised_weight: of the loss.
    contrastive_temperature, supcon_temperature: of N and P.
    embedding: output that N and P compare, such as a projection of
      `model.heads`; divided by its norm.
    prototypes: path of the kernel [d c] of the cosine head.
    init_prototypes: starts them at centroids of semi-supervised spherical
      k-means of the training features.

  Source: Wen et al. 2023, arXiv:2211.11727 (SimGCD); Ma et al. 2025,
    arXiv:2504.03755 (ProtoGCD); semi-supervised k-means: Vaze et al. 2022,
    arXiv:2201.02609.
  Differs: both ramps move every step, in the released code every epoch; its
    optional start takes the prototypes of the old classes only.
  """

  temperature: float = 0.1
  teacher_start: float = 0.07
  teacher_end: float = 0.04
  teacher_ramp_steps: int = 0
  ratio_start: float = 0.0
  ratio_end: float = 0.0
  ratio_ramp_steps: int = 0
  entropy_weight: float = 2.0
  separation_weight: float = 0.0
  supervised_weight: float = 0.35
  contrastive_temperature: float = 1.0
  supcon_temperature: float = 0.07
  embedding: str = "projection"
  prototypes: str = "head/kernel"
  init_prototypes: bool = False

  def __post_init__(self):
    """Checks every range."""
    for name in (
      "temperature", "teacher_start", "teacher_end",
      "contrastive_temperature", "supcon_temperature",
    ):  # fmt: skip
      if getattr(self, name) <= 0:
        raise ValueError(f"{name} must be above 0, got {getattr(self, name)}.")
    for name in ("ratio_start", "ratio_end", "supervised_weight"):
      if not 0 <= getattr(self, name) <= 1:
        raise ValueError(
          f"{name} must be in [0, 1], got {getattr(self, name)}."
        )
    for name in ("teacher_ramp_steps", "ratio_ramp_steps"):
      if getattr(self, name) < 0:
        raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}.")

  def init(self, net, state, batch, key):
    """Memory: `start` [], the step at which the phase began."""
    del key
    if "views" not in batch or batch["views"].shape[1] != 2:
      raise ValueError(
        "scenario.views must list the operations of two views for the learner "
        "'discovery'."
      )
    for field, name, known in (
      ("prototypes", self.prototypes, state.params),
      ("embedding", self.embedding, self._outputs(net, state)),
    ):
      if name not in known:
        raise ValueError(
          f"learner.{field} must name one of the model's, got {name!r}."
          f"{_lookup.nearest(name, known)}"
        )
    return {"start": state.step}

  def _outputs(self, net, state):
    x = jax.ShapeDtypeStruct((1, *net.input_shape), jnp.float32)
    f = lambda p, s, x: net(p, s, x)[0]
    return jax.eval_shape(f, state.params, state.stats, x)

  def start_stage(self, net, state, context):
    """Starts the prototypes at clusters of the features, if asked to."""
    if not self.init_prototypes:
      return state
    name = next(iter(context.stage.streams))
    found = context.predict(state, name, ("features",))
    labels = context.given_labels(name, found["id"])
    clusters = ops.kmeans(
      jnp.asarray(found["features"]),
      num_clusters=net.num_classes,
      labels=jnp.asarray(labels),
      spherical=True,
      key=context.key,
    )
    kernel = clusters.centroids.T.astype(jnp.float32)
    return state.replace(params={**state.params, self.prototypes: kernel})

  def schedules(self, step) -> tuple[jax.Array, jax.Array]:
    """(Share of hard targets, teacher temperature), `step` steps in."""

    def ramp(start, end, steps):
      return start + (end - start) * jnp.clip(step / max(steps, 1), 0, 1)

    ratio = ramp(self.ratio_start, self.ratio_end, self.ratio_ramp_steps)
    if not self.ratio_ramp_steps:
      ratio = jnp.float32(self.ratio_end)
    teacher = ramp(
      self.teacher_start, self.teacher_end, self.teacher_ramp_steps
    )
    if not self.teacher_ramp_steps:
      teacher = jnp.float32(self.teacher_end)
    return ratio, teacher

  def loss(self, net, params, state, batch, key):
    """Both views in one pass; the batch's examples are coupled."""
    views, labels = batch["views"], batch["label"]
    b, v = views.shape[:2]
    # View-major, so that a view's rows are neighbours.
    flat = jnp.swapaxes(views, 0, 1).reshape(v * b, *views.shape[2:])
    out, stats = net(params, state.stats, flat, train=True, key=key)
    cosines = out["logits"].astype(jnp.float32)
    z = ops.unit_norm(out[self.embedding])
    step = state.step - state.memory["start"]
    parts = self.parts(
      cosines, z, ops.unit_norm(params[self.prototypes].T), labels, step
    )
    w = self.supervised_weight
    unsupervised = (
      parts["distillation_loss"]
      + self.entropy_weight * parts["entropy_loss"]
      + self.separation_weight * parts["separation_loss"]
      + parts["contrastive_loss"]
    )
    supervised = parts["labeled_loss"] + parts["supcon_loss"]
    total = (1 - w) * unsupervised + w * supervised
    return total, _training_state.Aux(stats, parts)

  def parts(self, cosines, embeddings, prototypes, labels, step):
    """The terms of the loss and the schedules' values.

    Args:
      cosines: [2 * b c], view-major.
      embeddings: [2 * b d] of unit norm, view-major.
      prototypes: [c e] of unit norm.
      labels: [b], -1 = unlabelled.
      step: [] of the phase.
    """
    logits = cosines / self.temperature
    ratio, teacher = self.schedules(step)
    first, second = jnp.split(cosines, 2)
    targets = lambda x: losses.adaptive_pseudo_labels(
      x, ratio=ratio, temperature=teacher
    )
    crossed = jnp.concatenate([targets(second), targets(first)])
    distilled = losses.soft_cross_entropy_loss(logits, crossed)
    both = jnp.tile(labels, 2)
    where = both >= 0
    task = losses.cross_entropy_loss(logits, jnp.maximum(both, 0))
    pairs = jnp.stack(jnp.split(embeddings, 2), axis=1)
    contrast = ops.nt_xent_loss(pairs, temperature=self.contrastive_temperature)
    supcon = ops.supcon_loss(
      embeddings, both, temperature=self.supcon_temperature, where=where
    )
    separation = losses.prototype_separation_loss(
      prototypes, temperature=self.temperature
    )
    return {
      "distillation_loss": distilled.mean(),
      "entropy_loss": losses.mean_entropy_loss(logits)[0],
      "separation_loss": separation.mean(),
      "contrastive_loss": contrast.mean(),
      "labeled_loss": losses.mean_where(task, where),
      "supcon_loss": losses.mean_where(supcon, where),
      "hard_ratio": ratio,
    }

  def predict(self, net, state, batch):
    """Outputs, `logits` = cosines / temperature, and outlier scores."""
    out, _ = net(state.params, state.stats, data.inputs(batch))
    logits = out["logits"].astype(jnp.float32) / self.temperature
    scores = {
      "cosine_outlier": -self.temperature * logits.max(axis=-1),
      "energy_outlier": -jax.nn.logsumexp(logits, axis=-1),
    }
    pairs = {
      name: jnp.stack([jnp.zeros_like(s), s], axis=-1)
      for name, s in scores.items()
    }
    return {**out, "logits": logits, **pairs}
