"""Two thin matrices for a larger one."""

from __future__ import annotations

from dataclasses import dataclass

from petrain import _core
from petrain._numbers import integer, number, seed_number
from petrain._params import Array, Floats


@dataclass(frozen=True)
class LowRank:
    """Two thin matrices whose product stands for a larger one.

    Attributes:
        a: float32, (m, rank).
        b: float32, (rank, n).
        rel_error: :math:`‖W - AB‖_F / ‖W‖_F` of these float32 factors, measured in float64.
    """

    a: Floats
    b: Floats
    rel_error: float

    @property
    def rank(self) -> int:
        """Columns of ``a`` and rows of ``b``."""
        return int(self.b.shape[0])

    @property
    def energy(self) -> float:
        """The part of :math:`‖W‖_F^2` that is kept: 1 - rel_error²."""
        return 1 - self.rel_error**2

    @property
    def nbytes(self) -> int:
        """Bytes of both factors."""
        return int(self.a.nbytes + self.b.nbytes)

    def dense(self) -> Floats:
        """The product as a new float32 array (m, n)."""
        return _core.low_rank_product(self.a, self.b)

    def __repr__(self) -> str:
        m, n = self.a.shape[0], self.b.shape[1]
        return f"LowRank(shape=({m}, {n}), rank={self.rank}, rel_error={self.rel_error:.3g})"


def factorize(
    w: Array,
    rank: int | None = None,
    energy: float | None = None,
    rel_error: float | None = None,
    seed: int = 0,
) -> LowRank:
    r"""The best factors :math:`W \approx A B` of a rank, a kept energy or a relative error: give exactly one.

    The singular values are split evenly: :math:`A = U \sqrt{s}`, :math:`B = \sqrt{s}\, V^T` (Eckart, Young, 1936).
    With ``energy`` or ``rel_error`` the rank is the smallest that meets it, from the whole spectrum. A ``rel_error``
    below about 1e-7, which float32 factors cannot reach, gives the rank that would meet it without their rounding.

    Args:
        w: float32, (m, n).
        rank: from 1 to min(m, n); by :func:`svd` with its method "auto".
        energy: the part of :math:`‖W‖_F^2` to keep, in (0, 1].
        rel_error: the most that :math:`‖W - AB‖_F / ‖W‖_F` may be, in [0, 1).
        seed: of the random start, where :func:`svd` takes one.

    Returns:
        The factors, which say their rank and their measured error. A matrix of zeros has factors of zeros.

    Raises:
        ValueError: not exactly one of the three is given, it is out of range, or ``w`` is what :func:`svd` refuses.
        TypeError: ``w`` is not an array, or a number is of the wrong type.

    Example:
        >>> import numpy as np
        >>> w = np.outer([1, 2, 3], [4, 5]).astype(np.float32)
        >>> f = factorize(w, rel_error=1e-3)
        >>> f.rank, f.a.shape, f.b.shape, f.nbytes
        (1, (3, 1), (1, 2), 20)
        >>> np.round(f.dense(), 3)
        array([[ 4.,  5.],
               [ 8., 10.],
               [12., 15.]], dtype=float32)
    """
    whole_rank = None if rank is None else integer("rank", rank)
    return LowRank(
        *_core.factorize(w, whole_rank, number("energy", energy), number("rel_error", rel_error), seed_number(seed))
    )
