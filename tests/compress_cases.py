"""Layers for the planner."""

import numpy as np


def layers_of(rng):
    """One layer with inputs that have strong directions, one without inputs, one that groups do not fit."""
    w = rng.standard_normal((48, 64), np.float32)
    x = rng.standard_normal((100, 8), np.float32) @ rng.standard_normal((8, 64), np.float32)
    x += 0.1 * rng.standard_normal((100, 64), np.float32)
    decaying = (rng.standard_normal((96, 12)) * 0.5 ** np.arange(12)) @ rng.standard_normal((12, 128))
    return {
        "seen": (w, x),
        "unseen": (decaying.astype(np.float32), None),
        "odd": (rng.standard_normal((10, 50), np.float32), rng.standard_normal((30, 50), np.float32)),
    }
