"""How figures are taken: rivals run in turn, A B A B …, after a warm-up; what counts is the median of the ratios of
each round, since the machine's speed drifts. A benchmark prints a table, writes JSON and exits with 1 where a stated
bar is missed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import petrain


@dataclass
class Times:
    """Seconds of each round for each rival."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, slower: str, faster: str) -> tuple[float, float, float]:
        """How many times faster the second is: the median over the rounds, the least and the greatest."""
        ratios = [a / b for a, b in zip(self.seconds[slower], self.seconds[faster], strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)


def race(rivals: dict[str, Callable[[], Any]], rounds: int = 9, at_least: float = 0.2) -> Times:
    """Run all in turn. A call that is short is repeated until a round of it takes ``at_least`` seconds."""
    repeats = {}
    for name, run in rivals.items():
        run()
        start = time.perf_counter()
        run()
        repeats[name] = max(1, int(at_least / max(time.perf_counter() - start, 1e-7)))
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, run in rivals.items():
            time.sleep(0.1)  # a thread pool goes on spinning for a while after its call, and would slow the next one
            start = time.perf_counter()
            for _ in range(repeats[name]):
                run()
            seconds[name].append((time.perf_counter() - start) / repeats[name])
    return Times(seconds)


@dataclass
class Report:
    """Rows of one benchmark, with a bar or without."""

    title: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    rates: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        work: str,
        threads: int,
        ratio: tuple[float, float, float],
        against: str,
        bar: float | None,
        unit: str = "x",
    ) -> None:
        value, low, high = ratio
        row = {"work": work, "threads": threads, "against": against, "ratio": value, "low": low, "high": high}
        row["unit"] = unit
        self.rows.append({**row, "bar": bar, "met": bar is None or value >= bar})
        verdict = "" if bar is None else f"  bar {bar:g}: {'met' if value >= bar else 'MISSED'}"
        print(f"{work:44} {threads} thr  {value:7.2f}{unit} [{low:.2f}-{high:.2f}] {against}{verdict}", flush=True)

    def add_rates(self, work: str, threads: int, products: int, times: Times, peak: float | None = None) -> None:
        """Multiply-adds a nanosecond (GMAC/s) of all rivals, the first of them as a part of the integer peak too."""
        rates = {name: products / times.median(name) / 1e9 for name in times.seconds}
        first = next(iter(rates.values()))
        self.rates.append({"work": work, "threads": threads, "gmac_per_s": rates, "integer_peak": peak})
        of_peak = "" if peak is None else f" ({first / peak:.0%} of the peak)"
        cells = [f"{name} {rate:.1f}" + (of_peak if i == 0 else "") for i, (name, rate) in enumerate(rates.items())]
        print(f"{work:32} {threads} thr  GMAC/s: {', '.join(cells)}", flush=True)

    def finish(self, path: str | None) -> None:
        """Write the JSON and leave, with 1 where a bar was missed."""
        missed = [row["work"] for row in self.rows if not row["met"]]
        if path:
            figures = {"title": self.title, "machine": machine(), "rows": self.rows, "rates": self.rates}
            Path(path).write_text(json.dumps(figures, indent=1))
        print(f"{len(self.rows)} rows, {len(missed)} bars missed" + (f": {', '.join(missed)}" if missed else ""))
        sys.exit(1 if missed else 0)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cpu": cpu_name(),
        "petrain": petrain.__version__,
        "isa": petrain.cpu_info()["isa"],
        "numpy": np.__version__,
        "blas": blas(),
        "python": platform.python_version(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        **{name: sys.modules[name].__version__ for name in ("torch", "onnxruntime") if name in sys.modules},
    }


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def blas() -> str:
    """The kernel that NumPy's BLAS runs, where threadpoolctl can tell."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown"
    return ", ".join(f"{i['internal_api']} {i.get('architecture', '')}" for i in threadpool_info()) or "unknown"


def arguments(description: str, parts: Sequence[str] = (), *, chart: bool = False) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if parts:
        parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), help="measure these parts alone")
    if chart:
        parser.add_argument("--chart", help="draw to this file")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts to measure")
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()
