"""Layers with forward and backward passes, and losses.

Layers live in the compiled core; their arrays are seen here in place. A model is trained like this:

>>> import numpy as np, petrain
>>> from petrain import nn
>>> x = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
>>> labels = (x[:, 0] > 0).astype(np.int64)
>>> nn.manual_seed(0)
>>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
>>> opt = petrain.optim.AdamW(model.parameters(), lr=0.05)
>>> for _ in range(50):
...     loss, gradient = nn.cross_entropy(model.forward(x, training=True), labels)
...     model.backward(gradient)
...     info = opt.step(model.gradients())
>>> bool((model(x).argmax(axis=1) == labels).all())
True
"""

from __future__ import annotations

import numpy as np

from petrain import _core, init
from petrain._core import (
    DenseWeight,
    Layer,
    Linear,
    LowRankWeight,
    QuantWeight,
    ReLU,
    ResidualWeight,
    Sequential,
    SparseWeight,
    Weight,
    manual_seed,
)

__all__ = [
    "DenseWeight",
    "Layer",
    "Linear",
    "LowRankWeight",
    "QuantWeight",
    "ReLU",
    "ResidualWeight",
    "Sequential",
    "SparseWeight",
    "Weight",
    "cross_entropy",
    "init",
    "manual_seed",
]


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    r"""The mean of :math:`-\log \mathrm{softmax}(z)_y` over the rows, and its gradient.

    Args:
        logits: float32 (rows, classes).
        labels: integers (rows,), from 0 to classes - 1.

    Returns:
        The loss, summed in float64, and its gradient with respect to the logits, float32 (rows, classes).

    Raises:
        ValueError: shapes or dtypes do not fit, or a label is out of range.

    Example:
        >>> loss, gradient = cross_entropy(np.zeros((1, 4), np.float32), np.array([2]))
        >>> round(loss, 4)  # log 4
        1.3863
        >>> gradient
        array([[ 0.25,  0.25, -0.75,  0.25]], dtype=float32)
    """
    return _core.cross_entropy(logits, np.asarray(labels))
