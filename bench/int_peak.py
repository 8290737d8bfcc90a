"""The integer peak of the machine: a loop over registers of the best exact instruction, in as many threads."""

from __future__ import annotations

import ctypes
import functools
import time
from concurrent.futures import ThreadPoolExecutor

from compiled import library


@functools.cache
def int8_peak(threads: int) -> float | None:
    """Multiply-adds of 8-bit integers a nanosecond that so many threads do; None where the loop is not written."""
    loop = library("int_peak", "-march=native").int8_peak
    loop.restype, loop.argtypes = ctypes.c_double, [ctypes.c_int64]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(7):
            start = time.perf_counter()
            done = sum(pool.map(loop, [5_000_000] * threads))
            best = max(best, done / (time.perf_counter() - start) / 1e9)
    return best or None
