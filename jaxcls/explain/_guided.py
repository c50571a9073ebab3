"""Guided backpropagation: another backward rule for every ReLU."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.extend import core
from jaxtyping import Array, Float, Int

from jaxcls.explain import _class_activation, _gradients, _maps


def guided_backprop(
  net: Callable,
  params,
  stats,
  images: Float[Array, "b h w c"],
  classes: Int[Array, " b"],
  *,
  score: Callable = _gradients.class_logit,
) -> Float[Array, "b h w"]:
  """Largest guided gradient of the score over channels: max_k |g^k|.

  The backward pass of every `jax.nn.relu` of the model is
  g 1[a > 0] 1[g > 0] instead of g 1[a > 0]. The model is traced and the rule
  put in on the way back; it needs no hooks and stays as it is.

  Args:
    net: as `models.Net`; so are params and stats.
    params: weights.
    stats: batch statistics.
    images: [b h w c].
    classes: [b], class ids that are explained.
    score: (logits, classes) -> [b], what y is.

  Returns:
    [b h w] float32, >= 0.

  Raises:
    ValueError: the model calls no `jax.nn.relu`.

  Source: Springenberg et al. 2014, arXiv:1412.6806.
  Differs: ReLUs inside scans or custom derivatives keep their own rule.
  """

  def total(x):
    return score(net(params, stats, x)[0]["logits"], classes).sum()

  gradients = jax.grad(_guide_relus(total, images))(images)
  return jnp.abs(gradients.astype(jnp.float32)).max(axis=-1)


def guided_grad_cam(
  net: Callable,
  params,
  stats,
  images: Float[Array, "b h w c"],
  classes: Int[Array, " b"],
  *,
  layer: str,
  score: Callable = _gradients.class_logit,
) -> Float[Array, "b h w"]:
  """Guided backpropagation times the upsampled Grad-CAM.

  Args:
    net: as `models.Net`; so are params and stats.
    params: weights.
    stats: batch statistics.
    images: [b h w c].
    classes: [b], class ids that are explained.
    layer: Grad-CAM's.
    score: (logits, classes) -> [b], what y is.

  Returns:
    [b h w] float32, >= 0.

  Raises:
    ValueError: no such tap, or the model calls no `jax.nn.relu`.

  Source: Selvaraju et al. 2016, arXiv:1610.02391.
  Differs: the largest over channels; the paper shows all three.
  """
  inputs = (net, params, stats, images, classes)
  coarse = _class_activation.grad_cam(*inputs, layer=layer, score=score)
  fine = guided_backprop(*inputs, score=score)
  return fine * _maps.upsample(coarse, images.shape[1:3])


@jax.custom_vjp
def _guided_relu(x):
  return jax.nn.relu(x)


_guided_relu.defvjp(
  lambda x: (jax.nn.relu(x), x > 0),
  lambda active, g: (jnp.where(active & (g > 0), g, 0),),
)


def _guide_relus(f, example):
  """F of one array to a scalar, its ReLUs replaced by guided ones."""
  closed = jax.make_jaxpr(f)(example)
  count = [0]

  def run(x):
    (out,) = _evaluate(closed, (x,), count)
    if not count[0]:
      raise ValueError(
        "net must call jax.nn.relu for guided backpropagation, it does not. "
        "Use gradient_saliency or grad_cam."
      )
    return out

  return run


def _evaluate(closed, args, count):
  """Runs a closed jaxpr; ReLUs are looked for inside nested jits too."""
  jaxpr, values = closed.jaxpr, {}
  values.update(zip(jaxpr.constvars, closed.consts, strict=True))
  values.update(zip(jaxpr.invars, args, strict=True))
  read = lambda v: v.val if isinstance(v, core.Literal) else values[v]
  for equation in jaxpr.eqns:
    inputs, name = [read(v) for v in equation.invars], equation.primitive.name
    if name == "custom_jvp_call" and _is_relu(equation.params["call_jaxpr"]):
      count[0] += 1
      outputs = [_guided_relu(*inputs)]
    elif name == "jit":
      outputs = _evaluate(equation.params["jaxpr"], inputs, count)
    else:
      outputs = _run_alone(equation, values)
    values.update(zip(equation.outvars, outputs, strict=True))
  return [read(v) for v in jaxpr.outvars]


def _run_alone(equation, values):
  """One equation, as JAX would run it."""
  variables = [v for v in equation.invars if not isinstance(v, core.Literal)]
  inputs = list(dict.fromkeys(variables))
  alone = core.Jaxpr((), inputs, equation.outvars, [equation])
  f = core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))
  return f(*[values[v] for v in inputs])


def _is_relu(closed):
  """Whether a custom derivative's body is `jax.nn.relu`."""
  equations = closed.jaxpr.eqns
  return len(equations) == 1 and equations[0].params.get("name") == "relu"
