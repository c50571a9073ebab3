"""A network whose hidden units are added by gradient boosting."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from jaxcls import optim
from jaxcls.classifiers import _inputs

# Newton steps are this often halved where the loss would grow.
_HALVINGS = 24


def fit_boosted_network(
  features: Float[Array, "n d"],
  labels: Int[Array, " n"],
  *,
  num_classes: int,
  key: Key[Array, ""],
  total_units: int = 200,
  units_per_step: int = 1,
  learning_rate: float = 1.0,
  subsample: float = 0.5,
  max_iterations: int = 200,
  where: Bool[Array, " n"] | None = None,
) -> dict[str, Array]:
  """Adds small networks one after another, each fitted to the residuals.

  F_0 = 0; step t fits f_t, one hidden layer of sigmoid units and a linear
  output, to the residuals r = y - p, p = softmax(F), by least squares on a
  part of the rows, and takes a Newton step along it:
  F <- F + rho f_t, rho = learning_rate * sum f_t (y - p) / sum f_t**2 p (1 - p)
  over all rows and classes. Two classes have one output, y in {-1, 1},
  p = sigmoid(2 F): F_0 = log((1 + mean y) / (1 - mean y)) / 2,
  r = 2 y / (1 + exp(2 y F)),
  rho = learning_rate * sum r f_t / sum r f_t**2 (2 y - r).

  Args:
    features: [n d], any float type; computed in float32. Standardise them.
    labels: [n], class ids in [0, c), -1 = unlabelled, not used.
    num_classes: c >= 2, fixed.
    key: draws initial weights and parts.
    total_units: hidden units in all; a multiple of units_per_step.
    units_per_step: hidden units of each small network.
    learning_rate: share of the Newton step, in (0, 1].
    subsample: share of the rows that a step is fitted to, in (0, 1], drawn
      without replacement; the Newton step sees all rows.
    max_iterations: most L-BFGS steps of each fit.
    where: [n], True = keep; None keeps all.

  Returns:
    {"hidden_kernel": [t j d], "hidden_bias": [t j], "out_kernel": [t j q],
    "out_bias": [t q], "start": [q], "loss": [t]}: the small networks with
    their rho multiplied in, q = c (1 for two classes); loss is the mean
    negative log-likelihood after each step, nats.

  Raises:
    ValueError: no rows, shapes that do not match, a label >= num_classes, a
      number out of its range.
    TypeError: labels are not integers or where is not bool.

  Source: Emami & Martinez-Munoz 2019, arXiv:1909.12098 (GBNN); Friedman 2001,
    Greedy function approximation.
  Differs: a Newton step that would raise the loss is halved until it does not:
    one confident mistake makes its curvature vanish and the step explode. The
    released code's small networks have scikit-learn's weight decay, 1e-4 / n.

  >>> x, y = jnp.array([[-1.0], [1.0]] * 4), jnp.array([0, 1] * 4)
  >>> params = fit_boosted_network(
  ...   x, y, num_classes=2, key=jax.random.key(0), total_units=2
  ... )
  >>> print(predict_boosted_network(params, x[:2]).argmax(axis=-1))
  [0 1]
  """
  features, labels, kept = _inputs.check_fit(
    features, labels, num_classes, where
  )
  _check_numbers(
    num_classes, total_units, units_per_step, learning_rate, subsample
  )
  targets = _inputs.one_hot(labels, num_classes)
  start = jnp.zeros(num_classes)
  if num_classes == 2:
    targets = targets[:, 1:] - targets[:, :1]  # -1, 1; 0 where left out
    mean = targets.sum() / jnp.maximum(kept.sum(dtype=jnp.float32), 1)
    mean = jnp.clip(mean, -1 + 1e-6, 1 - 1e-6)
    start = jnp.arctanh(mean)[None]
  weight = kept[:, None].astype(jnp.float32)
  step = _make_step(
    features, targets, weight, units_per_step, learning_rate, subsample,
    max_iterations,
  )  # fmt: skip
  scores = jnp.broadcast_to(start, targets.shape)
  keys = jax.random.split(key, total_units // units_per_step)
  _, (layers, losses) = jax.lax.scan(step, scores, keys)
  return {**layers, "start": start, "loss": losses}


def _make_step(
  features, targets, weight, units, learning_rate, subsample, max_iterations
):
  """(scores [n q], key) -> (new scores, (small network, loss))."""
  width, outputs = features.shape[1], targets.shape[1]

  def step(scores, key):
    keys = jax.random.split(key)
    residuals, curvature = _derivatives(scores, targets)
    residuals = weight * residuals
    part = weight * _draw_part(keys[0], weight[:, 0], subsample)
    count = jnp.maximum(part.sum(), 1.0)

    def objective(layers):
      gap = (_small_network(layers, features) - residuals) ** 2
      return (part * gap).sum() / count

    layers = _init_layers(keys[1], width, units, outputs)
    layers, _, _ = optim.fit_lbfgs(
      objective, layers, max_iterations=max_iterations, tolerance=1e-6
    )
    found = weight * _small_network(layers, features)
    slope, bend = (found * residuals).sum(), (found**2 * curvature).sum()
    # A network that predicts nothing, or rows that are all certain.
    rho = jnp.where(bend > 1e-20, slope / jnp.maximum(bend, 1e-20), 0.0)
    loss = lambda rho: _loss(scores + rho * found, targets, weight)
    rho = _not_uphill(loss, learning_rate * rho)
    scaled = {k: rho * layers[k] for k in ("out_kernel", "out_bias")}
    return scores + rho * found, ({**layers, **scaled}, loss(rho))

  return step


def _not_uphill(loss, rho):
  """The step, halved until the loss does not grow; 0 if it always does."""
  steps = rho * 0.5 ** jnp.arange(_HALVINGS, dtype=jnp.float32)
  good = jax.lax.map(loss, steps) <= loss(0.0)
  return jnp.where(good.any(), steps[jnp.argmax(good)], 0.0)


def _derivatives(scores, targets):
  """Minus the loss's first derivative, and its second one."""
  if targets.shape[1] == 1:
    residuals = 2 * targets * jax.nn.sigmoid(-2 * targets * scores)
    return residuals, residuals * (2 * targets - residuals)
  probs = jax.nn.softmax(scores, axis=-1)
  return targets - probs, probs * (1 - probs)


def _loss(scores, targets, weight):
  """Mean negative log-likelihood."""
  if targets.shape[1] == 1:
    values = jax.nn.softplus(-2 * targets * scores)
  else:
    values = -(targets * jax.nn.log_softmax(scores, axis=-1))
  return (weight * values).sum() / jnp.maximum(weight.sum(), 1.0)


def _draw_part(key, kept, subsample):
  """[n 1] float: 1 for a share of the kept rows, without replacement."""
  order = jnp.where(kept > 0, jax.random.uniform(key, kept.shape), 2.0)
  rank = jnp.argsort(jnp.argsort(order))
  size = jnp.ceil(subsample * kept.sum()).astype(rank.dtype)
  return (rank < size)[:, None].astype(jnp.float32)


def _init_layers(key, width, units, outputs):
  """Glorot's uniform weights, biases alike."""
  keys = jax.random.split(key, 4)
  draw = lambda key, shape, fan: (
    jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
    * jnp.sqrt(2.0 / fan)
  )
  return {
    "hidden_kernel": draw(keys[0], (units, width), width + units),
    "hidden_bias": draw(keys[1], (units,), width + units),
    "out_kernel": draw(keys[2], (units, outputs), units + outputs),
    "out_bias": draw(keys[3], (outputs,), units + outputs),
  }


def _small_network(layers, features):
  hidden = _inputs.matmul(features, layers["hidden_kernel"].T)
  hidden = jax.nn.sigmoid(hidden + layers["hidden_bias"])
  return _inputs.matmul(hidden, layers["out_kernel"]) + layers["out_bias"]


def predict_boosted_network(
  params: dict[str, Array],
  features: Float[Array, "b d"],
  *,
  num_steps: int | None = None,
) -> Float[Array, "b c"]:
  """Logits F_0 + sum of the first small networks; (-F, F) for two classes.

  Args:
    params: from fit_boosted_network.
    features: [b d], any float type; computed in float32.
    num_steps: how many of the steps count, from the first; None: all. Fewer
      cost less.

  Returns:
    [b c] float32 logits; their softmax is the probability.

  Raises:
    ValueError: features are not [b d] with the d of fit, or num_steps is not
      in [0, steps of fit].

  Source: Emami & Martinez-Munoz 2019, arXiv:1909.12098 (GBNN).
  Differs: nothing known.

  >>> x, y = jnp.array([[-1.0], [1.0]] * 4), jnp.array([0, 1] * 4)
  >>> params = fit_boosted_network(
  ...   x, y, num_classes=2, key=jax.random.key(0), total_units=2
  ... )
  >>> print(predict_boosted_network(params, x[:1], num_steps=0))
  [[0. 0.]]
  """
  network = boosted_network_params(params, num_steps=num_steps)
  kernel, bias = network["layers/0/kernel"], network["layers/0/bias"]
  features = _inputs.check_features(features, kernel.shape[0])
  hidden = jax.nn.sigmoid(_inputs.matmul(features, kernel) + bias)
  logits = _inputs.matmul(hidden, network["head/kernel"])
  return logits + network["head/bias"]


def boosted_network_params(
  params: dict[str, Array], *, num_steps: int | None = None
) -> dict[str, Array]:
  """The same function as one network with a hidden layer.

  Args:
    params: from fit_boosted_network.
    num_steps: as in predict_boosted_network.

  Returns:
    Weights of `models.mlp(hidden=(units,), activation="sigmoid")`, to go on
    training: "layers/0/kernel" [d t*j], "layers/0/bias", "head/kernel"
    [t*j c], "head/bias" [c].

  Raises:
    ValueError: num_steps is not in [0, steps of fit].

  Source: Emami & Martinez-Munoz 2019, arXiv:1909.12098 (GBNN).
  Differs: nothing known.

  >>> x, y = jnp.array([[-1.0], [1.0]] * 4), jnp.array([0, 1] * 4)
  >>> params = fit_boosted_network(
  ...   x, y, num_classes=2, key=jax.random.key(0), total_units=2
  ... )
  >>> print(boosted_network_params(params)["head/kernel"].shape)
  (2, 2)
  """
  hidden = params["hidden_kernel"]
  steps, units, width = hidden.shape
  num_steps = steps if num_steps is None else num_steps
  if not 0 <= num_steps <= steps:
    raise ValueError(f"num_steps must be in [0, {steps}], got {num_steps}.")
  total = num_steps * units
  out = params["out_kernel"][:num_steps].reshape(total, len(params["start"]))
  bias = params["start"] + params["out_bias"][:num_steps].sum(axis=0)
  if out.shape[1] == 1:  # softmax of (-F, F) is sigmoid(2 F).
    out, bias = (jnp.concatenate([-a, a], axis=-1) for a in (out, bias))
  return {
    "layers/0/kernel": hidden[:num_steps].reshape(total, width).T,
    "layers/0/bias": params["hidden_bias"][:num_steps].reshape(total),
    "head/kernel": out,
    "head/bias": bias,
  }


def _check_numbers(classes, total_units, per_step, learning_rate, subsample):
  if classes < 2:
    raise ValueError(f"num_classes must be at least 2, got {classes}.")
  if per_step < 1 or total_units < 1 or total_units % per_step:
    raise ValueError(
      "total_units must be a positive multiple of units_per_step, got "
      f"{total_units} and {per_step}."
    )
  for name, value in dict(
    learning_rate=learning_rate, subsample=subsample
  ).items():
    if not 0 < value <= 1:
      raise ValueError(f"{name} must be in (0, 1], got {value}.")
