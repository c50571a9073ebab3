"""Optimal transport: soft plans and hard assignments."""

from jaxcls.ops.transport._assignment import (
  linear_assignment as linear_assignment,
)
from jaxcls.ops.transport._sinkhorn import sinkhorn as sinkhorn
