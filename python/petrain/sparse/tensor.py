"""Weights without their zeros: the type, and how one is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from petrain import _core
from petrain._numbers import integer
from petrain._params import Array, Floats
from petrain.prune._checks import floats, mask_bytes
from petrain.prune.masks import Mask
from petrain.sparse.pays import most_density

BATCHES = (1, 8, 64)  # that are asked for


class SparseTensor:
    """A weight (N, K) of which only some positions are stored, the same for each group of outputs.

    :func:`compress` makes one.

    Example:
        >>> w = np.ones((16, 8), np.float32)
        >>> w[:, 2:4] = w[:, 5:7] = 0
        >>> small = compress(w, n=2, m=4)
        >>> small, small.nbytes
        (SparseTensor(shape=(16, 8), bits=32, n=2, m=4, group=16), 257)
        >>> small.values.shape, small.positions
        ((1, 4, 16), array([196], dtype=uint8))
    """

    def __init__(self, core: _core.SparseTensor) -> None:
        self._core = core
        self._layer: _core.SparseLinear | None = None

    def _linear(self) -> _core.SparseLinear:
        """The weight as that of a layer, which keeps what kernels read."""
        if self._layer is None:
            self._layer = _core.SparseLinear(self._core)
        return self._layer

    @property
    def values(self) -> np.ndarray:
        """What is stored, without a copy: float32, which may be changed in place, or int8, which may not. In N:M
        ``(N / group, K / m * n, group)``, in blocks ``(blocks, columns, group)``."""
        values: np.ndarray = self._core.values
        return values

    @property
    def scale(self) -> np.ndarray | None:
        """float32 ``(N,)`` of int8, read-only; else None."""
        scale: np.ndarray | None = self._core.scale
        return scale

    @property
    def positions(self) -> np.ndarray | None:
        """Of N:M, uint8, read-only: the place of each stored input among its m neighbours, group after group, in
        ``(m - 1).bit_length()`` bits each from the lowest bit of each byte on; else None."""
        positions: np.ndarray | None = self._core.positions
        return positions

    @property
    def columns(self) -> np.ndarray | None:
        """Of blocks, int32 ``(blocks,)``, read-only: where each begins, in blocks; ascending within a group of outputs.
        Else None."""
        columns: np.ndarray | None = self._core.columns
        return columns

    @property
    def starts(self) -> np.ndarray | None:
        """Of blocks, int32 ``(N / group + 1,)``, read-only: the first block of each group of outputs, and their number
        at the end; else None."""
        starts: np.ndarray | None = self._core.starts
        return starts

    @property
    def shape(self) -> tuple[int, int]:
        """Of the weight, (N, K)."""
        n, k = self._core.shape
        return n, k

    @property
    def group(self) -> int:
        """Outputs that share their positions."""
        group: int = self._core.pattern[0]
        return group

    @property
    def n_m(self) -> tuple[int, int] | None:
        """``n`` and ``m`` of N:M; None of blocks."""
        _, n, m, _ = self._core.pattern
        return (n, m) if m else None

    @property
    def block(self) -> tuple[int, int] | None:
        """Outputs and inputs of a block; None of N:M."""
        group, _, _, columns = self._core.pattern
        return (group, columns) if columns else None

    @property
    def bits(self) -> int:
        """32 for float32, 8 for int8."""
        return 8 if self.values.dtype == np.int8 else 32

    @property
    def density(self) -> float:
        """The part of the weight that is stored."""
        return self.values.size / (self.shape[0] * self.shape[1])

    @property
    def nbytes(self) -> int:
        """The bytes of what is stored: values, scales and positions."""
        return self._core.nbytes

    def pays(self, batch: int) -> bool:
        """Whether a layer on it is faster than a dense one of as many bits for so many rows, by
        :func:`most_density`."""
        fours = self.block is not None and self.block[1] % 4 == 0
        windows = self.n_m is not None and 16 % self.n_m[1] == 0 and self.shape[1] % 16 == 0
        scattered = not (fours or windows)
        return self.density <= most_density(batch, bits=self.bits, group=self.group, scattered=scattered)

    def dense(self) -> Floats:
        """The weight as a new float32 array, (N, K), with zeros where nothing is stored."""
        return self._core.dense()

    def clone(self) -> SparseTensor:
        """A copy with memory of its own."""
        return SparseTensor(self._core.clone())

    def with_values(self, w: Array, bits: int) -> SparseTensor:
        """Another weight of this shape at these positions, in 32 or 8 bits; what it has elsewhere is left out."""
        ones = np.ones(self.values.shape, np.float32)
        parts = (ones, None, self.positions, self.columns, self.starts, self.shape)
        stored = SparseTensor._from_parts(*parts, *self._core.pattern).dense() != 0
        pattern = (
            {"block": self.block} if self.n_m is None else {"n": self.n_m[0], "m": self.n_m[1], "group": self.group}
        )
        return compress(w, stored, bits=bits, force=True, **pattern)

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.values, self.scale, self.positions, self.columns, self.starts)
        return SparseTensor._from_parts, (*parts, self.shape, *self._core.pattern)

    @classmethod
    def _from_parts(cls, *parts: Any) -> SparseTensor:
        return cls(_core.SparseTensor.from_parts(*parts))

    def __repr__(self) -> str:
        pattern = (
            f"block={self.block}" if self.n_m is None else "n={}, m={}".format(*self.n_m) + f", group={self.group}"
        )
        return f"SparseTensor(shape={self.shape}, bits={self.bits}, {pattern})"


def core_of(w: SparseTensor, what: str = "w") -> _core.SparseTensor:
    """What the core works with; TypeError where it is something else."""
    if not isinstance(w, SparseTensor):
        raise TypeError(f"{what}: expected a SparseTensor, got {type(w).__name__}")
    return w._core


def compress(
    w: Array,
    mask: Mask | None = None,
    *,
    n: int | None = None,
    m: int | None = None,
    group: int = 16,
    block: tuple[int, int] | None = None,
    bits: int = 32,
    force: bool = False,
) -> SparseTensor:
    """Store a pruned weight without its zeros.

    Args:
        w: float32 ``(N, K)``.
        mask: bool ``(N, K)``, what is stored; None: what is not zero.
        n, m: at most ``n`` of every ``m`` neighbouring inputs are stored, ``1 <= n < m <= 16``, and ``m`` divides K.
            Where the mask has fewer, zeros are stored beside them.
        group: outputs that share positions, 1, 2, 4, 8 or 16, a divisor of N: an input that one of them wants is stored
            for all. See :func:`petrain.prune.n_m`, which makes such masks.
        block: instead of ``n``, ``m`` and ``group``: outputs (1, 2, 4, 8 or 16) and inputs (1 to 64) of a block,
            divisors of N and K; a block of which the mask has something is stored.
        bits: 32: float32. 8: int8, with a scale for each output, as :func:`petrain.quant.quantize` has it; in groups of
            16 outputs.
        force: also where it saves no bytes, or where :func:`most_density` says that a layer on it is slower than a
            dense one for every batch.

    Raises:
        ValueError: dtype, shape or an option is not as said, a value is NaN or infinite, the mask has more than n of m,
            or the result is not worth it and not forced.
        TypeError: not exactly one of ``n, m`` and ``block`` was given, or the mask is no NumPy array of bool.

    Example:
        >>> from petrain import prune
        >>> w = np.random.default_rng(0).standard_normal((256, 256), np.float32)
        >>> mask = prune.blocks(prune.magnitude(w), (16, 4), 0.75)
        >>> small = compress(w, mask, block=(16, 4), bits=8)
        >>> small.nbytes, w.nbytes
        (18500, 262144)
        >>> compress(w, block=(1, 1))
        Traceback (most recent call last):
        ValueError: w: expected fewer bytes than the 262144 of a dense weight, got 525316; force=True does it
    """
    array = floats("w", w, ndim=2)
    pattern = _pattern(n, m, group, block)
    kept = mask_bytes("mask", array != 0 if mask is None else mask)
    small = SparseTensor(_core.sparse_compress(array, kept, *pattern, integer("bits", bits)))
    if not force:
        _require_worth(small)
    return small


def _pattern(n: int | None, m: int | None, group: int, block: Any) -> tuple[int, int, int, int]:
    """group, n, m, columns."""
    if block is not None and n is None and m is None:
        if not isinstance(block, (tuple, list)) or len(block) != 2:
            raise TypeError(f"block: expected a pair of integers, got {block!r}")
        return integer("block", block[0], 1), 0, 0, integer("block", block[1], 1)
    if block is None and n is not None and m is not None:
        return integer("group", group, 1), integer("n", n, 1), integer("m", m, 2), 0
    raise TypeError("expected either n and m or block")


def _require_worth(small: SparseTensor) -> None:
    rows, inputs = small.shape
    dense = rows * inputs * small.bits // 8 + (4 * rows if small.bits == 8 else 0)
    if small.nbytes >= dense:
        raise ValueError(
            f"w: expected fewer bytes than the {dense} of a dense weight, got {small.nbytes}; force=True does it"
        )
    if not any(small.pays(batch) for batch in BATCHES):
        most = max(most_density(batch, bits=small.bits, group=small.group) for batch in BATCHES)
        raise ValueError(
            f"w: expected at most {most:.0%} to be stored in groups of {small.group}, beyond which the dense layer is "
            f"faster, got {small.density:.0%}; force=True does it"
        )
