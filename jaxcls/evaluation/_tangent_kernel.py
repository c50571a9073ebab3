"""The tangent kernel of a network of finite width, and how fast it moves."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def tangent_kernel(
  apply: Callable[[Mapping[str, Array], Array], Array],
  params: Mapping[str, Array],
  x: Float[Array, "n ..."],
) -> Float[Array, "n n"]:
  """Inner products of the parameters' gradients, summed over the outputs.

  K_ij = sum_k <d f_k(x_i) / d params, d f_k(x_j) / d params>, one output after
  another: n gradients are stored at a time.

  Args:
    apply: (params, x [b ...]) -> [b c], each row a function of its own input.
    params: flat dict of float arrays.
    x: [n ...].

  Returns:
    [n n] float32, symmetric, positive semi-definite.

  Raises:
    ValueError: apply does not give one row of outputs for each input.

  Source: Jacot et al. 2018, arXiv:1806.07572.
  Differs: the trace over pairs of outputs, not a kernel for each pair.

  >>> x = jnp.array([[1.0, 0.0], [1.0, 2.0]])
  >>> linear = lambda params, x: x @ params["kernel"]
  >>> print(tangent_kernel(linear, {"kernel": jnp.zeros((2, 3))}, x))
  [[ 3.  3.]
   [ 3. 15.]]
  """
  out = jax.eval_shape(apply, params, x)
  if out.ndim != 2 or out.shape[0] != x.shape[0]:
    raise ValueError(
      f"apply must give outputs of shape ({x.shape[0]}, classes) for "
      f"{x.shape[0]} inputs, got {out.shape}."
    )

  def of_output(k):
    one = lambda params, row: apply(params, row[None])[0, k].astype(jnp.float32)
    slopes = jax.vmap(jax.grad(one), in_axes=(None, 0))(params, x)
    flat = [
      leaf.reshape(len(x), -1).astype(jnp.float32)
      for leaf in jax.tree.leaves(slopes)
    ]
    return sum(leaf @ leaf.T for leaf in flat)

  return jax.lax.map(of_output, jnp.arange(out.shape[1])).sum(axis=0)


def kernel_velocity(
  old_kernel: Float[Array, "n n"], new_kernel: Float[Array, "n n"]
) -> Float[Array, ""]:
  """Relative change of a kernel from one step to the next.

  v = ||K_{t+1} - K_t||_F / ||K_t||_F: 0 for a model that is linear in its
  parameters, such as an infinitely wide network.

  Args:
    old_kernel: [n n], K_t.
    new_kernel: [n n], K_{t+1} of the same inputs.

  Returns:
    [] float32, >= 0, no unit; nan or inf where K_t is zero.

  Raises:
    ValueError: the shapes differ.

  Source: Lee et al. 2022, arXiv:2202.02916 (kernel velocity of condensed
    sets); Fort et al. 2020, arXiv:2010.15110.
  Differs: the norm of the change; Fort et al. take 1 - the cosine of the two
    kernels, which does not see their sizes.

  >>> print(kernel_velocity(jnp.eye(2), jnp.eye(2) * 1.5))
  0.5
  """
  if old_kernel.shape != new_kernel.shape:
    raise ValueError(
      f"new_kernel must have shape {old_kernel.shape} as old_kernel, got "
      f"{new_kernel.shape}."
    )
  old, new = (k.astype(jnp.float32) for k in (old_kernel, new_kernel))
  norm = lambda k: jnp.sqrt((k**2).sum())
  return norm(new - old) / norm(old)
