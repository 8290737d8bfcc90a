"""The errors of docs/rounding.md: of a layer's outputs after each method of rounding its weights.

Inputs have a few strong directions, an eighth of their number, and as much noise as one of these; weights are random.
`quantize` is rounding to the nearest, `descent` is round_coordinate_descent. Errors are those on the rows that the
methods saw and, in the second table, on as many others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import common
import numpy as np
from petrain import quant
from petrain.quant import HessianObserver, QuantTensor
from petrain.quant.sensitivity import FORMATS

Table = dict[str, dict[str, float]]


def rows_of_inputs(inputs: int, count: int) -> Callable[[np.random.Generator], HessianObserver]:
    mix = np.random.default_rng(0).standard_normal((inputs // 8, inputs), np.float32)

    def observed(rng: np.random.Generator) -> HessianObserver:
        hessian = HessianObserver(inputs)
        for _ in range(count // inputs):
            noise = rng.standard_normal((inputs, inputs), np.float32)
            hessian.observe(rng.standard_normal((inputs, len(mix)), np.float32) @ mix + noise)
        return hessian

    return observed


def methods(w: np.ndarray, options: dict, hessian: HessianObserver) -> dict[str, QuantTensor]:
    nearest = quant.quantize(w, **options)
    gptq, _ = quant.gptq(w, hessian, **options)
    return {
        "quantize": nearest,
        "gptq": gptq,
        "and descent": quant.round_coordinate_descent(w, gptq, hessian)[0],
        "descent alone": quant.round_coordinate_descent(w, nearest, hessian)[0],
    }


def show(title: str, table: Table) -> None:
    columns = list(next(iter(table.values())))
    print(f"\n{title}\n\n| format | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}")
    for name, errors in table.items():
        print(f"| {name} | {' | '.join(f'{100 * error:.3g}%' for error in errors.values())} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1024, help="and as many outputs")
    parser.add_argument("--rows", type=int, default=4, help="for each input")
    parser.add_argument("--json", help="write the figures to this file")
    args = parser.parse_args()

    observed = rows_of_inputs(args.inputs, args.rows * args.inputs)
    rng = np.random.default_rng(1)
    seen, others = observed(rng), observed(rng)
    w = rng.standard_normal((args.inputs, args.inputs), np.float32)
    tables: dict[str, Table] = {"seen": {}, "others": {}, "residual": {}}
    for name, options in FORMATS.items():
        found = methods(w, options, seen)
        tables["seen"][name] = {method: quant.output_error(w, q, seen) for method, q in found.items()}
        tables["others"][name] = {method: quant.output_error(w, q, others) for method, q in found.items()}
        best = found["and descent"]
        tables["residual"][name] = {"none": tables["seen"][name]["and descent"]} | {
            f"rank {rank}": quant.lqer(w, best, rank, seen)[1].after for rank in (8, 16, 32, 64)
        }
    show("Relative error of the outputs, on the rows that were seen", tables["seen"])
    show("On others", tables["others"])
    show("After gptq and descent, with an int8 residual (lqer)", tables["residual"])
    if args.json:
        found_by = {"title": "rounding", "machine": common.machine(), "errors": tables}
        Path(args.json).write_text(json.dumps(found_by, indent=1))


if __name__ == "__main__":
    main()
