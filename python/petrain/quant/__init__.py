"""Arrays in int8 and int4, and a linear layer on int8 whose integer sums are exact.

``w ≈ (values - zero_point) * scale`` with ``values = round(w / scale) + zero_point``, half to even, as ONNX's
QuantizeLinear has it. Zero is always exactly zero, and where all is zero the scale is 1. The scale is at least 2⁻¹²⁶,
the smallest normal number: what is below half of that becomes zero. All results have the same bytes on every
instruction set and for any number of threads.
"""

from petrain.quant.calibrate import (
    EntropyObserver,
    MinMaxObserver,
    MovingAverageObserver,
    MSEObserver,
    PercentileObserver,
)
from petrain.quant.files import load, save
from petrain.quant.linear import linear, low_rank, matmul_int
from petrain.quant.params import ChannelParams, QuantParams, range_params
from petrain.quant.tensor import QuantTensor, quantize

__all__ = [
    "ChannelParams",
    "EntropyObserver",
    "MSEObserver",
    "MinMaxObserver",
    "MovingAverageObserver",
    "PercentileObserver",
    "QuantParams",
    "QuantTensor",
    "linear",
    "load",
    "low_rank",
    "matmul_int",
    "quantize",
    "range_params",
    "save",
]
