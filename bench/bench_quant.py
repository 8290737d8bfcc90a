"""Products in int8 and int4 against onnxruntime and torch, float32 in and out, Python overhead included.

    python bench/bench_quant.py [--only linear gemv weight_only lowrank conv lstm] [--threads 1 2] [--json out.json]

Rates are in GMAC/s; those of "linear" also as a fraction of the machine's integer peak, a loop over registers of the
best exact instructions. onnxruntime's default u8 × s8 products saturate on AVX2; "exact" is its x64quantprecision mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import common
import numpy as np
import petrain
import quant_lstm
import torch
from bandwidth import sweeps_of
from int_peak import int8_peak
from petrain import quant
from quant_conv import NETWORKS, compare
from quant_rivals import ort_float32, ort_int4, ort_int8, torch_dynamic, torch_float32

SIZES, ROWS = (256, 1024, 4096), (1, 16, 128, 1024)
BARS = {  # of M = 128, K = N = 1024
    ("int8", "torch float32"): 1.7,
    ("int8", "onnxruntime exact"): 1.2,
    ("int8", "onnxruntime"): 0.93,
    ("int4 g32", "onnxruntime int4"): 2.0,
}


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def int4(w: np.ndarray) -> quant.QuantTensor:
    return quant.quantize(w, 4, granularity="group", group_size=32)


def rivals(x: np.ndarray, w: np.ndarray, threads: int) -> dict[str, Callable[[], Any]]:
    q8, q4 = quant.quantize(w), int4(w)
    return {
        "int8": lambda: quant.linear(x, q8),
        "int4 g32": lambda: quant.linear(x, q4),
        "onnxruntime": ort_int8(x, w, threads, exact=False),
        "onnxruntime exact": ort_int8(x, w, threads, exact=True),
        "onnxruntime int4": ort_int4(x, w, threads),
        "onnxruntime float32": ort_float32(x, w, threads),
        "torch float32": torch_float32(x, w),
        "torch fbgemm": torch_dynamic(x, w, "fbgemm"),
        "torch onednn": torch_dynamic(x, w, "onednn"),
    }


def linear(report: common.Report, threads: int, rounds: int) -> None:
    peak = int8_peak(threads)
    print("integer peak: " + ("unknown" if peak is None else f"{peak:.0f} GMAC/s with {threads} threads"))
    for size in SIZES:
        for m in ROWS:
            x, w = normal(m, size), normal(size, size)
            counted = (m, size) == (128, 1024)
            times = common.race(rivals(x, w, threads), rounds if counted else 5, 0.2 if counted else 0.05)
            report.add_rates(f"M {m}, K = N = {size}", threads, m * size * size, times, peak)
            for (ours, theirs), bar in BARS.items():
                if counted:
                    work = f"{ours} M 128, K = N = 1024"
                    report.add(work, threads, times.ratio(theirs, ours), theirs, bar)


def gemv(report: common.Report, threads: int, rounds: int) -> None:
    x, w = normal(1, 4096), normal(4096, 4096)
    q8, q4 = quant.quantize(w), int4(w)
    read = np.ones(q8.values.nbytes // 4, np.float32)
    times = common.race(
        {
            "int8": lambda: quant.linear(x, q8),
            "int4 g32": lambda: quant.linear(x, q4),
            "reading the same bytes": sweeps_of([([read], [])], threads),
            "onnxruntime": ort_int8(x, w, threads, exact=False),
            "onnxruntime int4": ort_int4(x, w, threads),
            "torch float32": torch_float32(x, w),
        },
        rounds,
    )
    for theirs, bar in (("reading the same bytes", 0.9), ("onnxruntime", 1.0), ("torch float32", None)):
        report.add("int8 M 1, 4096 x 4096", threads, times.ratio(theirs, "int8"), theirs, bar)
    report.add(
        "int4 g32 M 1, 4096 x 4096", threads, times.ratio("onnxruntime int4", "int4 g32"), "onnxruntime int4", None
    )
    report.add_rates("M 1, K = N = 4096", threads, w.size, times)


def weight_only(report: common.Report, threads: int, rounds: int) -> None:
    """Activations in float32, or in what keeps as much of them."""
    w = normal(4096, 4096)
    q8, q4 = quant.quantize(w), int4(w)
    for m in (1, 4):
        x = normal(m, 4096)
        calls = {
            "int8": lambda x=x: quant.linear(x, q8, weight_only=True),
            "int8, activations too": lambda x=x: quant.linear(x, q8),
            "int4 g32": lambda x=x: quant.linear(x, q4, weight_only=True),
            "onnxruntime int4, level 1": ort_int4(x, w, threads, accuracy_level=1),
            "torch float32": torch_float32(x, w),
        }
        times = common.race(calls, rounds)
        report.add_rates(f"weight only, M {m}, 4096 x 4096", threads, m * w.size, times)
        for ours, theirs in (("int4 g32", "onnxruntime int4, level 1"), ("int8", "torch float32")):
            report.add(f"weight only {ours}, M {m}", threads, times.ratio(theirs, ours), theirs, None)


def lowrank(report: common.Report, threads: int, rounds: int) -> None:
    n, rank = 4096, 512
    x, dense = normal(1, n), normal(n, n)
    a, b = quant.quantize(normal(n, rank)), quant.quantize(normal(rank, n))
    calls = {"pair": lambda: quant.low_rank(x, a, b), "torch float32": torch_float32(x, dense)}
    times = common.race(calls, rounds)
    report.add("int8 low rank n/8, n = 4096, M 1", threads, times.ratio("torch float32", "pair"), "torch float32", 10)
    for m in (1, 64):
        for size in (1024, 4096):
            x, q = normal(m, size), quant.quantize(normal(size, size))
            pair = quant.quantize(normal(size, 8)), quant.quantize(normal(8, size))
            times = common.race(
                {
                    "plain": lambda x=x, q=q: quant.linear(x, q),
                    "residual": lambda x=x, q=q, pair=pair: quant.linear(x, q, residual=pair),
                },
                rounds,
            )
            work = f"int8 + rank 8, M {m}, {size} x {size}"
            report.add(work, threads, times.ratio("plain", "residual"), "without the residual", 1 / 1.05)


def conv(report: common.Report, threads: int, rounds: int) -> None:
    for name, bar in (("resnet18", 1.3), ("mobilenet_v2", None)):
        sums: dict[str, list[float]] = {}
        for shape in NETWORKS[name]:
            times = compare(shape, threads, rounds, 0.05)
            report.add_rates(str(shape), threads, shape.products, times)
            for rival, seconds in times.seconds.items():
                total = sums.setdefault(rival, [0.0] * rounds)
                sums[rival] = [a + shape.count * b for a, b in zip(total, seconds, strict=True)]
        ratio = common.Times(sums).ratio("onnxruntime float32", "int8")
        report.add(f"conv2d int8, sum of {name}", threads, ratio, "onnxruntime float32", bar)


def lstm(report: common.Report, threads: int, rounds: int) -> None:
    for size in (64, 256):
        for batch in (1, 32):
            times = common.race(quant_lstm.rivals(size, batch, threads), rounds, 0.05)
            work = f"LSTM {size}, batch {batch}"
            report.add_rates(work, threads, quant_lstm.products(size, batch), times)
            for theirs in (
                "onnxruntime float32",
                "onnxruntime int8 exact",
                "onnxruntime int8",
                "torch float32",
                "torch int8 fbgemm",
            ):
                report.add(f"{work}, int8", threads, times.ratio(theirs, "int8"), theirs, None)


PARTS = {"linear": linear, "gemv": gemv, "weight_only": weight_only, "lowrank": lowrank, "conv": conv, "lstm": lstm}


def main() -> None:
    args = common.arguments(__doc__, tuple(PARTS))
    report = common.Report("quantized products")
    print(common.machine())
    for threads in args.threads:
        petrain.set_num_threads(threads)
        torch.set_num_threads(threads)
        for part in args.only:
            PARTS[part](report, threads, args.rounds)
    report.finish(args.json)


if __name__ == "__main__":
    main()
