"""Observers, and what several tests of them need."""

import numpy as np
from petrain import quant
from reference import quant as reference_quant

HISTOGRAMS = [quant.PercentileObserver, quant.EntropyObserver, quant.MSEObserver]
OBSERVERS = [quant.MinMaxObserver, quant.MovingAverageObserver, *HISTOGRAMS]


def observed(observer, *arrays):
    for x in arrays:
        observer.observe(x)
    return observer


def same_state(a, b):
    return a.keys() == b.keys() and all(
        np.array_equal(a[key], b[key]) and np.asarray(a[key]).tobytes() == np.asarray(b[key]).tobytes() for key in a
    )


def every_octave(rng):
    """Numbers of every octave of float32, of both signs, zeros, and many of the usual ones."""
    bits = rng.integers(0, 2**32, 70_000, dtype=np.uint32).view(np.float32)
    parts = [bits[np.isfinite(bits)], rng.standard_normal(100_000), np.zeros(999), [-0.0, 1e-45]]
    x = np.concatenate(parts).astype(np.float32)
    return x[rng.permutation(x.size)]


def check_params(observer, low, high):
    scale, zero_point = reference_quant.range_params(low, high, observer.bits, observer.scheme)
    params = observer.qparams()
    assert (params.scale, params.zero_point) == (scale, zero_point)
    assert (params.bits, params.scheme) == (observer.bits, observer.scheme)
