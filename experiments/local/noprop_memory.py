"""Memory of a training step by the number of blocks: NoProp-DT and backprop.

Run:  python experiments/local/noprop_memory.py     (needs libtpu, no TPU)

Compiles a step of plain SGD ahead of time for one TPU v5e chip: blocks with a
ConvNet of widths 32, 64 each, batch 512 of 32 x 32 x 3, float32. Printed is the
temporary memory of the step; weights are arguments and results.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402

from jaxcls import _targets, learners, models  # noqa: E402


def temporary_mib(learner, blocks):
  """MiB that are neither arguments nor results."""
  net = models.label_denoiser(
    num_classes=10, input_shape=(32, 32, 3), steps=blocks,
    trunk=dict(name="convnet", widths=(32, 64), hidden=128),
  )  # fmt: skip

  def step(params, stats, images, labels):
    tx = optax.sgd(0.1)
    state = learners.State(
      step=jnp.int32(0), params=params, stats=stats, opt_state=tx.init(params),
      memory={}, key=jax.random.key(0), tx=tx,
    )  # fmt: skip
    batch = {"image": images, "label": labels}
    key = jax.random.key(1)
    if hasattr(learner, "update"):
      new, _ = learner.update(net, state, batch, key)
    else:
      new, _ = learners.gradient_update(learner, net, state, batch, key)
    return new.params, new.stats

  compiled = _targets.compile_for(
    "v5e:2x2", step, net.param_shapes, net.stats_shapes,
    jax.ShapeDtypeStruct((512, 32, 32, 3), jnp.float32),
    jax.ShapeDtypeStruct((512,), jnp.int32),
  )  # fmt: skip
  return compiled.memory_analysis().temp_size_in_bytes / 2**20


def main():
  """Prints a row for each number of blocks."""
  print("blocks  NoProp-DT MiB  backprop MiB")
  for blocks in (2, 4, 8, 16):
    local = temporary_mib(learners.NoProp(), blocks)
    whole = temporary_mib(learners.Supervised(), blocks)
    print(f"{blocks:6} {local:14.1f} {whole:13.1f}")


if __name__ == "__main__":
  main()
