"""The largest eigenvalues of a symmetric operator."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls.ops import _arrays


def power_iteration(
  matvec: Callable[[Array], Array],
  init: Float[Array, "n r"],
  *,
  num_steps: int,
) -> tuple[Float[Array, " r"], Float[Array, "n r"]]:
  """The r eigenvalues of largest modulus, and their vectors.

  V <- qr(A V), num_steps times; then the eigenvalues of V^T A V. For r = 1
  this is power iteration, else subspace iteration: the QR keeps each vector
  orthogonal to those before it (deflation). The error of eigenvalue i shrinks
  by (lambda_{r + 1} / lambda_i)^2 a step.

  The eigenvalues have gradients v^T dA v with respect to what matvec closes
  over, exact at convergence and for eigenvalues that differ; the vectors have
  none.

  Args:
    matvec: V [n r] -> A V [n r], linear and symmetric (not checked). For a
      batch of operators use jax.vmap; under jax.shard_map it may psum.
    init: [n r], 1 <= r <= n, any float type, for example of
      jax.random.normal; computed in float32 (float64 stays).
    num_steps: >= 1.

  Returns:
    Eigenvalues [r] by falling modulus, and orthonormal vectors [n r] in its
    columns; their signs mean nothing.

  Raises:
    TypeError: init is not floating point.
    ValueError: init is not [n r] with 1 <= r <= n, matvec changes the shape,
      or num_steps < 1.

  Source: Golub & Van Loan 2013, Matrix computations, 4th ed., ch. 8,
    orthogonal iteration with Ritz acceleration.
  Differs: the Ritz step is taken once, at the end.

  >>> a = jnp.diag(jnp.array([1.0, -4.0, 2.0]))
  >>> values, _ = power_iteration(lambda v: a @ v, jnp.eye(3), num_steps=1)
  >>> print(values)
  [-4.  2.  1.]
  """
  v = _arrays.wide("init", init, "n", "r")
  if not 1 <= v.shape[1] <= v.shape[0]:
    raise ValueError(
      f"init must have shape [n r] with 1 <= r <= n, got {v.shape}."
    )
  _arrays.check_number("num_steps", num_steps, ">= 1", lambda s: s >= 1)

  def apply(v):
    out = matvec(v)
    if out.shape != v.shape:
      raise ValueError(
        f"matvec must keep the shape of init, {v.shape}, got {out.shape}."
      )
    return out

  step = lambda _, v: jnp.linalg.qr(apply(v))[0]
  # Of the type that a step gives back, whatever mesh axes A varies over.
  v = v + jnp.zeros_like(apply(v))
  v = jax.lax.fori_loop(0, num_steps, step, jnp.linalg.qr(v)[0])
  inner = _arrays.matmul(v.T, apply(v))
  values, turn = jnp.linalg.eigh((inner + inner.T) / 2)
  turn = turn[:, jnp.argsort(-jnp.abs(values))]
  v = jax.lax.stop_gradient(_arrays.matmul(v, turn))
  return (v * apply(v)).sum(axis=0), v
