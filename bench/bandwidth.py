"""The memory's own rate, measured by a small C++ loop that is compiled when the benchmark starts."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import numpy as np
from compiled import library

Sweep = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]  # what is read, what is read and written


def moved(sweeps: Sequence[Sweep]) -> int:
    """Bytes that go over the bus."""
    return sum(sum(a.nbytes for a in read) + 2 * sum(a.nbytes for a in written) for read, written in sweeps)


def sweeps_of(sweeps: Sequence[Sweep], threads: int) -> Callable[[], None]:
    """A call that goes over the arrays, one sweep after the other, and leaves them as they are. Each reads 1 to 3 and
    reads and writes 0 to 4, all float32 of one size."""
    call = library("bandwidth", "-fopenmp", "-march=native").sweep
    every = []
    for read, written in sweeps:
        pointers = [(ctypes.c_void_p * len(list_))(*(a.ctypes.data for a in list_)) for list_ in (read, written)]
        size = ctypes.c_ssize_t(read[0].size)
        every.append((pointers[0], len(read), pointers[1], len(written), size, threads))

    def run() -> None:
        for arguments in every:
            call(*arguments)

    return run
