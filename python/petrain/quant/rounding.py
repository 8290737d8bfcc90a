"""Rounding that looks at the layer's outputs in the place of its weights, and what corrects them afterwards.

With inputs :math:`x` and the error :math:`E = W - \\hat{W}` of the weights, the outputs err by :math:`E x`, and the
squares of that, summed over the samples, are :math:`\\text{tr}(E H E^T)` with :math:`H = \\sum x x^T`: all that these
functions need to know of the samples. Each returns its result and a :class:`RoundingReport`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from petrain import _core, lowrank
from petrain._params import Array
from petrain.quant.hessian import HessianObserver
from petrain.quant.params import Scheme
from petrain.quant.tensor import Granularity, QuantTensor, quantize

Pair = tuple[QuantTensor, QuantTensor]


@dataclass(frozen=True)
class RoundingReport:
    r"""The error of a layer's outputs on the calibration samples, :math:`\sqrt{\sum |y - \hat{y}|^2 / \sum |y|^2}`.

    Attributes:
        before: with what the function was given or, for :func:`gptq`, with :func:`quantize`.
        after: with its result.
        kept: channels for which it found nothing better and that are as before.
    """

    before: float
    after: float
    kept: int = 0


def gptq(
    w: Array,
    hessian: HessianObserver,
    bits: int = 8,
    scheme: Scheme = "symmetric",
    granularity: Granularity = "channel",
    group_size: int | None = None,
    *,
    damping: float = 0.01,
    act_order: bool = False,
) -> tuple[QuantTensor, RoundingReport]:
    r"""Quantize input by input, each time adjusting the weights of the inputs still to come for the error so far.

    .. math::
        \hat{w}_j = \text{round}\Big(w_j + \sum_{i<j} (w_i - \hat{w}_i)\, R_{ij} / R_{jj}\Big), \qquad
        H + \lambda I = R R^T

    with R upper triangular: GPTQ's updates by the Cholesky factor of the inverse, without the inverse (the identity is
    proved in QuIP, arXiv 2307.13304). The scale of a group is taken from its adjusted weights when it is reached; per
    channel and tensor it is that of :func:`quantize`. A channel that comes out no better than with :func:`quantize`
    keeps that. The bytes are the same on every instruction set and for any number of threads.

    Source: Frantar et al., arXiv 2210.17323.

    Args:
        w: float32, ``(N, K)``.
        hessian: of the layer's inputs.
        bits, scheme, granularity, group_size: as for :func:`quantize`; the channels are along axis 0.
        damping: this part of the mean of the diagonal of H is added to it (:math:`\lambda`). The fewer samples, the
            more is needed; 0 wants at least K rows that are linearly independent.
        act_order: the inputs with the greatest squares first, which mostly helps per channel. The scales of groups are
            then those of :func:`quantize`.

    Returns:
        The quantized weight, and its report.

    Raises:
        ValueError: dtype, shape or an option is not as said, a value is NaN or infinite, the observer has seen no rows,
            or H with its damping is not positive definite.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import HessianObserver
        >>> rng = np.random.default_rng(0)
        >>> w = rng.standard_normal((16, 64), np.float32)
        >>> mix = rng.standard_normal((8, 64), np.float32)
        >>> hessian = HessianObserver(64)
        >>> for _ in range(10):
        ...     hessian.observe(rng.standard_normal((100, 8), np.float32) @ mix)
        >>> q, report = gptq(w, hessian, bits=4, granularity="group", group_size=32)
        >>> report.after < 0.2 * report.before
        True
    """
    core, before, after, kept = _core.gptq(
        w, hessian._core, bits, scheme, granularity, group_size, float(damping), bool(act_order)
    )
    return QuantTensor._from_core(core), RoundingReport(before, after, kept)


def round_coordinate_descent(
    w: Array, q: QuantTensor, hessian: HessianObserver, *, passes: int = 20, damping: float = 0.01
) -> tuple[QuantTensor, RoundingReport]:
    r"""Move one integer after the other to where the error of the outputs is least, until none moves.

    While the others stay, the best value of a weight is that nearest to

    .. math:: \hat{w}_j + \big((w - \hat{w})\,(H + \lambda I)\big)_j / (H_{jj} + \lambda)

    The scales of ``q`` stay. What is found is a local optimum: start from the result of :func:`gptq`, or from
    :func:`quantize`, which is cheaper and nearly as good. It takes the place of AdaRound, which learns the same choice
    by gradient descent. A channel whose error does not fall stays as it is.

    Source: QuantEase (Behdin et al., arXiv 2309.01885), whose cyclic coordinate descent this is.

    Args:
        w: float32, ``(N, K)``.
        q: what to start from, along axis 0 or per tensor.
        hessian: of the layer's inputs.
        passes: over all inputs, at most.
        damping: as for :func:`gptq`.

    Returns:
        The quantized weight, and its report.

    Raises:
        ValueError: dtype, shape or an option is not as said, a value is NaN or infinite, or the observer has seen no
            rows.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import HessianObserver, quantize
        >>> hessian = HessianObserver(3)
        >>> hessian.observe(np.ones((1, 3), np.float32))  # only the sum of a row's weights matters
        >>> w = np.array([[7.0, 1.4, 2.4]], np.float32)
        >>> start = quantize(w, bits=4)
        >>> q, report = round_coordinate_descent(w, start, hessian)
        >>> start.values, q.values, report.after < report.before
        (array([[7, 1, 2]], dtype=int8), array([[7, 2, 2]], dtype=int8), True)
    """
    core, before, after, kept = _core.round_coordinate_descent(w, q._core, hessian._core, passes, float(damping))
    return QuantTensor._from_core(core), RoundingReport(before, after, kept)


def output_error(w: Array, q: QuantTensor, hessian: HessianObserver, residual: Pair | None = None) -> float:
    r"""The error of a layer's outputs with ``q`` in the place of ``w``: :math:`\sqrt{\text{tr}(E H E^T) / \text{tr}(W H
    W^T)}`, of the weights alone; the inputs are taken as they are.

    Args:
        w: float32, ``(N, K)``.
        residual: ``(A, B)``, as for :func:`linear`.

    Raises:
        ValueError: the arguments do not fit each other, or the observer has seen no rows.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import HessianObserver, quantize
        >>> hessian = HessianObserver(4)
        >>> hessian.observe(np.eye(4, dtype=np.float32))
        >>> w = np.array([[0.3, -1.0, 0.7, 0.2]], np.float32)
        >>> output_error(w, quantize(w), hessian) < 0.01 < output_error(w, quantize(w, bits=4), hessian)
        True
    """
    return _relative(_core.output_square(_error(w, q, residual), hessian._core), w, hessian)


def bias_correction(
    w: Array, q: QuantTensor, hessian: HessianObserver, bias: Array | None = None, residual: Pair | None = None
) -> tuple[np.ndarray, RoundingReport]:
    r"""Take the mean of the error out of the outputs: :math:`\text{bias} + (W - \hat{W})\, \text{E}[x]`.

    It gains as much as the means of the inputs stand out of their spread: much after ReLU, nothing after a norm that
    centers.

    Source: Nagel et al., arXiv 1906.04721, section 4.2.

    Args:
        w: float32, ``(N, K)``.
        q: its quantized form.
        hessian: of the layer's inputs.
        bias: float32, ``(N,)``, or None for zeros.
        residual: ``(A, B)``, as for :func:`linear`.

    Returns:
        The new bias, float32 ``(N,)``, and the report of the layer with it.

    Raises:
        ValueError: the arguments do not fit each other, or the observer has seen no rows.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import HessianObserver, quantize
        >>> hessian = HessianObserver(2)
        >>> hessian.observe(np.ones((3, 2), np.float32))
        >>> w = np.array([[7.0, 0.25]], np.float32)
        >>> bias_correction(w, quantize(w, bits=4), hessian)[0]
        array([0.25], dtype=float32)
    """
    error = _error(w, q, residual)
    shift = _core.mean_output(error, hessian._core)
    if bias is not None:
        bias = np.asarray(bias)
        if bias.dtype != np.float32 or bias.shape != shift.shape:
            raise ValueError(f"bias: expected float32 {shift.shape}, got {bias.dtype} {bias.shape}")
        if not np.isfinite(bias).all():
            raise ValueError(f"bias: expected finite values, got {bias[~np.isfinite(bias)][0]}")
    square = _core.output_square(error, hessian._core)
    rest = max(square - hessian.count * float(np.sum(shift * shift)), 0.0)
    report = RoundingReport(_relative(square, w, hessian), _relative(rest, w, hessian))
    return (shift if bias is None else bias + shift).astype(np.float32), report


def lqer(w: Array, q: QuantTensor, rank: int, hessian: HessianObserver | None = None) -> tuple[Pair, RoundingReport]:
    r"""Low-rank factors of the error of the weights, in int8: :math:`A B \approx W - \hat{W}`.

    With ``hessian``, the product is nearest where inputs are large: :math:`A` and :math:`B S` are the factors of
    :math:`(W - \hat{W}) S` with :math:`S = \text{diag}\sqrt{\text{E}[x_j^2]}`.

    Source: LQER (Zhang et al., arXiv 2402.02446), whose S is made of the means of :math:`|x_j|`.

    Args:
        w: float32, ``(N, K)``.
        q: its quantized form; best in int4.
        rank: columns of ``A`` and rows of ``B``.
        hessian: of the layer's inputs.

    Returns:
        ``(A, B)`` for the argument ``residual`` of :func:`linear`, shapes ``(N, rank)`` and ``(rank, K)``, and the
        report; without ``hessian`` it is on the weights, as if :math:`H = I`.

    Raises:
        ValueError: the arguments do not fit each other, the rank is not from 1 to min(N, K), or the observer has seen
            no rows.

    Example:
        >>> import numpy as np
        >>> from petrain.quant import linear, quantize
        >>> w = np.random.default_rng(0).standard_normal((32, 64), np.float32)
        >>> q = quantize(w, bits=4)
        >>> residual, report = lqer(w, q, rank=8)
        >>> report.after < 0.8 * report.before
        True
        >>> linear(np.ones(64, np.float32), q, residual=residual).shape
        (32,)
    """
    error = _error(w, q, None)
    if hessian is None:
        factors = lowrank.factorize(error, rank=rank)
    else:
        _core.output_square(error, hessian._core)  # refuses what does not fit
        size = np.sqrt(np.diagonal(hessian.hessian) / hessian.count)
        largest = float(size.max())
        scale = (size / largest if largest > 0 else np.ones_like(size)).astype(np.float32)
        factors = lowrank.factorize(error * scale, rank=rank)
    b = factors.b
    if hessian is not None:
        b = np.divide(b, scale, out=np.zeros_like(b), where=scale > 0)
    residual = quantize(factors.a), quantize(b)
    if hessian is not None:
        report = RoundingReport(output_error(w, q, hessian), output_error(w, q, hessian, residual))
    else:
        total = float(np.linalg.norm(np.asarray(w)))
        parts = (float(np.linalg.norm(_error(w, q, pair))) for pair in (None, residual))
        report = RoundingReport(*(part / total if total > 0 else 0.0 for part in parts))
    return residual, report


def _error(w: Array, q: QuantTensor, residual: Pair | None) -> np.ndarray:
    """``w`` less what stands for it, float32."""
    w = np.asarray(w)
    if w.dtype != np.float32:
        raise ValueError(f"w: expected dtype float32, got {w.dtype}")
    if w.shape != q.shape:
        raise ValueError(f"q: expected shape {w.shape}, got {q.shape}")
    error: np.ndarray = w - q.dequantize()
    if residual is None:
        return error
    a, b = residual
    if len(a.shape) != 2 or len(b.shape) != 2 or (a.shape[0], b.shape[1]) != w.shape or a.shape[1] != b.shape[0]:
        expected = f"({w.shape[0]}, rank) and (rank, {w.shape[1]})"
        raise ValueError(f"residual: expected {expected}, got {a.shape} and {b.shape}")
    return error - _core.low_rank_product(a.dequantize(), b.dequantize())


def _relative(square: float, w: Array, hessian: HessianObserver) -> float:
    total = _core.output_square(w, hessian._core)
    return math.sqrt(square / total) if total > 0 else 0.0
