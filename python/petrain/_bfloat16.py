"""bfloat16 numbers. Without ml_dtypes NumPy has no dtype for them, and shows the 16 bits of each as uint16."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_bfloat16(array: NDArray[Any]) -> bool:
    """Whether the core's array holds bfloat16: it has no arrays of uint16 otherwise."""
    return str(array.dtype) in ("bfloat16", "uint16")


def from_bfloat16(array: NDArray[Any]) -> NDArray[Any]:
    """As float32, exactly."""
    return (array.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_bfloat16(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """To the nearest even, in an array of ``dtype``: bfloat16 or uint16. NaN stays NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded = np.where(np.isnan(values), bits | np.uint32(0x400000), rounded)
    return (rounded >> np.uint32(16)).astype(np.uint16).view(dtype)
