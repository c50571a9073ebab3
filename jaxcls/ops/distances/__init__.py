"""Distances between rows, and who is near to whom."""

from jaxcls.ops.distances._neighbors import Neighbors as Neighbors
from jaxcls.ops.distances._neighbors import (
  ReciprocalNeighbors as ReciprocalNeighbors,
)
from jaxcls.ops.distances._neighbors import (
  nearest_neighbors as nearest_neighbors,
)
from jaxcls.ops.distances._neighbors import (
  reciprocal_neighbors as reciprocal_neighbors,
)
from jaxcls.ops.distances._pairwise import (
  pairwise_distances as pairwise_distances,
)
