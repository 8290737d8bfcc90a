"""One optimizer step of AdamW, as each library's user would write it. All have the same shapes and learning rate."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import petrain.torch
import torch

Shapes = Sequence[tuple[int, ...]]
Step = Callable[[], object]
LR = 1e-4


def parameters(shapes: Shapes, dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    """With gradients, which every step finds again as they are (those that are zeroed count no less)."""
    generator = torch.Generator().manual_seed(0)
    params = []
    for shape in shapes:
        p = torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype))
        p.grad = (1e-3 * torch.randn(shape, generator=generator)).to(dtype)
        params.append(p)
    return params


def petrain_step(
    shapes: Shapes,
    *,
    dtype: torch.dtype = torch.float32,
    state_dtype: str | None = None,
    max_norm: float | None = None,
    zero_grads: bool = False,
    check_finite: bool = True,
) -> Step:
    opt = petrain.torch.AdamW(parameters(shapes, dtype), lr=LR, state_dtype=state_dtype)
    return lambda: opt.step(max_norm=max_norm, zero_grads=zero_grads, check_finite=check_finite)


def torch_step(shapes: Shapes, *, dtype: torch.dtype = torch.float32) -> Step:
    return torch.optim.AdamW(parameters(shapes, dtype), lr=LR, fused=True).step


def torch_clip(shapes: Shapes) -> Step:
    """With clipping and zeroing, in three calls."""
    params = parameters(shapes)
    opt = torch.optim.AdamW(params, lr=LR, fused=True)

    def run() -> None:
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        opt.zero_grad(set_to_none=False)

    return run


def bitsandbytes_step(shapes: Shapes) -> Step:
    import bitsandbytes

    return bitsandbytes.optim.AdamW8bit(parameters(shapes), lr=LR).step


def torchao_step(shapes: Shapes) -> Step:
    from torchao.optim import AdamW8bit

    return AdamW8bit(parameters(shapes), lr=LR).step


def deepspeed_step(shapes: Shapes) -> Step:
    """Compiles on first use: pip install deepspeed ninja. float32 states."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    return DeepSpeedCPUAdam(parameters(shapes), lr=LR, weight_decay=1e-2, adamw_mode=True).step
