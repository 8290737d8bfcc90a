"""What quantization-aware training costs beside the plain step, and against torch's.

    python bench/bench_qat.py [--only fused formats unfused torch] [--threads 1 2] [--json out.json]

"fused" is a step of AdamW with a fake-quantized copy attached: the straight-through gradient, the gradient of the
scales, their own update and the copy for the next forward pass are part of it. "formats" shows how that depends on the
layout of the scales; its rows have no bar. "unfused" is what one writes without it: LSQ.backward, the step,
LSQ.forward. "torch" is what one writes there: fake_quantize_per_channel_affine, of fixed scales, or what stands behind
torch.ao's learned ones, backward through it from the gradient of its result, and the step of AdamW(fused=True).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import common
import numpy as np
import petrain
import torch
from petrain.optim import AdamW
from petrain.quant import LSQ

M = 1 << 20
LARGE = [(8192, 4096)]
LAYERS = [(4096, 1024), (1024, 4096), (1024, 1024), (1024, 1024), (1024, 1024), (1024, 1024)] * 2  # of a transformer
PER_CHANNEL: dict[str, Any] = {"bits": 8, "granularity": "channel"}
Step = Callable[[], Any]
Shapes = list[tuple[int, ...]]


class Model:
    """Weights, their gradients, and, where they are quantized, scales."""

    def __init__(self, shapes: Shapes, **spec: Any) -> None:
        rng = np.random.default_rng(0)
        self.weights = [rng.standard_normal(shape, np.float32) for shape in shapes]
        self.gradients = [rng.standard_normal(shape, np.float32) * np.float32(1e-3) for shape in shapes]
        self.lsqs = [LSQ(w, **spec) for w in self.weights] if spec else []
        scales = {"params": [lsq.scale for lsq in self.lsqs], "weight_decay": 0.0}
        self.opt = AdamW([{"params": self.weights}, scales] if spec else self.weights, lr=1e-5)
        self.all_gradients = [*self.gradients, *(lsq.scale_gradient for lsq in self.lsqs)]


def plain(shapes: Shapes, **options: Any) -> Step:
    model = Model(shapes)
    return lambda: model.opt.step(model.gradients, **options)


def fused(shapes: Shapes, out: type, spec: dict[str, Any], **options: Any) -> Step:
    model = Model(shapes, **spec)
    copies = [np.empty(shape, out) for shape in shapes]
    for i, (lsq, copy) in enumerate(zip(model.lsqs, copies, strict=True)):
        model.opt.attach_fake_quantize(i, lsq, copy)
    return lambda: model.opt.step(model.all_gradients, **options)


def unfused(shapes: Shapes, out: type, spec: dict[str, Any]) -> Step:
    model = Model(shapes, **spec)
    copies = [np.empty(shape, out) for shape in shapes]

    def step() -> None:
        for w, lsq, gradient in zip(model.weights, model.lsqs, model.gradients, strict=True):
            lsq.backward(w, gradient, gradient)
        model.opt.step(model.all_gradients)
        for w, lsq, copy in zip(model.weights, model.lsqs, copies, strict=True):
            lsq.forward(w, copy)

    return step


def cost(
    report: common.Report, threads: int, rounds: int, work: str, base: Step, rival: Step, bar: float | None
) -> float:
    """How much of the plain step's rate is left; 1 / 1.15 is the bar."""
    times = common.race({"plain": base, "rival": rival}, rounds)
    report.add(work, threads, times.ratio("plain", "rival"), "the plain step", bar)
    print(f"    {1e3 * times.median('rival'):.2f} ms, plain {1e3 * times.median('plain'):.2f} ms")
    return times.median("rival")


def fused_steps(report: common.Report, threads: int, rounds: int) -> None:
    for name, shapes in (("32 M", LARGE), ("transformer layers", LAYERS)):
        for out in (np.int8, np.float32):
            work = f"AdamW, {name}, {np.dtype(out)} copy, per channel"
            rival = fused(shapes, out, PER_CHANNEL)
            cost(report, threads, rounds, work, plain(shapes), rival, 1 / 1.15)
    work = "AdamW, 32 M, int8 copy, unchecked"
    rival = fused(LARGE, np.int8, PER_CHANNEL, check_finite=False)
    cost(report, threads, rounds, work, plain(LARGE, check_finite=False), rival, None)


def formats(report: common.Report, threads: int, rounds: int) -> None:
    for spec in (
        {"bits": 4, "granularity": "tensor"},
        {"bits": 4, "granularity": "channel"},
        {"bits": 8, "granularity": "channel", "axis": 1},
        {"bits": 4, "granularity": "group", "group_size": 128},
        {"bits": 4, "granularity": "group", "group_size": 32},
    ):
        text = ", ".join(f"{key} {value}" for key, value in spec.items())
        cost(report, threads, rounds, f"int8 copy, {text}", plain(LARGE), fused(LARGE, np.int8, spec), None)


def unfused_steps(report: common.Report, threads: int, rounds: int) -> None:
    for out in (np.int8, np.float32):
        rivals = {"fused": fused(LARGE, out, PER_CHANNEL), "unfused": unfused(LARGE, out, PER_CHANNEL)}
        times = common.race(rivals, rounds)
        report.add(f"fused, 32 M, {np.dtype(out)} copy", threads, times.ratio("unfused", "fused"), "unfused", None)


def torch_step(shapes: Shapes, learned: bool) -> Step:
    model = Model(shapes, **PER_CHANNEL)
    weights = [torch.from_numpy(w).requires_grad_() for w in model.weights]
    gradients = [torch.from_numpy(gradient) for gradient in model.gradients]
    scales = [torch.from_numpy(lsq.scale).requires_grad_(learned) for lsq in model.lsqs]
    zeros = [torch.zeros(scale.shape, dtype=torch.float32 if learned else torch.int32) for scale in scales]
    groups = [{"params": weights}, *([{"params": scales, "weight_decay": 0.0}] if learned else [])]
    opt = torch.optim.AdamW(groups, lr=1e-5, fused=True)

    def step() -> None:
        opt.zero_grad()
        for w, scale, zero, gradient in zip(weights, scales, zeros, gradients, strict=True):
            if learned:
                factor = 1 / (w[0].numel() * 127) ** 0.5
                copy = torch._fake_quantize_learnable_per_channel_affine(w, scale, zero, 0, -127, 127, factor)
            else:
                copy = torch.fake_quantize_per_channel_affine(w, scale, zero, 0, -127, 127)
            copy.backward(gradient)
        opt.step()

    return step


def torch_steps(report: common.Report, threads: int, rounds: int) -> None:
    torch.set_num_threads(threads)
    for kind, learned in (("fixed", False), ("learned", True)):
        rivals = {"fused": fused(LARGE, np.float32, PER_CHANNEL), "torch": torch_step(LARGE, learned)}
        times = common.race(rivals, rounds)
        report.add("fused, 32 M, float32 copy", threads, times.ratio("torch", "fused"), f"torch, {kind} scales", None)


PARTS = {"fused": fused_steps, "formats": formats, "unfused": unfused_steps, "torch": torch_steps}


def main() -> None:
    args = common.arguments(__doc__ or "", list(PARTS))
    report = common.Report("qat")
    print(common.machine())
    for threads in args.threads:
        petrain.set_num_threads(threads)
        for name in args.only:
            PARTS[name](report, threads, args.rounds)
    report.finish(args.json)


if __name__ == "__main__":
    main()
