"""Truncated singular value decomposition, and factors of a matrix that take less room than it does.

Arrays are float32, C-contiguous, NumPy's or CPU tensors that export DLPack; results are NumPy arrays. The same seed
gives the same bits for any number of threads.
"""

from petrain.lowrank.certificate import Certificate, certify
from petrain.lowrank.conv import LowRankConv, factorize_conv
from petrain.lowrank.decomposition import svd
from petrain.lowrank.embedding import EmbeddingGradients, embedding, embedding_backward, factorize_embedding
from petrain.lowrank.factors import LowRank, factorize
from petrain.lowrank.layer import LowRankCost, LowRankGradients, cost, linear, linear_backward

__all__ = [
    "Certificate",
    "EmbeddingGradients",
    "LowRank",
    "LowRankConv",
    "LowRankCost",
    "LowRankGradients",
    "certify",
    "cost",
    "embedding",
    "embedding_backward",
    "factorize",
    "factorize_conv",
    "factorize_embedding",
    "linear",
    "linear_backward",
    "svd",
]
