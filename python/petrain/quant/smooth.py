"""Scales that move from the activations, where outliers hurt, into the weights, where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from petrain._params import Array
from petrain.quant.linear import linear
from petrain.quant.rounding import RoundingReport
from petrain.quant.tensor import quantize


@dataclass(frozen=True)
class Smoothed:
    """A norm and the linear layers that follow it, computing what they did before.

    Attributes:
        gain: float32 ``(K,)``, of the norm, divided by ``scale``.
        bias: the same of its bias, or None.
        weights: float32 ``(N, K)`` each, multiplied by ``scale``.
        scale: float32 ``(K,)``, positive: by what the inputs of the linear layers are divided now.
    """

    gain: np.ndarray
    bias: np.ndarray | None
    weights: tuple[np.ndarray, ...]
    scale: np.ndarray


def smooth_quant(
    x: Array,
    weights: Sequence[Array],
    gain: Array,
    bias: Array | None = None,
    *,
    alpha: float = 0.5,
    max_abs: Array | None = None,
) -> tuple[Smoothed, RoundingReport]:
    r"""Divide the outputs of a norm, and multiply the weights that read them, by one number for each channel:

    .. math::
        s_j = \max|x_j|^\alpha \big/ \max|w_{\cdot j}|^{1 - \alpha}

    so that channels with outliers no longer take the range of int8 from the others. The function of the layers stays
    the same but for float32 rounding. The largest weights are those of all layers that read the norm. Where a channel
    of the inputs or the weights is all zero, its scale is 1.

    Source: Xiao et al., arXiv 2211.10438.

    Args:
        x: float32, ``(M, K)``: some outputs of the norm, on which the report is measured.
        weights: float32, ``(N, K)`` each: every layer that reads the norm, for the others would change.
        gain: float32, ``(K,)``: the norm's.
        bias: the norm's, or None.
        alpha: from 0, the weights alone decide, to 1, the activations alone.
        max_abs: float32, ``(K,)``: the largest magnitudes of the norm's outputs over all samples, as an observer gives
            them; those of ``x`` where None.

    Returns:
        The new parameters, and the error of the layers' outputs on ``x`` with weights in int8 per channel and inputs in
        int8 per row, before and after.

    Raises:
        ValueError: a dtype, shape or number is not as said, NaN or infinite, or a scaled parameter would be.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> gain = np.ones(64, np.float32)
        >>> gain[3] = 100  # an outlier channel
        >>> x = rng.standard_normal((50, 64), np.float32) * gain
        >>> w = rng.standard_normal((32, 64), np.float32)
        >>> w[:, 3] *= 0.01
        >>> smoothed, report = smooth_quant(x, [w], gain)
        >>> report.after < 0.2 * report.before
        True
        >>> bool(np.allclose((x / smoothed.scale) @ smoothed.weights[0].T, x @ w.T, atol=1e-4))
        True
    """
    gain = _checked("gain", gain, (None,))
    size = gain.shape[0]
    x = _checked("x", x, (None, size))
    if len(weights) == 0:
        raise ValueError("weights: expected at least one, got none")
    weights = [_checked(f"weight {i}", w, (None, size)) for i, w in enumerate(weights)]
    bias = None if bias is None else _checked("bias", bias, (size,))
    largest = np.abs(x).max(axis=0) if max_abs is None else np.abs(_checked("max_abs", max_abs, (size,)))
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha: expected a number from 0 to 1, got {alpha}")
    scale = _scales(largest, np.max([np.abs(w).max(axis=0) for w in weights], axis=0), alpha)
    with np.errstate(over="ignore"):
        new_weights = tuple(w * scale for w in weights)
        smoothed = Smoothed(gain / scale, None if bias is None else bias / scale, new_weights, scale)
        new_x = x / scale
    for name, array in zip(("gain", "x", "bias"), (smoothed.gain, new_x, smoothed.bias), strict=True):
        if array is not None:
            _checked(f"scaled {name}", array, array.shape)
    new_weights = tuple(_checked(f"scaled weight {i}", w, w.shape) for i, w in enumerate(new_weights))
    exact = [x.astype(np.float64) @ w.T.astype(np.float64) for w in weights]
    before = [linear(x, quantize(w)) for w in weights]
    after = [linear(new_x, quantize(w)) for w in new_weights]
    return smoothed, RoundingReport(_relative(exact, before), _relative(exact, after))


def _scales(inputs: np.ndarray, weights: np.ndarray, alpha: float) -> np.ndarray:
    scale = np.ones(inputs.shape)
    used = (inputs > 0) & (weights > 0)
    scale[used] = inputs[used].astype(np.float64) ** alpha / weights[used].astype(np.float64) ** (1 - alpha)
    limits = np.finfo(np.float32)
    return np.clip(scale, limits.tiny, limits.max).astype(np.float32)


def _checked(what: str, array: Array, shape: tuple[int | None, ...]) -> np.ndarray:
    values: np.ndarray = np.asarray(array)
    expected = f"float32 ({', '.join('*' if n is None else str(n) for n in shape)}{',' if len(shape) == 1 else ''})"
    fits = values.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, values.shape, strict=True))
    if values.dtype != np.float32 or not fits or values.size == 0:
        raise ValueError(f"{what}: expected {expected}, got {values.dtype} {values.shape}")
    if not np.isfinite(values).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise ValueError(f"{what}: expected finite values, got {values[index]} at index {index}")
    return values


def _relative(exact: list[np.ndarray], got: list[np.ndarray]) -> float:
    total = sum(float(np.sum(y * y)) for y in exact)
    square = sum(float(np.sum((y - other) ** 2)) for y, other in zip(exact, got, strict=True))
    return float(np.sqrt(square / total)) if total > 0 else 0.0
