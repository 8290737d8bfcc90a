"""Quantization-aware training: floats rounded to what a few bits can hold, and learned step sizes (LSQ)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from petrain import _core
from petrain._params import Array
from petrain.quant.params import Scheme
from petrain.quant.tensor import Granularity, QuantTensor

Spec: TypeAlias = "tuple[int, Scheme, Granularity, int, int | None]"  # bits, scheme, granularity, axis, group_size


def fake_quantize(
    x: Array,
    scale: Array | float,
    zero_point: Array | int | None = None,
    bits: int = 8,
    scheme: Scheme = "symmetric",
    granularity: Granularity = "channel",
    axis: int = 0,
    group_size: int | None = None,
    *,
    out: Array | None = None,
) -> Array:
    r"""What is left of ``x`` after quantizing and dequantizing, to the last bit.

    .. math::
        \hat{x} = \big(\mathrm{clamp}(\mathrm{round}(x / s) + z,\; q_{min},\; q_{max}) - z\big)\, s

    with halves rounded to even.

    Args:
        x: float32, C-contiguous, at least one element, finite.
        scale: float32, :math:`s`: ``()`` per tensor, where a number will do, ``(channels,)`` per channel, ``(channels,
            groups)`` per group; from 2⁻¹²⁶ to where :math:`(q_{max} - q_{min})\, s` is still finite.
        zero_point: int8, :math:`z`, in the shape of ``scale``; None where the scheme is symmetric.
        bits, scheme, granularity, axis, group_size: as in :func:`petrain.quant.quantize`.
        out: where to: float32 in the shape of ``x``, may be ``x``; or int8, for the integers. None: a new array.

    Returns:
        ``out``, or a new float32 array.

    Raises:
        ValueError: an argument is not as said. ``out`` was not changed.
        IndexError: there is no such axis.

    Example:
        >>> import numpy as np
        >>> fake_quantize(np.array([0.3, -0.26, 9.0], np.float32), 0.5, bits=4, granularity="tensor")
        array([ 0.5, -0.5,  3.5], dtype=float32)
    """
    if out is None:
        out = np.empty(np.shape(x), np.float32)
    spec = (bits, scheme, granularity, axis, group_size)
    _core.fake_quantize(x, *_scales(scale, zero_point), spec, out)
    return out


def fake_quantize_backward(
    gradient: Array,
    x: Array,
    scale: Array | float,
    zero_point: Array | int | None = None,
    bits: int = 8,
    scheme: Scheme = "symmetric",
    granularity: Granularity = "channel",
    axis: int = 0,
    group_size: int | None = None,
    *,
    factor: float = 1.0,
    out: Array | None = None,
) -> tuple[Array, np.ndarray]:
    r"""The gradients of ``x`` and of ``scale``, from that of :func:`fake_quantize`'s result.

    With :math:`u = x \cdot (1 / s)`, both rounded to float32, :math:`l = q_{min} - z` and :math:`h = q_{max} - z`:

    .. math::
        \frac{\partial L}{\partial x} = \begin{cases} g & l \le u \le h \\ 0 & \text{else} \end{cases}
        \qquad
        \frac{\partial L}{\partial s} = \text{factor} \cdot \sum g \cdot
        \begin{cases} \mathrm{round}(u) - u & l \le u \le h \\ l & u < l \\ h & u > h \end{cases}

    The first is the straight-through estimate, Bengio et al., arXiv 1308.3432; the second that of LSQ, Esser et al.,
    arXiv 1902.08153. The sum is taken in float64, in an order that depends on the shape alone.

    Args:
        gradient: float32, of the result. NaN and infinity go through.
        x, scale, zero_point, bits, scheme, granularity, axis, group_size: as they were given to fake_quantize.
        factor: of the scale's gradient.
        out: where the gradient of ``x`` goes to: float32, may be ``gradient``. None: a new array.

    Returns:
        The gradient of ``x`` (``out``, or a new array), and that of ``scale``, float32 in its shape.

    Raises:
        ValueError: an argument is not as said. ``out`` was not changed.
        IndexError: there is no such axis.

    Example:
        >>> import numpy as np
        >>> x, g = np.array([0.375, 9.0], np.float32), np.array([1.0, 2.0], np.float32)
        >>> fake_quantize_backward(g, x, 0.5, bits=4, granularity="tensor")
        (array([1., 0.], dtype=float32), array(14.25, dtype=float32))
    """
    if out is None:
        out = np.empty(np.shape(x), np.float32)
    scale, zero_point = _scales(scale, zero_point)
    scale_gradient = np.empty(np.shape(scale), np.float32)
    spec = (bits, scheme, granularity, axis, group_size)
    _core.fake_quantize_backward(x, scale, zero_point, spec, gradient, out, scale_gradient, factor)
    return out, scale_gradient


def _scales(scale: Array | float, zero_point: Array | int | None) -> tuple[Array, Array | None]:
    """Numbers as the arrays that the core takes."""
    if isinstance(scale, (int, float, np.integer, np.floating)):
        with np.errstate(over="ignore"):  # the core refuses infinity
            scale = np.array(scale, np.float32)
    if isinstance(zero_point, (int, np.integer)):
        if not -128 <= zero_point <= 127:  # int8 would wrap around
            raise ValueError(f"zero_point: expected -128 to 127, got {zero_point}")
        zero_point = np.array(zero_point, np.int8)
    return scale, zero_point


class LSQ:
    r"""Learned step sizes: the scales of a weight's symmetric quantization, trained beside it.

    ``forward`` gives the weight that the model computes with, ``backward`` takes the gradient of that and gives those
    of the weight and, in ``scale_gradient``, of the scales, times :math:`1 / \sqrt{n\, q_{max}}` with n the elements
    that share a scale. Both are parameters for an optimizer: any of :mod:`petrain.optim`, for the scales without weight
    decay. A scale that an update takes below 2⁻¹²⁶, or beyond where :math:`q_{max} s` is finite, is put back at that
    end by the next ``forward``.

    Source: Esser et al., Learned Step Size Quantization, arXiv 1902.08153.

    Args:
        weight: float32, C-contiguous, finite. The scales begin at :math:`2\, \overline{|w|} / \sqrt{q_{max}}`, or 1
            where all are zero. It is not kept.
        bits, granularity, axis, group_size: as in :func:`petrain.quant.quantize`.

    Attributes:
        scale: float32: ``()`` per tensor, ``(channels,)``, or ``(channels, groups)``.
        scale_gradient: float32, of the same shape; zero before the first ``backward``.

    Raises:
        ValueError, IndexError: an argument is not as said.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> w = np.array([[0.9, -0.4, 0.1]], np.float32)
        >>> lsq = LSQ(w, bits=4)
        >>> opt = SGD([w, lsq.scale], lr=0.1)
        >>> for _ in range(100):  # the copy, not w, is to be [0.7, -0.3, 0.1]
        ...     error = lsq.forward(w) - np.array([[0.7, -0.3, 0.1]], np.float32)
        ...     info = opt.step([lsq.backward(w, error), lsq.scale_gradient])
        >>> bool(np.abs(lsq.forward(w) - [[0.7, -0.3, 0.1]]).max() < 0.06)
        True
        >>> lsq.to_quantized(w).bits
        4
    """

    def __init__(
        self,
        weight: Array,
        bits: int = 8,
        granularity: Granularity = "channel",
        axis: int = 0,
        group_size: int | None = None,
    ) -> None:
        self._spec: Spec = (bits, "symmetric", granularity, axis, group_size)
        self.scale: np.ndarray = _core.lsq_scale(weight, self._spec)
        self.scale_gradient: np.ndarray = np.zeros(self.scale.shape, np.float32)

    @property
    def bits(self) -> int:
        """8 or 4."""
        return self._spec[0]

    def forward(self, w: Array, out: Array | None = None) -> Array:
        """The weight as the scales let it be: ``out``, or a new float32 array; see :func:`fake_quantize`."""
        _core.bound_scales(self.scale, self._spec)
        if out is None:
            out = np.empty(np.shape(w), np.float32)
        _core.fake_quantize(w, self.scale, None, self._spec, out)
        return out

    def backward(self, w: Array, gradient: Array, out: Array | None = None) -> Array:
        """The gradient of ``w`` from that of ``forward(w)``, into ``out``, which may be ``gradient``, or a new array.
        Writes ``scale_gradient``. Neither ``w`` nor the scales may have changed since ``forward``."""
        if out is None:
            out = np.empty(np.shape(w), np.float32)
        factor = _core.lsq_factor(np.shape(w), self._spec)
        _core.fake_quantize_backward(w, self.scale, None, self._spec, gradient, out, self.scale_gradient, factor)
        return out

    def to_quantized(self, w: Array) -> QuantTensor:
        """``w`` in the integers and the scales that it was trained for: dequantized, it is ``forward(w)``."""
        return QuantTensor(self.forward(w, np.empty(np.shape(w), np.int8)), self.scale, None, *self._spec)

    def state_dict(self) -> dict[str, Any]:
        """Copies of what a resumed run needs beside the weight: ``scale`` and ``scale_gradient``."""
        return {"scale": self.scale.copy(), "scale_gradient": self.scale_gradient.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over, in place, what :meth:`state_dict` gave.

        Raises:
            ValueError: a name, a shape or a dtype is another, or a number is NaN or infinite. Nothing was changed.
        """
        own = {"scale": self.scale, "scale_gradient": self.scale_gradient}
        if sorted(state) != sorted(own):
            raise ValueError(f"state_dict: expected {sorted(own)}, got {sorted(state)}")
        for name, array in own.items():
            given = np.asarray(state[name])
            if given.shape != array.shape or given.dtype != array.dtype:
                raise ValueError(f"{name}: expected float32 {array.shape}, got {given.dtype} {given.shape}")
            if not np.isfinite(given).all():
                raise ValueError(f"{name}: expected finite values, got {given[~np.isfinite(given)][0]}")
        for name, array in own.items():
            array[...] = state[name]

    def __repr__(self) -> str:
        bits, _, granularity, axis, group_size = self._spec
        return f"LSQ(bits={bits}, granularity={granularity!r}, axis={axis}, group_size={group_size})"
