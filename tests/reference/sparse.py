"""Sparse weights as their definitions read, one element after the other."""

import numpy as np


def compress(w, mask, n, m, group, columns):
    """What is stored: values (steps, group), the input of each step, and the first step of each group."""
    w = np.where(mask, w, np.float32(0))
    values, inputs, starts = [], [], [0]
    for first in range(0, len(w), group):
        wanted = mask[first : first + group].any(axis=0)
        width = m or columns
        for begin in range(0, w.shape[1], width):
            places = [i for i in range(begin, begin + width) if wanted[i]]
            if m:
                assert len(places) <= n
                spare = [i for i in range(begin, begin + width) if not wanted[i]][: n - len(places)]
                places = sorted(places + spare)
            elif places:
                places = list(range(begin, begin + width))
            for i in places:
                values.append(w[first : first + group, i])
                inputs.append(i)
        starts.append(len(inputs))
    return np.array(values, w.dtype).reshape(-1, group), np.array(inputs, int), starts


def packed_places(inputs, m):
    """Places among m neighbours as bits, the first in the lowest bits of the first byte."""
    bits = (m - 1).bit_length()
    stream = [(i % m) >> b & 1 for i in inputs for b in range(bits)]
    stream += [0] * (-len(stream) % 8)
    return np.packbits(np.array(stream, np.uint8), bitorder="little")


def products(x, values, inputs, starts, group):
    """y and what bounds its error, in float64: only what is stored is multiplied."""
    outputs = (len(starts) - 1) * group
    y, size = np.zeros((len(x), outputs)), np.zeros((len(x), outputs))
    for g in range(len(starts) - 1):
        for s in range(starts[g], starts[g + 1]):
            part = np.outer(np.float64(x[:, inputs[s]]), np.float64(values[s]))
            y[:, g * group : (g + 1) * group] += part
            size[:, g * group : (g + 1) * group] += np.abs(part)
    return y, size
