"""The Tucker decomposition of a convolution's kernel along its two modes of channels."""

from __future__ import annotations

import math

import numpy as np

from petrain import _core
from petrain._numbers import integer
from petrain._params import Floats
from petrain.lowrank.decomposition import svd

_MOST_ROUNDS = 10
_LEAST_GAIN = 1e-5  # of the energy that is kept: fewer rounds than this are worth


def tucker2(
    w: Floats,
    rank: int | tuple[int, int] | None,
    energy: float | None,
    rel_error: float | None,
    max_params: int | None,
    seed: int,
) -> list[Floats]:
    """The three kernels, in the order in which they run."""
    if energy is not None and not 0 < energy <= 1:
        raise ValueError(f"energy: expected a number in (0, 1], got {energy}")
    if rel_error is not None and not 0 <= rel_error < 1:
        raise ValueError(f"rel_error: expected a number in [0, 1), got {rel_error}")
    exponent = int(np.frexp(np.abs(w).max())[1])
    modes = _Modes(np.ldexp(w, -exponent), seed)
    if rank is not None:
        ranks = _checked(rank, modes)
    elif max_params is not None:
        ranks = modes.best_within(max_params)
    else:
        allowed = 1 - energy if energy is not None else (rel_error or 0.0) ** 2
        ranks = modes.fewest_for(allowed)
    return _scaled(modes.decomposed(*ranks), exponent)


class _Modes:
    """A kernel (O, I, T), and what each count of channels loses: the sum of the squares of singular values beyond."""

    def __init__(self, w: Floats, seed: int) -> None:
        self.kernel = np.ascontiguousarray(w)
        self.out, self.into, *self.sides = w.shape
        self.taps = math.prod(self.sides)
        self.seed = seed
        self.by_out = self.kernel.reshape(self.out, -1)  # (O, I T)
        self.by_in = _swapped(self.by_out, self.into)  # (I, O T)
        self.left, self.lost_out = self._spectrum(self.by_out)
        self.right, self.lost_in = self._spectrum(self.by_in)
        self.most = len(self.lost_out) - 1, len(self.lost_in) - 1

    @staticmethod
    def _spectrum(matrix: Floats) -> tuple[Floats, np.ndarray]:
        u, s, _ = svd(matrix, min(matrix.shape), method="full")
        squares = s.astype(np.float64) ** 2
        return u, np.append(np.cumsum(squares[::-1])[::-1], 0.0)

    def parameters(self, p: int, q: int) -> int:
        return int(p * self.out + q * self.into + p * q * self.taps)

    def fewest_for(self, allowed: float) -> tuple[int, int]:
        best = self.most
        budget = allowed * float(self.lost_out[0])
        for p in range(1, self.most[0] + 1):
            rest = budget - self.lost_out[p]
            if rest < 0:
                continue
            enough = int(np.argmax(self.lost_in <= rest))  # they fall to 0
            q = max(enough, 1, -(-p // self.taps))
            if q <= min(self.most[1], p * self.taps) and self.parameters(p, q) < self.parameters(*best):
                best = p, q
        return best

    def best_within(self, most: int) -> tuple[int, int]:
        best: tuple[float, tuple[int, int]] | None = None
        for p in range(1, self.most[0] + 1):
            q = min((most - p * self.out) // (self.into + p * self.taps), self.most[1], p * self.taps)
            if q < 1 or p > q * self.taps:
                continue
            lost = float(self.lost_out[p] + self.lost_in[q])
            if best is None or lost < best[0]:
                best = lost, (p, q)
        if best is None:
            least = self.parameters(1, 1)
            raise ValueError(f"max_params: expected at least {least} for these channels, got {most}")
        return best[1]

    def decomposed(self, p: int, q: int) -> list[Floats]:
        left, right = self.left[:, :p], self.right[:, :q]
        kept = -1.0
        for _ in range(_MOST_ROUNDS):
            left, _, _ = svd(_swapped(_product(right.T, self.by_in), self.out), p, seed=self.seed)
            right, s, _ = svd(_swapped(_product(left.T, self.by_out), self.into), q, seed=self.seed)
            square = float(np.sum(s.astype(np.float64) ** 2))
            if square <= kept * (1 + _LEAST_GAIN):
                break
            kept = square
        core = _product(right.T, _swapped(_product(left.T, self.by_out), self.into))  # (q, p T)
        return [
            np.ascontiguousarray(right.T).reshape(q, self.into, 1, 1),
            _swapped(core, p).reshape(p, q, *self.sides),
            np.ascontiguousarray(left).reshape(self.out, p, 1, 1),
        ]


def _swapped(matrix: Floats, columns: int) -> Floats:
    """(n, columns T) as (columns, n T)."""
    rows = matrix.shape[0]
    return np.ascontiguousarray(matrix.reshape(rows, columns, -1).transpose(1, 0, 2)).reshape(columns, -1)


def _product(a: Floats, b: Floats) -> Floats:
    return _core.low_rank_product(np.ascontiguousarray(a), b)


def _checked(rank: int | tuple[int, int], modes: _Modes) -> tuple[int, int]:
    if isinstance(rank, (tuple, list)):
        if len(rank) != 2:
            raise ValueError(f"rank: expected one number or a pair, got {rank!r}")
        p, q = (integer("rank", side) for side in rank)
    else:
        p = q = integer("rank", rank)
    most, taps = modes.most, modes.taps
    if not (1 <= p <= most[0] and 1 <= q <= most[1] and p <= q * taps and q <= p * taps):
        raise ValueError(
            f"rank: expected from (1, 1) to {most}, neither more than {taps} times the other, got {(p, q)}"
        )
    return p, q


def _scaled(kernels: list[Floats], exponent: int) -> list[Floats]:
    """2^exponent times as large together, by a third of it each: so none leaves float32."""
    third = exponent // 3
    return [np.ldexp(kernel, by) for kernel, by in zip(kernels, (third, exponent - 2 * third, third), strict=True)]
