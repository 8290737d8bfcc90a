"""Truncated singular value decomposition, and factors of a matrix that take less room than it does.

Arrays are float32, C-contiguous, NumPy's or CPU tensors that export DLPack; results are NumPy arrays. The same seed
gives the same bits for any number of threads.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from petrain import _core
from petrain._params import Array

__all__ = ["LowRank", "factorize", "svd"]

Floats: TypeAlias = npt.NDArray[np.float32]


def svd(
    a: Array,
    k: int,
    oversample: int = 10,
    n_iter: int | Literal["auto"] = "auto",
    method: Literal["auto", "full", "randomized"] = "auto",
    seed: int = 0,
) -> tuple[Floats, Floats, Floats]:
    r"""The ``k`` largest singular values of a matrix and their vectors: :math:`A \approx U \,\mathrm{diag}(s)\, V^T`.

    * "full" takes the eigenvectors of the smaller of :math:`A^T A` and :math:`A A^T`, computed in float64: singular
      values are good to about :math:`10^{-8} s_0`, which float32 does not resolve.
    * "randomized" is subspace iteration with oversampling: its result is the better, the faster the singular values
      decay and the more iterations it does. Source: Halko, Martinsson, Tropp, SIAM Review 53 (2011), algorithm 4.4,
      with CholeskyQR2 (Yamamoto et al., ETNA 44, 2015) in float64.
    * "auto" takes "full" for up to 128 rows or columns and for ``k`` from a quarter of them on, else the one that is
      estimated to be faster.

    Args:
        a: float32, (m, n).
        k: how many, from 1 to min(m, n).
        oversample: directions beyond ``k`` that "randomized" carries along.
        n_iter: iterations of "randomized"; "auto": until one more gains less than a thousandth of the remaining
            squared error, at most 8.
        method: see above.
        seed: of the random start of "randomized", from 0 to 2**64 - 1.

    Returns:
        ``u`` (m, k) and ``vt`` (k, n) with orthonormal columns and rows, also where singular values are zero; ``s``
        (k,) from the largest on. In each column of ``u`` the entry of largest magnitude, the first of several, is
        positive.

    Raises:
        ValueError: ``a`` is not a float32 matrix, is empty, not contiguous, or has a NaN or infinite value; ``k`` or
            an option is out of range; a singular value is too large for float32.
        TypeError: ``a`` is not an array, or a number is not an integer.

    Example:
        >>> import numpy as np
        >>> a = np.array([[3, 0], [0, 2], [0, 0]], np.float32)
        >>> u, s, vt = svd(a, k=1)
        >>> s, u[:, 0], vt[0]
        (array([3.], dtype=float32), array([1., 0., 0.], dtype=float32), array([1., 0.], dtype=float32))
    """
    if isinstance(n_iter, str) and n_iter != "auto":
        raise ValueError(f'n_iter: expected "auto" or an integer, got {n_iter!r}')
    iterations = None if isinstance(n_iter, str) else _integer("n_iter", n_iter)
    return _core.svd(a, _integer("k", k), _integer("oversample", oversample), iterations, method, _seed(seed))


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
    whole_rank = None if rank is None else _integer("rank", rank)
    return LowRank(
        *_core.factorize(w, whole_rank, _number("energy", energy), _number("rel_error", rel_error), _seed(seed))
    )


def _integer(name: str, value: int, least: int = -(2**63), most: int = 2**63 - 1) -> int:
    try:
        integer = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {value!r}") from None
    if not least <= integer <= most:
        raise ValueError(f"{name}: expected an integer from {least} to {most}, got {integer}")
    return integer


def _seed(value: int) -> int:
    return _integer("seed", value, 0, 2**64 - 1)


def _number(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    return float(value)
