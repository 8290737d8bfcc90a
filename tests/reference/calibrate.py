"""Calibration with all samples in memory, as its definitions read."""

import numpy as np
from reference import quant


def histogram(x):
    """Bin number and count of what is in a bin: the upper 18 bits of a float32, both zeros in bin 0."""
    bins = x.astype(np.float32).reshape(-1).view(np.uint32) >> 14
    numbers, counts = np.unique(np.where(bins == 1 << 17, 0, bins), return_counts=True)
    return numbers.astype(np.int32), counts.astype(np.int64)


def extremes(x, axis=None):
    x = x.astype(np.float64) + 0.0
    if axis is None:
        return x.min(), x.max()
    rows = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
    return rows.min(axis=1), rows.max(axis=1)


def moving_average(arrays, constant):
    low, high = extremes(arrays[0])
    for x in arrays[1:]:
        new_low, new_high = extremes(x)
        low, high = low + constant * (new_low - low), high + constant * (new_high - high)
    return low, high


def percentile(x, percent, scheme):
    """The innermost range with no more outside than is allowed."""
    x = np.sort(np.abs(x) if scheme == "symmetric" else x, axis=None)
    share = (100 - percent) / 100
    outside = int(x.size * (share if scheme == "symmetric" else share / 2))
    high = x[x.size - 1 - outside]
    return (-high, high) if scheme == "symmetric" else (x[outside], high)


def mean_squared_error(x, low, high, bits, scheme):
    scale, zero_point = quant.range_params(low, high, bits, scheme)
    most = 2 ** (bits - 1) - 1
    least = -most if scheme == "symmetric" else -most - 1
    q = np.clip(np.rint(x.astype(np.float64) / scale) + zero_point, least, most)
    return np.mean(((q - zero_point) * scale - x) ** 2)


def mse(x, bits, scheme, steps):
    """The least error of a grid of ranges."""
    low, high = min(x.min(), 0.0), max(x.max(), 0.0)
    shares = np.geomspace(0.01, 1, steps)
    if scheme == "symmetric":
        ranges = [(-end, end) for end in shares * max(-low, high)]
    else:
        ranges = [(a, b) for a in (shares * low if low < 0 else [0]) for b in (shares * high if high > 0 else [0])]
    return min(mean_squared_error(x, *each, bits, scheme) for each in ranges)


def divergences(x, bits, bins=2048, step=4):
    """Thresholds, every so many bins, and their Kullback-Leibler divergences, of the magnitudes: Migacz, GTC 2017.
    Infinite where more than half lies beyond: with all in one bin, P and Q are the same."""
    magnitudes = np.abs(x[x != 0]).astype(np.float64)
    counts, edges = np.histogram(magnitudes, bins, range=(0, magnitudes.max()))
    levels = 2 ** (bits - 1)
    result = []
    for size in range(bins // 16, bins + 1, step):
        p = counts[:size].astype(np.float64)
        p[-1] += counts[size:].sum()
        q = np.zeros(size)
        for level in range(levels):
            part = slice(size * level // levels, size * (level + 1) // levels)
            filled = p[part] > 0
            q[part][filled] = counts[:size][part].sum() / max(filled.sum(), 1)
        q[(q == 0) & (p > 0)] = 1e-4
        if counts[size:].sum() > counts.sum() / 2:
            result.append(np.inf)
            continue
        p, q = p / p.sum(), q / q.sum()
        result.append(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])))
    return edges[bins // 16 :: step], np.array(result)
