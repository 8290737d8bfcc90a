"""A convolution by its definition, and what three of them stand for: slow, and right."""

import numpy as np


def conv2d(x, w, bias=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
    """Of one image (C, H, W), in float64."""
    out, into, height, width = w.shape
    padded = np.zeros((into, x.shape[1] + 2 * padding[0], x.shape[2] + 2 * padding[1]))
    padded[:, padding[0] : padding[0] + x.shape[1], padding[1] : padding[1] + x.shape[2]] = x
    high = (padded.shape[1] - dilation[0] * (height - 1) - 1) // stride[0] + 1
    wide = (padded.shape[2] - dilation[1] * (width - 1) - 1) // stride[1] + 1
    y = np.zeros((out, high, wide))
    for i in range(high):
        for j in range(wide):
            for u in range(height):
                for v in range(width):
                    pixel = padded[:, i * stride[0] + u * dilation[0], j * stride[1] + v * dilation[1]]
                    y[:, i, j] += w[:, :, u, v].astype(np.float64) @ pixel
    return y if bias is None else y + bias[:, None, None]


def merged(kernels):
    """The kernel of convolutions in a row, the outer ones of which are 1 in each direction in which another is not."""
    result = np.asarray(kernels[0], np.float64)
    for kernel in kernels[1:]:
        height, width = (max(a, b) for a, b in zip(result.shape[2:], kernel.shape[2:], strict=True))
        new = np.zeros((len(kernel), result.shape[1], height, width))
        for u in range(height):
            for v in range(width):
                left = kernel[:, :, min(u, kernel.shape[2] - 1), min(v, kernel.shape[3] - 1)].astype(np.float64)
                new[:, :, u, v] = left @ result[:, :, min(u, result.shape[2] - 1), min(v, result.shape[3] - 1)]
        result = new
    return result


def tucker_error(w, p, q):
    """Of the truncated singular vectors of both modes, without anything fitted."""
    w = np.asarray(w, np.float64)
    u = np.linalg.svd(w.reshape(len(w), -1), full_matrices=False)[0][:, :p]
    v = np.linalg.svd(w.transpose(1, 0, 2, 3).reshape(w.shape[1], -1), full_matrices=False)[0][:, :q]
    near = np.einsum("op,pk,iq,jq,kjhw->oihw", u, u.T, v, v, w, optimize=True)
    return float(np.linalg.norm(w - near))
