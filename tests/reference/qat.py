"""Fake quantization as its definition reads, and the gradients through it: float32 operations one after another."""

import math

import numpy as np


def integers(bits, scheme):
    most = 2 ** (bits - 1) - 1
    return (-most if scheme == "symmetric" else -most - 1), most


def scale_numbers(shape, granularity, axis, group_size):
    """For every element the number of its scale, in C order of the scales, and the shape of the scales."""
    if granularity == "tensor":
        return np.zeros(shape, np.int64), ()
    rows = np.moveaxis(np.arange(math.prod(shape)).reshape(shape), axis, 0).reshape(shape[axis], -1)
    channels, size = rows.shape
    group_size = size if granularity == "channel" else group_size
    groups = size // group_size
    numbers = np.empty(math.prod(shape), np.int64)
    for channel, row in enumerate(rows):
        numbers[row] = channel * groups + np.arange(size) // group_size
    return numbers.reshape(shape), (channels,) if granularity == "channel" else (channels, groups)


class Fake:
    def __init__(self, shape, bits=8, scheme="symmetric", granularity="channel", axis=0, group_size=None):
        self.numbers, self.scale_shape = scale_numbers(shape, granularity, axis, group_size)
        self.least, self.most = integers(bits, scheme)
        self.count = math.prod(shape) // math.prod(self.scale_shape)

    def of_elements(self, scales):
        return np.asarray(scales).reshape(-1)[self.numbers]

    def bounds(self, zero_point):
        zero = np.int64(0) if zero_point is None else self.of_elements(zero_point).astype(np.int64)
        return np.float32(self.least - zero), np.float32(self.most - zero), zero

    def integers(self, x, scale, zero_point=None):
        low, high, zero = self.bounds(zero_point)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.clip(np.rint(x / self.of_elements(scale)), low, high).astype(np.int64) + zero

    def forward(self, x, scale, zero_point=None):
        _, _, zero = self.bounds(zero_point)
        return (self.integers(x, scale, zero_point) - zero).astype(np.float32) * self.of_elements(scale)

    def backward(self, gradient, x, scale, zero_point=None, factor=1.0):
        """The gradient of x, and those of the scales in float64."""
        low, high, _ = self.bounds(zero_point)
        with np.errstate(over="ignore", invalid="ignore"):
            u = x * self.of_elements(np.float32(1) / scale)
            inside = (low <= u) & (u <= high)
            derivative = np.where(inside, np.rint(u) - u, np.where(u < low, low, high)).astype(np.float32)
        return np.where(inside, gradient, np.float32(0)), self.sums(gradient * derivative) * factor

    def sums(self, parts):
        """Of the elements of each scale, in float64, rounded once."""
        order = np.argsort(self.numbers, axis=None, kind="stable")
        groups = parts.reshape(-1)[order].reshape(-1, self.count)
        return np.array([math.fsum(group) for group in groups]).reshape(self.scale_shape)

    def lsq_factor(self):
        return 1 / math.sqrt(self.count * self.most)

    def lsq_scale(self, x):
        scale = 2 * self.sums(np.abs(x)) / self.count / math.sqrt(self.most)
        return np.where(scale == 0, 1.0, scale)
