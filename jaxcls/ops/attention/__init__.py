"""Attention: softmax, behind one entry, and local linear.

What implementation=None takes, fixed when a program is lowered for a target
(that need not be the machine it is lowered on):

| function               | CPU | GPU                    | TPU                 |
| ---------------------- | --- | ---------------------- | ------------------- |
| attention              | xla | cudnn for bfloat16 and | splash for bfloat16 |
|                        |     | float16, else xla      | and float32, s > 256|
| local_linear_attention | jnp | jnp                    | pallas for float32  |
|                        |     |                        | and bfloat16        |

The fallback, to xla or jnp, is taken before anything is lowered, and only
- for other types;
- cudnn: e != d, d not a multiple of 8 or above 128, causal together with
  where, or no cuDNN on the machine that traces. Odd lengths are padded to even
  ones. It needs an Ampere card or newer; for an older one name "xla";
- splash: under shard_map(check_vma=True), whose types it does not carry;
- pallas: when keys, values and a tile of weights exceed the VMEM budget (4096
  keys at d, e <= 128 and block_size=128 fit; 1024 on a v4), or block_size is
  no multiple of 8;
- splash and pallas: on an automatic mesh whose devices do not divide the
  batch (pallas: batch times heads). If they do, each device takes its share.
  Arrays that are split without `jax.set_mesh` cannot be seen to be, and fail
  to compile: name "xla" or "jnp" there.
A named implementation never falls back.

Compiled ahead of time, value and gradient: pallas for v5e, v6e, v5p and v4;
splash for v5e and v6e; cudnn and jnp for H100. No device timing exists.
"""

from jaxcls.ops.attention._local_linear import (
  local_linear_attention as local_linear_attention,
)
from jaxcls.ops.attention._softmax import attention as attention
