"""The integer peak of the machine, measured by a small C++ loop that is compiled when the benchmark starts."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import tempfile
import time
from pathlib import Path


@functools.cache
def int8_peak() -> float:
    """Multiply-adds of 8-bit integers a nanosecond that one thread can do in registers, exactly; 0 where unknown."""
    source = Path(__file__).parent / "cpp" / "int_peak.cpp"
    target = Path(tempfile.mkdtemp()) / "int_peak.so"
    flags = ["-O3", "-march=native", "-shared", "-fPIC", "-std=c++20"]
    subprocess.run([os.environ.get("CXX", "c++"), *flags, str(source), "-o", str(target)], check=True)
    loop = ctypes.CDLL(str(target)).int8_peak
    loop.restype, loop.argtypes = ctypes.c_double, [ctypes.c_int64]
    best = 0.0
    for _ in range(5):
        start = time.perf_counter()
        done = loop(5_000_000)
        best = max(best, done / (time.perf_counter() - start) / 1e9)
    return best
