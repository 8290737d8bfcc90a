"""Random factors of many kinds, and whether their certificates hold: in exact integers, which the numbers of factors
are but for a power of two."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from petrain import _core, lowrank, quant
from petrain.lowrank.certificate import dequantized

KINDS = (
    "near",
    "far",
    "cancelling",
    "factorized",
    "int8",
    "inputs",
    "int8 inputs",
    "rows",
    "tucker2",
    "spatial",
    "channel",
)
SCALES = (1e-44, 1e-38, 1e-30, 1e-12, 1.0, 1e12, 1e18, 3e36)
ROUNDING, ROUNDING_OF_OUTPUTS = 1e-12, 1e-6  # of the norms: below, an error is that of float64 itself


class Exact:
    """An array of integers times 2^exponent."""

    def __init__(self, values, exponent=None):
        if exponent is None:
            mantissas, exponents = np.frexp(np.asarray(values, np.float64))
            integers = (mantissas * 2.0**53).astype(np.int64).astype(object)
            least = int(exponents[mantissas != 0].min()) if mantissas.any() else 0
            shifts = np.where(mantissas != 0, exponents - least, 0).astype(object)
            values, exponent = integers * 2**shifts, least - 53
        self.values, self.exponent = values, exponent

    def dot(self, other, axes):
        product = np.tensordot(self.values, other.values, axes=axes)
        return Exact(product, self.exponent + other.exponent)

    def minus(self, other):
        least = min(self.exponent, other.exponent)
        mine, theirs = (x.values * 2 ** (x.exponent - least) for x in (self, other))
        return Exact(mine - theirs, least)

    def fraction(self):
        return Fraction(int(self.values)) * Fraction(2) ** self.exponent

    def square(self):
        return Exact((self.values**2).sum(), 2 * self.exponent).fraction()


def kernel_of(layer):
    """The kernel that convolutions in a row stand for."""
    first, *core, last = (Exact(dequantized(kernel)) for kernel in layer.kernels)
    if layer.method == "spatial":
        across, down = Exact(last.values[:, :, 0], last.exponent), Exact(first.values[..., 0], first.exponent)
        product = across.dot(down, (1, 0))
        return Exact(product.values.transpose(0, 2, 3, 1), product.exponent)
    head = Exact(last.values[:, :, 0, 0], last.exponent)
    if layer.method == "channel":
        return head.dot(first, (1, 0))
    product = head.dot(core[0], (1, 0)).dot(Exact(first.values[:, :, 0, 0], first.exponent), (1, 0))
    return Exact(product.values.transpose(0, 3, 1, 2), product.exponent)


def root(square):
    """Of a fraction that float64 may not hold."""
    if square == 0:
        return 0.0
    shift = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    return math.ldexp(math.sqrt(square / Fraction(4) ** shift), shift)


class Case:
    """What one case found: violated, and bound / actual - 1 of its errors, those of rounding left out."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.kind = KINDS[seed % len(KINDS)]
        self.scale = float(self.rng.choice(SCALES))
        self.violated, self.excess, self.at_rounding = False, [], 0
        if self.kind in ("tucker2", "spatial", "channel"):
            self.convolution()
        else:
            self.matrix()

    def normal(self, *shape, scale=1.0):
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def sides(self, most):
        return [int(side) for side in self.rng.integers(1, most + 1, 2)]

    def judge(self, bound, square, level):
        self.violated |= Fraction(bound) ** 2 < square
        actual = root(square)
        if actual <= level:
            self.at_rounding += 1
        else:
            self.excess.append(bound / actual - 1)

    def matrix(self):
        (m, n), rank = self.sides(10), int(self.rng.integers(1, 6))
        a, b = self.normal(m, rank), self.normal(rank, n)
        if self.rng.random() < 0.3:
            a[:, -1] = a[:, 0]
        closeness = 0.0 if self.kind == "far" else float(self.rng.choice([0, 1e-7, 1e-6, 1e-3, 0.1]))
        w = np.zeros((m, n)) if self.rng.random() < 0.02 else a.astype(np.float64) @ b
        w = ((w + closeness * self.normal(m, n)) * self.scale).astype(np.float32)
        a *= np.float32(self.scale)
        if self.kind == "far":
            a = self.normal(m, rank, scale=self.scale)
        if self.kind == "cancelling":  # A B is 0, which float64 does not find
            order = self.rng.permutation(rank)
            a, b = np.hstack([a, -a[:, order]]), np.vstack([b, b[order]])
            w = self.normal(m, n, scale=self.scale * float(self.rng.choice([1e-17, 1e-16, 1e-15, 1e-3])))
        observer = quant.HessianObserver(n)
        observer.observe(
            self.normal(int(self.rng.integers(1, 2 * n + 1)), n, scale=float(self.rng.choice([1e-15, 1, 1e15])))
        )
        inputs = observer if self.kind.endswith("inputs") else None
        if self.kind == "factorized" or self.rng.random() < 0.2:
            rank = int(self.rng.integers(1, min(m, n) + 1))
            f = lowrank.factorize(w, rank=rank, inputs=inputs, damping=0.1, force=True)
            a, b = f.a, f.b
        if self.kind.startswith("int8"):
            a, b = quant.quantize(a), quant.quantize(b)
        counts = self.rng.integers(0, 100, m) + (np.arange(m) == 0)
        dense_a, dense_b = (dequantized(part) for part in (a, b))
        e = Exact(w).minus(Exact(dense_a).dot(Exact(dense_b), 1))
        sizes = [float(np.linalg.norm(np.asarray(x, np.float64))) for x in (dense_a, dense_b, w)]
        level = ROUNDING * (sizes[0] * sizes[1] + sizes[2])
        if self.kind == "rows":
            numbers = _core.certify_rows(w, dense_a, dense_b, counts.astype(np.float64))
            self.judge(numbers[0], e.square(), level)
            weighted = Exact((e.values**2).sum(axis=1) * counts.astype(object), 2 * e.exponent)
            rows = Exact(weighted.values.sum(), weighted.exponent).fraction()
            self.judge(numbers[2], rows, level * math.sqrt(counts.max()))
            return
        got = lowrank.certify(w, a, b, inputs)
        self.judge(got.error, e.square(), level)
        if inputs is not None:
            h = observer.hessian
            forms = e.dot(Exact(h), 1)
            outputs = Exact((forms.values * e.values).sum(), forms.exponent + e.exponent).fraction()
            trace = math.sqrt(float(np.trace(h)))
            self.judge(got.output_error, outputs, max(level, ROUNDING_OF_OUTPUTS * root(e.square())) * trace)

    def convolution(self):
        out, into = self.sides(6)
        height, width = self.sides(3)
        w = self.normal(out, into, height, width, scale=self.scale)
        if self.rng.random() < 0.3:
            w[:, into // 2 :] = w[:, :1]
        dtype = "int8" if self.rng.random() < 0.3 else "float32"
        layer = lowrank.factorize_conv(
            w, self.kind, rel_error=float(self.rng.choice([0, 0.1, 0.5, 0.9])), dtype=dtype, force=True
        )
        e = Exact(w).minus(kernel_of(layer))
        sizes = [np.linalg.norm(dequantized(k).astype(np.float64)) for k in layer.kernels]
        level = ROUNDING * (float(np.prod(sizes)) + float(np.linalg.norm(w.astype(np.float64))))
        self.judge(layer.certificate.error, e.square(), level)


def run(seeds):
    """How many errors were certified, how many at rounding level, which cases are violated, the greatest excess."""
    certified = at_rounding = 0
    violated, greatest = [], (0.0, None)
    for seed in seeds:
        case = Case(seed)
        certified += len(case.excess) + case.at_rounding
        at_rounding += case.at_rounding
        if case.violated:
            violated.append(seed)
        greatest = max(greatest, (max(case.excess, default=0.0), seed))
    return certified, at_rounding, violated, greatest
