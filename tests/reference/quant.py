"""Quantization as its definition reads: float32 operations one after another, integer sums in int64."""

import math

import numpy as np

F32 = np.finfo(np.float32)
LARGEST_SCALE = np.nextafter(F32.max / np.float32(127), np.float32(0))  # 127 of it are still finite


def scales(w, axis):
    others = tuple(d for d in range(w.ndim) if d != axis % w.ndim)
    largest = np.abs(w).max(axis=others)
    return np.where(largest == 0, np.float32(1), np.clip(largest / np.float32(127), F32.tiny, LARGEST_SCALE))


def along(scale, shape, axis):
    return scale.reshape([-1 if d == axis % len(shape) else 1 for d in range(len(shape))])


def quantize(w, axis=0):
    scale = scales(w, axis)
    quotient = w / along(scale, w.shape, axis)
    assert quotient.dtype == scale.dtype == np.float32
    return np.clip(np.rint(quotient), -127, 127).astype(np.int8), scale


def dequantize(values, scale, axis=0):
    return values.astype(np.float32) * along(scale, values.shape, axis)


def matmul_int(a, b):
    return a.astype(np.int64) @ b.astype(np.int64).T


def linear(x, values, scale, bias=None):
    rows, row_scale = quantize(x)
    y = matmul_int(rows, values).astype(np.float32) * (row_scale[:, None] * scale[None, :])
    assert y.dtype == np.float32
    return y if bias is None else y + bias


def range_params(low, high, bits, scheme):
    most = 2 ** (bits - 1) - 1
    least = -most if scheme == "symmetric" else -most - 1
    if scheme == "symmetric":
        steps, extent = most, max(abs(low), abs(high))
    else:
        low, high = min(low, 0.0), max(high, 0.0)
        steps, extent = most - least, high - low
    if extent == 0:
        return 1.0, 0
    largest = np.nextafter(F32.max / np.float32(steps), np.float32(0))
    scale = float(np.float32(np.clip(extent / steps, F32.tiny, largest)))
    return scale, 0 if scheme == "symmetric" else int(np.clip(np.rint(least - low / scale), least, most))


def limits(bits, scheme):
    most = 2 ** (bits - 1) - 1
    return (-most if scheme == "symmetric" else -most - 1), most


def split(w, granularity, axis, group_size):
    """As (channels, groups, elements that share a scale)."""
    if granularity == "tensor":
        return w.reshape(1, 1, -1)
    channels = np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1)
    return channels.reshape(len(channels), -1, group_size if granularity == "group" else channels.shape[1])


def join(parts, shape, granularity, axis):
    if granularity == "tensor":
        return parts.reshape(shape)
    moved = [shape[axis]] + [n for d, n in enumerate(shape) if d != axis % len(shape)]
    return np.ascontiguousarray(np.moveaxis(parts.reshape(moved), 0, axis))


def params_shape(parts, granularity):
    return {"tensor": (), "channel": parts.shape[:1], "group": parts.shape[:2]}[granularity]


def encode(w, bits=8, scheme="symmetric", granularity="channel", axis=0, group_size=None):
    """The integers, scales and zero points; the last are zeros where the scheme is symmetric."""
    parts = split(w.astype(np.float32), granularity, axis, group_size)
    params = [[range_params(float(part.min()), float(part.max()), bits, scheme) for part in row] for row in parts]
    scale = np.array([[s for s, _ in row] for row in params], np.float32)
    zero_point = np.array([[z for _, z in row] for row in params], np.int8)
    with np.errstate(over="ignore"):  # a quotient that is infinite is clamped
        quotient = parts / scale[..., None]
    assert quotient.dtype == np.float32
    integers = np.clip(np.rint(quotient) + zero_point[..., None], *limits(bits, scheme)).astype(np.int8)
    shape = params_shape(parts, granularity)
    return join(integers, w.shape, granularity, axis), scale.reshape(shape), zero_point.reshape(shape)


def decode(values, scale, zero_point, granularity="channel", axis=0, group_size=None):
    parts = split(values.astype(np.int32), granularity, axis, group_size)
    wide = (*parts.shape[:2], 1)
    numbers = (parts - zero_point.astype(np.int32).reshape(wide)).astype(np.float32) * scale.reshape(wide)
    return join(numbers, values.shape, granularity, axis)


def pack4(values):
    """Two integers to a byte, the first in the lower bits."""
    flat = np.append(values.ravel(), np.zeros(values.size % 2, np.int8)) & 15
    return (flat[0::2] | flat[1::2] << 4).astype(np.uint8)


def round_to(x, scale, zero_point, bits=8, scheme="asymmetric"):
    """The integers of float32 x, for one scale and zero point."""
    least, most = limits(bits, scheme)
    return np.clip(np.rint(x / np.float32(scale)) + zero_point, least, most).astype(np.int8)


def product(rows, row_scale, row_zero, q):
    """Float32 sums of integer rows with a quantized weight (N, K), before the bias."""
    n, k = q.shape
    weight = q.values.astype(np.int64)
    groups = q.scale.shape[1] if q.granularity == "group" else 1
    scale = np.broadcast_to(q.scale.reshape(-1, groups), (n, groups))
    zero = np.zeros((n, groups), np.int64) if q.zero_point is None else q.zero_point.astype(np.int64)
    zero = np.broadcast_to(zero.reshape(-1, groups), (n, groups))
    row_scale = np.broadcast_to(np.asarray(row_scale, np.float32), len(rows))[:, None]
    y = np.zeros((len(rows), n), np.float32)
    for g, part in enumerate(np.split(np.arange(k), groups)):
        sums = (rows[:, part].astype(np.int64) - row_zero) @ (weight[:, part] - zero[:, g, None]).T
        assert np.abs(sums).max(initial=0) < 2**31
        if q.granularity != "group" and q.bits == 8:
            return sums.astype(np.float32) * (row_scale * scale[:, 0])
        y = y + sums.astype(np.float32) * scale[:, g]
    return y * row_scale


def digits(x):
    """Rows of float32 x as three rows of int8 each (digit, rows), and the powers of two that scale the first."""
    rows, scales = [], []
    for row in x.astype(np.float64):
        exponent = 0 if not row.any() else math.ceil(math.log2(np.abs(row).max()))
        scale = 2.0 ** max(exponent - 22, -126)
        number = np.rint(row / scale).astype(np.int64)
        low = (number + 128) % 256 - 128
        middle = ((number - low) // 256 + 128) % 256 - 128
        rows.append([((number - low) // 256 - middle) // 256, middle, low])
        scales.append(scale * 65536)
    return np.array(rows).swapaxes(0, 1), np.array(scales, np.float32)


def weight_only_product(x, q):
    rows, scale = digits(x)
    high, middle, low = (product(rows[d], 2.0 ** (-8 * d), 0, q) for d in range(3))
    return ((high + middle) + low) * scale[:, None]


def weight_only_linear(x, q, bias=None, residual=None):
    """A linear layer whose activations keep 22 bits."""
    y = weight_only_product(x, q)
    if residual is not None:
        a, b = residual
        y = y + weight_only_product(weight_only_product(x, b), a)
    return y if bias is None else y + bias


def linear_of(x, q, bias=None, x_params=None, residual=None):
    """A linear layer on any format; x float32, or int8 with x_params."""
    if x_params is None:
        rows, scale = quantize(x)
        zero = 0
    else:
        scale, zero = x_params.scale, x_params.zero_point
        rows = x if x.dtype == np.int8 else round_to(x, scale, zero, scheme=x_params.scheme)
    y = product(rows, scale, zero, q)
    if residual is not None:
        a, b = residual
        inner, inner_scale = quantize(product(rows, scale, zero, b))
        y = y + product(inner, inner_scale, 0, a)
    return y if bias is None else y + bias
