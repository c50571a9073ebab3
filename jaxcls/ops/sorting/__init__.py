"""Differentiable sorting networks: values, ranks, top-k, permutations."""

from jaxcls.ops.sorting._soft_sort import SoftSort as SoftSort
from jaxcls.ops.sorting._soft_sort import soft_rank as soft_rank
from jaxcls.ops.sorting._soft_sort import soft_sort as soft_sort
from jaxcls.ops.sorting._soft_sort import soft_top_k as soft_top_k
