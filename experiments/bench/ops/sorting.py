"""Differentiable sorting: jaxcls beside the diffsort package (PyTorch).

Run:  python experiments/bench/ops/sorting.py
      (needs `pip install "jaxcls[bench]"`, and libtpu for the memory part)

Process CPU time on one pinned core, medians of 7 after a warm-up, contenders
interleaved in one process, a sample being as many calls as fill 20 ms; only
the ratios mean something. Cauchy, steepness 10. "mass" is P m for one vector
m: diffsort builds P for it. The last part compiles the gradient of the
permutation ahead of time for one TPU v5e chip: its peak memory with the
kernel, with the jnp path, and for plain autodiff of a scan over the layers. No
TPU was there to run any of them.
"""

import json
import math
import os
import pathlib
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

RESULTS = pathlib.Path(__file__).with_suffix(".json")
REPEATS = 7
SAMPLE_S = 0.02
STEEPNESS = 10.0
# (network, n, batch)
SORTS = [
  (network, n, 256)
  for n in (16, 32, 64, 128)
  for network in ("odd_even", "bitonic")
]


def medians(contenders):
  """{name: median CPU seconds} of functions without arguments, interleaved."""
  times, calls = {name: [] for name in contenders}, {}
  for name, f in contenders.items():
    f()
    calls[name] = math.ceil(SAMPLE_S / clocked(f, 3))
  for _ in range(REPEATS):
    for name, f in contenders.items():
      times[name].append(clocked(f, calls[name]))
  return {name: sorted(t)[REPEATS // 2] for name, t in times.items()}


def clocked(f, calls):
  """CPU seconds of one of several calls."""
  begin = time.process_time()
  for _ in range(calls):
    f()
  return (time.process_time() - begin) / calls


def torch_sorts(network, scores, mass, weights):
  """diffsort: P and P m, forward and with the gradient of a weighted sum."""
  import diffsort
  import torch

  sorter = diffsort.DiffSortNet(
    network, scores.shape[1], steepness=STEEPNESS, distribution="cauchy"
  )
  x = torch.tensor(scores, requires_grad=True)
  mass, weights = torch.tensor(mass), torch.tensor(weights)

  def permutation(grad):
    with torch.set_grad_enabled(grad):
      p = sorter(x)[1]
      if grad:
        torch.autograd.grad((p * weights).sum(), x)

  def product(grad):
    with torch.set_grad_enabled(grad):
      q = sorter(x)[1] @ mass
      if grad:
        torch.autograd.grad((q * weights[..., 0]).sum(), x)

  return permutation, product


def jax_sorts(network, scores, mass, weights):
  """The same four through jaxcls."""
  import jax
  import jax.numpy as jnp

  from jaxcls import ops

  x, mass, weights = map(jnp.asarray, (scores, mass, weights))
  sort = lambda x: ops.soft_sort(x, steepness=STEEPNESS, network=network)
  functions = []
  for f, w in (
    (lambda x: sort(x).matrix(), weights),
    (lambda x: sort(x).apply(mass), weights[..., 0]),
  ):
    forward = jax.jit(f)
    both = jax.jit(jax.value_and_grad(lambda x, f=f, w=w: (f(x) * w).sum()))
    functions.append(
      lambda grad, forward=forward, both=both: jax.block_until_ready(
        both(x) if grad else forward(x)
      )
    )
  return functions


def bench_sorts():
  """One row a network, size and form, with and without the gradient."""
  import numpy as np

  rows = []
  for network, n, batch in SORTS:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(batch, n)).astype(np.float32)
    weights = rng.normal(size=(batch, n, n)).astype(np.float32)
    data = scores, (np.arange(n) >= n // 2).astype(np.float32), weights
    pairs = zip(
      ("permutation", "mass"),
      torch_sorts(network, *data),
      jax_sorts(network, *data),
      strict=True,
    )
    for form, theirs, ours in pairs:
      for grad in (False, True):
        seconds = medians(
          {
            "diffsort": lambda f=theirs, grad=grad: f(grad),
            "jaxcls": lambda f=ours, grad=grad: f(grad),
          }
        )
        rows.append(row(network, n, batch, form, grad, seconds))
  return rows


def row(network, n, batch, form, grad, seconds):
  """A result, printed."""
  ratio = seconds["diffsort"] / seconds["jaxcls"]
  print(
    f"{network:9} n={n:<4} batch={batch:<5} {form:12} "
    f"{'with gradient' if grad else 'forward':14} "
    f"diffsort {1e3 * seconds['diffsort']:8.2f} ms   "
    f"jaxcls {1e3 * seconds['jaxcls']:7.2f} ms   {ratio:6.1f}x",
    flush=True,
  )
  return dict(
    network=network,
    n=n,
    batch=batch,
    form=form,
    gradient=grad,
    diffsort_s=seconds["diffsort"],
    jaxcls_s=seconds["jaxcls"],
    ratio=ratio,
  )


def bench_groco(batch=1024, negatives=10, width=128):
  """Value and gradient: from sorted cosines, and from embeddings."""
  import diffsort
  import jax
  import jax.numpy as jnp
  import numpy as np
  import torch

  from jaxcls import losses
  from jaxcls.losses import _sorting

  rng = np.random.default_rng(0)
  n = negatives + 1
  scores = rng.uniform(-0.2, 0.4, size=(batch, n)).astype(np.float32)
  scores[:, :-1].sort(axis=-1)
  views = rng.normal(size=(batch, 2, width)).astype(np.float32)
  sorter = diffsort.DiffSortNet(
    "odd_even", n, steepness=1.0, distribution="cauchy"
  )
  target = (torch.arange(n) >= negatives).float().expand(batch, n)
  entropy = torch.nn.BCELoss()

  def ordering(s):
    p = sorter(s)[1]
    positive = p[:, :, negatives:].sum(-1).clamp(0, 1)
    negative = p[:, :, :negatives].sum(-1).clamp(0, 1)
    return (entropy(positive, target) + entropy(negative, 1 - target)) / 2

  def whole(z):
    z = torch.nn.functional.normalize(z, dim=-1)
    fixed, total = z.detach(), 0.0
    for a in range(2):
      similar = z[:, a] @ fixed[:, a].T
      similar = similar.masked_fill(torch.eye(batch, dtype=torch.bool), -2)
      top = similar.topk(negatives, dim=-1).values.flip(-1)
      positive = (z[:, a] * fixed[:, 1 - a]).sum(-1, keepdim=True)
      total = total + ordering(torch.cat([top, positive], dim=-1))
    return total / 2

  def torch_step(f, data):
    x = torch.tensor(data, requires_grad=True)
    f(x).backward()
    return f(x).item(), x.grad, lambda: torch.autograd.grad(f(x), x)

  kwargs = dict(steepness=1.0, network="odd_even", relaxation="cauchy")
  rows = []
  for form, theirs, ours, data in (
    (
      "from cosines",
      ordering,
      lambda s: _sorting._ordering_loss(s, negatives, **kwargs).mean(),
      scores,
    ),
    (
      "from vectors",
      whole,
      lambda z: losses.groco_loss(z, num_negatives=negatives, **kwargs).mean(),
      views,
    ),
  ):
    value, grad, step = torch_step(theirs, data)
    both, x = jax.jit(jax.value_and_grad(ours)), jnp.asarray(data)
    got = both(x)
    np.testing.assert_allclose(got[0], value, rtol=1e-5)
    np.testing.assert_allclose(got[1], grad, atol=1e-4 * grad.abs().max())
    seconds = medians(
      {
        "diffsort": step,
        "jaxcls": lambda both=both, x=x: jax.block_until_ready(both(x)),
      }
    )
    rows.append(row("groco", n, batch, form, True, seconds))
  return rows


def bench_memory(batch=1024):
  """Peak bytes of the gradient of P, compiled for one TPU v5e chip."""
  import jax
  import jax.numpy as jnp

  from jaxcls import _targets, ops
  from jaxcls.ops.sorting import _network, _reference

  rows = []
  for network, n in (("odd_even", 32), ("odd_even", 64), ("bitonic", 64)):
    wiring = _network.Network(network, n, "cauchy", 0.0)

    def scan(x, wiring=wiring):
      return jax.vmap(lambda x: _reference.sort(x, wiring, STEEPNESS)[1])(x)

    def chosen(x, implementation, network=network):
      return ops.soft_sort(
        x,
        steepness=STEEPNESS,
        network=network,
        implementation=implementation,
      ).matrix()

    peak = {}
    for name, f in (
      ("scan", scan),
      ("jnp", lambda x, f=chosen: f(x, "jnp")),
      ("kernel", lambda x, f=chosen: f(x, None)),
    ):
      arrays = (
        jax.ShapeDtypeStruct((batch, n), jnp.float32),
        jax.ShapeDtypeStruct((batch, n, n), jnp.float32),
      )
      pull = lambda x, d, f=f: jax.vjp(f, x)[1](d)[0]
      compiled = _targets.compile_for("v5e:2x2", pull, *arrays, effort=0.0)
      peak[name] = _targets.read_memory(compiled).peak
    print(
      f"v5e {network} n={n} batch={batch} peak MiB: "
      + ", ".join(f"{k} {v / 2**20:.1f}" for k, v in peak.items())
      + f"; scan / kernel {peak['scan'] / peak['kernel']:.1f}",
      flush=True,
    )
    rows.append(dict(network=network, n=n, batch=batch, peak_bytes=peak))
  return rows


def main():
  """Runs all parts and writes the results beside this file."""
  import importlib.metadata

  os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
  import torch

  torch.set_num_threads(1)
  results = dict(
    versions={
      name: importlib.metadata.version(name)
      for name in ("jax", "jaxlib", "torch", "diffsort", "libtpu")
    },
    groco=bench_groco(),
    sorts=bench_sorts(),
    tpu_v5e_gradient_of_permutation=bench_memory(),
  )
  RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
  main()
