"""States in 8-bit codes from numbers, and numbers from codes, where a state comes from an optimizer of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from petrain.optim.exchange._values import decode, encode
from petrain.torch._layout import is_dense

_CODES, _SCALE = "_codes", "_scale"
_PER_SCALE = 64


def fit_codes(old: Mapping[str, Any], entries: Mapping[str, torch.Tensor], what: str) -> dict[str, Any]:
    """``old`` with codes where ``entries`` have codes, and numbers where they have numbers. Each scale is of 64 codes
    that are neighbours in memory, so codes that are to lie in another order are made anew."""
    fitting = dict(old)
    for name, tensor in entries.items():
        plain = name.removesuffix(_CODES)
        if name == plain:
            if name not in old and name + _CODES in old and name + _SCALE in old:
                fitting[name] = _numbers(old[name + _CODES], old[name + _SCALE], f"{what}: {name}")
            continue
        given = old.get(name)
        if given is not None and plain + _SCALE in old and torch.as_tensor(given).stride() != tensor.stride():
            given = _numbers(given, old[plain + _SCALE], f"{what}: {plain}")
        elif given is None and plain in old:
            given = torch.as_tensor(old[plain])
        else:
            continue
        if given.shape != tensor.shape:
            raise ValueError(f"{what}: expected {plain} of shape {tuple(tensor.shape)}, got {tuple(given.shape)}")
        fitting[name], fitting[plain + _SCALE] = _encoded(given, tensor, f"{what}: {plain}")
    return fitting


def other_forms(entries: Mapping[str, torch.Tensor]) -> list[str]:
    """The names under which a state would be kept that has numbers in the place of codes, or codes of numbers."""
    names = [name.removesuffix(_CODES) for name in entries if name.endswith(_CODES)]
    for name in entries:
        if name + _SCALE not in entries and not name.endswith((_CODES, _SCALE)):
            names += [name + _CODES, name + _SCALE]
    return names


def _encoded(values: torch.Tensor, like: torch.Tensor, what: str) -> tuple[torch.Tensor, torch.Tensor]:
    if not values.isfinite().all():
        raise ValueError(f"{what}: expected finite numbers, got NaN or infinity")
    laid_out = torch.empty_like(like, dtype=torch.float32).copy_(values)
    codes, scales = encode(_in_memory_order(laid_out).numpy(), str(like.dtype).removeprefix("torch."))
    return torch.from_numpy(codes).as_strided(like.shape, like.stride()), torch.from_numpy(scales)


def _numbers(codes: torch.Tensor, scales: torch.Tensor, what: str) -> torch.Tensor:
    if codes.dtype not in (torch.int8, torch.uint8) or not is_dense(codes):
        raise ValueError(f"{what}: expected dense codes of int8 or uint8, got {codes.dtype}, strides {codes.stride()}")
    groups = -(-codes.numel() // _PER_SCALE)
    if scales.dtype is not torch.float32 or tuple(scales.shape) != (groups,):
        raise ValueError(f"{what}: expected scales float32 ({groups},), got {scales.dtype} {tuple(scales.shape)}")
    values = torch.from_numpy(decode(_in_memory_order(codes).numpy(), scales.numpy()))
    return values.as_strided(codes.shape, codes.stride())


def _in_memory_order(dense: torch.Tensor) -> torch.Tensor:
    return dense.as_strided((dense.numel(),), (1,))
