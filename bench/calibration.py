"""The memory of calibration: how much the process grows at the most, for each observer, over many samples.

Each observer runs in a process of its own, which makes one array, notes its resident memory, observes the array again
and again in other sizes, and asks for scale and zero point. What counts is the peak above what was noted. Linux alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import common
import numpy as np
from petrain import quant

OBSERVERS = ("MinMaxObserver", "MovingAverageObserver", "PercentileObserver", "EntropyObserver", "MSEObserver")
BAR = 64.0  # MB


def kilobytes(name: str) -> int:
    """VmRSS, the resident memory, or VmHWM, its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def measure(observer: quant.MSEObserver, samples: int, elements: int) -> dict[str, float]:
    """Of this process: the growth while it observes, and the bytes of what is kept."""
    x = np.random.default_rng(0).standard_normal(elements, np.float32)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = kilobytes("VmRSS")
    for i in range(samples):
        x *= -1.001 if i % 2 else -0.9985  # a range of its own for each sample
        observer.observe(x)
    observer.qparams()
    kept = sum(part.nbytes for part in observer.state_dict().values() if isinstance(part, np.ndarray))
    return {"growth_mb": (kilobytes("VmHWM") - before) / 1024, "kept_kb": kept / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--elements", type=int, default=1_000_000)
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--one", metavar="OBSERVER", help=argparse.SUPPRESS)  # what the processes run
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(getattr(quant, args.one)(), args.samples[0], args.elements)))
        return
    rows = []
    print(f"samples of {args.elements} float32; bar: less than {BAR:g} MB")
    for name in OBSERVERS:
        for samples in args.samples:
            command = [sys.executable, __file__, "--one", name, "--samples", str(samples)]
            done = subprocess.run([*command, "--elements", str(args.elements)], capture_output=True, check=True)
            row = {"observer": name, "samples": samples, **json.loads(done.stdout)}
            rows.append(row)
            verdict = "met" if row["growth_mb"] < BAR else "MISSED"
            print(f"{name:22} {samples:5} samples  peak + {row['growth_mb']:5.2f} MB  {verdict:6}", end="")
            print(f"  state {row['kept_kb']:6.1f} KB", flush=True)
    if args.json:
        report = {"title": "calibration memory", "machine": common.machine(), "rows": rows}
        Path(args.json).write_text(json.dumps(report, indent=1))
    sys.exit(1 if any(row["growth_mb"] >= BAR for row in rows) else 0)


if __name__ == "__main__":
    main()
