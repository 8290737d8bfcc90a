"""What makes up for some of the error of quantized weights: another bias, a low-rank residual."""

from __future__ import annotations

import math

import numpy as np

from petrain import _core, lowrank
from petrain._params import Array
from petrain.quant.hessian import HessianObserver, core_of
from petrain.quant.rounding import RoundingReport
from petrain.quant.tensor import QuantTensor, quantize

Pair = tuple[QuantTensor, QuantTensor]


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
    return _relative(_core.output_square(_error(w, q, residual), core_of(hessian)), w, hessian)


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
    shift = _core.mean_output(error, core_of(hessian))
    old = np.zeros(shift.shape, np.float32) if bias is None else np.asarray(bias)
    if old.dtype != np.float32 or old.shape != shift.shape:
        raise ValueError(f"bias: expected float32 {shift.shape}, got {old.dtype} {old.shape}")
    if not np.isfinite(old).all():
        raise ValueError(f"bias: expected finite values, got {old[~np.isfinite(old)][0]}")
    square = _core.output_square(error, core_of(hessian))
    rest = max(square - hessian.count * float(np.sum(shift * shift)), 0.0)
    report = RoundingReport(_relative(square, w, hessian), _relative(rest, w, hessian))
    with np.errstate(over="ignore"):
        new = (old + shift).astype(np.float32)
    if not np.isfinite(new).all():
        raise ValueError(f"bias: expected one that stays within float32, got {old[~np.isfinite(new)][0]}")
    return new, report


def lqer(
    w: Array, q: QuantTensor, rank: int, hessian: HessianObserver | None = None, *, damping: float = 0.01
) -> tuple[Pair, RoundingReport]:
    r"""Low-rank factors of the error of the weights, in int8: :math:`A B \approx W - \hat{W}`.

    With ``hessian``, they are those of the least error of the outputs: the truncated singular value decomposition of
    :math:`(W - \hat{W}) R`, times :math:`R^{-1}`, where :math:`H + \lambda I = R R^T`. Without, they are those of the
    least error of the weights.

    Source: LQER (Zhang et al., arXiv 2402.02446), which weighs each input by itself; with all of H: QERA (Zhang et al.,
    arXiv 2410.06040).

    Args:
        w: float32, ``(N, K)``.
        q: its quantized form; best in int4.
        rank: columns of ``A`` and rows of ``B``.
        hessian: of the layer's inputs.
        damping: as for :func:`gptq`; of no meaning without ``hessian``.

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
    factors = lowrank.factorize(error, rank=rank, inputs=hessian, damping=damping, force=True)
    residual = quantize(factors.a), quantize(factors.b)
    if hessian is not None:
        report = RoundingReport(output_error(w, q, hessian), output_error(w, q, hessian, residual))
    else:
        total = float(np.linalg.norm(np.asarray(w, np.float64)))
        before, after = (float(np.linalg.norm(e.astype(np.float64))) for e in (error, _error(w, q, residual)))
        report = RoundingReport(before / total, after / total) if total > 0 else RoundingReport(0.0, 0.0)
    return residual, report


def _error(w: Array, q: QuantTensor, residual: Pair | None) -> np.ndarray:
    """``w`` less what stands for it, float32."""
    exact = np.asarray(w)
    if exact.dtype != np.float32 or exact.ndim != 2:
        raise ValueError(f"w: expected float32 (outputs, inputs), got {exact.dtype} {exact.shape}")
    if not isinstance(q, QuantTensor):
        raise TypeError(f"q: expected a QuantTensor, got {type(q).__name__}")
    if exact.shape != q.shape:
        raise ValueError(f"q: expected shape {exact.shape}, got {q.shape}")
    error: np.ndarray = exact - q.dequantize()
    if residual is None:
        return error
    a, b = residual
    n, k = exact.shape
    if len(a.shape) != 2 or len(b.shape) != 2 or (a.shape[0], b.shape[1]) != (n, k) or a.shape[1] != b.shape[0]:
        raise ValueError(f"residual: expected ({n}, rank) and (rank, {k}), got {a.shape} and {b.shape}")
    error -= _core.low_rank_product(a.dequantize(), b.dequantize())
    return error


def _relative(square: float, w: Array, hessian: HessianObserver) -> float:
    total = _core.output_square(w, core_of(hessian))
    return math.sqrt(square / total) if total > 0 else 0.0
