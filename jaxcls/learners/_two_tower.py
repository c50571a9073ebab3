"""CLIP: image-caption pretraining, and prompts learned on top of it."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcls import data, losses, models, ops
from jaxcls.learners import _training_state


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoTower:
  """Contrasts images with their captions; the model is `models.two_tower`.

  The caption of an example is the prompt of its class, each attribute and
  object blanked out with some probability: captions say only a part.

  Batch: `image` [b ...]; `label` [b] int, -1 = left out.

  Attributes:
    blank_rate: probability that a word is missing, in [0, 1).

  Source: Radford et al. 2021, arXiv:2103.00020, fig. 3.
  Differs: captions are made from labels, so many in a batch are equal; equal
    captions still count as negatives of one another.
  """

  blank_rate: float = 0.0

  def __post_init__(self):
    """Checks the probability."""
    if not 0 <= self.blank_rate < 1:
      raise ValueError(f"blank_rate must be in [0, 1), got {self.blank_rate}.")

  def loss(self, net, params, state, batch, key):
    """Mean of `ops.clip_loss` over the batch."""
    blank_key, net_key = jax.random.split(key)
    labels, where = jnp.maximum(batch["label"], 0), batch["label"] >= 0

    def tap(name, x):
      if name != "captions":
        return x
      return models.blank_words(x[labels], blank_key, self.blank_rate)

    out, stats = net(
      params, state.stats, data.inputs(batch), train=True, key=net_key, tap=tap
    )
    values = ops.clip_loss(
      out["features"], out["text"], temperature=1 / out["scale"], where=where
    )
    loss = losses.mean_where(values, where)
    return loss, _training_state.Aux(stats, {"scale": out["scale"]})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompt:
  """Cross-entropy over the seen classes' prompts, most of the model frozen.

  For a `models.two_tower` with `soft`: "words" is CSP, "prefix" is CoOp,
  "adapter" is CLIP-Adapter. Set `trainable="soft"`; learned vectors start at
  the words that they replace. Predictions rank the prompts of all classes.

  Batch: `image` [b ...]; `label` [b] int, -1 = left out.

  Attributes:
    feasibility: with soft words: classes that were not trained and whose
      `pair_feasibility` is at most this are never predicted (open world);
      None: all may be.
    num_objects: for `feasibility`: class a * num_objects + o.

  Source: Nayak et al. 2022, arXiv:2204.03574 (CSP); Zhou et al. 2021,
    arXiv:2109.01134 (CoOp); Gao et al. 2021, arXiv:2110.04544 (CLIP-Adapter).
  Differs: feasibility is measured between the learned vectors, in the released
    code between GloVe's.
  """

  feasibility: float | None = None
  num_objects: int = 0

  def __post_init__(self):
    """Checks that feasibility knows the pairs."""
    if self.feasibility is not None and self.num_objects < 1:
      raise ValueError(
        "num_objects must be at least 1 where feasibility is given, got "
        f"{self.num_objects}."
      )

  def init(self, net, state, batch, key):
    """Memory: `seen` and `candidates`, [c] bool."""
    del batch, key
    if not any("/soft_" in path for path in state.params):
      raise ValueError(
        "model.soft must be 'words', 'prefix' or 'adapter' for the learner "
        "'prompt', got none."
      )
    everything = jnp.ones((net.num_classes,), bool)
    return {"seen": everything, "candidates": jnp.copy(everything)}

  def start_stage(self, net, state, context):
    """Takes the vocabulary's words as a start, and the stage's classes."""
    del net
    params = jax.tree.map(jnp.copy, models.init_soft_prompt(state.params))
    seen = jnp.asarray(context.stage.seen)
    return state.replace(params=params, memory={**state.memory, "seen": seen})

  def loss(self, net, params, state, batch, key):
    """Mean cross-entropy over the classes seen in training."""
    labels, where = jnp.maximum(batch["label"], 0), batch["label"] >= 0
    call = lambda **kw: net(params, state.stats, data.inputs(batch), **kw)[0]
    # The images' half of this call is never computed.
    text = call(train=True, key=key)["text"]
    out = call()
    logits = out["scale"] * out["features"] @ text.T
    logits = models.mask_logits(logits, state.memory["seen"])
    values = losses.cross_entropy_loss(logits, labels)
    correct = (logits.argmax(-1) == labels).astype(jnp.float32)
    metrics = {"accuracy": losses.mean_where(correct, where)}
    loss = losses.mean_where(values, where)
    return loss, _training_state.Aux(state.stats, metrics)

  def end_stage(self, net, state, context):
    """Rules out what is not feasible."""
    if self.feasibility is None:
      return state
    words = state.params["text/soft_words"]
    seen = state.memory["seen"].reshape(-1, self.num_objects)
    scores = pair_feasibility(words[: len(seen)], words[len(seen) :], seen)
    kept = (seen | (scores > self.feasibility)).reshape(-1)
    return state.replace(memory={**state.memory, "candidates": kept})

  def predict(self, net, state, batch):
    """Outputs in evaluation mode; `logits` of ruled-out classes are hidden."""
    out, _ = net(state.params, state.stats, data.inputs(batch))
    logits = models.mask_logits(out["logits"], state.memory["candidates"])
    return {**out, "logits": logits}


def pair_feasibility(
  attributes: Float[Array, "a d"],
  objects: Float[Array, "o d"],
  seen: Bool[Array, "a o"],
) -> Float[Array, "a o"]:
  """How much a pair of primitives is like the pairs that occur.

  f(a, o) = (max over o' != o seen with a of cos(o, o')
             + max over a' != a seen with o of cos(a, a')) / 2,
  a maximum over nothing being -1.

  Args:
    attributes: [a d], vectors of the attributes.
    objects: [o d], vectors of the objects.
    seen: [a o], True = the pair occurs in training.

  Returns:
    [a o] float32 in [-1, 1].

  Raises:
    ValueError: seen is not [a o].

  Source: Mancini et al. 2021, arXiv:2101.12609, as in Nayak et al. 2022,
    arXiv:2204.03574.
  Differs: nothing known.

  >>> seen = jnp.array([[True, True], [True, False]])
  >>> print(pair_feasibility(jnp.eye(2), jnp.ones((2, 2)), seen)[1].round(2))
  [-0.5  0.5]
  """
  if seen.shape != (len(attributes), len(objects)):
    raise ValueError(
      f"seen must have shape {(len(attributes), len(objects))}, one entry a "
      f"pair, got {seen.shape}."
    )

  def best(vectors, occurs):
    """[n m]: the largest cosine of vector n to another that occurs with m."""
    x = ops.unit_norm(vectors)
    cosine = jnp.where(jnp.eye(len(x), dtype=bool), -1.0, x @ x.T)
    kept = jnp.where(occurs[None], cosine[:, :, None], -1.0)
    return kept.max(axis=1)

  by_object = best(objects, seen.T).T
  return (by_object + best(attributes, seen)) / 2
