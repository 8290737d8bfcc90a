"""How much is lost where two factors stand for a matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from petrain import _core
from petrain._params import Array

if TYPE_CHECKING:
    from petrain.quant import HessianObserver


@dataclass(frozen=True)
class Certificate:
    r"""Errors that are never more than it says, and, where they are not those of rounding alone, hardly less.

    Attributes:
        error: :math:`‖W - AB‖_F` is at most this.
        norm: :math:`‖W‖_F`.
        output_error: with the rows x that were observed, the root of :math:`\sum ‖(W - AB) x‖^2` is at most this; None
            without.
        output_norm: the root of :math:`\sum ‖W x‖^2`; None without.
    """

    error: float
    norm: float
    output_error: float | None = None
    output_norm: float | None = None

    @property
    def rel_error(self) -> float:
        """error / norm; 0 where nothing is lost, infinite where that is all."""
        return _quotient(self.error, self.norm)

    @property
    def rel_output_error(self) -> float | None:
        """output_error / output_norm, likewise; None without observed rows."""
        if self.output_error is None or self.output_norm is None:
            return None
        return _quotient(self.output_error, self.output_norm)


def certify(w: Array, a: Any, b: Any, inputs: HessianObserver | None = None) -> Certificate:
    r"""What is lost where :math:`A B` stands for :math:`W`.

    All is computed in float64, and what rounding can have taken off is added: about 1e-12 of the norms. Products are
    those of the numbers as they are given: for int8 factors, of what ``dequantize()`` gives.

    Args:
        w: float32, (m, n).
        a, b: (m, rank) and (rank, n): float32, or a :class:`petrain.quant.QuantTensor`.
        inputs: an observer of the layer's inputs, of n features; its H is taken as exact.

    Raises:
        ValueError: an array is not as above, or has NaN or infinity; the observer is of other inputs or has seen none.
        TypeError: an argument is not of these kinds.

    Example:
        >>> import numpy as np
        >>> w = np.array([[3, 0], [0, 4]], np.float32)
        >>> c = certify(w, np.array([[0], [4]], np.float32), np.array([[0, 1]], np.float32))
        >>> round(c.error, 9), c.norm, round(c.rel_error, 9)
        (3.0, 5.0, 0.6)
    """
    return certificate_of(_core.certify(w, dequantized(a), dequantized(b), core_of(inputs)), inputs)


def dequantized(factor: Any) -> Any:
    return factor.dequantize() if is_quantized(factor) else factor


def is_quantized(factor: Any) -> bool:
    from petrain.quant import QuantTensor  # which imports this package

    return isinstance(factor, QuantTensor)


def _quotient(error: float, norm: float) -> float:
    return 0.0 if error == 0 else error / norm if norm > 0 else math.inf


def core_of(inputs: HessianObserver | None) -> _core.HessianObserver | None:
    from petrain.quant.hessian import core_of as observer  # which imports this package

    return None if inputs is None else observer(inputs, "inputs")


def certificate_of(numbers: tuple[float, float, float, float], inputs: object) -> Certificate:
    return Certificate(*(numbers if inputs is not None else numbers[:2]))
