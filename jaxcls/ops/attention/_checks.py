"""What both kinds of attention ask of their arguments."""

import jax.numpy as jnp


def check_arrays(query, key, value, where):
  """Shapes and types; broadcasting would hide most of these mistakes."""
  for name, a in (("query", query), ("key", key), ("value", value)):
    if not jnp.issubdtype(a.dtype, jnp.floating):
      raise TypeError(f"{name} must be floating point, got {a.dtype}.")
    if a.ndim < 3 or 0 in a.shape[-3:]:
      raise ValueError(
        f"{name} must have shape [*b length heads width] without an empty "
        f"axis among the last three, got {a.shape}."
      )
  if not query.dtype == key.dtype == value.dtype:
    raise TypeError(
      "query, key and value must have one dtype, got "
      f"{query.dtype}, {key.dtype} and {value.dtype}."
    )
  *batch, t, heads, width = query.shape
  s = key.shape[-3]
  for name, a, want in (
    ("key", key, (*batch, s, heads, width)),
    ("value", value, (*batch, s, heads, value.shape[-1])),
  ):
    if a.shape != want:
      raise ValueError(
        f"{name} must have shape {want} to match query {query.shape}, "
        f"got {a.shape}."
      )
  if where is None:
    return
  if where.dtype != bool:
    raise TypeError(f"where must be bool, got {where.dtype}.")
  if where.shape != (*batch, s):
    raise ValueError(
      f"where must have shape {(*batch, s)}, a flag for each key, got "
      f"{where.shape}."
    )


def check_name(name, value, known):
  if value not in known:
    raise ValueError(f"{name} must be one of {known}, got {value!r}.")
