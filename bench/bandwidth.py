"""The memory's own rate, measured by a small C++ loop that is compiled when the benchmark starts."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np


@functools.cache
def library() -> ctypes.CDLL:
    source = Path(__file__).parent / "cpp" / "bandwidth.cpp"
    target = Path(tempfile.mkdtemp()) / "bandwidth.so"
    flags = ["-O3", "-fopenmp", "-shared", "-fPIC", "-std=c++20"]
    subprocess.run([os.environ.get("CXX", "c++"), *flags, str(source), "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


def read_modify_write(read: np.ndarray, written: Sequence[np.ndarray], threads: int) -> Callable[[], None]:
    """A call that reads the first array and reads and writes the others (1 to 4), all float32 of one size, and
    leaves them as they are."""
    pointers = (ctypes.c_void_p * len(written))(*(array.ctypes.data for array in written))
    call = library().read_modify_write
    arguments = (ctypes.c_void_p(read.ctypes.data), pointers, len(written), ctypes.c_ssize_t(read.size), threads)
    return lambda: call(*arguments)
