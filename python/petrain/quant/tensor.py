"""Arrays in few bits: the type, and how one is made."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np

from petrain import _core
from petrain._params import Array
from petrain.quant.params import Scheme

Granularity = Literal["tensor", "channel", "group"]


class QuantTensor:
    r"""An array in int8 or int4: :math:`w \approx (q - z)\, s`, with one scale :math:`s` and zero point :math:`z` for
    the whole array, for each channel or for each group.

    :func:`quantize` makes one; the constructor takes the parts and copies them.

    Args:
        values: the integers q, int8 whatever the bits, any shape with at least one element. Symmetric: from -127 to
            127 (4 bits: -7 to 7); asymmetric: from -128 to 127 (-8 to 7).
        scale: float32, positive and finite: ``()`` for "tensor", ``(channels,)`` for "channel",
            ``(channels, groups)`` for "group".
        zero_point: int8 in the shape of ``scale``, in the range of the values; None where the scheme is symmetric.
        bits, scheme, granularity, axis, group_size: as for :func:`quantize`.

    Raises:
        ValueError: the parts disagree, or a value, scale or zero point is not as said.
        IndexError: there is no such axis.

    Example:
        >>> import numpy as np
        >>> q = QuantTensor(np.array([[127, -2]], np.int8), np.array([0.5], np.float32))
        >>> q
        QuantTensor(shape=(1, 2), bits=8, scheme='symmetric', granularity='channel', axis=0)
        >>> q.dequantize()
        array([[63.5, -1. ]], dtype=float32)
    """

    def __init__(
        self,
        values: Array,
        scale: Array,
        zero_point: Array | None = None,
        bits: int = 8,
        scheme: Scheme = "symmetric",
        granularity: Granularity = "channel",
        axis: int = 0,
        group_size: int | None = None,
    ) -> None:
        make = _core.QuantTensor.from_integers
        self._core = make(values, scale, zero_point, bits, scheme, granularity, axis, group_size)
        self._layer: _core.QuantLinear | None = None
        self._convs: dict[int, _core.QuantConv] = {}

    @classmethod
    def from_packed(
        cls,
        packed: Array,
        scale: Array,
        zero_point: Array | None,
        shape: tuple[int, ...],
        bits: int = 8,
        scheme: Scheme = "symmetric",
        granularity: Granularity = "channel",
        axis: int = 0,
        group_size: int | None = None,
    ) -> QuantTensor:
        """As the constructor, from the integers as they are stored: see :attr:`packed`.

        Args:
            shape: of the array.

        Example:
            >>> import numpy as np
            >>> scale = np.array(0.5, np.float32)
            >>> QuantTensor.from_packed(np.array([0x72], np.uint8), scale, None, (2,), 4, granularity="tensor").values
            array([2, 7], dtype=int8)
        """
        make = _core.QuantTensor.from_packed
        return cls._from_core(make(packed, scale, zero_point, shape, bits, scheme, granularity, axis, group_size))

    @classmethod
    def _from_core(cls, core: _core.QuantTensor) -> QuantTensor:
        self = cls.__new__(cls)
        self._core = core
        self._layer = None
        self._convs = {}
        return self

    def _linear(self) -> _core.QuantLinear:
        """The array as the weight of a linear layer, which keeps what kernels read."""
        if self._layer is None:
            self._layer = _core.QuantLinear(self._core)
        return self._layer

    def _conv(self, groups: int) -> _core.QuantConv:
        """The array as the weight of a convolution."""
        if groups not in self._convs:
            self._convs[groups] = _core.QuantConv(self._core, groups)
        return self._convs[groups]

    @property
    def values(self) -> np.ndarray:
        """The integers as int8 in the shape of the array: in place and read-only with 8 bits, new with 4."""
        return self._core.values

    @property
    def packed(self) -> np.ndarray:
        """The integers as they are stored, read-only, without a copy.

        8 bits: int8 in the shape of the array. 4 bits: uint8 ``(ceil(size / 2),)``, two to a byte in C order over the
        whole array, the first in the lower bits, as ONNX packs INT4; after an odd number the last 4 bits are 0.
        """
        return self._core.packed

    @property
    def scale(self) -> np.ndarray:
        """float32, ``()``, ``(channels,)`` or ``(channels, groups)``, read-only, without a copy."""
        return self._core.scale

    @property
    def zero_point(self) -> np.ndarray | None:
        """int8 in the shape of ``scale``, read-only, without a copy; None where the scheme is symmetric."""
        zero_point: np.ndarray | None = self._core.zero_point
        return zero_point

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self._core.shape

    @property
    def bits(self) -> int:
        """8 or 4."""
        return self._core.bits

    @property
    def scheme(self) -> Scheme:
        """ "symmetric" or "asymmetric"."""
        return self._core.scheme  # type: ignore[return-value]

    @property
    def granularity(self) -> Granularity:
        """ "tensor", "channel" or "group"."""
        return self._core.granularity  # type: ignore[return-value]

    @property
    def axis(self) -> int:
        """The axis of the channels, 0 or more; 0 where the granularity is "tensor"."""
        return self._core.axis

    @property
    def group_size(self) -> int | None:
        """32, 64 or 128; None where the granularity is not "group"."""
        return self._core.group_size

    @property
    def nbytes(self) -> int:
        """The bytes of what is stored: integers, scales and zero points."""
        return self._core.nbytes

    def dequantize(self, dtype: Literal["float32", "float16", "bfloat16"] = "float32") -> np.ndarray:
        """``(values - zero_point) * scale`` as a new array, rounded to float32.

        Args:
            dtype: float16 and bfloat16 are rounded from float32 to the nearest, half to even; beyond their range is
                infinity. bfloat16 is an array of uint16 where ml_dtypes is not installed.

        Returns:
            Within half a scale of what was quantized, and the rounding of ``dtype``.

        Raises:
            ValueError: ``dtype`` is none of these.
        """
        return self._core.dequantize(dtype)

    def clone(self) -> QuantTensor:
        """A copy with memory of its own."""
        return QuantTensor._from_core(self._core.clone())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write this array alone to a file, under the name "array"; see :func:`petrain.quant.save`.

        Example:
            >>> import os, tempfile
            >>> import numpy as np
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     path = os.path.join(folder, "w.safetensors")
            ...     quantize(np.eye(2, dtype=np.float32)).save(path)
            ...     QuantTensor.load(path)
            QuantTensor(shape=(2, 2), bits=8, scheme='symmetric', granularity='channel', axis=0)
        """
        _core.save_quant(path, {"array": self._core})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> QuantTensor:
        """Read the one array of a file, whatever its name.

        Raises:
            OSError: the file cannot be read.
            petrain.Error: it is not a file of quantized arrays, or not of one.
        """
        arrays = _core.load_quant(path)
        if len(arrays) != 1:
            raise _core.Error(f"expected a file of one quantized array, got {len(arrays)}")
        return cls._from_core(next(iter(arrays.values())))

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.packed, self.scale, self.zero_point, self.shape)
        return QuantTensor.from_packed, (
            *parts,
            self.bits,
            self.scheme,
            self.granularity,
            self.axis,
            self.group_size,
        )

    def __repr__(self) -> str:
        text = f"shape={self.shape}, bits={self.bits}, scheme={self.scheme!r}, granularity={self.granularity!r}"
        if self.granularity != "tensor":
            text += f", axis={self.axis}"
        if self.granularity == "group":
            text += f", group_size={self.group_size}"
        return f"QuantTensor({text})"


def core_of(q: QuantTensor, what: str) -> _core.QuantTensor:
    """What the core works with; TypeError where it is something else."""
    if not isinstance(q, QuantTensor):
        raise TypeError(f"{what}: expected a QuantTensor, got {type(q).__name__}")
    return q._core


def quantize(
    w: Array,
    bits: int = 8,
    scheme: Scheme = "symmetric",
    granularity: Granularity = "channel",
    axis: int = 0,
    group_size: int | None = None,
) -> QuantTensor:
    r"""Quantize an array to the nearest integers, half to even.

    .. math::
        q = \text{clamp}\big(\text{round}(w / s) + z,\ q_{\min},\ q_{\max}\big)

    with :math:`s` and :math:`z` by :func:`range_params` from the smallest and the largest of the numbers that share
    them. Zero becomes :math:`z` and stays exactly zero.

    Source: Jacob et al., arXiv 1712.05877; ranges as the LiteRT specification has them for weights ("symmetric") and
    activations ("asymmetric"), rounding as ONNX's QuantizeLinear.

    Args:
        w: float32, float16 or bfloat16, C-contiguous, any shape with at least one element. 16-bit numbers are converted
            exactly, a few thousand at a time.
        bits: 8 or 4.
        scheme: "symmetric": from -127 to 127 (4 bits: -7 to 7), no zero point. "asymmetric": from -128 to 127 (-8 to
            7).
        granularity: what shares a scale. "tensor": all. "channel": what has the same index along ``axis``. "group": of
            a channel's elements, in C order, each run of ``group_size``; for the weights ``(N, K)`` of a linear layer
            and axis 0, neighbours along K.
        axis: the channels: 0 for the weights ``(N, K)`` of :func:`linear`; may be negative. Ignored for "tensor".
        group_size: 32, 64 or 128 for "group", a divisor of the number of a channel's elements; else None.

    Raises:
        ValueError: dtype, shape or an option is not as said, or a value is NaN or infinite.
        IndexError: there is no such axis.

    Example:
        >>> import numpy as np
        >>> q = quantize(np.array([[1.0, -0.25], [0.0, 0.0]], np.float32))
        >>> q.values
        array([[127, -32],
               [  0,   0]], dtype=int8)
        >>> q.scale
        array([0.00787402, 1.        ], dtype=float32)
        >>> w = np.linspace(-1, 2, 256, dtype=np.float32).reshape(4, 64)
        >>> small = quantize(w, bits=4, scheme="asymmetric", granularity="group", group_size=32)
        >>> small.scale.shape, small.nbytes, w.nbytes
        ((4, 2), 168, 1024)
    """
    return QuantTensor._from_core(_core.quantize(w, bits, scheme, granularity, axis, group_size))
