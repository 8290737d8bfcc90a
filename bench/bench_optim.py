"""Optimizer steps against torch's fused ones, other libraries where they are installed, and the memory's own rate.

    python bench/bench_optim.py [--only adamw lora small states half rules matrices] [--threads 1 2] [--json out.json]

Every rival steps the same shapes through its public interface, Python overhead included. "clip + zero" is
clip_grad_norm_, step and zero_grad(set_to_none=False) for torch, one call for petrain. "unchecked": with
check_finite=False, so that gradients are read once, as torch does. The memory's rate is that of loops over the same
arrays that compute nothing.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import importlib.util
from collections.abc import Callable

import common
import numpy as np
import petrain
import torch
from bandwidth import Sweep, moved, sweeps_of
from optim_rivals import (
    Shapes,
    Step,
    bitsandbytes_step,
    deepspeed_step,
    parameters,
    petrain_step,
    torch_clip,
    torch_step,
    torchao_step,
)
from petrain import _core

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
LARGE = [(32 * M,)]
LORA = [(8, 768), (768, 8)] * 72
SMALL = [(1 + (i * 2029) % 4096,) for i in range(2000)]


def bar_at(threads: int, bar: float) -> float | None:
    """Bars are stated for 2 threads; 0 is none."""
    return bar if threads == 2 and bar else None


def steps(
    report: common.Report, threads: int, rounds: int, name: str, shapes: Shapes, alone: float, all_: float
) -> None:
    """float32 AdamW against torch fused, alone and with clip + zero; the bars of both, 0 where there is none."""
    rivals = {
        "petrain": petrain_step(shapes),
        "torch": torch_step(shapes),
        "unchecked": petrain_step(shapes, check_finite=False),
    }
    times = common.race(rivals, rounds)
    report.add(f"AdamW f32, {name}", threads, times.ratio("torch", "petrain"), "torch fused", bar_at(threads, alone))
    report.add(f"AdamW f32, {name}, unchecked", threads, times.ratio("torch", "unchecked"), "torch fused", None)
    print(f"    {1e3 * times.median('petrain'):.2f} ms, torch {1e3 * times.median('torch'):.2f} ms")
    times = common.race(
        {"petrain": petrain_step(shapes, max_norm=1.0, zero_grads=True), "torch": torch_clip(shapes)}, rounds
    )
    work = f"AdamW f32, {name}, clip + zero"
    report.add(work, threads, times.ratio("torch", "petrain"), "torch, three calls", bar_at(threads, all_))
    print(f"    {1e3 * times.median('petrain'):.2f} ms, torch {1e3 * times.median('torch'):.2f} ms")


def adamw(report: common.Report, threads: int, rounds: int) -> None:
    steps(report, threads, rounds, "one tensor of 32 M", LARGE, 1.0, 1.7)
    steps(report, threads, rounds, "BERT-base", BERT, 0, 0)
    against(report, threads, rounds, "AdamW f32, 32 M", petrain_step(LARGE), "deepspeed", deepspeed_step, LARGE, 0)
    param, grad = np.ones(32 * M, np.float32), np.full(32 * M, 1e-3, np.float32)
    opt = petrain.optim.AdamW([param])
    opt.step([grad])
    once: list[Sweep] = [([grad], [param, *opt._core.state(0).values()])]
    rivals: dict[str, Step] = {
        "petrain": lambda: opt.step([grad]),
        "unchecked": lambda: opt.step([grad], check_finite=False),
        "memory": sweeps_of(once, threads),
    }
    times = common.race(rivals, rounds)
    rate = f"memory, gradients read once ({moved(once) / times.median('memory') / 1e9:.0f} GB/s)"
    report.add("AdamW f32, 32 M", threads, times.ratio("memory", "petrain"), rate, bar_at(threads, 0.85))
    report.add("AdamW f32, 32 M, unchecked", threads, times.ratio("memory", "unchecked"), rate, None)


def lora(report: common.Report, threads: int, rounds: int) -> None:
    steps(report, threads, rounds, "LoRA, 144 tensors", LORA, 0, 4.0)


def small(report: common.Report, threads: int, rounds: int) -> None:
    """Many small tensors, and what each costs beside the same elements in one tensor."""
    steps(report, threads, rounds, "2,000 small", SMALL, 3.0, 0)
    rivals = {"small": petrain_step(SMALL), "one": petrain_step([(sum(size for (size,) in SMALL),)])}
    rivals["tiny"] = petrain_step([(64,)] * 2000)
    times = common.race(rivals, rounds)
    each = {name: times.median(name) / 2000 * 1e6 for name in rivals}
    print(f"    µs per tensor: {each['small']:.2f}, of which {each['one']:.2f} for the same elements in one tensor;")
    print(f"    {each['tiny']:.2f} with 64 elements each")


def against(
    report: common.Report,
    threads: int,
    rounds: int,
    work: str,
    ours: Step,
    name: str,
    make: Callable[[Shapes], Step],
    shapes: Shapes,
    bar: float,
) -> None:
    """Another library, where it is installed."""
    if importlib.util.find_spec(name) is None:
        print(f"    {name} is not installed")
        return
    times = common.race({"petrain": ours, name: make(shapes)}, rounds, at_least=0.0)
    report.add(work, threads, times.ratio(name, "petrain"), name, bar_at(threads, bar))


def states(report: common.Report, threads: int, rounds: int) -> None:
    """8-bit and bfloat16 states against torch float32, bitsandbytes and torchao."""
    for dtype, bar in (("bfloat16", 0), ("int8", 1.3)):
        rivals = {"petrain": petrain_step(LARGE, state_dtype=dtype), "torch": torch_step(LARGE)}
        times = common.race(rivals, rounds)
        report.add(
            f"AdamW, {dtype} states, 32 M",
            threads,
            times.ratio("torch", "petrain"),
            "torch fused f32",
            bar_at(threads, bar),
        )
    for name, make in (("bitsandbytes", bitsandbytes_step), ("torchao", torchao_step)):
        ours = petrain_step([(4 * M,)], state_dtype="int8")
        against(report, threads, 5, "AdamW, 8-bit states, 4 M", ours, name, make, [(4 * M,)], 15)


def half(report: common.Report, threads: int, rounds: int) -> None:
    """bfloat16 parameters and gradients; torch keeps its states in bfloat16 then, petrain in float32."""
    for state_dtype, bar in ((None, 1.3), ("bfloat16", 0)):
        ours = petrain_step(LARGE, dtype=torch.bfloat16, state_dtype=state_dtype)
        times = common.race({"petrain": ours, "torch": torch_step(LARGE, dtype=torch.bfloat16)}, rounds)
        work = f"AdamW, bf16 parameters, {state_dtype or 'float32'} states, 32 M"
        report.add(work, threads, times.ratio("torch", "petrain"), "torch fused", bar_at(threads, bar))


def sweeps_by(name: str, grad: np.ndarray, param: np.ndarray, states: list[np.ndarray]) -> list[Sweep]:
    """What a rule's step goes over: the gradients for their norm, then everything. Layerwise rules need the norms of
    the parameter and of the direction between the two."""
    if name == "lars":
        return [([grad], []), ([grad, param], []), ([grad], [param, *states])]
    if name == "lamb":
        return [([grad], []), ([grad, param], states), ([grad, *states], [param])]
    return [([grad], []), ([grad], [param, *states])]


def rules(report: common.Report, threads: int, rounds: int) -> None:
    """Every elementwise rule against loops that move the same bytes."""
    for name, facts in _core.rules().items():
        if facts["matrix"]:
            continue  # its work is in products
        param, grad = np.ones(32 * M, np.float32), np.full(32 * M, 1e-3, np.float32)
        opt = _core.Optimizer([(name, {}, [param])])
        opt.step([grad])
        sweeps = sweeps_by(name, grad, param, list(opt.state(0).values()))
        rivals = {"petrain": lambda opt=opt, grad=grad: opt.step([grad]), "memory": sweeps_of(sweeps, threads)}
        times = common.race(rivals, rounds)
        rate = moved(sweeps) / times.median("memory") / 1e9
        report.add(
            f"{name} f32, 32 M",
            threads,
            times.ratio("memory", "petrain"),
            f"own traffic ({rate:.0f} GB/s)",
            bar_at(threads, 0.8),
        )


def matrices(report: common.Report, threads: int, rounds: int) -> None:
    """Rules that see a tensor as a matrix: against torch's where it has them, else against the full AdamW."""

    def ours(make: Callable[[list[np.ndarray]], petrain.optim.Optimizer], shape: tuple[int, int]) -> Step:
        rng = np.random.default_rng(0)
        p, g = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
        opt = make([p])
        return lambda: opt.step([g])

    def theirs(cls: type[torch.optim.Optimizer], shape: tuple[int, int]) -> Step:
        return cls(parameters([shape])).step

    large, small = (1024, 4096), (128, 512)  # torch's products in bfloat16 are slow on processors without them
    rivals = {"petrain": ours(petrain.optim.Adafactor, large), "torch": theirs(torch.optim.Adafactor, large)}
    ratio = common.race(rivals, rounds).ratio("torch", "petrain")
    report.add("Adafactor, 1024 × 4096", threads, ratio, "torch", None)
    rivals = {"petrain": ours(petrain.optim.Muon, small), "torch": theirs(torch.optim.Muon, small)}
    ratio = common.race(rivals, rounds).ratio("torch", "petrain")
    report.add("Muon, 128 × 512", threads, ratio, "torch, in bfloat16", None)
    for cls in (petrain.optim.GaLore, petrain.optim.APOLLO):
        low_rank = ours(lambda p, cls=cls: cls(p, rank=128), large)
        times = common.race({"petrain": low_rank, "full": ours(petrain.optim.AdamW, large)}, rounds)
        work = f"{cls.__name__}, rank 128, 1024 × 4096"
        report.add(work, threads, times.ratio("full", "petrain"), "petrain's full AdamW", None)


PARTS = {
    "adamw": adamw,
    "lora": lora,
    "small": small,
    "states": states,
    "half": half,
    "rules": rules,
    "matrices": matrices,
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
