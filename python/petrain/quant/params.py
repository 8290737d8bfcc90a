"""Scale and zero point, and how they follow from a range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from petrain import _core

Scheme = Literal["symmetric", "asymmetric"]


@dataclass(frozen=True)
class QuantParams:
    """How real numbers lie on the integers of a few bits: ``x = scale * (q - zero_point)``.

    Attributes:
        scale: positive, a float32.
        zero_point: the q of 0; 0 where the scheme is symmetric.
        bits: 8 or 4.
        scheme: "symmetric", q from -127 (-7) to 127 (7), or "asymmetric", q from -128 (-8) to 127 (7).
    """

    scale: float
    zero_point: int = 0
    bits: int = 8
    scheme: Scheme = "symmetric"


@dataclass(frozen=True, eq=False)
class ChannelParams:
    """The same with a scale and a zero point for each index along an axis.

    Attributes:
        scale: float32, ``(channels,)``, positive.
        zero_point: int8, ``(channels,)``.
        axis: of the array; may be negative.
        bits: 8 or 4.
        scheme: "symmetric" or "asymmetric", as of :class:`QuantParams`.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int
    bits: int = 8
    scheme: Scheme = "symmetric"


def range_params(low: float, high: float, bits: int = 8, scheme: Scheme = "symmetric") -> QuantParams:
    """The parameters with which the numbers from ``low`` to ``high`` fill the range of the integers.

    Symmetric: ``scale = max(|low|, |high|) / qmax``. Asymmetric: the range is widened to hold 0, then
    ``scale = (high - low) / (qmax - qmin)`` and ``zero_point = round(qmin - low / scale)``, half to even. Where
    both are 0, the scale is 1.

    Source: Jacob et al., arXiv 1712.05877, with the ranges of the LiteRT specification.

    Raises:
        ValueError: a number is not finite, low is above high, bits are not 8 or 4, or the scheme is unknown.

    Example:
        >>> range_params(-0.5, 2.05, scheme="asymmetric")
        QuantParams(scale=0.009999999776482582, zero_point=-78, bits=8, scheme='asymmetric')
    """
    scale, zero_point = _core.range_params(low, high, bits, scheme)
    return QuantParams(scale, zero_point, bits, scheme)
