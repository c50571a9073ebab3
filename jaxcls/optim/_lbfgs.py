"""L-BFGS to convergence, for small problems on full data."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxcls import _precision


def fit_lbfgs(
  objective: Callable[[Any], jax.Array],
  params: Any,
  *,
  max_iterations: int = 500,
  tolerance: float = 1e-6,
) -> tuple[Any, jax.Array, jax.Array]:
  """Minimises a smooth function: L-BFGS with a zoom line search.

  For heads, calibration maps and prototypes on features held in memory. Stops
  when no entry of the gradient is above the tolerance. One compiled loop;
  `jax.vmap` over starts or data works.

  Args:
    objective: f(params) -> [] float, deterministic.
    params: pytree of arrays to start from; types below float32 are computed
      in float32 and returned as they came.
    max_iterations: most steps, >= 0.
    tolerance: on the largest absolute entry of the gradient, >= 0; float32
      does not get far below 1e-6 of the objective's scale.

  Returns:
    (params, largest gradient entry [], steps taken [] int32); an entry above
    the tolerance, or nan, means not converged.

  Raises:
    ValueError: max_iterations or tolerance is negative.

  Source: Liu & Nocedal 1989, On the limited memory BFGS method (optax.lbfgs,
    memory 10).
  Differs: nothing known.

  >>> x, gradient, steps = fit_lbfgs(
  ...   lambda x: ((x - 2) ** 2).sum(), jnp.ones(2)
  ... )
  >>> print(x, bool(gradient < 1e-6))
  [2. 2.] True
  """
  if max_iterations < 0 or not tolerance >= 0:
    raise ValueError(
      "max_iterations and tolerance must be >= 0, got "
      f"{max_iterations} and {tolerance}."
    )
  params = jax.tree.map(jnp.asarray, params)
  types = jax.tree.map(lambda p: p.dtype, params)
  params = jax.tree.map(lambda p: p.astype(_precision.wide(p)), params)
  solver = optax.lbfgs()
  value_and_grad = optax.value_and_grad_from_state(objective)
  largest = lambda tree: optax.tree.norm(tree, ord=jnp.inf)

  def step(carry):
    params, state, _, steps = carry
    value, grad = value_and_grad(params, state=state)
    updates, state = solver.update(
      grad, state, params, value=value, grad=grad, value_fn=objective
    )
    params = optax.apply_updates(params, updates)
    # The line search has the gradient at the new point already.
    norm = largest(optax.tree.get(state, "grad"))
    return params, state, norm, steps + 1

  def unfinished(carry):
    _, _, norm, steps = carry
    return (norm > tolerance) & (steps < max_iterations)

  norm = largest(jax.grad(objective)(params))
  carry = (params, solver.init(params), norm, jnp.zeros((), jnp.int32))
  params, _, norm, steps = jax.lax.while_loop(unfinished, step, carry)
  return jax.tree.map(lambda p, t: p.astype(t), params, types), norm, steps
