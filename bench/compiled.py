"""C++ loops beside the benchmarks, compiled when one starts, so that they are those of the machine."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import tempfile
from pathlib import Path


@functools.cache
def library(name: str, *flags: str) -> ctypes.CDLL:
    """bench/cpp/<name>.cpp, loaded."""
    source = Path(__file__).parent / "cpp" / f"{name}.cpp"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{name}.so"
        command = [os.environ.get("CXX", "c++"), "-O3", "-shared", "-fPIC", "-std=c++20", *flags]
        subprocess.run([*command, str(source), "-o", str(target)], check=True)
        return ctypes.CDLL(str(target))
