"""Optimizer steps against torch's fused ones, other libraries where they are installed, and the memory's own rate.

    python bench/bench_optim.py [--only adamw lora small states half rules] [--threads 1 2] [--json out.json]

Every rival steps the same shapes through its public interface, Python overhead included. "clip + zero" is
clip_grad_norm_, step and zero_grad(set_to_none=False) for torch, one call for petrain.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import importlib.util
from collections.abc import Callable, Sequence

import common
import numpy as np
import petrain
import petrain.torch
import torch
from bandwidth import read_modify_write

M = 1 << 20
BERT = (
    [(30522, 768), (512, 768), (2, 768), (768,), (768,)]
    + [
        shape
        for _ in range(12)
        for shape in [(768, 768), (768,)] * 4 + [(768,)] * 4 + [(3072, 768), (3072,), (768, 3072), (768,)]
    ]
    + [(768, 768), (768,)]
)
LORA = [(8, 768), (768, 8)] * 72
SMALL = [(1 + (i * 2029) % 4096,) for i in range(2000)]
SETS = {"one tensor of 32 M": [(32 * M,)], "BERT-base": BERT, "LoRA, 144 tensors": LORA, "2,000 small": SMALL}
BARS = {("one tensor of 32 M", False): 1.0, ("one tensor of 32 M", True): 1.7, ("LoRA, 144 tensors", True): 4.0}
BARS |= {("2,000 small", False): 3.0}


def parameters(shapes: Sequence[tuple[int, ...]], dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    params = []
    for shape in shapes:
        p = torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype))
        p.grad = (1e-3 * torch.randn(shape, generator=generator)).to(dtype)
        params.append(p)
    return params


def torch_step(
    shapes: Sequence[tuple[int, ...]], everything: bool, dtype: torch.dtype = torch.float32
) -> Callable[[], None]:
    params = parameters(shapes, dtype)
    opt = torch.optim.AdamW(params, lr=1e-4, fused=True)
    if not everything:
        return opt.step

    def run() -> None:
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        opt.zero_grad(set_to_none=False)

    return run


def petrain_step(
    shapes: Sequence[tuple[int, ...]], everything: bool, dtype: torch.dtype = torch.float32, **options: str
) -> Callable[[], None]:
    params = parameters(shapes, dtype)
    opt = petrain.torch.AdamW(params, lr=1e-4, **options)
    if not everything:
        return opt.step
    return lambda: opt.step(max_norm=1.0, zero_grads=True)


def steps(report: common.Report, threads: int, rounds: int, names: Sequence[str]) -> None:
    """float32 AdamW against torch fused, alone and with clip + zero."""
    for name in names:
        for everything in (False, True):
            rivals = {"petrain": petrain_step(SETS[name], everything), "torch": torch_step(SETS[name], everything)}
            times = common.race(rivals, rounds)
            bar = BARS.get((name, everything)) if threads == 2 else None
            work = f"AdamW f32, {name}" + (", clip + zero" if everything else "")
            report.add(work, threads, times.ratio("torch", "petrain"), "torch fused", bar)
            if name == "2,000 small" and not everything:
                print(f"    {times.median('petrain') / 2000 * 1e6:.2f} µs per tensor")


def bandwidth(report: common.Report, threads: int, rounds: int) -> None:
    """AdamW on 32 M against a loop that moves the same 28 bytes a parameter."""
    arrays = [np.ones(32 * M, np.float32) for _ in range(4)]
    rivals = {
        "petrain": petrain_step(SETS["one tensor of 32 M"], False),
        "memory": read_modify_write(arrays[0], arrays[1:], threads),
    }
    times = common.race(rivals, rounds)
    ratio = times.ratio("memory", "petrain")
    report.add(
        "AdamW f32, 32 M", threads, ratio, "read-modify-write of the same arrays", 0.85 if threads == 2 else None
    )
    print(f"    memory {32 * M * 28 / times.median('memory') / 1e9:.1f} GB/s")


def states(report: common.Report, threads: int, rounds: int) -> None:
    """8-bit and bfloat16 states against torch float32, bitsandbytes and torchao."""
    shapes = [(32 * M,)]
    for dtype in ("bfloat16", "int8"):
        rivals = {
            "petrain": petrain_step(shapes, False, state_dtype=dtype),
            "torch": torch_step(shapes, False),
        }
        bar = 1.3 if dtype == "int8" and threads == 2 else None
        times = common.race(rivals, rounds)
        report.add(f"AdamW, {dtype} states, 32 M", threads, times.ratio("torch", "petrain"), "torch fused f32", bar)
    small = [(4 * M,)]
    for name, make in (("bitsandbytes", bitsandbytes_step), ("torchao", torchao_step)):
        if importlib.util.find_spec(name) is None:
            print(f"    {name} is not installed")
            continue
        rivals = {"petrain": petrain_step(small, False, state_dtype="int8"), name: make(small)}
        times = common.race(rivals, 3, at_least=0.0)
        report.add(
            "AdamW, 8-bit states, 4 M", threads, times.ratio(name, "petrain"), name, 15 if threads == 2 else None
        )


def bitsandbytes_step(shapes: Sequence[tuple[int, ...]]) -> Callable[[], None]:
    import bitsandbytes

    return bitsandbytes.optim.AdamW8bit(parameters(shapes), lr=1e-4).step


def torchao_step(shapes: Sequence[tuple[int, ...]]) -> Callable[[], None]:
    from torchao.optim import AdamW8bit

    return AdamW8bit(parameters(shapes), lr=1e-4).step


def half(report: common.Report, threads: int, rounds: int) -> None:
    """bfloat16 parameters and gradients; torch keeps its states in bfloat16 then, petrain in float32."""
    shapes = [(32 * M,)]
    rivals = {
        "petrain": petrain_step(shapes, False, torch.bfloat16),
        "torch": torch_step(shapes, False, torch.bfloat16),
    }
    times = common.race(rivals, rounds)
    bar = 1.3 if threads == 2 else None
    report.add("AdamW, bf16 parameters, f32 states, 32 M", threads, times.ratio("torch", "petrain"), "torch fused", bar)


def rules(report: common.Report, threads: int, rounds: int) -> None:
    """Every rule against a loop that moves the same bytes."""
    from petrain import _core

    size = 32 * M
    grad = np.full(size, 1e-3, np.float32)
    for name, facts in _core.rules().items():
        if facts["matrix"]:
            continue  # its work is in products
        arrays = [np.ones(size, np.float32) for _ in range(1 + min(len(facts["states"]), 2))]
        opt = _core.Optimizer([(name, {}, [np.ones(size, np.float32)])])
        streams = 1 + len(facts["states"])
        rivals = {"petrain": lambda opt=opt: opt.step([grad]), "memory": read_modify_write(grad, arrays, threads)}
        times = common.race(rivals, max(3, rounds // 2))
        # Beyond three streams written, the loop's time is scaled to the bytes.
        factor = (4 + 8 * streams) / (4 + 8 * min(streams, 3))
        ratio = tuple(value * factor for value in times.ratio("memory", "petrain"))
        report.add(f"{name} f32, 32 M", threads, ratio, "its own traffic", 0.8 if threads == 2 else None)


PARTS = {
    "adamw": lambda *a: (steps(*a, ["one tensor of 32 M", "BERT-base"]), bandwidth(*a)),
    "lora": lambda *a: steps(*a, ["LoRA, 144 tensors"]),
    "small": lambda *a: steps(*a, ["2,000 small"]),
    "states": states,
    "half": half,
    "rules": rules,
}


def main() -> None:
    args = common.arguments(__doc__ or "", list(PARTS))
    report = common.Report("optim")
    print(common.machine(), "torch", torch.__version__)
    for threads in args.threads:
        petrain.set_num_threads(threads)
        torch.set_num_threads(threads)
        for name in args.only:
            PARTS[name](report, threads, args.rounds)
    report.finish(args.json)


if __name__ == "__main__":
    main()
