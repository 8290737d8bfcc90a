"""int8 quantization as its definition reads: float32 operations one after another, integer sums in int64."""

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
