"""Truncated singular value decomposition, and factors of a matrix that take less room than it does.

Arrays are float32, C-contiguous, NumPy's or CPU tensors that export DLPack; results are NumPy arrays. The same seed
gives the same bits for any number of threads.
"""

from petrain.lowrank.certificate import Certificate, certify
from petrain.lowrank.decomposition import svd
from petrain.lowrank.factors import LowRank, factorize
from petrain.lowrank.layer import LowRankCost, LowRankGradients, cost, linear, linear_backward

__all__ = [
    "Certificate",
    "LowRank",
    "LowRankCost",
    "LowRankGradients",
    "certify",
    "cost",
    "factorize",
    "linear",
    "linear_backward",
    "svd",
]
