"""Sharpness-aware gradients: SAM and ASAM."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxcls import _precision


def sam_perturbation(
  grads: Any,
  params: Any,
  *,
  rho: float,
  adaptive: bool = False,
  eta: float = 0.01,
  adaptive_pattern: str = "kernel|scale|embedding",
) -> Any:
  """The step to the point of highest loss nearby, to first order.

  SAM:  e = rho g / ||g||, the norm over all parameters.
  ASAM: e = rho T^2 g / ||T g||, T = |w| + eta where the path matches
  `adaptive_pattern` and 1 elsewhere; the neighbourhood ||T^-1 e|| <= rho does
  not change when a layer's weights grow and the next one's shrink.

  Args:
    grads: gradient at `params`.
    params: pytree of arrays; computed in float32.
    rho: radius, >= 0; the papers use 0.05 to 0.1 (SAM), 0.5 to 1 (ASAM).
    adaptive: True is ASAM.
    eta: >= 0, ASAM only: keeps weights of 0 movable.
    adaptive_pattern: ASAM only: regular expression over paths joined by "/".

  Returns:
    A pytree like `params`, in their types; 0 where the gradient is 0.

  Raises:
    ValueError: rho or eta is negative, or `adaptive` and no path matches.

  Source: Foret et al. 2021, arXiv:2010.01412 (SAM); Kwon et al. 2021,
    arXiv:2102.11600 (ASAM).
  Differs: the norm is bounded below by 1e-24, the codes add 1e-12 or 1e-16;
    ASAM's code normalises what PyTorch calls "weight", which the default
    pattern translates.

  >>> w, g = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])
  >>> print(sam_perturbation(g, w, rho=0.5))
  [0.3 0.4]
  """
  if not (rho >= 0 and eta >= 0):
    raise ValueError(f"rho and eta must be >= 0, got rho {rho} and eta {eta}.")
  up = lambda x: x.astype(_precision.wide(x))
  grads, params = jax.tree.map(jnp.asarray, (grads, params))
  grads = jax.tree.map(up, grads)
  if adaptive:
    sizes = _sizes(params, eta, adaptive_pattern)
    grads = jax.tree.map(jnp.multiply, sizes, grads)
  # The largest entry first: the squares of tiny gradients would underflow.
  largest = jnp.maximum(optax.tree.norm(grads, ord=jnp.inf), 1e-12)
  grads = jax.tree.map(lambda g: g / largest, grads)
  scale = rho / jnp.maximum(optax.tree.norm(grads), 1e-12)
  if adaptive:
    grads = jax.tree.map(jnp.multiply, sizes, grads)
  return jax.tree.map(lambda g, p: (scale * g).astype(p.dtype), grads, params)


def _sizes(params, eta, pattern):
  """T of ASAM, as a pytree like `params`."""
  found = []

  def size(keys, p):
    name = jax.tree_util.keystr(keys, simple=True, separator="/")
    found.append(bool(re.search(pattern, name)))
    p = p.astype(_precision.wide(p))
    return jnp.abs(p) + eta if found[-1] else jnp.ones_like(p)

  sizes = jax.tree_util.tree_map_with_path(size, params)
  if not any(found):
    raise ValueError(
      "adaptive_pattern must match some path of params, got "
      f"{pattern!r}. Use '' for all."
    )
  return sizes


def sam_gradient(
  value_and_grad: Callable[..., tuple[Any, Any]],
  params: Any,
  *args: Any,
  rho: float,
  adaptive: bool = False,
  eta: float = 0.01,
  adaptive_pattern: str = "kernel|scale|embedding",
) -> tuple[Any, Any]:
  """Value here, gradient at the worst point nearby: two gradients a step.

  (L(w), grad L(w + e)) with e = `sam_perturbation`, a constant: nothing is
  differentiated through it. Feed the gradient to any optax optimiser, which
  starts from w. In a config of the supervised learner:
  `learner.gradient = dict(name="sam_gradient", rho=0.05)`.

  Args:
    value_and_grad: f(params, *args) -> (value, grads), as `jax.value_and_grad`
      returns it; value may be (loss, aux).
    params: pytree of arrays.
    *args: given to both calls: same batch, same key, same dropout.
    rho: radius, >= 0; 0 is the plain gradient. See `sam_perturbation` for
      it and for `adaptive`, `eta` and `adaptive_pattern`.
    adaptive: True is ASAM.
    eta: of ASAM.
    adaptive_pattern: of ASAM.

  Returns:
    (value, grads): of the first call, of the second call. Batch statistics
    in an aux thus come from w, not from w + e.

  Raises:
    ValueError: see `sam_perturbation`.

  Source: Foret et al. 2021, arXiv:2010.01412; Kwon et al. 2021,
    arXiv:2102.11600.
  Differs: one e for the batch that the gradient is of; the SAM paper takes
    one for each accelerator's share, which it finds better.

  >>> f = jax.value_and_grad(lambda w: (w**2).sum())
  >>> value, grads = sam_gradient(f, jnp.array([3.0, 4.0]), rho=0.5)
  >>> print(value, grads)
  25.0 [6.6 8.8]
  """
  value, grads = value_and_grad(params, *args)
  step = sam_perturbation(
    grads, params, rho=rho, adaptive=adaptive, eta=eta,
    adaptive_pattern=adaptive_pattern,
  )  # fmt: skip
  _, grads = value_and_grad(jax.tree.map(jnp.add, params, step), *args)
  return value, grads
