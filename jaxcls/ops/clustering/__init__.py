"""Clustering of rows into k groups."""

from jaxcls.ops.clustering._balanced import (
  balanced_kmeans as balanced_kmeans,
)
from jaxcls.ops.clustering._kmeans import KMeansResult as KMeansResult
from jaxcls.ops.clustering._kmeans import kmeans as kmeans
from jaxcls.ops.clustering._plus_plus import (
  kmeans_plus_plus as kmeans_plus_plus,
)
