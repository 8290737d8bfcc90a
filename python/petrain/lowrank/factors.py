"""Two thin matrices for a larger one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from petrain import _core
from petrain._numbers import integer, number, required, seed_number
from petrain._params import Array, Floats
from petrain.lowrank.certificate import Certificate, certificate_of, certify, core_of, dequantized

if TYPE_CHECKING:
    from petrain.quant import HessianObserver, QuantTensor


Dtype = Literal["float32", "int8"]
_MOST_REFITS = 10


@dataclass(frozen=True)
class LowRank:
    """Two thin matrices whose product stands for a larger one.

    Attributes:
        a: (m, rank), float32 or int8 with a scale for each row.
        b: (rank, n), likewise.
        certificate: what they lose, as they are.
    """

    a: Floats | QuantTensor
    b: Floats | QuantTensor
    certificate: Certificate

    @property
    def rel_error(self) -> float:
        """:math:`‖W - AB‖_F / ‖W‖_F` of these factors, in float64."""
        return self.certificate.rel_error

    @property
    def rank(self) -> int:
        """Columns of ``a`` and rows of ``b``."""
        return int(self.b.shape[0])

    @property
    def energy(self) -> float:
        """The part of :math:`‖W‖_F^2` that is kept: 1 - rel_error²."""
        return 1 - self.rel_error**2

    @property
    def parameters(self) -> int:
        """Numbers of both factors, which are also the multiplications for one row of the input."""
        return self.rank * int(self.a.shape[0] + self.b.shape[1])

    @property
    def macs(self) -> int:
        """Multiplications for one row of the input: see :attr:`parameters`."""
        return self.parameters

    @property
    def nbytes(self) -> int:
        """Bytes of both factors."""
        return int(self.a.nbytes + self.b.nbytes)

    def dense(self) -> Floats:
        """The factors merged back: their product as a new float32 array (m, n)."""
        return _core.low_rank_product(dequantized(self.a), dequantized(self.b))

    def __repr__(self) -> str:
        m, n = self.a.shape[0], self.b.shape[1]
        return f"LowRank(shape=({m}, {n}), rank={self.rank}, rel_error={self.rel_error:.3g})"


def factorize(
    w: Array,
    rank: int | None = None,
    energy: float | None = None,
    rel_error: float | None = None,
    max_params: int | None = None,
    inputs: HessianObserver | None = None,
    *,
    dtype: Dtype = "float32",
    damping: float = 0.01,
    seed: int = 0,
    force: bool = False,
) -> LowRank:
    r"""The best factors :math:`W \approx A B` of a rank, a kept energy, a relative error or a size: give exactly one.

    The singular values are split evenly: :math:`A = U \sqrt{s}`, :math:`B = \sqrt{s}\, V^T` (Eckart, Young, 1936).
    With ``energy`` or ``rel_error`` the rank is the smallest that meets it, from the whole spectrum. A ``rel_error``
    below about 1e-7, which float32 factors cannot reach, gives the rank that would meet it without their rounding.

    With ``inputs`` it is the error of the layer's outputs that is least, and of which ``energy`` and ``rel_error`` are:
    the factors of :math:`W R`, the second times :math:`R^{-1}`, where :math:`H + \lambda I = R R^T` (SVD-LLM: Wang et
    al., arXiv 2403.07378; QERA: Zhang et al., arXiv 2410.06040).

    Args:
        w: float32, (m, n).
        rank: from 1 to min(m, n); by :func:`svd` with its method "auto".
        energy: the part of :math:`‖W‖_F^2` to keep, in (0, 1].
        rel_error: the most that :math:`‖W - AB‖_F / ‖W‖_F` may be, in [0, 1).
        max_params: the most numbers that both factors may have: the largest rank with rank (m + n) no more than this.
        inputs: an observer of the layer's inputs, of n features.
        dtype: of the factors. "int8": with a scale for each row, and one factor after the other is fitted anew to the
            other one as it is when quantized, so long as that makes the error less; the rank is that of float32.
        damping: λ, relative to the mean of H's diagonal; with inputs that are not of full rank more than 0.
        seed: of the random start, where :func:`svd` takes one.
        force: factors that take as many bytes as ``w``, or more, are refused unless this is True.

    Returns:
        The factors, which say their rank and their measured error. A matrix of zeros has factors of zeros.

    Raises:
        ValueError: not exactly one of the four is given, it is out of range, or ``w`` is what :func:`svd` refuses; the
            observer is of other inputs, has seen none, or H is not positive definite with this damping; the factors
            would save nothing.
        TypeError: ``w`` is not an array, or a number is of the wrong type.

    Example:
        >>> import numpy as np
        >>> w = np.outer([1, 2, 3], [4, 5]).astype(np.float32)
        >>> f = factorize(w, rel_error=1e-3)
        >>> f.rank, f.a.shape, f.b.shape, f.nbytes, w.nbytes
        (1, (3, 1), (1, 2), 20, 24)
        >>> np.round(f.dense(), 3)
        array([[ 4.,  5.],
               [ 8., 10.],
               [12., 15.]], dtype=float32)
    """
    require_dtype(dtype)
    if max_params is not None:
        if (rank, energy, rel_error) != (None, None, None):
            raise ValueError("max_params: expected exactly one of rank, energy, rel_error and max_params")
        rank = _largest_rank(w, integer("max_params", max_params))
    if rank is not None:
        require_saving(w, integer("rank", rank), dtype, force)  # before the work
    a, b, numbers = _core.factorize(
        w,
        None if rank is None else integer("rank", rank),
        number("energy", energy),
        number("rel_error", rel_error),
        seed_number(seed),
        core_of(inputs),
        required(damping, "damping"),
    )
    require_saving(w, int(a.shape[1]), dtype, force)
    if dtype == "float32":
        return LowRank(a, b, certificate_of(numbers, inputs))
    return quantized(w, a, lambda left, right: certify(w, left, right, inputs), inputs)


def require_dtype(dtype: str) -> None:
    if dtype not in ("float32", "int8"):
        raise ValueError(f'dtype: expected "float32" or "int8", got {dtype!r}')


def matrix_nbytes(rows: int, columns: int, dtype: Dtype) -> int:
    """Of a matrix in float32, or in int8 with a scale for each row."""
    return rows * (4 * columns if dtype == "float32" else columns + 4)


def factors_nbytes(shape: tuple[int, ...], rank: int, dtype: Dtype) -> int:
    """Of two factors of a matrix of this shape."""
    m, n = shape
    return matrix_nbytes(m, rank, dtype) + matrix_nbytes(rank, n, dtype)


def require_saving(w: Array, rank: int, dtype: Dtype, force: bool) -> None:
    shape = tuple(getattr(w, "shape", ()))
    if force or len(shape) != 2 or not 1 <= rank <= min(shape):  # what is no rank at all, the core says better
        return
    scales, taken, dense = (factors_nbytes(shape, 0, dtype), factors_nbytes(shape, rank, dtype), 4 * math.prod(shape))
    if taken >= dense:
        greatest = min(max((dense - scales - 1) // ((taken - scales) // rank), 0), *shape)
        refuse_larger(taken, dense, f"rank {rank}", f"ranks up to {greatest}" if greatest else "no rank")


def refuse_larger(taken: int, dense: int, got: str, saving: str) -> None:
    raise ValueError(
        f"expected factors of fewer bytes than the {dense} of what they stand for, got {taken} with {got}: "
        f"{saving} would save some, and force=True takes these all the same"
    )


def _largest_rank(w: Array, max_params: int) -> int:
    shape = tuple(np.shape(w))
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"w: expected a matrix that is not empty, got shape {shape}")
    rank = min(max_params // max(sum(shape), 1), *shape)
    if rank < 1:
        raise ValueError(f"max_params: expected at least {sum(shape)} for shape {shape}, got {max_params}")
    return int(rank)


def quantized(
    w: Array,
    a: Floats,
    measured: Callable[[QuantTensor, QuantTensor], Certificate],
    inputs: HessianObserver | None = None,
    root: np.ndarray | None = None,
) -> LowRank:
    """Factors in int8, the right one fitted with the rows of ``w`` times ``root``."""
    from petrain.quant import quantize  # which imports this package

    def weighted(matrix: Floats) -> Floats:
        return matrix if root is None else (matrix * root[:, None]).astype(np.float32)

    # A scale for each row of A is shared by all its columns, one of B is not: what makes columns differ goes to B.
    lengths = np.linalg.norm(a.astype(np.float64), axis=0)
    a = np.where(lengths > 0, a / np.maximum(lengths, np.finfo(np.float64).tiny), 0).astype(np.float32)
    best = None
    for _ in range(_MOST_REFITS):
        left = quantize(a)
        right = quantize(_core.fit_right(weighted(w), weighted(left.dequantize())))
        found = LowRank(left, right, measured(left, right))
        if best is not None and _loss(found) >= _loss(best):
            break
        best = found
        a = _core.fit_left(w, right.dequantize(), core_of(inputs))
    assert best is not None
    return best


def _loss(factors: LowRank) -> float:
    certificate = factors.certificate
    return certificate.error if certificate.output_error is None else certificate.output_error
