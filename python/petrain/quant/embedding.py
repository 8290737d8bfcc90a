"""Rows of a quantized table."""

from __future__ import annotations

from typing import Literal

import numpy as np

from petrain import _core
from petrain._params import Array
from petrain.quant.tensor import QuantTensor, core_of


def embedding(ids: Array, q: QuantTensor, dtype: Literal["float32", "float16", "bfloat16"] = "float32") -> np.ndarray:
    """``q.dequantize(dtype)[ids]``, reading the rows of ``ids`` alone and, of groups along axis 1, all scales.

    Args:
        ids: integers of any type and shape, from 0 to V - 1.
        q: the table, shape ``(V, D)``, any format.
        dtype: of the result. bfloat16 is an array of uint16 where ml_dtypes is not installed.

    Returns:
        ``(*ids.shape, D)``.

    Raises:
        IndexError: an id has no row.
        ValueError: ``ids`` are no integers, ``q`` has not two dimensions, or ``dtype`` is none of these.
        TypeError: ``q`` is no QuantTensor.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import quantize
        >>> table = quantize(np.array([[127, -2], [5, 0]], np.float32), granularity="tensor")
        >>> embedding(np.array([1, 1, 0]), table)
        array([[  5.,   0.],
               [  5.,   0.],
               [127.,  -2.]], dtype=float32)
    """
    return _core.embedding(core_of(q, "q"), int64_from(ids, "ids"), dtype)


def int64_from(numbers: Array, what: str) -> np.ndarray:
    """Integers of any type, contiguous and in int64."""
    integers = np.asarray(numbers)
    if integers.size == 0 and not isinstance(numbers, np.ndarray):  # an empty list has no type
        integers = integers.astype(np.int64)
    if integers.dtype.kind not in "iu":
        raise ValueError(f"{what}: expected integers, got {integers.dtype}")
    if integers.dtype == np.uint64 and integers.size and int(integers.max()) > np.iinfo(np.int64).max:
        raise IndexError(f"{what}: expected less than 2**63, got {integers.max()}")
    return np.ascontiguousarray(integers, np.int64).reshape(integers.shape)
