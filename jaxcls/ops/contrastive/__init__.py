"""Contrastive cross-entropies over similarities that are never stored.

All functions return one value per row, take `where` for padding and, under
jax.shard_map, `axis_name` for the pairs of the global batch. Under plain jit
they also run on sharded arrays, but the tiles are then visited one after
another: only shard_map with `axis_name` divides the work.
"""

from jaxcls.ops.contrastive._info_nce import info_nce_loss as info_nce_loss
from jaxcls.ops.contrastive._info_nce import (
  soft_info_nce_loss as soft_info_nce_loss,
)
from jaxcls.ops.contrastive._losses import clip_loss as clip_loss
from jaxcls.ops.contrastive._losses import nt_xent_loss as nt_xent_loss
from jaxcls.ops.contrastive._losses import (
  sigmoid_pair_loss as sigmoid_pair_loss,
)
from jaxcls.ops.contrastive._losses import supcon_loss as supcon_loss
