"""Array programs with kernels."""

from jaxcls.ops.attention import attention as attention
from jaxcls.ops.attention import (
  local_linear_attention as local_linear_attention,
)
from jaxcls.ops.clustering import KMeansResult as KMeansResult
from jaxcls.ops.clustering import balanced_kmeans as balanced_kmeans
from jaxcls.ops.clustering import kmeans as kmeans
from jaxcls.ops.clustering import kmeans_plus_plus as kmeans_plus_plus
from jaxcls.ops.contrastive import clip_loss as clip_loss
from jaxcls.ops.contrastive import info_nce_loss as info_nce_loss
from jaxcls.ops.contrastive import nt_xent_loss as nt_xent_loss
from jaxcls.ops.contrastive import sigmoid_pair_loss as sigmoid_pair_loss
from jaxcls.ops.contrastive import soft_info_nce_loss as soft_info_nce_loss
from jaxcls.ops.contrastive import supcon_loss as supcon_loss
from jaxcls.ops.cross_entropy import (
  linear_cross_entropy as linear_cross_entropy,
)
from jaxcls.ops.diffusion import cosine_alpha_bar as cosine_alpha_bar
from jaxcls.ops.diffusion import (
  denoising_coefficients as denoising_coefficients,
)
from jaxcls.ops.diffusion import linear_alpha_bar as linear_alpha_bar
from jaxcls.ops.diffusion import noise_embeddings as noise_embeddings
from jaxcls.ops.diffusion import noise_levels as noise_levels
from jaxcls.ops.diffusion import noise_target as noise_target
from jaxcls.ops.diffusion import (
  reversed_cosine_alpha_bar as reversed_cosine_alpha_bar,
)
from jaxcls.ops.diffusion import signal_to_noise as signal_to_noise
from jaxcls.ops.distances import Neighbors as Neighbors
from jaxcls.ops.distances import ReciprocalNeighbors as ReciprocalNeighbors
from jaxcls.ops.distances import nearest_neighbors as nearest_neighbors
from jaxcls.ops.distances import pairwise_distances as pairwise_distances
from jaxcls.ops.distances import reciprocal_neighbors as reciprocal_neighbors
from jaxcls.ops.gaussian import GaussianStatistics as GaussianStatistics
from jaxcls.ops.gaussian import gaussian_covariance as gaussian_covariance
from jaxcls.ops.gaussian import gaussian_statistics as gaussian_statistics
from jaxcls.ops.gaussian import mahalanobis as mahalanobis
from jaxcls.ops.gaussian import (
  merge_gaussian_statistics as merge_gaussian_statistics,
)
from jaxcls.ops.linalg import NMFResult as NMFResult
from jaxcls.ops.linalg import conjugate_gradient as conjugate_gradient
from jaxcls.ops.linalg import nmf as nmf
from jaxcls.ops.linalg import power_iteration as power_iteration
from jaxcls.ops.linalg import unit_norm as unit_norm
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
from jaxcls.ops.transport import linear_assignment as linear_assignment
from jaxcls.ops.transport import sinkhorn as sinkhorn
