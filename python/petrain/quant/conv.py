"""Convolutions on quantized weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from petrain._params import Array
from petrain.quant.linear import Activation, _pair
from petrain.quant.params import QuantParams
from petrain.quant.tensor import QuantTensor


def conv2d(
    x: Array,
    q: QuantTensor,
    bias: Array | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    activation: Activation | None = None,
    clip: tuple[float, float] | None = None,
    x_params: QuantParams | None = None,
    y_params: QuantParams | None = None,
) -> np.ndarray:
    r"""``activation(conv(x, w) + bias)`` with integer products whose sums are exact.

    .. math::
        y_{nohw} = s_n t_o \sum_{cij} (\hat{x}_{n,c,hS+iD-P,wS+jD-P} - a)\, \hat{w}_{ocij} + \text{bias}_o

    with the integers, scales and zero points of ``x`` and ``q``, stride S, dilation D and padding P; what is outside of
    the image is the real number zero. This is a cross-correlation, as in PyTorch and ONNX. The bytes of the result are
    the same on every instruction set and for any number of threads. Beside the result, the call takes the memory of
    ``x`` in int8 and that of up to 128 windows for each thread. What kernels read is made of ``q`` at its first use and
    kept with it.

    Args:
        x: float32, ``(N, C, H, W)`` or ``(C, H, W)``; each image is quantized on the way, symmetrically with a scale of
            its own, :math:`\max|x| / 127`. With ``x_params``, int8, or float32 that is quantized with them.
        q: shape ``(O, C / groups, kh, kw)``, symmetric int8, per tensor or per channel along axis 0. A sum has at most
            131071 products, 65793 where ``x_params`` has a zero point: int32 must hold it.
        bias: float32, ``(O,)``, or None.
        stride, padding, dilation: along the height and the width, or one number for both.
        groups: a divisor of C and O. Channel o of the result is computed from the channels of its group alone.
        activation: "relu", "gelu" (:math:`x\,\Phi(x)`), "silu", "tanh", "sigmoid" or None.
        clip: the bounds of the result, after the activation: ``(0, 6)`` for ReLU6.
        x_params: scale and zero point of ``x`` (static quantization).
        y_params: the result is int8, quantized with these.

    Returns:
        float32, or int8 with ``y_params``: ``(N, O, OH, OW)`` or ``(O, OH, OW)``, where
        :math:`OH = \lfloor (H + 2P - D (kh - 1) - 1) / S \rfloor + 1`.

    Raises:
        ValueError: a dtype or shape is not as said, the kernel is larger than the padded image, a value is NaN or
            infinite, or numbers are so large that a sum could be more than a quarter of the largest float32.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import quantize
        >>> q = quantize(np.ones((1, 1, 2, 2), np.float32))
        >>> x = np.array([[[0.0, 1.0, 2.0], [3.0, 4.0, 127.0]]], np.float32)
        >>> conv2d(x, q)
        array([[[  8., 134.]]], dtype=float32)
        >>> conv2d(x, q, padding=(1, 0), stride=2)
        array([[[1.],
                [7.]]], dtype=float32)
    """
    if len(q.shape) != 4:
        raise ValueError(f"q: expected four dimensions (out, in, height, width), got shape {q.shape}")
    return q._conv(groups).forward(
        x,
        _both(stride, "stride"),
        _both(padding, "padding"),
        _both(dilation, "dilation"),
        bias,
        activation,
        clip,
        _pair(x_params, "x_params"),
        _pair(y_params, "y_params"),
    )


def conv1d(
    x: Array,
    q: QuantTensor,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    activation: Activation | None = None,
    clip: tuple[float, float] | None = None,
    x_params: QuantParams | None = None,
    y_params: QuantParams | None = None,
) -> np.ndarray:
    """:func:`conv2d` in one dimension.

    Args:
        x: ``(N, C, L)`` or ``(C, L)``.
        q: shape ``(O, C / groups, k)``.
        bias, stride, padding, dilation, groups, activation, clip, x_params, y_params: as for :func:`conv2d`.

    Returns:
        ``(N, O, OL)`` or ``(O, OL)``.

    Raises:
        ValueError: as :func:`conv2d`.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import quantize
        >>> q = quantize(np.ones((1, 1, 2), np.float32))
        >>> conv1d(np.array([[1.0, 2.0, 127.0]], np.float32), q)
        array([[  3., 129.]], dtype=float32)
    """
    if len(q.shape) != 3:
        raise ValueError(f"q: expected three dimensions (out, in, length), got shape {q.shape}")
    return q._conv(groups).forward(
        x,
        (1, stride),
        (0, padding),
        (1, dilation),
        bias,
        activation,
        clip,
        _pair(x_params, "x_params"),
        _pair(y_params, "y_params"),
    )


def _both(sides: int | Sequence[int], what: str) -> tuple[int, int]:
    both = sides if isinstance(sides, (tuple, list)) else (sides, sides)
    if len(both) != 2 or not all(isinstance(side, (int, np.integer)) for side in both):
        raise TypeError(f"{what}: expected an integer or two of them, got {sides!r}")
    return int(both[0]), int(both[1])
