"""A mixture of small multi-layer perceptrons behind a sparse gate."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxcls.models import _gates, _init, _layers, _net

_GATES = ("comet", "top_k", "hash", "softmax")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Gate:
  """The gate's settings; see mixture_of_experts."""

  name: str
  num_experts: int
  k: int
  gamma: float
  id_columns: int
  hash_seed: int
  hash_shift: int
  search_steps: int
  search_tau: tuple[float, float]
  search_noise: float
  search_iterations: int

  @property
  def places(self) -> int:
    """Rows of weights before they are folded to experts: one a tree."""
    return self.k if self.name == "comet" else 1


class _MixtureOfExperts(nnx.Module):
  def __init__(self, d_in, gate, hidden, num_classes, dtype, rngs):
    n, self.gate, self.dtype = gate.num_experts, gate, dtype
    self.deterministic = False  # nnx sets it: train() and eval().
    zeros = lambda shape: jnp.asarray(np.zeros(shape, np.float32))
    if gate.name == "comet":
      # The paper's: a start so small that every leaf is reached.
      spread = gate.gamma / 100
      shape = (d_in, gate.k * (n - 1))
      self.nodes = nnx.Param(_init.normal(spread)(rngs.params(), shape))
      self.node_bias = nnx.Param(zeros(shape[1:]))
    if gate.name != "hash":
      shape = (d_in, gate.places * n)
      self.leaves = nnx.Param(_init.normal(0.03)(rngs.params(), shape))
      self.leaf_bias = nnx.Param(zeros(shape[1:]))
    if gate.search_steps:
      shape = (gate.places, n, n)
      self.permutation_scores = nnx.Param(
        _init.normal(0.03)(rngs.params(), shape)
      )
      same = np.broadcast_to(np.eye(n, dtype=np.float32), shape)
      self.permutation = nnx.BatchStat(jnp.asarray(same))
      self.search_step = nnx.BatchStat(zeros(()))
    widths = (d_in, *hidden, num_classes)
    kernels, biases = [], []
    for a, b in zip(widths, widths[1:], strict=False):
      draw = _init.normal((2 / a) ** 0.5)
      kernels.append(nnx.Param(draw(rngs.params(), (n, a, b))))
      biases.append(nnx.Param(zeros((n, b))))
    self.kernels, self.biases = nnx.List(kernels), nnx.List(biases)

  def __call__(self, x, *, key, tap):
    x = tap("stem", x.reshape(x.shape[0], -1).astype(self.dtype))
    weights, outputs = self._weights(x)
    if self.gate.search_steps:
      # One matrix a tree: which expert each of its leaves stands for.
      weights = jnp.einsum("bkn,knm->bkm", weights, self._permutation(key))
    gate = weights.sum(axis=1)
    # A soft permutation's columns do not sum to 1 exactly.
    gate = gate / gate.sum(axis=-1, keepdims=True)
    h = jnp.broadcast_to(
      x[:, None], (len(x), self.gate.num_experts, x.shape[1])
    )
    for i in range(len(self.kernels) - 1):
      h = tap(f"block{i}", jax.nn.relu(self._layer(i, h)))
    features = tap("head", jnp.einsum("bn,bnd->bd", gate.astype(h.dtype), h))
    each = self._layer(len(self.kernels) - 1, h).astype(jnp.float32)
    logits = jnp.einsum("bn,bnc->bc", gate, each)
    return {"features": features, "logits": logits, "gate": gate, **outputs}

  def _layer(self, i, h):
    """Layer i of every expert: [b n a] -> [b n b]."""
    kernel, bias = self.kernels[i].get_value(), self.biases[i].get_value()
    h = jnp.einsum("bna,nac->bnc", h, kernel.astype(self.dtype))
    return _layers.constrain_batch(h + bias.astype(self.dtype))

  def _weights(self, x):
    """Weights [b places n], in float32, and further outputs."""
    gate, x = self.gate, x.astype(jnp.float32)
    if gate.name == "hash":
      ids = x[:, : gate.id_columns].argmax(axis=1)
      one = _gates.hash_gate(
        ids, num_experts=gate.num_experts, seed=gate.hash_seed
      )
      return jnp.roll(one, gate.hash_shift, axis=1)[:, None], {}
    shape = (len(x), gate.places, -1)
    leaves = x @ self.leaves.get_value() + self.leaf_bias.get_value()
    if gate.name == "comet":
      nodes = x @ self.nodes.get_value() + self.node_bias.get_value()
      paths = _gates.tree_paths(nodes.reshape(shape), gamma=gate.gamma)
      paths = _gates.log_paths(paths)
      weights = _gates.comet_gate(paths, leaves.reshape(shape))
      return weights, {"log_paths": paths}
    k = gate.k if gate.name == "top_k" else gate.num_experts
    return _gates.top_k_gate(leaves, k=k)[:, None], {}

  def _permutation(self, key):
    """[places n n]: soft while it is learned, then fixed; moves the count."""
    gate, scores = self.gate, self.permutation_scores.get_value()
    step, kept = self.search_step.get_value(), self.permutation.get_value()
    harden = lambda: _gates.hard_permutation(scores)
    if self.deterministic:
      return jax.lax.cond(step > gate.search_steps, lambda: kept, harden)
    if gate.search_noise and key is None:
      raise ValueError("key must be given for search_noise, got None.")
    first, last = gate.search_tau
    tau = first * (last / first) ** jnp.clip(step / gate.search_steps, 0, 1)
    soft = lambda: _gates.gumbel_sinkhorn(
      scores, tau=tau, num_iterations=gate.search_iterations,
      noise=gate.search_noise, key=key,
    )  # fmt: skip
    kept = jax.lax.cond(step == gate.search_steps, harden, lambda: kept)
    self.permutation[...] = jax.lax.stop_gradient(kept)
    self.search_step[...] = step + 1
    return jax.lax.cond(step < gate.search_steps, soft, lambda: kept)


def mixture_of_experts(
  *,
  num_classes: int,
  input_shape: Sequence[int],
  num_experts: int = 8,
  hidden: Sequence[int] = (64,),
  gate: str = "comet",
  k: int = 2,
  gamma: float = 1.0,
  id_columns: int = 0,
  hash_seed: int = 0,
  hash_shift: int = 0,
  search_steps: int = 0,
  search_tau: Sequence[float] = (1e-3, 1e-7),
  search_noise: float = 0.0,
  search_iterations: int = 50,
  dtype: str = "float32",
) -> _net.Net:
  """Experts (MLPs with ReLU) whose logits a gate of the input averages.

  logits = sum_l g_l(x) f_l(x). Gates: "comet", k soft trees whose leaves are
  the experts, differentiable and sparse; "top_k"; "hash", a fixed expert for
  each id; "softmax", all experts. With search_steps a permutation of the
  experts (one for each tree) is learned in that many first steps, soft at
  first and hardened then; evaluation always hardens it.

  Args:
    num_classes: width of `logits`.
    input_shape: shape of one example; flattened.
    num_experts: n; a power of two for "comet".
    hidden: width of each hidden layer of an expert.
    gate: "comet", "top_k", "hash" or "softmax".
    k: trees, or experts kept.
    gamma: width of the trees' smooth step.
    id_columns: the position of the largest of that many first columns is the
      id that "hash" goes by.
    hash_seed: which hash.
    hash_shift: added to the hash's expert, modulo n: another assignment to the
      same experts.
    search_steps: training steps in which the permutation is learned; 0: none.
    search_tau: temperature at the first and at the last of them.
    search_noise: factor of Gumbel noise on the permutation's scores.
    search_iterations: of Sinkhorn's scaling.
    dtype: compute dtype of the experts; the gate's is float32.

  Returns:
    A Net with `features` [b hidden[-1]] and `logits` [b c], both averaged by
    the gate, `gate` [b n], whose rows sum to 1, and for "comet" `log_paths`
    [b k n]; taps "stem", "block0" [b n hidden[0]], ..., "head".

  Raises:
    ValueError: a setting out of its range.

  Source: Ibrahim et al. 2023, arXiv:2306.02824 (COMET).
  Differs: a fixed number of Sinkhorn iterations, where the released code goes
    from 20 to 150; initial values are normal, not uniform; the permutation is
    hardened by its scores, not by its last soft value.
  """
  if gate not in _GATES:
    raise ValueError(f"gate must be one of {_GATES}, got {gate!r}.")
  if num_experts < 2 or (gate == "comet" and num_experts & (num_experts - 1)):
    raise ValueError(
      "num_experts must be at least 2, and a power of two for gate 'comet', "
      f"got {num_experts}."
    )
  if not 1 <= k <= num_experts:
    raise ValueError(f"k must be in [1, {num_experts}], got {k}.")
  if not hidden:
    raise ValueError("hidden must have at least one width, got none.")
  d_in = int(np.prod(input_shape))
  if gate == "hash" and not 1 <= id_columns <= d_in:
    raise ValueError(
      f"id_columns must be in [1, {d_in}] for gate 'hash', got {id_columns}."
    )
  if search_steps < 0 or len(search_tau) != 2 or min(search_tau) <= 0:
    raise ValueError(
      "search_steps must be >= 0 and search_tau two temperatures > 0, got "
      f"{search_steps} and {tuple(search_tau)}."
    )
  settings = _Gate(
    name=gate, num_experts=num_experts, k=k, gamma=gamma,
    id_columns=id_columns, hash_seed=hash_seed, hash_shift=hash_shift,
    search_steps=search_steps, search_tau=tuple(search_tau),
    search_noise=search_noise, search_iterations=search_iterations,
  )  # fmt: skip
  make = lambda rngs: _MixtureOfExperts(
    d_in, settings, tuple(hidden), num_classes, _layers.as_dtype(dtype), rngs
  )
  return _net.Net(make, num_classes=num_classes, input_shape=input_shape)
