"""The planner: what it says a model takes against what it takes, and its solver, 200 layers of 100 options, against a
second and against scipy's mixed-integer solver (HiGHS).

    python bench/bench_planner.py [--threads 1] [--json out.json]

The solver runs on one thread whatever their number. HiGHS is asked for a gap of 1e-6 and runs for one round only; where
it takes longer than ten seconds it is stopped, and its time counts as that. petrain's own gap is printed beside.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

import common
import numpy as np
import petrain
from petrain import compress, nn
from petrain.compress import Knapsack, knapsack

try:
    from scipy import optimize, sparse
except ImportError:
    optimize = None  # type: ignore[assignment]

LAYERS, OPTIONS, LONGEST = 200, 100, 10


def problems() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    shape = (LAYERS, OPTIONS)
    sizes = rng.choice([256, 512, 768, 1024, 3072], size=(LAYERS, 2))
    ranks = 1 + np.arange(OPTIONS) * sizes.min(axis=1, keepdims=True) // (2 * OPTIONS)
    spectra = rng.uniform(1, 8, (LAYERS, 1)) * ranks ** -rng.uniform(0.2, 2, (LAYERS, 1))
    bits = rng.uniform(2, 8, shape)
    mixed = rng.random(shape) < 1 / 3
    costs = ranks * sizes.sum(axis=1, keepdims=True)
    whole = (sizes.prod(axis=1, keepdims=True) * bits / 8).astype(np.int64)
    free = rng.integers(0, 10**6, shape)
    return {
        "ranks": (costs, spectra * (1 + 0.1 * rng.random(shape))),
        "ranks and bits": (np.where(mixed, whole, costs), np.where(mixed, 4.0**-bits, spectra)),
        "equal layers": (costs[[0] * LAYERS], spectra[[0] * LAYERS]),
        "unrelated": (free, rng.random(shape)),
        "error = constant - cost": (free, 1.2e6 - free),
    }


def highs(costs: np.ndarray, errors: np.ndarray, budget: int) -> float:
    one = sparse.kron(sparse.eye(LAYERS), np.ones((1, OPTIONS)))
    found = optimize.milp(
        errors.ravel(),
        integrality=np.ones(errors.size),
        bounds=optimize.Bounds(0, 1),
        constraints=[
            optimize.LinearConstraint(one, 1, 1),
            optimize.LinearConstraint(costs.reshape(1, -1), -np.inf, budget),
        ],
        options={"mip_rel_gap": 1e-6, "time_limit": LONGEST},
    )
    return float(found.fun) if found.fun is not None else float("inf")


def predicted_times(report: common.Report, threads: Sequence[int], rounds: int) -> None:
    """What a plan says a run takes, against what it takes: one row through the model that is built."""
    rng = np.random.default_rng(0)
    for widths in ((784, 256, 128, 10), (1024,) * 5):
        pairs = list(itertools.pairwise(widths))
        layers = [layer for i, (k, n) in enumerate(pairs) for layer in (nn.Linear(k, n, seed=i), nn.ReLU())]
        model = nn.Sequential(*layers[:-1])
        x = rng.standard_normal((200, widths[0]), np.float32)
        for count in threads:
            petrain.set_num_threads(count)
            scores = compress.score_model(model, x, timed=True)
            whole = scores.plan(budget_ms=1e6).seconds
            assert whole is not None
            for part in (1, 0.5, 0.3):
                try:
                    plan = scores.plan(budget_ms=1e3 * part * whole * (1 + 1e-6))
                except ValueError:  # nothing is as fast
                    continue
                assert plan.seconds is not None
                small = compress.build_model(plan, model, x)
                # The machine is not as fast now as it was then: the model as it is says by how much.
                rivals = {"as it is": lambda m=model, x=x: m(x[:1]), "small": lambda m=small, x=x: m(x[:1])}  # type: ignore[misc]
                times = common.race(rivals, rounds, at_least=0.02)  # type: ignore[arg-type]
                parts = [b / a for a, b in zip(times.seconds["as it is"], times.seconds["small"], strict=True)]
                predicted, measured = plan.seconds / whole, statistics.median(parts)
                work = f"{'-'.join(map(str, widths))}, {part:.0%} of the time"
                now = times.median("small") * 1e6
                print(
                    f"{work}: predicted {predicted:.2f} of the model as it is, measured {measured:.2f}; "
                    f"{plan.seconds * 1e6:.0f} µs, measured {now:.0f} µs"
                )
                extremes = sorted(1 - abs(predicted / part - 1) for part in (min(parts), max(parts)))
                spread = (1 - abs(predicted / measured - 1), *extremes)
                report.add(work, count, spread, "1 - how far off the predicted part is", 0.85, " ")


def main() -> None:
    arguments = common.arguments(__doc__ or "", ["times", "solver"])
    report = common.Report("planner")
    if "times" in arguments.only:
        predicted_times(report, arguments.threads, arguments.rounds)
    for name, (costs, errors) in (problems() if "solver" in arguments.only else {}).items():
        for part in (0.1, 0.4):
            least, most = int(costs.min(axis=1).sum()), int(costs.max(axis=1).sum())
            budget = least + int(part * (most - least))
            found: list[Knapsack] = []
            times = common.race(
                {"petrain": lambda c=costs, e=errors, b=budget, f=found: f.append(knapsack(c, e, b))},  # type: ignore[misc]
                arguments.rounds,
                at_least=0.02,
            )
            seconds = times.seconds["petrain"]
            work = f"{name}, budget {part:.0%} of the way"
            print(f"{work}: {times.median('petrain') * 1e3:.1f} ms, gap {found[0].gap:.1e}")
            ratio = (1 / times.median("petrain"), 1 / max(seconds), 1 / min(seconds))
            report.add(work, 1, ratio, "one second", 1)
            if optimize is None:
                continue
            start = common.time.perf_counter()
            theirs = highs(costs, errors, budget)
            took = common.time.perf_counter() - start
            against = f"HiGHS (error {theirs / found[0].error - 1:+.1e} to petrain's)"
            report.add(
                work, 1, (took / times.median("petrain"), took / max(seconds), took / min(seconds)), against, None
            )
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
