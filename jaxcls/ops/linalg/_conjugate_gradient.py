"""Conjugate gradients for symmetric positive definite systems."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxcls.ops import _arrays


def conjugate_gradient(
  matvec: Callable[[Any], Any],
  b: Any,
  *,
  num_iterations: int,
  ridge: float | jax.Array = 0.0,
  num_batch_axes: int = 0,
  preconditioner: Callable[[Any], Any] | None = None,
) -> Any:
  """Solves A x + ridge * x = b after num_iterations steps from x = 0.

  With r = p = b at first: t = r.r / (p . A p);  x += t p;  r' = r - t A p;
  p' = r' + (r'.r' / r.r) p. In exact arithmetic as many steps as A has
  different eigenvalues are enough; a residual of 0 stays where it is.

  Differentiable with respect to b and to whatever matvec closes over, by the
  implicit function theorem: backward is one more solve of the same length,
  exact as far as the solves have converged. Reverse mode only, of any order.

  Args:
    matvec: x -> A x, linear, symmetric and positive definite (not checked),
      from arrays like b to arrays like b.
    b: an array or a pytree of arrays, any float type; computed in float32
      (float64 stays), which is what matvec is given.
    num_iterations: >= 1, fixed: the cost never depends on the data.
    ridge: >= 0, one number.
    num_batch_axes: leading axes of every leaf that count systems of their
      own, each with its own step sizes; all other axes and all leaves make up
      one vector. matvec takes all systems at once.
    preconditioner: r -> M^-1 r, M symmetric positive definite and near A +
      ridge; linear, on all systems at once. None: the identity.

  Returns:
    x, like b in float32 or float64; exactly 0 where b is 0.

  Raises:
    TypeError: a leaf of b is not floating point.
    ValueError: num_iterations < 1, ridge < 0, leaves of b with fewer axes
      than num_batch_axes or other sizes of them, or matvec changes a shape.

  Source: Hestenes & Stiefel 1952, Methods of conjugate gradients for solving
    linear systems.
  Differs: jax.scipy.sparse.linalg.cg stops by tolerance and has one step size
    for a whole batch.

  >>> a = jnp.array([[2.0, 1.0], [1.0, 2.0]])
  >>> x = conjugate_gradient(lambda v: a @ v, a.sum(1), num_iterations=2)
  >>> print(x.round(5))
  [1. 1.]
  """
  b = jax.tree.map(lambda leaf: _arrays.wide("b", leaf), b)
  at_least = lambda low: lambda v: v >= low
  _arrays.check_number("num_iterations", num_iterations, ">= 1", at_least(1))
  _arrays.check_number("ridge", ridge, ">= 0", at_least(0))
  _arrays.check_number("num_batch_axes", num_batch_axes, ">= 0", at_least(0))
  leaves = jax.tree.leaves(b)
  batch = leaves[0].shape[:num_batch_axes] if leaves else ()
  for leaf in leaves:
    if leaf.ndim < num_batch_axes or leaf.shape[:num_batch_axes] != batch:
      raise ValueError(
        f"b must have {num_batch_axes} leading batch axes {batch} in every "
        f"leaf, got shape {leaf.shape}."
      )
  shapes = lambda tree: jax.tree.map(jnp.shape, tree)

  def regularised(x):
    out = matvec(x)
    if shapes(out) != shapes(b):
      raise ValueError(
        f"matvec must keep the shapes of b, {shapes(b)}, got {shapes(out)}."
      )
    return jax.tree.map(lambda a, x: a + ridge * x, out, x)

  apply = preconditioner or (lambda r: r)
  # Of the type that A gives back, whatever mesh axes it varies over.
  b = jax.tree.map(lambda b, a: b + jnp.zeros_like(a), b, regularised(b))
  # The arrays that matvec closes over become arguments, for their gradients.
  matvec, constants = jax.closure_convert(regularised, b)
  apply, others = jax.closure_convert(apply, b)

  def solve(constants, others, b):
    system = lambda v: matvec(v, *constants)
    precondition = lambda r: apply(r, *others)
    return _solve(system, b, precondition, num_iterations, num_batch_axes)

  return _implicit(solve, matvec)(constants, others, b)


def _implicit(solve, matvec):
  """solve(constants, others, b), with the gradients of A^-1 b.

  For y = A^-1 dx: db = y, and the constants of A get that of -y . A x. Like
  jax.lax.custom_linear_solve, which confuses the mesh axes under
  jax.shard_map.
  """
  solver = jax.custom_vjp(solve)

  def forward(constants, others, b):
    x = solver(constants, others, b)
    return x, (constants, others, x)

  def backward(residuals, d_x):
    constants, others, x = residuals
    y = solver(constants, others, d_x)
    _, pull_back = jax.vjp(lambda *c: matvec(x, *c), *constants)
    d_constants = pull_back(jax.tree.map(jnp.negative, y))
    return list(d_constants), None, y

  solver.defvjp(forward, backward)
  return solver


def _dot(x, y, axes):
  """Inner products [*batch], over all leaves."""
  parts = jax.tree.map(
    lambda x, y: (x * y).sum(axis=tuple(range(axes, x.ndim))), x, y
  )
  return sum(jax.tree.leaves(parts))


def _ratio(top, bottom):
  """top / bottom, 0 where bottom is not above 0."""
  some = bottom > 0
  return jnp.where(some, top / jnp.where(some, bottom, 1), 0)


def _solve(matvec, b, apply, num_iterations, axes):
  def add(x, scale, y):
    """x + scale * y, one scale for each system."""
    wide = lambda v: scale.reshape(scale.shape + (1,) * (v.ndim - axes))
    return jax.tree.map(lambda x, y: x + wide(y) * y, x, y)

  def step(_, state):
    x, r, p, rz = state
    ap = matvec(p)
    scale = _ratio(rz, _dot(p, ap, axes))
    x, r = add(x, scale, p), add(r, -scale, ap)
    z = apply(r)
    new = _dot(r, z, axes)
    return x, r, add(z, _ratio(new, rz), p), new

  z = apply(b)
  state = jax.tree.map(jnp.zeros_like, b), b, z, _dot(b, z, axes)
  return jax.lax.fori_loop(0, num_iterations, step, state)[0]
