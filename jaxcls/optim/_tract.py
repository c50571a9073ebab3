"""TrAct: the first layer's weights follow its pre-activations."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcls import _precision


def tract_gradient(
  gradient: Float[Array, "n m"],
  inputs: Float[Array, "b n"],
  *,
  ridge: float,
) -> Float[Array, "n m"]:
  """Turns a layer's weight gradient into the TrAct direction.

  For y = x W and the plain gradient X^T G, the result is

    (X^T X / b + ridge I)^-1 X^T G
      = argmin_D ||X D - b G||_F^2 + b ridge ||D||_F^2,

  the change of W whose pre-activations come closest to a gradient step on the
  pre-activations themselves. With more inputs than examples (n > b) the
  equal dual form solves a system of size b.

  Args:
    gradient: [n m], X^T G for a loss that is already a mean.
    inputs: [b n], what the layer was fed, b >= 1; computed in float32
      (float64 stays).
    ridge: lambda > 0, in squared units of the inputs; the smaller, the
      further from the plain gradient, which 1 / ridge times is the limit.

  Returns:
    [n m], the gradient's dtype.

  Raises:
    ValueError: ranks or sizes do not match, or ridge <= 0.

  Source: Petersen et al. 2024, arXiv:2410.23970 (TrAct: Making
    First-layer Pre-Activations Trainable).
  Differs: nothing known; the released "cholesky_inverse" option is not the
    inverse and is left out.

  >>> x = jnp.array([[1.0], [3.0]])
  >>> print(tract_gradient(x.T @ jnp.ones((2, 1)), x, ridge=1.0).round(4))
  [[0.6667]]
  """
  if inputs.ndim != 2 or gradient.shape[:1] != inputs.shape[1:]:
    raise ValueError(
      "gradient and inputs must have shapes [n m] and [b n], got "
      f"{gradient.shape} and {inputs.shape}."
    )
  _check_ridge(ridge)
  dtype = _precision.wide(inputs)
  x, g = inputs.astype(dtype), gradient.astype(dtype)
  b, n = x.shape
  with jax.default_matmul_precision("highest"):
    if n <= b:
      out = _solve(x.T @ x / b, g, ridge)
    else:
      out = (g - x.T @ _solve(x @ x.T / b, x @ g / b, ridge)) / ridge
  return out.astype(gradient.dtype)


def _solve(gram, right, ridge):
  gram = gram + ridge * jnp.eye(gram.shape[0], dtype=gram.dtype)
  return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(gram), right)


def _check_ridge(ridge):
  if not ridge > 0:
    raise ValueError(f"ridge must be > 0, got {ridge}.")


def tract_dot_general(*, ridge: float) -> Callable:
  """`jax.lax.dot_general` of a dense layer with TrAct's weight gradient.

  Pass it as `dot_general` to a Flax layer (`nnx.Linear(dot_general=...)`):
  values, the bias's and the inputs' gradients are the ordinary ones, the
  kernel's is `tract_gradient` over all leading axes of the input.

  Args:
    ridge: see `tract_gradient`; 0.1 for standardised inputs.

  Returns:
    f(x [*b n], kernel [n m], dimension_numbers, **kwargs) -> [*b m].

  Raises:
    ValueError: ridge <= 0; the function, for another contraction.

  Source: Petersen et al. 2024, arXiv:2410.23970.
  Differs: nothing known.

  >>> dense = tract_dot_general(ridge=1.0)
  >>> numbers = (((1,), (0,)), ((), ()))
  >>> x = jnp.array([[1.0], [3.0]])
  >>> f = lambda kernel: dense(x, kernel, numbers).sum()
  >>> print(jax.grad(f)(jnp.ones((1, 1))).round(4))
  [[0.6667]]
  """
  _check_ridge(ridge)

  def dot_general(x, kernel, dimension_numbers, *args, **kwargs):
    wanted = (((x.ndim - 1,), (0,)), ((), ()))
    got = tuple(tuple(map(tuple, pair)) for pair in dimension_numbers)
    if got != wanted or kernel.ndim != 2:
      raise ValueError(
        "TrAct must contract the input's last axis with a matrix's first "
        f"({wanted}), got {dimension_numbers}."
      )
    plain = lambda x, w: jax.lax.dot_general(
      x, w, dimension_numbers, *args, **kwargs
    )
    rows = lambda x: x.reshape(-1, x.shape[-1])
    return _replace_gradient(plain, rows, lambda g: g, lambda g: g, ridge)(
      x, kernel
    )

  return dot_general


def tract_conv(*, ridge: float) -> Callable:
  """`jax.lax.conv_general_dilated` with TrAct's weight gradient.

  Pass it as `conv_general_dilated` to `nnx.Conv`: the rows of the input are
  the image patches, one for every output pixel of the batch.

  Args:
    ridge: see `tract_gradient`; 0.1 for standardised inputs.

  Returns:
    f(x, kernel, window_strides, padding, **kwargs), like JAX's.

  Raises:
    ValueError: ridge <= 0; the function, for more than one feature group.

  Source: Petersen et al. 2024, arXiv:2410.23970.
  Differs: nothing known.

  >>> conv = tract_conv(ridge=1.0)
  >>> x, kernel = jnp.array([[[1.0, 3.0]]]), jnp.ones((1, 1, 1))
  >>> f = lambda kernel: conv(x, kernel, (1,), "VALID").sum()
  >>> print(jax.grad(f)(kernel).round(4))
  [[[0.6667]]]
  """
  _check_ridge(ridge)

  def conv_general_dilated(
    x, kernel, window_strides, padding, lhs_dilation=None, rhs_dilation=None,
    dimension_numbers=None, feature_group_count=1, precision=None, **kwargs,
  ):  # fmt: skip
    if feature_group_count != 1:
      raise ValueError(
        f"TrAct needs feature_group_count 1, got {feature_group_count}."
      )
    geometry = (window_strides, padding, lhs_dilation, rhs_dilation)
    numbers = jax.lax.conv_dimension_numbers(
      x.shape, kernel.shape, dimension_numbers
    )
    plain = lambda x, w: jax.lax.conv_general_dilated(
      x, w, *geometry, dimension_numbers=numbers, precision=precision, **kwargs
    )
    # [out, in, *window]: the order of the patches' features below.
    out, _, *window = axes = numbers.rhs_spec
    del out
    sizes = [kernel.shape[a] for a in window]
    channels = numbers.out_spec[1]

    def rows(x):
      patches = jax.lax.conv_general_dilated_patches(
        x, sizes, *geometry, dimension_numbers=numbers, precision=precision
      )
      patches = jnp.moveaxis(patches, channels, -1)
      return patches.reshape(-1, patches.shape[-1])

    flat = lambda g: g.transpose(axes).reshape(g.shape[axes[0]], -1).T
    shape = [kernel.shape[a] for a in axes]
    back = lambda g: g.T.reshape(shape).transpose(
      [axes.index(i) for i in range(len(axes))]
    )
    return _replace_gradient(plain, rows, flat, back, ridge)(x, kernel)

  return conv_general_dilated


def _replace_gradient(plain, rows, flat, back, ridge):
  """`plain(x, kernel)` whose kernel gradient is TrAct's."""

  @jax.custom_vjp
  def apply(x, kernel):
    return plain(x, kernel)

  def forward(x, kernel):
    return plain(x, kernel), (x, kernel)

  def backward(residuals, g):
    x, kernel = residuals
    dx, dw = jax.vjp(plain, x, kernel)[1](g)
    return dx, back(tract_gradient(flat(dw), rows(x), ridge=ridge))

  apply.defvjp(forward, backward)
  return apply
