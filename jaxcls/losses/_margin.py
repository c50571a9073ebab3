"""Losses that ask for a margin between the label and the other classes."""

import math

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxcls import ops
from jaxcls.losses import _checks, _softmax

# Square of the smallest norm that is divided by.
_TINY = 1e-24


def _check_prototypes(embeddings, prototypes, labels):
  if prototypes.ndim != 2 or prototypes.shape[1] != embeddings.shape[-1]:
    raise ValueError(
      f"prototypes must have shape (c, {embeddings.shape[-1]}) to match "
      f"embeddings {embeddings.shape}, got {prototypes.shape}."
    )
  _checks.check_labels(embeddings, labels)


def multiclass_hinge_loss(
  logits: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  *,
  margin: float = 1.0,
) -> Float[Array, "*b"]:
  """Hinge on the strongest wrong class, of Crammer and Singer.

  loss = max(0, margin + max_{k != label} logits_k - logits[label]).

  Args:
    logits: [*b c], any float type; computed in float32, no softmax.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    margin: wanted distance to the strongest wrong class, > 0, of the logits'
      unit.

  Returns:
    [*b] float32, of the logits' unit, one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits, or margin <= 0.

  Source: Crammer & Singer 2001, On the algorithmic implementation of
    multiclass kernel-based vector machines, JMLR 2.
  Differs: nothing known; optax.losses.multiclass_hinge_loss, with a margin.

  >>> logits = jnp.array([[2.0, 1.5, 0.0]])
  >>> print(multiclass_hinge_loss(logits, jnp.array([0])))
  [0.5]
  """
  _checks.check_labels(logits, labels)
  _checks.check_number("margin", margin, "above 0", lambda v: v > 0)
  logits = logits.astype(jnp.float32) / margin
  return margin * optax.losses.multiclass_hinge_loss(logits, labels)


def multi_margin_loss(
  logits: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  *,
  margin: float = 1.0,
  power: int = 1,
) -> Float[Array, "*b"]:
  """Hinge on every wrong class, of Weston and Watkins.

  loss = (1 / c) sum_{k != label} max(0, margin + logits_k - logits[label])
  ** power.

  Args:
    logits: [*b c], any float type; computed in float32, no softmax.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    margin: wanted distance to each wrong class, > 0, of the logits' unit.
    power: 1 (hinge) or 2 (squared hinge).

  Returns:
    [*b] float32, of the logits' unit to the power, one value per example, not
    reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits, margin <= 0, or power
      is not 1 or 2.

  Source: Weston & Watkins 1999, Support vector machines for multi-class
    pattern recognition, ESANN.
  Differs: mean over the c classes, as in torch.nn.MultiMarginLoss; the paper
    has the sum.

  >>> logits = jnp.array([[2.0, 1.5, 1.0, 0.0]])
  >>> print(multi_margin_loss(logits, jnp.array([0]), margin=2.0))
  [0.625]
  """
  _checks.check_labels(logits, labels)
  _checks.check_number("margin", margin, "above 0", lambda v: v > 0)
  _checks.check_number("power", power, "1 or 2", lambda v: v in (1, 2))
  logits = logits.astype(jnp.float32)
  gaps = margin + logits - _softmax.pick(logits, labels)[..., None]
  gaps = jnp.where(
    _softmax.is_label(logits, labels), 0.0, jnp.maximum(gaps, 0.0)
  )
  return (gaps**power).mean(axis=-1)


def sparsemax_loss(
  logits: Float[Array, "*b c"], labels: Int[Array, "*b"]
) -> Float[Array, "*b"]:
  """The loss whose gradient is the sparse projection minus the one-hot label.

  loss = -z_y + 1/2 sum_{k: p_k > 0} (z_k**2 - tau**2) + 1/2, z = logits,
  p = sparsemax(z) = max(z - tau, 0), the projection on the simplex. It is 0
  where the label leads by 1 or more.

  Args:
    logits: [*b c], any float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.

  Returns:
    [*b] float32, >= 0, one value per example, not reduced; no unit.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of logits.

  Source: Martins & Astudillo 2016, arXiv:1602.02068, sparsemax loss.
  Differs: nothing known.

  >>> print(sparsemax_loss(jnp.zeros((1, 2)), jnp.array([1])))
  [0.25]
  """
  _checks.check_labels(logits, labels)
  z = _softmax.shifted(logits)
  support = z > _simplex_threshold(jax.lax.stop_gradient(z))
  size = support.sum(axis=-1, keepdims=True, dtype=jnp.float32)
  tau = (jnp.where(support, z, 0.0).sum(-1, keepdims=True) - 1.0) / size
  squares = jnp.where(support, z**2 - tau**2, 0.0).sum(axis=-1)
  return (squares + 1.0) / 2.0 - _softmax.pick(z, labels)


def _simplex_threshold(z):
  """tau with sum max(z - tau, 0) = 1, for z <= 0 with a 0: [*b c] -> [*b 1].

  Newton's method on a convex, piecewise linear function, from the left: exact
  when the support stops shrinking, and without the sort of all classes.
  """

  def step(state):
    tau, _ = state
    above = z > tau
    total = jnp.where(above, z, 0.0).sum(axis=-1, keepdims=True)
    size = above.sum(axis=-1, keepdims=True, dtype=jnp.float32)
    return (total - 1.0) / size, tau

  rises = lambda state: (state[0] > state[1]).any()
  first = z.max(axis=-1, keepdims=True) - 1.0
  return jax.lax.while_loop(rises, step, (first, first - 1.0))[1]


def normalized_softmax_loss(
  embeddings: Float[Array, "*b d"],
  prototypes: Float[Array, "c d"],
  labels: Int[Array, "*b"],
  *,
  temperature: float,
) -> Float[Array, "*b"]:
  """Softmax cross-entropy of the cosines between embedding and prototypes.

  loss = -log softmax(cos(embedding, prototypes) / temperature)[label].

  Args:
    embeddings: [*b d], any float type, any norm; computed in float32.
    prototypes: [c d], one a class, any norm.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    temperature: > 0, no unit; 1 / temperature is the paper's scale s.

  Returns:
    [*b] float32, nats, one value per example, not reduced. Vectors of norm
    below 1e-12 count as zero: cosine 0.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of embeddings, prototypes are not
      of shape (c, d), or temperature <= 0.

  Source: Wang et al. 2017, arXiv:1704.06369, NormFace.
  Differs: the scale is given, not learned.

  >>> embeddings, labels = jnp.array([[3.0, 3.0]]), jnp.array([1])
  >>> f = normalized_softmax_loss
  >>> print(f(embeddings, jnp.eye(2), labels, temperature=0.5))
  [0.6931472]
  """
  _check_prototypes(embeddings, prototypes, labels)
  _checks.check_number("temperature", temperature, "above 0", lambda v: v > 0)
  cosines = ops.unit_norm(embeddings) @ ops.unit_norm(prototypes).T
  logits = cosines / temperature
  return -_softmax.label_log_probs(logits, labels)


def cosface_loss(
  cosines: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  *,
  margin: float,
  temperature: float,
) -> Float[Array, "*b"]:
  """Large margin cosine loss: the label's cosine is lowered by a margin.

  loss = -log softmax((cosines - margin * one_hot(label)) / temperature)
  [label].

  Args:
    cosines: [*b c], of embedding and prototypes, in [-1, 1] (not checked), any
      float type; computed in float32.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    margin: >= 0, of a cosine; 0.4 in insightface's code.
    temperature: > 0, no unit; 1 / temperature is the paper's scale s, 64 in
      insightface's code.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of cosines, margin < 0, or
      temperature <= 0.

  Source: Wang et al. 2018, arXiv:1801.09414, LMCL.
  Differs: takes the cosines, the paper's layer computes them.

  >>> cosines = jnp.array([[0.5, 0.25]])
  >>> f = cosface_loss
  >>> print(f(cosines, jnp.array([0]), margin=0.25, temperature=0.1))
  [0.6931472]
  """
  _checks.check_labels(cosines, labels)
  _checks.check_number("margin", margin, "at least 0", lambda v: v >= 0)
  _checks.check_number("temperature", temperature, "above 0", lambda v: v > 0)
  cosines = cosines.astype(jnp.float32)
  label_logits = (_softmax.pick(cosines, labels) - margin) / temperature
  return _softmax.replaced_label_loss(
    cosines / temperature, label_logits, labels
  )


def arcface_loss(
  cosines: Float[Array, "*b c"],
  labels: Int[Array, "*b"],
  *,
  margin: float,
  temperature: float,
) -> Float[Array, "*b"]:
  """Additive angular margin: the label's angle is widened by a margin.

  loss = -log softmax(l / temperature)[label], l = cosines except
  l[label] = cos(theta + margin), theta = arccos(cosines[label]); beyond
  theta = pi - margin, where that would rise again, cos(theta) -
  margin * sin(margin).

  Args:
    cosines: [*b c], of embedding and prototypes, any float type; computed in
      float32. The label's is clipped to [-1, 1].
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    margin: in [0, pi), radians; 0.5 in insightface's code.
    temperature: > 0, no unit; 1 / temperature is the paper's scale s, 64 in
      insightface's code.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of cosines, margin is not in
      [0, pi), or temperature <= 0.

  Source: Deng et al. 2019, arXiv:1801.07698, ArcFace; the branch beyond
    pi - margin is of its released code.
  Differs: the gradient at a cosine of +-1, infinite there, is finite here.

  >>> cosines = jnp.array([[1.0, 0.0]])
  >>> f = arcface_loss
  >>> print(f(cosines, jnp.array([0]), margin=0.5, temperature=0.1))
  [0.00015436]
  """
  _checks.check_labels(cosines, labels)
  _checks.check_number(
    "margin", margin, "in [0, pi)", lambda v: 0 <= v < math.pi
  )
  _checks.check_number("temperature", temperature, "above 0", lambda v: v > 0)
  cosines = cosines.astype(jnp.float32)
  cosine = jnp.clip(_softmax.pick(cosines, labels), -1.0, 1.0)
  # The floor bounds the root's slope; it moves the cosine by 1e-4 at most.
  sine = jnp.sqrt(jnp.maximum(1.0 - cosine**2, 1e-8))
  sine = jnp.where(jnp.abs(cosine) < 1.0, sine, 0.0)
  widened = cosine * jnp.cos(margin) - sine * jnp.sin(margin)
  lowered = cosine - margin * jnp.sin(margin)
  label_cosine = jnp.where(cosine > -jnp.cos(margin), widened, lowered)
  return _softmax.replaced_label_loss(
    cosines / temperature, label_cosine / temperature, labels
  )


def large_margin_softmax_loss(
  embeddings: Float[Array, "*b d"],
  prototypes: Float[Array, "c d"],
  labels: Int[Array, "*b"],
  *,
  margin: int,
  annealing: float = 0.0,
) -> Float[Array, "*b"]:
  """L-Softmax: the label's angle is multiplied by an integer margin.

  loss = -log softmax(l)[label], l_k = |w_k| |x| cos(theta_k) except
  l[label] = |w| |x| (annealing * cos(theta) + psi(theta)) / (1 + annealing),
  psi(theta) = (-1)**j cos(margin * theta) - 2 j for theta in
  [j pi / margin, (j + 1) pi / margin], which falls from 1 to 1 - 2 margin.

  Args:
    embeddings: [*b d], x, any float type, any norm; computed in float32.
    prototypes: [c d], w, one a class, any norm; the last layer's weights.
    labels: [*b], class ids in [0, c); not checked, the values are traced.
    margin: integer >= 1; 1 is plain cross-entropy.
    annealing: >= 0, the paper's lambda, large at the start of training.

  Returns:
    [*b] float32, nats, one value per example, not reduced.

  Raises:
    TypeError: labels are not integers.
    ValueError: labels do not match the rows of embeddings, prototypes are not
      of shape (c, d), margin < 1, or annealing < 0.

  Source: Liu et al. 2016, arXiv:1612.02295, L-Softmax.
  Differs: nothing known.

  >>> x, w, labels = jnp.array([[1.0, 1.0]]), jnp.eye(2), jnp.array([0])
  >>> print(large_margin_softmax_loss(x, w, labels, margin=2))  # 0 against 1
  [1.3132617]
  """
  _check_prototypes(embeddings, prototypes, labels)
  _checks.check_number("margin", margin, "at least 1", lambda v: v >= 1)
  _checks.check_number("annealing", annealing, "at least 0", lambda v: v >= 0)
  x, w = embeddings.astype(jnp.float32), prototypes.astype(jnp.float32)
  logits = x @ w.T
  square = (x**2).sum(axis=-1) * (w**2).sum(axis=-1)[labels]
  norms = jnp.sqrt(jnp.maximum(square, _TINY))
  cosine = jnp.clip(_softmax.pick(logits, labels) / norms, -1.0, 1.0)
  before, power = jnp.ones_like(cosine), cosine  # cos(0 theta), cos(1 theta)
  for _ in range(margin - 1):
    before, power = power, 2.0 * cosine * power - before
  edges = jnp.cos(jnp.arange(1, margin, dtype=jnp.float32) * (math.pi / margin))
  j = (cosine[..., None] < edges).sum(axis=-1, dtype=jnp.float32)
  psi = (1.0 - 2.0 * (j % 2.0)) * power - 2.0 * j
  label_logits = norms * (annealing * cosine + psi) / (1.0 + annealing)
  return _softmax.replaced_label_loss(logits, label_logits, labels)
