"""Pruning by what it does to the layer's outputs, with the weights that stay making up for it."""

from __future__ import annotations

import numpy as np

from petrain import _core
from petrain._numbers import integer, required
from petrain._params import Array, Floats
from petrain.prune._checks import floats, kept_of, mask_bytes
from petrain.prune.masks import Mask
from petrain.quant.hessian import HessianObserver, core_of
from petrain.quant.rounding import RoundingReport

Result = tuple[Floats, Mask, RoundingReport]


def sparse_gpt(
    w: Array,
    hessian: HessianObserver,
    sparsity: float | None = None,
    *,
    n: int | None = None,
    m: int | None = None,
    damping: float = 0.01,
) -> Result:
    r"""Prune input by input, each time adjusting the weights of the inputs still to come.

    With H + λI = R Rᵀ, R upper triangular, as :func:`petrain.quant.gptq` has it, the best value of a weight is

    .. math:: w_j + \sum_{i<j} (w_i - \hat{w}_i)\, R_{ij} / R_{jj}

    which a weight that stays takes; one that goes is 0. Which go is decided for 128 inputs at a time, or for m, by
    what pruning each by itself would cost then, :math:`(\hat{w}_j R_{jj})^2`, within each output by itself: each row
    keeps as many, in each 128 inputs. (The authors compare all outputs with each other.) A row that comes out no
    better than with the same mask alone is only masked.

    Source: Frantar, Alistarh, arXiv 2301.00774.

    Args:
        w: float32 ``(N, K)``.
        hessian: of the layer's inputs.
        sparsity: the part of each row that goes, from 0 to 1, rounded half to even to a count of weights; or
        n, m: of every ``m`` neighbours ``n`` stay. ``m`` divides K and 128.
        damping: as for :func:`petrain.quant.gptq`.

    Returns:
        The new weight, float32; the mask; the report: ``before`` is with the mask alone, ``kept`` counts the rows that
        are only masked.

    Raises:
        ValueError: dtype, shape or an option is not as said, a value is NaN or infinite, the observer has seen no rows,
            or H with its damping is not positive definite.
        TypeError: not exactly one of ``sparsity`` and ``n, m`` was given.

    Example:
        >>> from petrain.quant import HessianObserver
        >>> rng = np.random.default_rng(0)
        >>> w, mix = rng.standard_normal((16, 64), np.float32), rng.standard_normal((8, 64), np.float32)
        >>> hessian = HessianObserver(64)
        >>> hessian.observe(rng.standard_normal((1000, 8), np.float32) @ mix)
        >>> pruned, mask, report = sparse_gpt(w, hessian, n=2, m=4)
        >>> float(mask.mean()), report.after < 0.6 * report.before
        (0.5, True)
    """
    inputs = floats("w", w, ndim=2).shape[1]
    if sparsity is not None and n is None and m is None:
        pool, keep = 0, kept_of(inputs, sparsity)
    elif sparsity is None and n is not None and m is not None:
        pool, keep = integer("m", m, 1), integer("n", n, 0)
    else:
        raise TypeError("expected either sparsity or n and m")
    return _result(_core.sparse_gpt(w, core_of(hessian), pool, keep, required(damping, "damping")))


def compensate(w: Array, hessian: HessianObserver, mask: Mask, *, damping: float = 0.01) -> Result:
    """The same adjustment for a mask that is given, of any pattern.

    Args:
        w: float32 ``(N, K)``.
        hessian: of the layer's inputs.
        mask: bool ``(N, K)``.
        damping: as for :func:`petrain.quant.gptq`.

    Returns, Raises: as for :func:`sparse_gpt`; the mask is the one that was given.

    Example:
        >>> from petrain.quant import HessianObserver
        >>> hessian = HessianObserver(2)
        >>> hessian.observe(np.ones((1, 2), np.float32))  # only the sum of a row's weights matters
        >>> w, mask = np.array([[1, 2]], np.float32), np.array([[False, True]])
        >>> new, _, report = compensate(w, hessian, mask, damping=1e-6)
        >>> new.round(4), report.after < 1e-3 < report.before
        (array([[0., 3.]], dtype=float32), True)
    """
    return _result(_core.compensate(w, core_of(hessian), mask_bytes("mask", mask), required(damping, "damping")))


def _result(core: tuple[Floats, np.ndarray, float, float, int]) -> Result:
    w, mask, before, after, kept = core
    return w, mask.view(np.bool_), RoundingReport(before, after, kept)
