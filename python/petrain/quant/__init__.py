"""Arrays in int8 and int4, and layers on them whose integer sums are exact.

``w ≈ (values - zero_point) * scale`` with ``values = round(w / scale) + zero_point``, half to even, as ONNX's
QuantizeLinear has it. Zero is always exactly zero, and where all is zero the scale is 1. The scale is at least 2⁻¹²⁶,
the smallest normal number: what is below half of that becomes zero. All results but those of :func:`lqer` and
:func:`smooth_quant`, and some estimates in reports, have the same bytes on every instruction set and for any number of
threads.
"""

from petrain.quant.calibrate import (
    EntropyObserver,
    MinMaxObserver,
    MovingAverageObserver,
    MSEObserver,
    PercentileObserver,
)
from petrain.quant.conv import (
    conv1d,
    conv2d,
)
from petrain.quant.corrections import (
    bias_correction,
    lqer,
    output_error,
)
from petrain.quant.embedding import embedding
from petrain.quant.files import (
    load,
    save,
)
from petrain.quant.hessian import (
    HessianObserver,
)
from petrain.quant.linear import (
    linear,
    low_rank,
    matmul_int,
)
from petrain.quant.params import (
    ChannelParams,
    QuantParams,
    range_params,
)
from petrain.quant.qat import (
    LSQ,
    fake_quantize,
    fake_quantize_backward,
)
from petrain.quant.recurrent import (
    QuantGRU,
    QuantLSTM,
    gru,
    lstm,
)
from petrain.quant.rounding import (
    RoundingReport,
    gptq,
    round_coordinate_descent,
)
from petrain.quant.sensitivity import (
    Sensitivity,
    SensitivityRow,
    sensitivity,
)
from petrain.quant.smooth import (
    Smoothed,
    smooth_quant,
)
from petrain.quant.tensor import (
    QuantTensor,
    quantize,
)

__all__ = [
    "LSQ",
    "ChannelParams",
    "EntropyObserver",
    "HessianObserver",
    "MSEObserver",
    "MinMaxObserver",
    "MovingAverageObserver",
    "PercentileObserver",
    "QuantGRU",
    "QuantLSTM",
    "QuantParams",
    "QuantTensor",
    "RoundingReport",
    "Sensitivity",
    "SensitivityRow",
    "Smoothed",
    "bias_correction",
    "conv1d",
    "conv2d",
    "embedding",
    "fake_quantize",
    "fake_quantize_backward",
    "gptq",
    "gru",
    "linear",
    "load",
    "low_rank",
    "lqer",
    "lstm",
    "matmul_int",
    "output_error",
    "quantize",
    "range_params",
    "round_coordinate_descent",
    "save",
    "sensitivity",
    "smooth_quant",
]
