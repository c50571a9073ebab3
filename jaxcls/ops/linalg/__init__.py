"""Iterative linear algebra: systems, eigenvalues, factors."""

from jaxcls.ops.linalg._conjugate_gradient import (
  conjugate_gradient as conjugate_gradient,
)
from jaxcls.ops.linalg._nmf import NMFResult as NMFResult
from jaxcls.ops.linalg._nmf import nmf as nmf
from jaxcls.ops.linalg._power_iteration import (
  power_iteration as power_iteration,
)
from jaxcls.ops.linalg._unit_norm import unit_norm as unit_norm
