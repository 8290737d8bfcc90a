"""What several files ask of their arguments."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from petrain._numbers import number
from petrain._params import Array, Floats


def fraction(name: str, value: float) -> float:
    given = number(name, value)
    if given is None or not 0 <= given <= 1:
        raise ValueError(f"{name}: expected a number from 0 to 1, got {value!r}")
    return given


def kept_of(count: int, sparsity: float) -> int:
    """How many of ``count`` stay where this part, rounded half to even, goes."""
    return count - round(count * fraction("sparsity", sparsity))


def floats(name: str, array: Array, ndim: int | None = None) -> Floats:
    """A float32 array as NumPy sees it, in place."""
    seen: Any = array if isinstance(array, np.ndarray) else np.from_dlpack(array)
    if seen.dtype != np.float32 or (ndim is not None and seen.ndim != ndim):
        shape = "" if ndim is None else f" of {ndim} dimensions"
        raise ValueError(f"{name}: expected float32{shape}, got {seen.dtype} {seen.shape}")
    return cast(Floats, seen)


def finite(name: str, array: Floats) -> Floats:
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite values, got {array[~np.isfinite(array)][0]}")
    return array


def mask_bytes(name: str, mask: np.ndarray) -> np.ndarray:
    """A mask as the core reads it."""
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        got = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise TypeError(f"{name}: expected a NumPy array of bool, got {got}")
    return np.ascontiguousarray(mask).view(np.uint8)
