"""Array programs with kernels."""

from jaxcls.ops.contrastive import clip_loss as clip_loss
from jaxcls.ops.contrastive import info_nce_loss as info_nce_loss
from jaxcls.ops.contrastive import nt_xent_loss as nt_xent_loss
from jaxcls.ops.contrastive import sigmoid_pair_loss as sigmoid_pair_loss
from jaxcls.ops.contrastive import soft_info_nce_loss as soft_info_nce_loss
from jaxcls.ops.contrastive import supcon_loss as supcon_loss
from jaxcls.ops.cross_entropy import (
  linear_cross_entropy as linear_cross_entropy,
)
from jaxcls.ops.sorting import SoftSort as SoftSort
from jaxcls.ops.sorting import soft_rank as soft_rank
from jaxcls.ops.sorting import soft_sort as soft_sort
from jaxcls.ops.sorting import soft_top_k as soft_top_k
from jaxcls.ops.spherical import SphericalStatistics as SphericalStatistics
from jaxcls.ops.spherical import init_spherical as init_spherical
from jaxcls.ops.spherical import make_spherical_loss as make_spherical_loss
from jaxcls.ops.spherical import spherical_forward as spherical_forward
from jaxcls.ops.spherical import spherical_kernel as spherical_kernel
from jaxcls.ops.spherical import spherical_refold as spherical_refold
from jaxcls.ops.spherical import spherical_update as spherical_update
