"""The peak memory of loading a model and predicting, as JSON: a process of its own, so that only this is counted.

``python -m petrain.demo.probe FILE ROWS FEATURES THREADS``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import petrain


def peak_bytes() -> int | None:
    """The largest resident size of this process so far; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: Linux hands a child the peak that its parent had reached before exec.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(path: str, rows: int, features: int, threads: int) -> None:
    petrain.set_num_threads(threads)
    before = peak_bytes()
    model = petrain.load(path)
    model(np.zeros((rows, features), np.float32))
    print(json.dumps({"before": before, "peak": peak_bytes()}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
