"""Observers: which range of activations the integers should cover, from samples that are seen once and not kept."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from petrain import _core
from petrain._core import Error
from petrain.quant._observer import Observer
from petrain.quant.params import ChannelParams, QuantParams, Scheme, range_params


class _RangeObserver(Observer):
    """Keeps a lowest and a highest number, or one of each for each index along ``axis``."""

    _seen: _core.MinMax | _core.MovingAverage

    def __init__(self, bits: int, scheme: Scheme, axis: int | None) -> None:
        self.axis = None if axis is None else operator.index(axis)
        super().__init__(bits=bits, scheme=scheme)

    def range(self) -> tuple[Any, Any]:
        """The lowest and the highest number: floats, or, with an axis, float64 arrays ``(channels,)``.

        Raises:
            petrain.Error: nothing was observed yet.
        """
        low, high = self._seen.ranges()
        if self.count == 0:
            raise Error("nothing was observed yet: call observe() first")
        return (low, high) if self.axis is not None else (float(low[0]), float(high[0]))

    def qparams(self) -> QuantParams | ChannelParams:
        """Scale and zero point for :meth:`range`: a QuantParams or, with an axis, a ChannelParams.

        Raises:
            petrain.Error: nothing was observed yet.
        """
        low, high = self.range()
        if self.axis is None:
            return range_params(low, high, self.bits, self.scheme)
        each = [range_params(float(a), float(b), self.bits, self.scheme) for a, b in zip(low, high, strict=True)]
        scale = np.array([params.scale for params in each], np.float32)
        zero_point = np.array([params.zero_point for params in each], np.int8)
        return ChannelParams(scale, zero_point, self.axis, self.bits, self.scheme)

    def _parts(self) -> dict[str, Any]:
        low, high = self._seen.ranges()
        return {"count": self.count, "low": low, "high": high}


class MinMaxObserver(_RangeObserver):
    """The lowest and the highest number of all. One outlier widens the range for all others.

    Args:
        bits: 8 or 4.
        scheme: "asymmetric" or "symmetric".
        axis: of the channels, which each have a range of their own; may be negative. None: one range for all.

    Merging gives what one observer that saw everything would have, in any order.

    Example:
        >>> import numpy as np
        >>> seen = MinMaxObserver()
        >>> for x in np.array([[-1.0, 0.5], [0.0, 1.55]], np.float32):
        ...     seen.observe(x)
        >>> seen.qparams()
        QuantParams(scale=0.009999999776482582, zero_point=-28, bits=8, scheme='asymmetric')
    """

    _setting_names = ("bits", "scheme", "axis")

    def __init__(self, bits: int = 8, scheme: Scheme = "asymmetric", axis: int | None = None) -> None:
        super().__init__(bits, scheme, axis)

    def reset(self) -> None:
        """Forget what was seen."""
        self._seen = _core.MinMax(self.axis)

    def _from_parts(self, parts: Mapping[str, Any]) -> _core.MinMax:
        return _core.MinMax(self.axis, parts["low"], parts["high"], parts["count"])


class MovingAverageObserver(_RangeObserver):
    r"""Extremes that follow those of each array, :math:`m \leftarrow m + c\,(\text{extreme} - m)`, from the first on.

    Source: torch.ao's MovingAverageMinMaxObserver; Jacob et al., arXiv 1712.05877, section 3.1.

    Args:
        bits: 8 or 4.
        scheme: "asymmetric" or "symmetric".
        axis: as of :class:`MinMaxObserver`.
        averaging_constant: c, more than 0 and at most 1.

    The result depends on the order of the arrays. Merging takes the mean of both, weighted by their numbers of arrays:
    whichever is merged into the other, but up to rounding where there are more than two.

    Raises:
        ValueError: the averaging constant is not as said.

    Example:
        >>> import numpy as np
        >>> seen = MovingAverageObserver(averaging_constant=0.5)
        >>> for x in np.array([[-1.0, 1.0], [0.0, 3.0]], np.float32):
        ...     seen.observe(x)
        >>> seen.range()
        (-0.5, 2.0)
    """

    _seen: _core.MovingAverage
    _setting_names = ("bits", "scheme", "axis", "averaging_constant")

    def __init__(
        self,
        bits: int = 8,
        scheme: Scheme = "asymmetric",
        axis: int | None = None,
        averaging_constant: float = 0.01,
    ) -> None:
        self.averaging_constant = float(averaging_constant)
        super().__init__(bits, scheme, axis)

    def reset(self) -> None:
        """Forget what was seen."""
        self._seen = _core.MovingAverage(self.averaging_constant, self.axis)

    def _parts(self) -> dict[str, Any]:
        return {**super()._parts(), "arrays": self._seen.arrays}

    def _from_parts(self, parts: Mapping[str, Any]) -> _core.MovingAverage:
        return _core.MovingAverage(
            self.averaging_constant, self.axis, parts["low"], parts["high"], parts["count"], parts["arrays"]
        )


class _HistogramObserver(Observer):
    """Keeps exact counts in bins by sign, exponent and 9 bits of the mantissa, and the exact extremes."""

    _seen: _core.Histogram

    def reset(self) -> None:
        """Forget what was seen."""
        self._seen = _core.Histogram()

    def qparams(self) -> QuantParams:
        """Scale and zero point for :meth:`range`.

        Raises:
            petrain.Error: nothing was observed yet.
        """
        low, high = self.range()
        return range_params(low, high, self.bits, self.scheme)

    def _parts(self) -> dict[str, Any]:
        (low, high), (bins, counts) = self._seen.extremes(), self._seen.parts()
        return {"low": low, "high": high, "bins": bins, "counts": counts}

    def _from_parts(self, parts: Mapping[str, Any]) -> _core.Histogram:
        return _core.Histogram(parts["bins"], parts["counts"], parts["low"], parts["high"])


class PercentileObserver(_HistogramObserver):
    """The range that leaves out the outermost numbers.

    Symmetric: ``[-t, t]`` with at most ``100 - percentile`` percent of the magnitudes beyond t. Asymmetric: at most
    half of them beyond each end. An end lies on the edge of a bin: at most 2⁻⁹ of it too far out.

    Args:
        bits: 8 or 4.
        scheme: "asymmetric" or "symmetric".
        percentile: more than 0 and at most 100, with which nothing is left out.

    Merging is exact, in any order.

    Raises:
        ValueError: the percentile is not as said.

    Example:
        >>> import numpy as np
        >>> seen = PercentileObserver(percentile=98)
        >>> seen.observe(np.arange(-100, 101, dtype=np.float32))
        >>> seen.range()
        (-98.125, 98.125)
    """

    _setting_names = ("bits", "scheme", "percentile")

    def __init__(self, bits: int = 8, scheme: Scheme = "asymmetric", percentile: float = 99.99) -> None:
        if not 0 < percentile <= 100:
            raise ValueError(f"percentile: expected more than 0 and at most 100, got {percentile}")
        self.percentile = float(percentile)
        super().__init__(bits=bits, scheme=scheme)

    def range(self) -> tuple[float, float]:
        """The lowest and the highest number that are not left out.

        Raises:
            petrain.Error: nothing was observed yet.
        """
        return self._seen.percentile_range(self.percentile, self.scheme)


class EntropyObserver(_HistogramObserver):
    """The range after whose quantization the distribution is the nearest, in Kullback-Leibler divergence.

    Candidates are ``[-t, t]`` within the extremes, t from 1/16 of the largest magnitude to all of it. What is beyond is
    clipped, what is within is averaged over each integer's share of the bins: 2048 of magnitudes where the scheme is
    symmetric, else 4096 at each side of 0. Exact zeros, which stay zero, are left out, and thresholds that clip more
    than half of the rest are not tried: they would seem perfect.

    Source: Migacz, 8-bit inference with TensorRT, GTC 2017; onnxruntime's calibrator does the same.

    Args:
        bits: 8 or 4.
        scheme: "asymmetric" or "symmetric".

    Merging is exact, in any order.

    Example:
        >>> import numpy as np
        >>> seen = EntropyObserver(scheme="symmetric")
        >>> x = np.random.default_rng(0).standard_normal(100_000, np.float32)
        >>> seen.observe(x)
        >>> low, high = seen.range()
        >>> 3.5 < high < float(np.abs(x).max())
        True
    """

    def __init__(self, bits: int = 8, scheme: Scheme = "asymmetric") -> None:
        super().__init__(bits=bits, scheme=scheme)

    def range(self) -> tuple[float, float]:
        """The lowest and the highest number that are not clipped.

        Raises:
            petrain.Error: nothing was observed yet.
        """
        return self._seen.entropy_range(self.bits, self.scheme)


class MSEObserver(_HistogramObserver):
    """The range with the least mean squared quantization error, clipping included.

    Tries ends at steps of 2^(-1/32) of the extremes, both together and one after the other, then finer ones around the
    best. The error of each is computed for the numbers as spread evenly over their bins.

    Args:
        bits: 8 or 4.
        scheme: "asymmetric" or "symmetric".

    Merging is exact, in any order.

    Example:
        >>> import numpy as np
        >>> seen = MSEObserver(bits=4, scheme="symmetric")
        >>> seen.observe(np.random.default_rng(0).standard_normal(100_000, np.float32))
        >>> low, high = seen.range()
        >>> 2.4 < high < 2.6
        True
    """

    def __init__(self, bits: int = 8, scheme: Scheme = "asymmetric") -> None:
        super().__init__(bits=bits, scheme=scheme)

    def range(self) -> tuple[float, float]:
        """The lowest and the highest number that are not clipped.

        Raises:
            petrain.Error: nothing was observed yet.
        """
        return self._seen.mse_range(self.bits, self.scheme)
