"""The error of two factors, in exact fractions, and the best there can be in the norm of the outputs."""

from fractions import Fraction

import numpy as np


def error_squares(w, a, b, h=None):
    """‖W - AB‖²_F and, with H, tr((W - AB) H (W - AB)ᵀ)."""
    w, a, b = ([[Fraction(float(x)) for x in row] for row in m] for m in (w, a, b))
    e = [[x - sum(a[i][r] * b[r][j] for r in range(len(b))) for j, x in enumerate(row)] for i, row in enumerate(w)]
    square = sum(x * x for row in e for x in row)
    if h is None:
        return square, None
    h = [[Fraction(float(x)) for x in row] for row in h]
    places = range(len(h))
    return square, sum(row[i] * h[i][j] * row[j] for row in e for i in places for j in places)


def best_output_error(w, h, rank):
    """The root of the least tr((W - AB) H (W - AB)ᵀ)."""
    values, vectors = np.linalg.eigh(h)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return float(np.sqrt((np.linalg.svd(w @ root, compute_uv=False)[rank:] ** 2).sum()))
