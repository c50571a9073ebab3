"""Operations on flat parameter dicts: LoRA, heads that grow, selection."""

import re

import jax
import jax.numpy as jnp
import numpy as np

_DOWN, _UP = "/lora_a", "/lora_b"


def select(params: dict, pattern: str) -> dict:
  """Returns the entries of a flat dict whose path matches a regex.

  Args:
    params: flat dict keyed by path.
    pattern: regular expression, tried with `re.search`.

  Raises:
    ValueError: nothing matches; a silent no-op would train nothing.
  """
  chosen = {k: v for k, v in params.items() if re.search(pattern, k)}
  if not chosen:
    raise ValueError(
      f"pattern must match a parameter path, got {pattern!r}; "
      f"paths look like {sorted(params)[:3]}."
    )
  return chosen


def add_lora(params: dict, *, pattern: str, rank: int, key: jax.Array) -> dict:
  """Adds low-rank factors beside every kernel whose path matches.

  The model then uses W + reshape(A B), A: [fan_in, rank] normal of variance
  1 / fan_in, B: [rank, out] zero, so the function is unchanged at first.
  Train them with `trainable="lora"`; `merge_lora` folds them in.

  Args:
    params: flat dict keyed by path.
    pattern: regular expression over paths of kernels.
    rank: >= 1.
    key: PRNG key.

  Returns:
    A new flat dict with "<path>/lora_a" and "<path>/lora_b".

  Raises:
    ValueError: rank < 1, or no kernel matches.

  Source: Hu et al. 2021, arXiv:2106.09685, sec. 4.1.
  Differs: no alpha / rank factor; the learning rate takes its place.
  """
  if rank < 1:
    raise ValueError(f"rank must be >= 1, got {rank}.")
  kernels = {k: v for k, v in params.items() if jnp.ndim(v) >= 2}
  out = dict(params)
  for i, (path, kernel) in enumerate(select(kernels, pattern).items()):
    fan_in, width = int(np.prod(kernel.shape[:-1])), kernel.shape[-1]
    noise = jax.random.normal(jax.random.fold_in(key, i), (fan_in, rank))
    out[path + _DOWN] = noise / np.sqrt(fan_in)
    out[path + _UP] = jnp.zeros((rank, width))
  return out


def merge_lora(params: dict) -> dict:
  """Returns the flat dict with every pair of LoRA factors folded in."""
  if not any(path.endswith(_DOWN) for path in params):
    return params
  merged = {k: v for k, v in params.items() if not k.endswith((_DOWN, _UP))}
  for path in [k.removesuffix(_DOWN) for k in params if k.endswith(_DOWN)]:
    update = params[path + _DOWN] @ params[path + _UP]
    merged[path] = merged[path] + update.reshape(merged[path].shape)
  return merged


def grow_head(params: dict, num_classes: int, *, key: jax.Array) -> dict:
  """Widens "head/kernel" and "head/bias" to `num_classes` outputs.

  Logits of the old classes stay equal; new columns are normal of variance
  1 / fan_in, new biases zero. Build a new Net with the new class count.

  Raises:
    ValueError: num_classes is smaller than the head.
  """
  kernel, bias = params["head/kernel"], params["head/bias"]
  extra = num_classes - bias.shape[0]
  if extra < 0:
    raise ValueError(
      f"num_classes must be at least the head's {bias.shape[0]}, "
      f"got {num_classes}."
    )
  new = jax.random.normal(key, (kernel.shape[0], extra))
  new = new / np.sqrt(kernel.shape[0])
  return {
    **params,
    "head/kernel": jnp.concatenate([kernel, new], axis=1),
    "head/bias": jnp.pad(bias, (0, extra)),
  }


def mask_logits(logits: jax.Array, class_mask: jax.Array) -> jax.Array:
  """Sets logits of classes that are not there yet to -1e9.

  A head of fixed capacity plus this mask never recompiles when a class
  arrives. -1e9 rather than -inf keeps gradients finite; its softmax is 0.

  Args:
    logits: [*b c], any float type.
    class_mask: [c] bool, True = the class takes part.

  Returns:
    [*b c] float32.

  Raises:
    ValueError: class_mask is not of shape (c,).
  """
  if class_mask.shape != logits.shape[-1:]:
    raise ValueError(
      f"class_mask must have shape {logits.shape[-1:]} to match "
      f"logits.shape[-1], got {class_mask.shape}."
    )
  return jnp.where(class_mask, logits.astype(jnp.float32), -1e9)
