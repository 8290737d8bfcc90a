"""Initial values, written in place. The same seed gives the same bits on every machine.

Each function takes a C-contiguous, writeable float32 array. The fan of a weight (out, in, …) is its second or first
extent times those that follow, as for a convolution kernel.
"""

from __future__ import annotations

from petrain import _core
from petrain._params import Array

__all__ = ["he_normal", "he_uniform", "normal", "uniform", "xavier_normal", "xavier_uniform"]


def uniform(array: Array, low: float = 0.0, high: float = 1.0, *, seed: int) -> None:
    """Uniform between ``low`` and ``high``.

    >>> import numpy as np
    >>> a = np.empty((2, 3), np.float32)
    >>> uniform(a, -1, 1, seed=0)
    >>> bool((abs(a) <= 1).all())
    True
    """
    _core.init_uniform(array, low, high, seed)


def normal(array: Array, mean: float = 0.0, deviation: float = 1.0, *, seed: int) -> None:
    """Normal with this mean and standard deviation."""
    _core.init_normal(array, mean, deviation, seed)


def xavier_uniform(array: Array, *, seed: int) -> None:
    """Uniform in ± √(6 / (fan_in + fan_out)); Glorot, Bengio, AISTATS 2010."""
    _core.init_weight(array, "xavier_uniform", seed)


def xavier_normal(array: Array, *, seed: int) -> None:
    """Normal with deviation √(2 / (fan_in + fan_out)); Glorot, Bengio, AISTATS 2010."""
    _core.init_weight(array, "xavier_normal", seed)


def he_uniform(array: Array, *, seed: int) -> None:
    """Uniform in ± √(6 / fan_in); He et al., arXiv 1502.01852."""
    _core.init_weight(array, "he_uniform", seed)


def he_normal(array: Array, *, seed: int) -> None:
    """Normal with deviation √(2 / fan_in); He et al., arXiv 1502.01852."""
    _core.init_weight(array, "he_normal", seed)
