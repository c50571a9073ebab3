"""Gaussians of classes: statistics that add up, covariances, distances."""

from jaxcls.ops.gaussian._covariance import (
  gaussian_covariance as gaussian_covariance,
)
from jaxcls.ops.gaussian._covariance import mahalanobis as mahalanobis
from jaxcls.ops.gaussian._statistics import (
  GaussianStatistics as GaussianStatistics,
)
from jaxcls.ops.gaussian._statistics import (
  gaussian_statistics as gaussian_statistics,
)
from jaxcls.ops.gaussian._statistics import (
  merge_gaussian_statistics as merge_gaussian_statistics,
)
