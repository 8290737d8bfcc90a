"""Truncated SVD and factors by LAPACK in float64: slow, and right."""

import numpy as np


def fix_signs(u, vt):
    """Both with the signs of which the entry of largest magnitude of each column of u is positive."""
    rows = np.abs(u).argmax(axis=0)  # the first of several
    signs = np.where(u[rows, np.arange(u.shape[1])] < 0, -1, 1)
    return u * signs, vt * signs[:, None]


def svd(a, k):
    u, s, vt = np.linalg.svd(a.astype(np.float64), full_matrices=False)
    u, vt = fix_signs(u, vt)
    return u[:, :k], s[:k], vt[:k]


def best_error(a, k):
    """‖A - A_k‖_F of the best rank-k matrix (Eckart, Young)."""
    return np.sqrt((np.linalg.svd(a.astype(np.float64), compute_uv=False)[k:] ** 2).sum())


def relative_error(w, a, b):
    w = w.astype(np.float64)
    if not w.any():
        return 0.0
    return np.linalg.norm(w - a.astype(np.float64) @ b.astype(np.float64)) / np.linalg.norm(w)


def smallest_rank(w, energy=None, rel_error=None):
    allowed = 1 - energy if energy is not None else rel_error**2
    squares = np.linalg.svd(w.astype(np.float64), compute_uv=False) ** 2
    if squares.sum() == 0:
        return 1
    for rank in range(1, len(squares)):
        if squares[rank:].sum() / squares.sum() <= allowed:
            return rank
    return len(squares)


def linear(x, a, b, bias=0.0):
    return x @ (a @ b).T + bias


def linear_backward(gradient, x, a, b):
    """Gradients of x, a, b and bias."""
    dw = gradient.T @ x
    return gradient @ (a @ b), dw @ b.T, a.T @ dw, gradient.sum(axis=0)
