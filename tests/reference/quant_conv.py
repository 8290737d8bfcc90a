"""A convolution as its definition reads: integer sums in int64, then float32 operations one after another."""

import numpy as np
from reference import quant


def conv2d(x, q, bias=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, x_params=None):
    """x (N, C, H, W): float32, or int8 with x_params. q: (O, C / groups, kh, kw)."""
    if x_params is None:
        integers, scale = quant.quantize(x)
        zero = 0
    else:
        scale, zero = np.float32(x_params.scale), x_params.zero_point
        integers = x if x.dtype == np.int8 else quant.round_to(x, scale, zero, scheme=x_params.scheme)
    image = np.pad(integers.astype(np.int64) - zero, [(0, 0), (0, 0), *((p, p) for p in padding)])
    weight = q.values.astype(np.int64)
    outputs, inputs, *kernel = weight.shape
    span = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    height, width = ((size - reach) // s + 1 for size, reach, s in zip(image.shape[2:], span, stride, strict=True))
    sums = np.zeros((len(x), outputs, height, width), np.int64)
    for o in range(outputs):
        first = o // (outputs // groups) * inputs
        for i in range(height):
            for j in range(width):
                top, left = i * stride[0], j * stride[1]
                window = image[:, first : first + inputs, top : top + span[0] : dilation[0],
                               left : left + span[1] : dilation[1]]  # fmt: skip
                sums[:, o, i, j] = (window * weight[o]).sum((1, 2, 3))
    assert np.abs(sums).max() < 2**31
    scales = np.reshape(scale, (-1, 1, 1, 1)) * np.broadcast_to(q.scale, outputs).reshape(-1, 1, 1)
    assert scales.dtype == np.float32
    y = sums.astype(np.float32) * scales
    return y if bias is None else y + bias.reshape(-1, 1, 1)
