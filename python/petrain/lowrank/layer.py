"""A linear layer on two thin factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from petrain import _core
from petrain._params import Array, Floats
from petrain.lowrank.certificate import is_quantized

Factors = Any  # a LowRank, or what else has its ``a`` and ``b``; or the pair of them


@dataclass(frozen=True)
class LowRankGradients:
    """Gradients of a layer on two factors.

    Attributes:
        x: in the shape of the input; None where it was not wanted.
        a: (out, rank).
        b: (rank, in).
        bias: (out,), whether the layer has a bias or not: the sum of the output's gradients.
    """

    x: Floats | None
    a: Floats
    b: Floats
    bias: Floats


@dataclass(frozen=True)
class LowRankCost:
    """What a layer on two factors takes, its bias not counted.

    Attributes:
        parameters: rank (out + in).
        nbytes: of the factors as they are stored.
        macs: multiplications for one row of the input.
        dense_parameters: out · in, of the weight that the factors stand for; also the multiplications it takes.
    """

    parameters: int
    nbytes: int
    macs: int
    dense_parameters: int


def linear(x: Array, factors: Factors, bias: Array | None = None) -> Floats:
    r"""The layer whose weight is :math:`W = A B`, without making :math:`W`: :math:`y = (x B^T) A^T + \text{bias}`.

    Results do not depend on the number of threads, nor a row of them on other rows.

    Args:
        x: float32, (…, in).
        factors: a :class:`LowRank` or a pair ``(a, b)``: float32, (out, rank) and (rank, in). Those in int8 are run by
            :func:`petrain.quant.low_rank`, for ``x`` of one or two dimensions.
        bias: float32, (out,), or None.

    Returns:
        float32, (…, out).

    Raises:
        ValueError: a dtype or shape is not as said. Nothing was written.
        TypeError: ``factors`` are neither.

    Example:
        >>> import numpy as np
        >>> a, b = np.array([[1], [2]], np.float32), np.array([[1, 0, 1]], np.float32)
        >>> linear(np.array([3, 4, 5], np.float32), (a, b))
        array([ 8., 16.], dtype=float32)
    """
    a, b = pair(factors)
    if is_quantized(a) and is_quantized(b):
        from petrain.quant import low_rank  # which imports this package

        return low_rank(x, a, b, bias)
    return _core.low_rank_linear(x, a, b, bias, 1.0, None)[0]  # type: ignore[no-any-return]


def linear_backward(gradient: Array, x: Array, factors: Factors, *, input_gradient: bool = True) -> LowRankGradients:
    """The gradients of :func:`linear`.

    ``x Bᵀ`` is computed again: it is a fifth of the products, and nothing has to be kept but ``x``.

    Args:
        gradient: float32, (…, out), of the layer's output.
        x: what the layer was given.
        factors: those of the layer.
        input_gradient: whether that of ``x`` is wanted.

    Raises:
        ValueError: a dtype or shape is not as said.
        TypeError: ``factors`` are neither a LowRank nor a pair.

    Example:
        >>> import numpy as np
        >>> a, b = np.array([[1], [2]], np.float32), np.array([[1, 0, 1]], np.float32)
        >>> gradients = linear_backward(np.array([1, 0], np.float32), np.array([3, 4, 5], np.float32), (a, b))
        >>> gradients.x, gradients.b
        (array([1., 0., 1.], dtype=float32), array([[3., 4., 5.]], dtype=float32))
    """
    a, b = pair(factors)
    return LowRankGradients(*_core.low_rank_linear_backward(gradient, x, a, b, None, 1.0, input_gradient))


def cost(factors: Factors) -> LowRankCost:
    """What a layer on two factors takes; see :class:`LowRankCost`.

    Args:
        factors: a :class:`LowRank` or a pair ``(a, b)``, of any type with a shape and nbytes: QuantTensors too.

    Raises:
        ValueError: the factors do not fit each other.
        TypeError: ``factors`` are neither.

    Example:
        >>> import numpy as np
        >>> cost((np.zeros((100, 4), np.float32), np.zeros((4, 50), np.float32)))
        LowRankCost(parameters=600, nbytes=2400, macs=600, dense_parameters=5000)
    """
    a, b = pair(factors)
    left, right = tuple(a.shape), tuple(b.shape)
    if len(left) != 2 or len(right) != 2 or left[1] != right[0]:
        raise ValueError(f"factors: expected shapes (out, rank) and (rank, in), got {left} and {right}")
    (out, rank), (_, n) = left, right
    return LowRankCost(rank * (out + n), int(a.nbytes) + int(b.nbytes), rank * (out + n), out * n)


def pair(factors: Factors) -> tuple[Any, Any]:
    if isinstance(factors, (tuple, list)) and len(factors) == 2:
        return factors[0], factors[1]
    if hasattr(factors, "a") and hasattr(factors, "b"):
        return factors.a, factors.b
    raise TypeError(f"factors: expected a LowRank or a pair (a, b), got {type(factors).__name__}")
