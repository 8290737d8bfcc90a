"""Truncated singular value decomposition."""

from __future__ import annotations

from typing import Literal

from petrain import _core
from petrain._numbers import integer, required, seed_number
from petrain._params import Array, Floats


def svd(
    a: Array,
    k: int,
    oversample: int = 10,
    n_iter: int | Literal["auto"] = "auto",
    method: Literal["auto", "full", "randomized"] = "auto",
    seed: int = 0,
    *,
    tol: float = 1e-4,
) -> tuple[Floats, Floats, Floats]:
    r"""The ``k`` largest singular values of a matrix and their vectors: :math:`A \approx U \,\mathrm{diag}(s)\, V^T`.

    * "full" takes the eigenvectors of the smaller of :math:`A^T A` and :math:`A A^T`, computed in float64: singular
      values are good to about :math:`10^{-8} s_0`, which float32 does not resolve.
    * "randomized" is block Golub-Kahan-Lanczos from a random start, in blocks of 16 directions, which are kept
      orthonormal to rounding: its result is the better, the faster the singular values decay and the more steps it
      does. For the same products it comes much nearer to the best than subspace iteration. Source: Golub, Luk, Overton,
      ACM TOMS 7 (1981); Musco, Musco, NeurIPS 2015.
    * "auto" takes "full" for up to 128 rows or columns and for ``k`` from a third of them on, else the one that is
      estimated to be faster.

    Args:
        a: float32, (m, n).
        k: how many, from 1 to min(m, n).
        oversample: directions beyond ``k`` that "randomized" begins with, up to the next multiple of 16.
        n_iter: its steps beyond those, each with 16 directions more; "auto": until those to come are estimated to gain
            less than 1/2000 of the remaining squared error.
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
    iterations = None if isinstance(n_iter, str) else integer("n_iter", n_iter)
    return _core.svd(a, integer("k", k), integer("oversample", oversample), iterations, method, seed_number(seed), required(tol, "tol"))
