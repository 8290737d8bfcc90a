"""The core against NumPy, at the same number of threads: the figures of the README."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # two thread pools take turns here: none may spin

import common
import numpy as np
import petrain
from petrain import lowrank, nn, quant
from threadpoolctl import threadpool_limits

M = 1 << 20


def adamw(report: common.Report, threads: int, rounds: int) -> None:
    rng = np.random.default_rng(0)
    p, g, m, v = (rng.standard_normal(16 * M).astype(np.float32) for _ in range(4))
    opt = petrain.optim.AdamW([p], lr=1e-4)

    def numpy_step() -> None:  # as one writes it in NumPy, in place
        np.multiply(m, 0.9, out=m)
        np.add(m, 0.1 * g, out=m)
        np.multiply(v, 0.999, out=v)
        np.add(v, 0.001 * g * g, out=v)
        np.multiply(p, 1 - 1e-6, out=p)
        np.subtract(p, 1e-4 * (m / (np.sqrt(np.abs(v)) + 1e-8)), out=p)

    times = common.race({"petrain": lambda: opt.step([g], max_norm=1.0), "numpy": numpy_step}, rounds)
    report.add(
        "AdamW with clipping, 16 M parameters",
        threads,
        times.ratio("numpy", "petrain"),
        "NumPy in place, without clipping",
        None,
    )


def gemm(report: common.Report, threads: int, rounds: int, n: int) -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal((n, n)).astype(np.float32) for _ in range(2))
    model = nn.Sequential(nn.Linear.from_weight(nn.DenseWeight(w)))
    times = common.race({"petrain": lambda: model(x), "numpy": lambda: x @ w.T}, rounds)
    report.add(f"float32 product {n}x{n}x{n}", threads, times.ratio("numpy", "petrain"), "NumPy", None)


def int8(report: common.Report, threads: int, rounds: int, rows: int) -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((1024, 1024)).astype(np.float32)
    x = rng.standard_normal((rows, 1024)).astype(np.float32)
    q = quant.quantize(w)
    times = common.race({"petrain": lambda: quant.linear(x, q), "numpy": lambda: x @ w.T}, rounds)
    report.add(f"int8 linear {rows}x1024x1024", threads, times.ratio("numpy", "petrain"), "NumPy float32", None)


def svd(report: common.Report, threads: int, rounds: int) -> None:
    rng = np.random.default_rng(0)
    n = 1024
    u, _ = np.linalg.qr(rng.standard_normal((n, n)))
    vt, _ = np.linalg.qr(rng.standard_normal((n, n)))
    a = ((u * np.arange(1, n + 1) ** -0.5) @ vt).astype(np.float32)
    rivals = {"petrain": lambda: lowrank.svd(a, 32), "numpy": lambda: np.linalg.svd(a, full_matrices=False)}
    times = common.race(rivals, max(3, rounds // 3))
    report.add("SVD 1024x1024, k = 32", threads, times.ratio("numpy", "petrain"), "numpy.linalg.svd", None)
    exact = np.sqrt((np.arange(33, n + 1) ** -1.0).sum())
    uk, sk, vk = lowrank.svd(a, 32)
    error = np.linalg.norm(a.astype(np.float64) - (uk.astype(np.float64) * sk) @ vk)
    print(f"    error {error / exact - 1:.2%} above the least possible")


def main() -> None:
    args = common.arguments(__doc__ or "")
    report = common.Report("core")
    print(common.machine())
    for threads in args.threads:
        petrain.set_num_threads(threads)
        with threadpool_limits(threads):
            adamw(report, threads, args.rounds)
            for n in (512, 1024, 2048):
                gemm(report, threads, args.rounds, n)
            for rows in (1, 128):
                int8(report, threads, args.rounds, rows)
            svd(report, threads, args.rounds)
    report.finish(args.json)


if __name__ == "__main__":
    main()
