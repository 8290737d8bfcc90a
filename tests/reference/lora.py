"""Adapted layers in float64, with the whole weight made: slow, and right."""

import numpy as np


def weight(w, a, b, scale, magnitude=None, origin=None):
    """W + s B A, without the origin's; with DoRA its rows have the magnitudes as their norms."""
    total = w + scale * (b @ a)
    if origin is not None:
        total = total - scale * (origin[1] @ origin[0])
    if magnitude is None:
        return total
    return magnitude[:, None] * total / np.linalg.norm(total, axis=1, keepdims=True)


def backward(dy, x, w, a, b, scale, magnitude=None, origin=None):
    """Gradients of x, A, B and the magnitude, where the norms of DoRA are constants."""
    whole = weight(w, a, b, scale, magnitude, origin)
    direction = weight(w, a, b, scale, None, origin)
    dw = dy.T @ x
    d_magnitude = None
    if magnitude is not None:
        norms = np.linalg.norm(direction, axis=1)
        d_magnitude = (dw * direction).sum(axis=1) / norms
        dw = dw * (magnitude / norms)[:, None]
    return dy @ whole, scale * (b.T @ dw), scale * (dw @ a.T), d_magnitude
