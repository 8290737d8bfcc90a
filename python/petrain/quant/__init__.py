"""Symmetric int8 quantization per channel, and a linear layer on it whose integer sums are exact.

A channel's scale is max|w| / 127, so values stay in [-127, 127], as the LiteRT specification asks of weights, and
``values = round(w / scale)``, half to even. Zero is always exactly zero; an all-zero channel has the scale 1. The
scale is at least 2⁻¹²⁶, the smallest normal number: what is below half of that becomes zero. All results have the
same bytes on every instruction set and for any number of threads.
"""

from petrain.quant.linear import linear, matmul_int
from petrain.quant.params import QuantParams, range_params
from petrain.quant.qat import LSQ, fake_quantize, fake_quantize_backward
from petrain.quant.tensor import QuantTensor, quantize

__all__ = [
    "LSQ",
    "QuantParams",
    "QuantTensor",
    "fake_quantize",
    "fake_quantize_backward",
    "linear",
    "matmul_int",
    "quantize",
    "range_params",
]
