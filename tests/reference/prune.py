"""Pruning as its definitions read, one element after the other."""

import numpy as np


def keep_greatest(scores, pool, keep):
    """Of every `pool` neighbours the `keep` greatest; of equal ones the first."""
    flat = scores.reshape(-1)
    mask = np.zeros(flat.shape, bool)
    for first in range(0, len(flat), pool):
        order = sorted(range(first, first + pool), key=lambda i: (-flat[i], i))
        mask[order[:keep]] = True
    return mask.reshape(scores.shape)


def blocks(scores, height, width, keep):
    n, k = scores.shape
    means = np.float32(np.float64(scores).reshape(n // height, height, k // width, width).mean(axis=(1, 3)))
    mask = keep_greatest(means, means.size, keep)
    return np.kron(mask, np.ones((height, width), bool)).astype(bool)


def compensate(w, mask, h, damping):
    """SparseGPT with a mask that is given, as its paper has it: with the Cholesky factor of the inverse."""
    h = h + damping * np.trace(h) / len(h) * np.eye(len(h))
    factor = np.linalg.cholesky(np.linalg.inv(h)).T  # upper: H⁻¹ = Uᵀ U
    w = np.float64(w).copy()
    for j in range(w.shape[1]):
        error = np.where(mask[:, j], 0, w[:, j]) / factor[j, j]
        w[:, j + 1 :] -= np.outer(error, factor[j, j + 1 :])
        w[:, j] = np.where(mask[:, j], w[:, j], 0)
    return w


def sparse_gpt(w, h, damping, group, keep_of_group):
    """With masks chosen group by group within each row; keep_of_group(first, size) of the group stay."""
    h = h + damping * np.trace(h) / len(h) * np.eye(len(h))
    factor = np.linalg.cholesky(np.linalg.inv(h)).T
    w = np.float64(w).copy()
    n, k = w.shape
    mask = np.zeros(w.shape, bool)
    for j in range(k):
        if j % group == 0:
            size = min(group, k - j)
            cost = np.float32(np.abs(w[:, j : j + size] / np.diag(factor)[j : j + size]))
            for i in range(n):
                mask[i, j : j + size] = keep_greatest(cost[i], size, keep_of_group(j, size))
        error = np.where(mask[:, j], 0, w[:, j]) / factor[j, j]
        w[:, j + 1 :] -= np.outer(error, factor[j, j + 1 :])
        w[:, j] = np.where(mask[:, j], w[:, j], 0)
    return w, mask
