"""Arrays in few bits: the type, and how one is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from petrain import _core
from petrain._params import Array


class QuantTensor:
    r"""An int8 array with one scale for each index along ``axis``:
    :math:`w \approx \text{values} \cdot \text{scale}_c`.

    :func:`quantize` makes one; the constructor takes the parts as a file holds them and copies them.

    Args:
        values: int8, any shape of at least one dimension and one element.
        scale: float32, ``(values.shape[axis],)``, positive and finite.
        axis: of ``values``; may be negative.
        zero_point: int8 zeros of the shape of ``scale``, or None: the format is symmetric.

    Raises:
        ValueError: the parts disagree, or a scale or zero point is not as said.
        IndexError: there is no such axis.

    Example:
        >>> import numpy as np
        >>> q = QuantTensor(np.array([[127, -2]], np.int8), np.array([0.5], np.float32))
        >>> q
        QuantTensor(shape=(1, 2), axis=0)
        >>> q.dequantize()
        array([[63.5, -1. ]], dtype=float32)
    """

    def __init__(self, values: Array, scale: Array, axis: int = 0, zero_point: Array | None = None) -> None:
        self._core = _core.QuantTensor(values, scale, axis, zero_point)

    @classmethod
    def _from_core(cls, core: _core.QuantTensor) -> QuantTensor:
        self = cls.__new__(cls)
        self._core = core
        return self

    @property
    def values(self) -> np.ndarray:
        """The int8 values, read-only, without a copy."""
        return self._core.values

    @property
    def scale(self) -> np.ndarray:
        """float32, one for each channel, read-only, without a copy."""
        return self._core.scale

    @property
    def zero_point(self) -> np.ndarray:
        """int8 zeros, one for each channel, read-only, without a copy."""
        return self._core.zero_point

    @property
    def axis(self) -> int:
        """The axis of the channels, 0 or more."""
        return self._core.axis

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of ``values``."""
        return tuple(self.values.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of values, scales and zero points together."""
        return self._core.nbytes

    def dequantize(self) -> np.ndarray:
        """``values * scale`` as a new float32 array, within half a scale of what was quantized (and rounding)."""
        return self._core.dequantize()

    def __reduce__(self) -> tuple[Any, ...]:
        return QuantTensor, (self.values, self.scale, self.axis, self.zero_point)

    def __repr__(self) -> str:
        return f"QuantTensor(shape={self.shape}, axis={self.axis})"


def quantize(w: Array, axis: int = 0) -> QuantTensor:
    """Quantize a float32 array to int8 with one scale for each index along ``axis``.

    Source: Jacob et al., arXiv 1712.05877, in the symmetric per-channel form of the LiteRT specification.

    Args:
        w: float32, C-contiguous, any shape of at least one dimension and one element.
        axis: the channels: 0 for the weights ``(N, K)`` of :func:`linear`; may be negative.

    Raises:
        ValueError: dtype or shape is not as said, or a value is NaN or infinite.
        IndexError: there is no such axis.

    Example:
        >>> import numpy as np
        >>> q = quantize(np.array([[1.0, -0.25], [0.0, 0.0]], np.float32))
        >>> q.values
        array([[127, -32],
               [  0,   0]], dtype=int8)
        >>> q.scale
        array([0.00787402, 1.        ], dtype=float32)
    """
    return QuantTensor._from_core(_core.quantize(w, axis))
