"""Sums of gradients in fewer bits, as a reader would write them: NumPy alone, equal to petrain's to the last bit.

A sum is a float32 that is cut to some bits, stochastically; what remains of it is what the next addition starts from.
"""

import numpy as np

GROUP = 64


def philox_bits(seed, stream, index):
    """64 random bits: Philox4x32-10 (Salmon et al., SC 2011), of which every call gives two such numbers."""
    mask = 0xFFFFFFFF
    pair = index // 2
    c = [pair & mask, pair >> 32, stream & mask, stream >> 32]
    k = [seed & mask, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & mask, (a >> 32) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return c[2 * (index % 2)] | c[2 * (index % 2) + 1] << 32


def random_bits(key, size):
    """32 bits for each element: in each group of 64, multiples of the golden ratio from a point that is drawn."""
    with np.errstate(over="ignore"):
        index = np.arange(size, dtype=np.uint32)
        h = index // np.uint32(GROUP) * np.uint32(0x9E3779B9) ^ np.uint32(key)
        h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        return (h ^ (h >> np.uint32(16))) + index % np.uint32(GROUP) * np.uint32(0x9E3779B9)


def cut_bfloat16(x, random):
    """To the upper 26 bits: bfloat16 has 16 of them, what rounding to it cuts another 10."""
    bits = x.view(np.uint32).astype(np.uint64) + (random >> np.uint32(26))
    return (bits >> np.uint64(6) << np.uint64(6)).astype(np.uint32).view(np.float32)


BIAS = np.float32(2.0**-8)
FIRST = np.uint32(0x3B800000)  # its bits
MOST = (np.uint32(127) << np.uint32(19)) + FIRST
MOST = np.array(MOST, np.uint32).view(np.float32) - BIAS
TOP = MOST * (np.float32(1) - np.float32(2.0**-21))


def cut_int8(x, random):
    """To a sign and 15 bits, of those of |x| + 2^-8, where x is divided by the greatest of its group of 64."""
    result = np.zeros_like(x)
    for begin in range(0, x.size, GROUP):
        part = slice(begin, begin + GROUP)
        scale = np.abs(x[part]).max()
        if scale >= np.float32(2.0**-126):
            scaled = np.abs(x[part]) * (TOP / scale) + BIAS
            code = (scaled.view(np.uint32) + (random[part] >> np.uint32(21)) - FIRST) >> np.uint32(11)
            size = (((code << np.uint32(11)) + FIRST).view(np.float32) - BIAS) * (scale / MOST)
            result[part] = np.where(np.signbit(x[part]), -size, size)
    return result


def accumulate(grads, weights, dtype, array=0):
    """Σ weight · gradient of one flat float32 array; ``array`` is its place in the list of parameters."""
    total = np.zeros_like(grads[0])
    for count, (grad, weight) in enumerate(zip(grads, weights, strict=True)):
        weighted = np.float32(weight) * grad
        total = weighted if count == 0 else total + weighted
        random = random_bits(philox_bits(0, array, count) & 0xFFFFFFFF, total.size)
        if dtype == "bfloat16":
            total = cut_bfloat16(total, random)
        elif dtype == "int8":
            total = cut_int8(total, random)
    return total
