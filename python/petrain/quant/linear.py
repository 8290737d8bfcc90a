"""Integer products, and a linear layer made of them."""

from __future__ import annotations

import numpy as np

from petrain import _core
from petrain._params import Array
from petrain.quant.tensor import QuantTensor


def linear(x: Array, q: QuantTensor, bias: Array | None = None) -> np.ndarray:
    r"""``x @ w.T + bias`` in int8, with each row of ``x`` quantized on the way.

    .. math::
        y_{mn} = \text{float32}\Big(\sum_k \hat{x}_{mk}\, \hat{w}_{nk}\Big) \cdot (s_m\, t_n) + b_n

    with :math:`s_m` and :math:`\hat{x}` from :func:`quantize` of ``x``, its rows the channels, and :math:`t_n` the
    scales of ``q``. The sums are int32 and cannot saturate.

    Args:
        x: float32, ``(K,)`` or ``(M, K)``, K ≤ 131071.
        q: shape ``(N, K)`` in the default format of :func:`quantize`: int8, symmetric, per channel of axis 0.
        bias: float32, ``(N,)``, or None.

    Returns:
        float32, ``(N,)`` or ``(M, N)``.

    Raises:
        ValueError: a dtype or shape is not as said, a value is NaN or infinite, or :math:`s_m t_n` is infinite.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import quantize
        >>> q = quantize(np.array([[1.0, 2.0], [3.0, -3.0]], np.float32))
        >>> linear(np.array([1.0, 1.0], np.float32), q, np.array([0.0, 1.0], np.float32))
        array([3.007874, 1.      ], dtype=float32)
    """
    if not isinstance(q, QuantTensor):
        raise TypeError(f"q: expected a QuantTensor, got {type(q).__name__}")
    return _core.linear_int8(x, q._core, bias)


def matmul_int(a: Array, b: Array) -> np.ndarray:
    """``a @ b.T`` of int8 arrays, exact in int32 for all values including -128.

    Args:
        a: int8, ``(M, K)``, K ≤ 131071: beyond that int32 could overflow.
        b: int8, ``(N, K)``: rows are what :func:`linear` calls outputs.

    Returns:
        int32, ``(M, N)``.

    Raises:
        ValueError: a dtype or shape is not as said.

    Example:
        >>> import numpy as np
        >>> matmul_int(np.full((1, 3), -128, np.int8), np.full((2, 3), -128, np.int8))
        array([[49152, 49152]], dtype=int32)
    """
    return _core.matmul_int(a, b)
