"""Truncated SVD against torch, scikit-learn and NumPy, float32; layers on factors against dense ones.

    python bench/bench_lowrank.py [--only gemm spectra half layers] [--threads 1 2] [--json out.json]

Each rival runs as its users call it. The squared error beyond the least possible, relative to it, is the "excess".
Against a truncated rival petrain runs with the loosest tolerance at which its excess is no larger than the rival's,
against the full one with the default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import common
import numpy as np
import petrain
from petrain import lowrank, nn
from threadpoolctl import threadpool_limits

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]
try:
    from sklearn.utils.extmath import randomized_svd
except ImportError:
    randomized_svd = None

Factors = tuple[Any, Any, Any]


def matrix(n: int, power: float, seed: int = 0) -> np.ndarray:
    """Singular values i**power, random vectors."""
    rng = np.random.default_rng(seed)
    u, _ = np.linalg.qr(rng.standard_normal((n, n)))
    v, _ = np.linalg.qr(rng.standard_normal((n, n)))
    return ((u * np.arange(1, n + 1, dtype=float) ** power) @ v).astype(np.float32)


def excess(a: np.ndarray, least: float, factors: Factors) -> float:
    """How much more than the least possible ‖A - U S Vᵀ‖²_F is, relative to it."""
    u, s, vt = (np.asarray(f, np.float64) for f in factors)
    return float(((a - (u * s) @ vt) ** 2).sum() / least - 1)


def rivals(a: np.ndarray, k: int) -> dict[str, Callable[[], Factors]]:
    found: dict[str, Callable[[], Factors]] = {}
    if torch is not None:
        t = torch.from_numpy(a)

        def lowrank_torch() -> Factors:
            u, s, v = torch.svd_lowrank(t, q=k)
            return u, s, v.T

        def full_torch() -> Factors:
            u, s, vt = torch.linalg.svd(t, full_matrices=False)
            return u[:, :k], s[:k], vt[:k]

        found |= {"torch.svd_lowrank": lowrank_torch, "torch.linalg.svd": full_torch}
    if randomized_svd is not None:
        found["scikit-learn"] = lambda: randomized_svd(a, k, random_state=0)
    return found


def matching(a: np.ndarray, k: int, least: float, most: float) -> float:
    """The loosest tolerance with no more excess."""
    for tol in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5):
        if excess(a, least, lowrank.svd(a, k, tol=tol)) <= most:
            return tol
    return 1e-6


def compare(
    report: common.Report, threads: int, rounds: int, n: int, k: int, power: float, bars: dict[str, float | None]
) -> None:
    a = matrix(n, power)
    work = f"svd {n}x{n}, k = {k}, s = i^{power:g}"
    least = float((np.arange(k + 1, n + 1, dtype=float) ** (2 * power)).sum())
    for name, rival in rivals(a, k).items():
        if name not in bars:
            continue
        theirs = excess(a, least, rival())
        tol = 1e-4 if name == "torch.linalg.svd" else matching(a, k, least, theirs)
        ours = excess(a, least, lowrank.svd(a, k, tol=tol))
        times = common.race({"petrain": lambda tol=tol: lowrank.svd(a, k, tol=tol), name: rival}, rounds, at_least=0.05)
        against = f"{name} (excess {ours:.1e} with tol = {tol:g}, theirs {theirs:.1e})"
        report.add(work, threads, times.ratio(name, "petrain"), against, bars[name])
        print(f"    petrain {times.median('petrain') * 1e3:.1f} ms, {name} {times.median(name) * 1e3:.1f} ms")
        if ours > theirs and name != "torch.linalg.svd":
            print("    not comparable: its error is smaller")


def gemm(report: common.Report, threads: int, rounds: int) -> None:
    """The rate of the product that everything else is made of, and the part of it that an SVD reaches."""
    n, k, oversample, n_iter = 4096, 64, 10, 2
    a = matrix(n, -0.5)
    b = np.random.default_rng(1).standard_normal((n, n)).astype(np.float32)
    thin = np.ascontiguousarray(b[:, :16])
    runs = {
        "petrain": lambda: petrain._core.low_rank_product(a[:1024], b),
        "numpy": lambda: a[:1024] @ b,
        "svd": lambda: lowrank.svd(a, k, oversample, n_iter, "randomized"),
        "thin": lambda: petrain._core.low_rank_product(a, thin),
    }
    times = common.race(runs, rounds, at_least=0.05)
    report.add("gemm 1024x4096x4096", threads, times.ratio("numpy", "petrain"), "NumPy's", 0.85)
    rate = 2 * 1024 * n * n / times.median("petrain")
    steps = -(-(k + oversample) // 16) + n_iter  # of 16 columns: a product by A, and between two of them one by Aᵀ
    needed = 2 * n * n * 16 * (2 * steps - 1) / rate
    part = [needed / seconds for seconds in times.seconds["svd"]]
    against = f"the time of its products at the GEMM rate of {rate / 1e9:.0f} GFLOP/s"
    report.add(
        f"svd {n}x{n}, k = {k}, n_iter = {n_iter}", threads, (np.median(part), min(part), max(part)), against, 0.75
    )
    thin_rate = 2 * n * n * 16 / times.median("thin") / 1e9
    print(f"    the thin product alone: {thin_rate:.0f} GFLOP/s")


def spectra(report: common.Report, threads: int, rounds: int) -> None:
    bars = {"torch.linalg.svd": 30.0, "torch.svd_lowrank": 1.3, "scikit-learn": 4.0}
    compare(report, threads, max(3, rounds // 3), 2048, 64, -0.5, bars)
    for power in (-0.25, -1.0, -2.0):
        compare(
            report, threads, max(3, rounds // 3), 1024, 32, power, {"torch.svd_lowrank": None, "scikit-learn": None}
        )


def half(report: common.Report, threads: int, rounds: int) -> None:
    compare(report, threads, rounds, 768, 230, -0.5, {"torch.linalg.svd": 1.2})


def layers(report: common.Report, threads: int, rounds: int) -> None:
    """A layer on float32 factors of a quarter of the full rank against the dense one, as models run them."""
    n, rng = 1024, np.random.default_rng(0)
    w = rng.standard_normal((n, n), np.float32)
    factors = lowrank.factorize(w, rank=n // 4)
    dense = nn.Sequential(nn.Linear.from_weight(nn.DenseWeight(w)))
    pair = nn.LowRankWeight(nn.DenseWeight(factors.a), nn.DenseWeight(factors.b))
    thin = nn.Sequential(nn.Linear.from_weight(pair))
    for batch in (1, 2, 4, 8, 16, 32, 64):
        x = rng.standard_normal((batch, n), np.float32)
        times = common.race({"dense": lambda x=x: dense(x), "factors": lambda x=x: thin(x)}, rounds, at_least=0.05)  # type: ignore[misc]
        work = f"layer of {n}, rank {n // 4}, {batch} rows"
        report.add(work, threads, times.ratio("dense", "factors"), "dense", 1.5)


PARTS = {"gemm": gemm, "spectra": spectra, "half": half, "layers": layers}


def main() -> None:
    args = common.arguments(__doc__ or "", list(PARTS))
    report = common.Report("lowrank")
    print(common.machine())
    for threads in args.threads:
        petrain.set_num_threads(threads)
        if torch is not None:
            torch.set_num_threads(threads)
        with threadpool_limits(threads):
            for name in args.only:
                PARTS[name](report, threads, args.rounds)
    report.finish(args.json)


if __name__ == "__main__":
    main()
