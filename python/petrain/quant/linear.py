"""Integer products, and linear layers made of them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from petrain import _core
from petrain._params import Array
from petrain.quant.params import QuantParams
from petrain.quant.tensor import QuantTensor

Activation = Literal["relu", "gelu", "silu", "tanh", "sigmoid"]


def linear(
    x: Array,
    q: QuantTensor,
    bias: Array | None = None,
    *,
    activation: Activation | None = None,
    clip: tuple[float, float] | None = None,
    x_params: QuantParams | None = None,
    y_params: QuantParams | None = None,
    residual: tuple[QuantTensor, QuantTensor] | None = None,
    weight_only: bool = False,
) -> np.ndarray:
    r"""``activation(x @ w.T + bias)`` with integer products whose sums are exact, in one pass over the weights.

    .. math::
        y_{mn} = s_m t_n \sum_k (\hat{x}_{mk} - a)(\hat{w}_{nk} - b_n) + \text{bias}_n

    with the integers, scales and zero points of ``x`` and ``q``. Where ``q`` is in groups or has 4 bits, the sums of
    the groups are multiplied by their :math:`t_{ng}` and added in float32, in order. The bytes of the result are the
    same on every instruction set and for any number of threads. What kernels read is made of ``q`` at its first use and
    kept with it.

    Args:
        x: float32, ``(K,)`` or ``(M, K)``; each row is quantized on the way, symmetrically with a scale of its own.
            With ``x_params``, int8, or float32 that is quantized with them.
        q: shape ``(N, K)``, per tensor, per channel or per group along axis 0. K is at most 131071, less where there
            are zero points: int32 must hold every sum.
        bias: float32, ``(N,)``, or None.
        activation: "relu", "gelu" (:math:`x\,\Phi(x)`), "silu", "tanh", "sigmoid" or None.
        clip: the bounds of the result, after the activation: ``(0, 6)`` for ReLU6.
        x_params: scale and zero point of ``x`` (static quantization). The zero point must be 0 where ``q`` is in groups
            or has 4 bits.
        y_params: the result is int8, quantized with these.
        residual: ``(A, B)``, of shapes ``(N, R)`` and ``(R, K)``: :math:`A(Bx)` is added before the bias, as
            :func:`low_rank` computes it.
        weight_only: only the weight is in integers: ``x``, float32 without ``x_params``, keeps 22 bits of the largest
            magnitude in its row, as much as float32 sums do. For a few rows, such as a token at a time: there are three
            times as many products, but the weight is read once.

    Returns:
        float32, or int8 with ``y_params``: ``(N,)`` or ``(M, N)``.

    Raises:
        ValueError: a dtype or shape is not as said, a value is NaN or infinite, or numbers are so large that a sum
            could be more than a quarter of the largest float32.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import quantize
        >>> q = quantize(np.array([[1.0, 2.0], [3.0, -3.0]], np.float32))
        >>> x = np.array([1.0, 1.0], np.float32)
        >>> linear(x, q, np.array([0.0, 1.0], np.float32))
        array([3.007874, 1.      ], dtype=float32)
        >>> linear(x, q, activation="relu", y_params=QuantParams(0.05))
        array([60,  0], dtype=int8)
    """
    a, b = (None, None)
    if residual is not None:
        if not isinstance(residual, (tuple, list)) or len(residual) != 2:
            got = type(residual).__name__ + (f" of {len(residual)}" if isinstance(residual, (tuple, list)) else "")
            raise TypeError(f"residual: expected two QuantTensors (A, B), got {got}")
        a, b = (_packed(part, "residual") for part in residual)
    return _packed(q, "q").forward(
        x, bias, activation, clip, _pair(x_params, "x_params"), _pair(y_params, "y_params"), a, b, weight_only
    )


def low_rank(
    x: Array,
    a: QuantTensor,
    b: QuantTensor,
    bias: Array | None = None,
    *,
    activation: Activation | None = None,
    clip: tuple[float, float] | None = None,
    x_params: QuantParams | None = None,
    y_params: QuantParams | None = None,
    weight_only: bool = False,
) -> np.ndarray:
    """``activation((x @ b.T) @ a.T + bias)`` with integer products, for the factors of a weight ``a @ b``.

    What comes out of ``b`` stays in float32 and is quantized row by row. ``R (K + N)`` products instead of ``N K``.

    Args:
        a: shape ``(N, R)``.
        b: shape ``(R, K)``.
        x, bias, activation, clip, x_params, y_params, weight_only: as for :func:`linear`.

    Returns:
        float32, or int8 with ``y_params``: ``(N,)`` or ``(M, N)``.

    Raises:
        ValueError: as :func:`linear`, or the factors do not fit each other.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import quantize
        >>> a = quantize(np.array([[1.0], [2.0]], np.float32))
        >>> b = quantize(np.array([[1.0, 1.0, 1.0]], np.float32))
        >>> low_rank(np.ones(3, np.float32), a, b)
        array([3., 6.], dtype=float32)
    """
    x_pair, y_pair = _pair(x_params, "x_params"), _pair(y_params, "y_params")
    return _core.low_rank_int8(x, _packed(a, "a"), _packed(b, "b"), bias, activation, clip, x_pair, y_pair, weight_only)


def matmul_int(a: Array, b: Array) -> np.ndarray:
    """``a @ b.T`` of integer arrays, exact in int32 for all values.

    Args:
        a: int8 or uint8, ``(M, K)``, K at most 131071 (65793 where a is uint8): beyond that int32 could overflow.
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


def _packed(q: QuantTensor, what: str) -> _core.QuantLinear:
    if not isinstance(q, QuantTensor):
        raise TypeError(f"{what}: expected a QuantTensor, got {type(q).__name__}")
    return q._linear()


def _pair(params: QuantParams | None, what: str) -> tuple[float, int, str] | None:
    if params is None:
        return None
    if not isinstance(params, QuantParams):
        raise TypeError(f"{what}: expected QuantParams, got {type(params).__name__}")
    if params.bits != 8:
        raise ValueError(f"{what}: expected 8 bits, got {params.bits}")
    return params.scale, params.zero_point, params.scheme
