"""Sparse layers against petrain's own dense ones, float32 and int8, batch 1, 8 and 64, Python overhead included.

    python bench/bench_sparse.py [--only float32 int8] [--threads 1 2] [--json out.json]

"full" is a float32 weight without zeros in the sparse layer: what a dense layer that keeps its weight in the order in
which it is read would take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import common
import numpy as np
import petrain
from petrain import nn, prune, quant, sparse

SHAPES, ROWS = ((1024, 1024), (4096, 1024)), (1, 8, 64)
N_M = {"2:4": (2, 4), "4:8": (4, 8), "1:4": (1, 4), "2:8": (2, 8)}
GROUPS = (16, 8, 4, 2, 1)
BLOCKS = {"90% 16x4": (16, 4), "90% 8x8": (8, 8), "90% 4x4": (4, 4)}


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def n_m(w: np.ndarray, n: int, m: int, group: int, bits: int) -> sparse.SparseTensor:
    mask = prune.n_m(w * w, n, m, group=group)
    return sparse.compress(w, mask, n=n, m=m, group=group, bits=bits, force=True)


def blocks(w: np.ndarray, block: tuple[int, int], sparsity: float, bits: int) -> sparse.SparseTensor:
    return sparse.compress(w, prune.blocks(w * w, block, sparsity), block=block, bits=bits, force=True)


def race(
    report: common.Report,
    threads: int,
    rounds: int,
    rivals: dict[str, Callable[[np.ndarray], Any]],
    against: list[str],
    what: str,
    shape: tuple[int, int],
) -> None:
    for rows in ROWS:
        x = normal(rows, shape[1])
        times = common.race({name: lambda run=run, x=x: run(x) for name, run in rivals.items()}, rounds, 0.05)
        for name in rivals:
            for theirs in against:
                if name not in against:
                    work = f"{what} {name}, M {rows}, {shape[0]} x {shape[1]}"
                    report.add(work, threads, times.ratio(theirs, name), theirs, None)


def layer(w: sparse.SparseTensor) -> Callable[[np.ndarray], Any]:
    return lambda x: sparse.linear(x, w)


def float32(report: common.Report, threads: int, rounds: int) -> None:
    for shape in SHAPES:
        w = normal(*shape)
        rivals: dict[str, Callable[[np.ndarray], Any]] = {
            "dense": nn.Sequential(nn.Linear.from_weight(nn.DenseWeight(w))).forward,
            "full": layer(sparse.compress(w, block=(16, 8), force=True)),
        }
        for group in GROUPS:
            rivals |= {
                f"{name} g{group}": layer(n_m(w, *pair, group, 32)) for name, pair in N_M.items() if pair[1] == 4
            }
        rivals |= {name: layer(blocks(w, block, 0.9, 32)) for name, block in BLOCKS.items()}
        race(report, threads, rounds, rivals, ["dense", "full"], "float32", shape)


def int8(report: common.Report, threads: int, rounds: int) -> None:
    for shape in SHAPES:
        w = normal(*shape)
        q = quant.quantize(w)
        rivals: dict[str, Callable[[np.ndarray], Any]] = {"dense": lambda x, q=q: quant.linear(x, q)}
        rivals |= {f"{name} g16": layer(n_m(w, *pair, 16, 8)) for name, pair in N_M.items()}
        for block in ((16, 4), (16, 1)):
            for part in (0.5, 0.75, 0.9):
                rivals[f"{part:.0%} {block[0]}x{block[1]}"] = layer(blocks(w, block, part, 8))
        race(report, threads, rounds, rivals, ["dense"], "int8", shape)


PARTS = {"float32": float32, "int8": int8}


def main() -> None:
    args = common.arguments(__doc__ or "", tuple(PARTS))
    report = common.Report("sparse layers")
    print(common.machine())
    for threads in args.threads:
        petrain.set_num_threads(threads)
        for part in args.only:
            PARTS[part](report, threads, args.rounds)
    report.finish(args.json)


if __name__ == "__main__":
    main()
