"""A convolution in float32, by the products of the library."""

from __future__ import annotations

from typing import Any

import numpy as np

from petrain import _core
from petrain._params import Floats


def positions(size: int, side: int, by: int, border: int, gap: int) -> int:
    """Along one side of an image: those of the result."""
    count = (size + 2 * border - gap * (side - 1) - 1) // by + 1
    if count < 1 or size + 2 * border < gap * (side - 1) + 1:
        raise ValueError(f"x: expected images of at least {gap * (side - 1) + 1} with the padding, got {size}")
    return int(count)


def convolved(x: Floats, kernel: Floats, by: Any, border: Any, gap: Any) -> Floats:
    """Of one image (H, W, C): its windows as rows, times the kernel."""
    out, into, height, width = kernel.shape
    counts = [positions(*of) for of in zip(x.shape[:2], (height, width), by, border, gap, strict=True)]
    padded = np.pad(x, ((border[0], border[0]), (border[1], border[1]), (0, 0))) if any(border) else x
    spans = (gap[0] * (height - 1) + 1, gap[1] * (width - 1) + 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(0, 1))
    picked = windows[:: by[0], :: by[1], :, :: gap[0], :: gap[1]].transpose(0, 1, 3, 4, 2)
    rows = np.ascontiguousarray(picked).reshape(counts[0] * counts[1], height * width * into)
    weight = np.ascontiguousarray(kernel.transpose(0, 2, 3, 1)).reshape(out, -1)
    y: Floats = _core.frozen_forward(weight, rows)
    return y.reshape(*counts, out)
