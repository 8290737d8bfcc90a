"""What the tests of quantized formats share."""

import itertools

import numpy as np

BITS = (8, 4)
SCHEMES = ("symmetric", "asymmetric")
FORMATS = list(itertools.product(BITS, SCHEMES))


def same_bytes(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def granularities(shape):
    yield "tensor", 0, None
    for axis in range(-len(shape), len(shape)):
        yield "channel", axis, None
        for group_size in (32, 64, 128):
            if np.prod(shape) // shape[axis] % group_size == 0:
                yield "group", axis, group_size
