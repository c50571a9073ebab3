"""Gates of mixtures of experts: how much each expert counts for an example."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcls import ops
from jaxcls.models import _embedding_mlp

# A leaf reached with less is not reached; its logarithm needs no gradient.
_SMALLEST = 1e-20
_NONE = -1e30


def smooth_step(t: Float[Array, "*b"], *, gamma: float) -> Float[Array, "*b"]:
  """A sigmoid that reaches 0 and 1: cubic within gamma / 2 of 0.

  S(t) = -2 t^3 / gamma^3 + 3 t / (2 gamma) + 1/2 for |t| < gamma / 2, else 0
  or 1.

  Args:
    t: [*b], any float type; computed in float32.
    gamma: width of the cubic, > 0, in the unit of t.

  Returns:
    [*b] float32 in [0, 1].

  Raises:
    ValueError: gamma <= 0.

  Source: Hazimeh et al. 2020, arXiv:2002.07772 (Tree Ensemble Layer).
  Differs: nothing known.

  >>> print(smooth_step(jnp.array([-1.0, 0.0, 0.25, 1.0]), gamma=1.0))
  [0.      0.5     0.84375 1.     ]
  """
  if gamma <= 0:
    raise ValueError(f"gamma must be > 0, got {gamma}.")
  # Clipped first: the cubic of a large t would overflow.
  t = jnp.clip(t.astype(jnp.float32) / gamma, -0.5, 0.5)
  return jnp.clip(-2 * t**3 + 1.5 * t + 0.5, 0, 1)


def tree_paths(
  node_logits: Float[Array, "*b m"], *, gamma: float
) -> Float[Array, "*b n"]:
  """Probability of each leaf of a soft binary tree, often exactly 0.

  At node q (children 2q + 1 and 2q + 2) an example goes left with probability
  smooth_step(node_logits[q]); a leaf's is the product along its path.

  Args:
    node_logits: [*b n-1], n a power of two, the root first.
    gamma: of the smooth step.

  Returns:
    [*b n] float32, rows sum to 1; leaves from left to right.

  Raises:
    ValueError: the number of leaves is not a power of two.

  Source: Ibrahim et al. 2023, arXiv:2306.02824 (COMET).
  Differs: whole trees only; the paper's may have any number of leaves.

  >>> print(tree_paths(jnp.array([0.0, 1.0, -0.25]), gamma=1.0))
  [0.5      0.       0.078125 0.421875]
  """
  num_leaves = node_logits.shape[-1] + 1
  if num_leaves < 2 or num_leaves & (num_leaves - 1):
    raise ValueError(
      "node_logits must be one less than a power of two for each tree, got "
      f"{num_leaves - 1}. Use 2, 4, 8, 16, ... experts."
    )
  left = smooth_step(node_logits, gamma=gamma)
  paths = jnp.ones((*left.shape[:-1], 1))
  for depth in range(int(math.log2(num_leaves))):
    share = left[..., 2**depth - 1 : 2 ** (depth + 1) - 1]
    both = jnp.stack([paths * share, paths * (1 - share)], axis=-1)
    paths = both.reshape(*left.shape[:-1], -1)
  return paths


def log_paths(paths: Float[Array, "*b"]) -> Float[Array, "*b"]:
  """Logarithm of probabilities, and -1e30 where they are (almost) 0.

  Its softmax over a tree's leaves is the probabilities again, so that
  `losses.entropy` of it is their entropy.

  Args:
    paths: [*b], in [0, 1]; below 1e-20 counts as 0.

  Source: none.
  Differs: nothing.
  """
  reached = paths > _SMALLEST
  return jnp.where(reached, jnp.log(jnp.where(reached, paths, 1.0)), _NONE)


def comet_gate(
  log_paths: Float[Array, "*b k n"], leaf_logits: Float[Array, "*b k n"]
) -> Float[Array, "*b k n"]:
  """Weights of the leaves of k trees: softmax over all k * n of them jointly.

  g_jl = softmax_jl(leaf_logits_jl + log p_jl), exactly 0 where p_jl is. When
  every tree sends an example to one leaf, at most k experts count.

  Args:
    log_paths: [*b k n], see `log_paths`.
    leaf_logits: [*b k n].

  Returns:
    [*b k n] float32, >= 0, the sum over the last two axes is 1.

  Source: Ibrahim et al. 2023, arXiv:2306.02824 (COMET).
  Differs: nothing known.

  >>> paths = log_paths(jnp.array([[1.0, 0.0], [0.5, 0.5]]))
  >>> print(comet_gate(paths, jnp.zeros((2, 2))))
  [[0.5  0.  ]
   [0.25 0.25]]
  """
  scores = leaf_logits.astype(jnp.float32) + log_paths
  return jax.nn.softmax(scores, axis=(-2, -1))


def top_k_gate(logits: Float[Array, "*b n"], *, k: int) -> Float[Array, "*b n"]:
  """Softmax over the k largest logits; the others' weights are 0.

  Args:
    logits: [*b n], any float type; computed in float32.
    k: in [1, n].

  Raises:
    ValueError: k is out of its range.

  Source: Shazeer et al. 2017, arXiv:1701.06538.
  Differs: no noise and no balancing loss.

  >>> print(top_k_gate(jnp.array([1.0, 0.0, 1.0, -2.0]), k=2))
  [0.5 0.  0.5 0. ]
  """
  if not 1 <= k <= logits.shape[-1]:
    raise ValueError(f"k must be in [1, {logits.shape[-1]}], got {k}.")
  values, places = jax.lax.top_k(logits.astype(jnp.float32), k)
  kept = jax.nn.one_hot(places, logits.shape[-1])
  return jnp.einsum("...k,...kn->...n", jax.nn.softmax(values), kept)


def hash_gate(
  ids: Int[Array, "*b"], *, num_experts: int, seed: int = 0
) -> Float[Array, "*b n"]:
  """One fixed expert for each id, by a hash; nothing is learned.

  Args:
    ids: [*b], any integers.
    num_experts: n.
    seed: of the hash.

  Returns:
    [*b n] float32, one-hot.

  Source: Roller et al. 2021, arXiv:2106.04426 (Hash Layers).
  Differs: the hash is `hash_ids`.

  >>> print(hash_gate(jnp.array([7, 7]), num_experts=1))
  [[1.]
   [1.]]
  """
  places = _embedding_mlp.hash_ids(ids, size=num_experts, seed=seed)
  return jax.nn.one_hot(places, num_experts)


def gumbel_sinkhorn(
  scores: Float[Array, "*b n n"],
  *,
  tau: float | Float[Array, ""],
  num_iterations: int,
  noise: float = 0.0,
  key: jax.Array | None = None,
) -> Float[Array, "*b n n"]:
  """A soft permutation: Sinkhorn's scaling of exp((scores + noise) / tau).

  As tau -> 0 it becomes the permutation P that maximises sum P * scores, see
  `hard_permutation`.

  Args:
    scores: [*b n n].
    tau: temperature, > 0.
    num_iterations: of Sinkhorn's scaling, >= 1.
    noise: factor of standard Gumbel noise, >= 0.
    key: of the noise; needed if there is any.

  Returns:
    [*b n n] float32, >= 0, rows sum to 1, columns nearly.

  Raises:
    ValueError: noise without a key, or what `ops.sinkhorn` refuses.

  Source: Mena et al. 2018, arXiv:1802.08665.
  Differs: nothing known.

  >>> print(gumbel_sinkhorn(jnp.eye(2), tau=0.01, num_iterations=5))
  [[1. 0.]
   [0. 1.]]
  """
  scores = scores.astype(jnp.float32)
  if noise:
    if key is None:
      raise ValueError(f"key must be given for noise {noise}, got None.")
    scores = scores + noise * jax.random.gumbel(key, scores.shape)
  plan = ops.sinkhorn(-scores, epsilon=tau, num_iterations=num_iterations)
  return scores.shape[-1] * plan


def hard_permutation(scores: Float[Array, "*b n n"]) -> Float[Array, "*b n n"]:
  """The permutation matrix P that maximises sum P * scores; no gradient.

  Args:
    scores: [*b n n].

  Source: Kuhn 1955, The Hungarian method for the assignment problem.
  Differs: see `ops.linear_assignment`.

  >>> print(hard_permutation(jnp.array([[1.0, 2.0], [0.0, 5.0]])))
  [[1. 0.]
   [0. 1.]]
  """
  columns = ops.linear_assignment(scores, maximize=True)
  return jax.nn.one_hot(columns, scores.shape[-1])
