"""Pruned weights stored without their zeros, and a linear layer that skips them.

>>> import numpy as np
>>> from petrain import prune, sparse
>>> w = np.random.default_rng(0).standard_normal((64, 64), np.float32)
>>> mask = prune.n_m(prune.magnitude(w), 1, 4, group=16)
>>> small = sparse.compress(w, mask, n=1, m=4)
>>> small.nbytes, w.nbytes
(4112, 16384)
>>> x = np.ones((1, 64), np.float32)
>>> bool(np.allclose(sparse.linear(x, small), x @ (w * mask).T, atol=1e-4))
True
"""

from petrain.sparse.files import load, save
from petrain.sparse.linear import SparseGradients, linear, linear_backward
from petrain.sparse.pays import most_density
from petrain.sparse.tensor import SparseTensor, compress

__all__ = ["SparseGradients", "SparseTensor", "compress", "linear", "linear_backward", "load", "most_density", "save"]
