"""Matrices of known spectra and what holds for every decomposition."""

import numpy as np
import petrain

SPECTRA = {
    "fast": lambda i: i**-2.0,
    "slow": lambda i: i**-0.5,
    "clustered": lambda i: np.repeat([1.0, 0.3, 0.1, 0.03], -(-len(i) // 4))[: len(i)],
    "flat tail": lambda i: np.where(i <= 12, 1.0, 0.01),
    "flat": lambda i: np.ones(len(i)),
    "exponential": lambda i: 0.7**i,
}
SHAPES = [(96, 96), (200, 72), (72, 200), (513, 40)]
METHODS = ["full", "randomized"]


def with_spectrum(shape, s, seed=0):
    rng = np.random.default_rng(seed)
    r = min(shape)
    u = np.linalg.qr(rng.standard_normal((shape[0], r)))[0]
    v = np.linalg.qr(rng.standard_normal((shape[1], r)))[0]
    return ((u * s[:r]) @ v.T).astype(np.float32)


def named(shape, name):
    return with_spectrum(shape, SPECTRA[name](np.arange(1, min(shape) + 1)))


def of_rank(shape, rank):
    """Small integers: their rank is exact in float32."""
    rng = np.random.default_rng(rank)
    m, n = shape
    return (rng.integers(-3, 4, (m, rank)) @ rng.integers(-3, 4, (rank, n))).astype(np.float32)


def with_threads(count, call):
    before = petrain.get_num_threads()
    petrain.set_num_threads(count)
    try:
        return call()
    finally:
        petrain.set_num_threads(before)


def product(u, s, vt):
    return (u.astype(np.float64) * s) @ vt


def bits(arrays):
    return [array.tobytes() for array in arrays]


def check_form(a, k, result):
    """What holds for every decomposition, however good it is."""
    u, s, vt = result
    assert u.shape == (a.shape[0], k)
    assert s.shape == (k,)
    assert vt.shape == (k, a.shape[1])
    assert all(x.dtype == np.float32 for x in result)
    assert np.abs(u.T.astype(np.float64) @ u - np.eye(k)).max() < 1e-6
    assert np.abs(vt.astype(np.float64) @ vt.T - np.eye(k)).max() < 1e-6
    assert (s >= 0).all()
    assert (np.diff(s) <= 0).all()
    rows = np.abs(u).argmax(axis=0)
    assert (u[rows, np.arange(k)] > 0).all()
