"""Initialisers that draw on the host, so that a first run starts at once.

One threefry program per leaf would cost about ten seconds of compilation for
a ResNet-18; numpy's Philox needs none. Under a trace (eval_shape, jit, vmap)
the stock initialiser answers instead, with other numbers.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers

# Standard deviation of a unit normal truncated to [-2, 2].
_TRUNCATED_STD = 0.87962566103423978


def _host(
  stock: Callable, draw: Callable[[np.random.Generator, tuple], np.ndarray]
) -> Callable:
  """Draws on the host for a concrete key; under a trace, calls `stock`."""

  def initializer(key, shape, dtype=jnp.float32):
    if isinstance(key, jax.core.Tracer):
      return stock(key, shape, dtype)
    words = np.asarray(jax.random.key_data(key)).astype(np.uint64)
    rng = np.random.Generator(
      np.random.Philox(key=words[-1] | words[0] << np.uint64(32))
    )
    return jnp.asarray(draw(rng, shape).astype(np.float32), dtype)

  return initializer


def _truncated(rng: np.random.Generator, shape: tuple) -> np.ndarray:
  """Unit-variance normal, truncated at two standard deviations."""
  x = rng.standard_normal(shape, np.float32)
  while (bad := np.abs(x) > 2).any():
    x[bad] = rng.standard_normal(int(bad.sum()), np.float32)
  return x / _TRUNCATED_STD


def _fans(shape: tuple) -> tuple[int, int]:
  """Fan-in and fan-out of a [*window, in, out] kernel."""
  window = int(np.prod(shape[:-2]))
  return window * shape[-2], window * shape[-1]


def lecun_normal() -> Callable:
  """Truncated normal of variance 1 / fan_in (LeCun et al. 1998)."""
  return _host(
    initializers.lecun_normal(),
    lambda rng, s: _truncated(rng, s) / np.sqrt(max(1, _fans(s)[0])),
  )


def he_normal() -> Callable:
  """Normal of variance 2 / fan_out (He et al. 2015, arXiv:1502.01852)."""
  return _host(
    initializers.variance_scaling(2.0, "fan_out", "normal"),
    lambda rng, s: (
      rng.standard_normal(s, np.float32) * np.sqrt(2.0 / max(1, _fans(s)[1]))
    ),
  )


def xavier_uniform() -> Callable:
  """Uniform on +-sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
  return _host(
    initializers.xavier_uniform(),
    lambda rng, s: rng.uniform(-1.0, 1.0, s) * np.sqrt(6.0 / sum(_fans(s))),
  )


def normal(stddev: float) -> Callable:
  """Normal of mean 0 and the given standard deviation."""
  return _host(
    initializers.normal(stddev),
    lambda rng, s: rng.standard_normal(s, np.float32) * stddev,
  )


def constant(value: float) -> Callable:
  """Every entry equal to `value`."""
  return _host(
    initializers.constant(value), lambda rng, s: np.full(s, value, np.float32)
  )


def identity() -> Callable:
  """The identity matrix."""
  return _host(
    lambda key, shape, dtype=jnp.float32: jnp.eye(*shape, dtype=dtype),
    lambda rng, s: np.eye(*s),
  )
