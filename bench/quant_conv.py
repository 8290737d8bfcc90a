"""Convolutions on int8 against onnxruntime in float32, on the shapes of ResNet-18 and MobileNetV2, one image.

What counts is the sum over a network's convolutions, each as often as the network has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from common import Times, race
from onnx import helper
from petrain import quant
from quant_rivals import Call, session


@dataclass(frozen=True)
class Conv:
    """``channels`` of ``size`` x ``size`` pixels to ``outputs``; ``count`` such in the network."""

    channels: int
    size: int
    outputs: int
    kernel: int
    stride: int = 1
    groups: int = 1
    count: int = 1

    @property
    def window(self) -> dict[str, int]:
        return {"stride": self.stride, "padding": self.kernel // 2, "groups": self.groups}

    @property
    def products(self) -> int:
        pixels = ((self.size - 1) // self.stride + 1) ** 2
        return pixels * self.outputs * self.channels // self.groups * self.kernel**2

    def __str__(self) -> str:
        kind = " depthwise" if self.groups > 1 else ""
        return f"{self.kernel}x{self.kernel}{kind} {self.channels}-{self.outputs} /{self.stride} at {self.size}"


RESNET18 = [
    Conv(3, 224, 64, 7, 2),
    Conv(64, 56, 64, 3, count=4),
    Conv(64, 56, 128, 3, 2),
    Conv(64, 56, 128, 1, 2),
    Conv(128, 28, 128, 3, count=3),
    Conv(128, 28, 256, 3, 2),
    Conv(128, 28, 256, 1, 2),
    Conv(256, 14, 256, 3, count=3),
    Conv(256, 14, 512, 3, 2),
    Conv(256, 14, 512, 1, 2),
    Conv(512, 7, 512, 3, count=3),
]


def mobilenet_v2() -> list[Conv]:
    """Sandler et al., 2018, table 2."""
    convs, channels, size = [Conv(3, 224, 32, 3, 2)], 32, 112
    for expansion, outputs, repeats, first_stride in [
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ]:  # fmt: skip
        for i in range(repeats):
            stride, inner = first_stride if i == 0 else 1, channels * expansion
            if expansion > 1:
                convs.append(Conv(channels, size, inner, 1))
            convs.append(Conv(inner, size, inner, 3, stride, inner))
            size = -(-size // stride)
            convs.append(Conv(inner, size, outputs, 1))
            channels = outputs
    convs.append(Conv(channels, size, 1280, 1))
    return [Conv(**{**vars(conv), "count": convs.count(conv)}) for conv in dict.fromkeys(convs)]


NETWORKS = {"resnet18": RESNET18, "mobilenet_v2": mobilenet_v2()}


def onnx_conv(conv: Conv, x: np.ndarray, w: np.ndarray, bias: np.ndarray, threads: int) -> Call:
    """One convolution and ReLU."""
    pads, strides = [conv.kernel // 2] * 4, [conv.stride] * 2
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=pads, strides=strides, group=conv.groups),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    return session(nodes, {"w": w, "b": bias}, x, threads, y_rank=4)


def compare(conv: Conv, threads: int, rounds: int, at_least: float) -> Times:
    """Seconds of both for one convolution with bias and ReLU; dynamic quantization."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, conv.channels, conv.size, conv.size), np.float32)
    w = rng.standard_normal((conv.outputs, conv.channels // conv.groups, conv.kernel, conv.kernel), np.float32)
    bias, q = rng.standard_normal(conv.outputs, np.float32), quant.quantize(w)
    rivals = {
        "int8": lambda: quant.conv2d(x, q, bias, activation="relu", **conv.window),
        "onnxruntime float32": onnx_conv(conv, x, w, bias, threads),
    }
    got, exact = rivals["int8"](), rivals["onnxruntime float32"]()[0]
    assert np.abs(got - exact).max() <= 0.05 * np.abs(exact).max(), conv
    return race(rivals, rounds, at_least)
