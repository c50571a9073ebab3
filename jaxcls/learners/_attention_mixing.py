"""Mixing where the trained transformer itself says what to cut and paste."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcls import data, losses
from jaxcls.learners import _training_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionMixing:
  """SMMix: attention chooses the squares, three losses judge the result.

  With `probability` a batch is mixed so, else by mixup. A pass of the model in
  evaluation mode, without gradient, gives the logits u and the attention of
  the unmixed images; `data.smmix` pastes squares of tokens. Then
  loss = w_c CE(logits, l y + (1 - l) y')
    + w_r / 2 (CE(own tokens, y) + CE(pasted tokens, y'))
    + w_k KL(softmax(l u + (1 - l) u') || softmax(logits)),
  ' the partner. Attention is the mean over heads and patches that look.

  Batch: `image` [b h w c]; `label` [b] int, -1 = left out (with its partner's
  row). Model: `vit` with return_attention, and a head `token_logits` on its
  `tokens`.

  Attributes:
    probability: of SMMix instead of mixup for a batch, in [0, 1].
    mixup_alpha: of mixup.
    scope: range of the square's share of the side.
    label_smoothing: uniform share of the targets, in [0, 1).
    class_weight: w_c.
    region_weight: w_r.
    consistency_weight: w_k.

  Source: Chen et al. 2022, arXiv:2212.12977.
  Differs: the partner is the neighbour, in released code the batch reversed.
  """

  probability: float = 0.5
  mixup_alpha: float = 0.8
  scope: tuple[float, float] = (0.25, 0.75)
  label_smoothing: float = 0.1
  class_weight: float = 1.0
  region_weight: float = 1.0
  consistency_weight: float = 1.0

  def __post_init__(self):
    """Checks the two shares."""
    if not 0 <= self.probability <= 1:
      raise ValueError(
        f"probability must be in [0, 1], got {self.probability}."
      )
    if not 0 <= self.label_smoothing < 1:
      raise ValueError(
        f"label_smoothing must be in [0, 1), got {self.label_smoothing}."
      )

  def init(self, net, state, batch, key):
    """No memory; checks that the model returns what is needed.

    Raises:
      ValueError: it does not.
    """
    del key
    call = lambda p, s, x: net(p, s, x)[0]
    out = jax.eval_shape(call, state.params, state.stats, data.inputs(batch))
    fixes = dict(
      attention="Use the model vit with return_attention=True.",
      token_logits="Add model.heads.token_logits with input='tokens' and the "
      f"width {net.num_classes}.",
    )
    for name, fix in fixes.items():
      if name not in out:
        raise ValueError(
          f"model must return {name!r}, it returns {sorted(out)}. {fix}"
        )
    return {}

  def loss(self, net, params, state, batch, key):
    """The weighted sum; its parts are metrics."""
    labels = batch["label"]
    where = (labels >= 0) & (jnp.roll(labels, 1) >= 0)
    smooth, c = self.label_smoothing, net.num_classes
    targets = jax.nn.one_hot(jnp.maximum(labels, 0), c)
    targets = (1 - smooth) * targets + smooth / c
    mix_key, choice_key, net_key = jax.random.split(key, 3)
    chosen = jax.random.bernoulli(choice_key, self.probability)
    mixed, pasted, wanted = jax.lax.cond(
      chosen,
      lambda *batch: self._attend_and_mix(net, params, state.stats, *batch),
      lambda *batch: self._mix(net, *batch),
      data.inputs(batch), targets, mix_key,
    )  # fmt: skip
    out, stats = net(params, state.stats, mixed.inputs, train=True, key=net_key)
    values = losses.soft_cross_entropy_loss(out["logits"], mixed.targets)
    parts = {"class_loss": (self.class_weight, values)}
    if self.region_weight:
      tokens, theirs = out["token_logits"], targets[mixed.partner]
      values = losses.region_label_loss(tokens, targets, ~pasted)
      values += losses.region_label_loss(tokens, theirs, pasted)
      parts["region_loss"] = self.region_weight, 0.5 * values * chosen
    if self.consistency_weight:
      values = losses.kl_divergence_loss(out["logits"], wanted, temperature=1.0)
      parts["consistency_loss"] = self.consistency_weight, values * chosen
    parts = {k: (w, losses.mean_where(v, where)) for k, (w, v) in parts.items()}
    total = sum(weight * value for weight, value in parts.values())
    metrics = {name: value for name, (_, value) in parts.items()}
    return total, _training_state.Aux(stats, metrics)

  def _attend_and_mix(self, net, params, stats, images, targets, key):
    """Mixed batch, which tokens [b n] were pasted, and the wanted logits."""
    out = jax.lax.stop_gradient(net(params, stats, images)[0])
    n = out["tokens"].shape[1]
    # Mean over heads and over the patches that look; no class token.
    attention = out["attention"][:, :, -n:, -n:].mean(axis=(1, 2))
    rows = round((n * images.shape[1] / images.shape[2]) ** 0.5)
    attention = attention.reshape(-1, rows, n // rows)
    mixed, pasted = data.smmix(
      images, targets, attention, key, scope=self.scope
    )
    own = out["logits"].astype(jnp.float32)
    weight = mixed.weight[:, None]
    wanted = weight * own + (1 - weight) * own[mixed.partner]
    return mixed, pasted.reshape(-1, n), wanted

  def _mix(self, net, images, targets, key):
    """The same of mixup: nothing pasted, nothing wanted."""
    mixed = data.mixup(images, targets, key, alpha=self.mixup_alpha)
    b, x = len(images), jax.ShapeDtypeStruct(images.shape, images.dtype)
    shapes = net.param_shapes, net.stats_shapes, x
    out = jax.eval_shape(lambda p, s, x: net(p, s, x)[0], *shapes)
    pasted = jnp.zeros((b, out["tokens"].shape[1]), bool)
    return mixed, pasted, jnp.zeros((b, net.num_classes))
