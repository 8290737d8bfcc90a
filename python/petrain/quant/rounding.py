"""Rounding that looks at the layer's outputs in the place of its weights.

With inputs :math:`x` and the error :math:`E = W - \\hat{W}` of the weights, the outputs err by :math:`E x`, and the
squares of that, summed over the samples, are :math:`\\text{tr}(E H E^T)` with :math:`H = \\sum x x^T`: all that these
functions and those of :mod:`petrain.quant.corrections` need to know of the samples. Each returns its result and a
:class:`RoundingReport`.
"""

from __future__ import annotations

from dataclasses import dataclass

from petrain import _core
from petrain._numbers import required
from petrain._params import Array
from petrain.quant.hessian import HessianObserver
from petrain.quant.hessian import core_of as hessian_core
from petrain.quant.params import Scheme
from petrain.quant.tensor import Granularity, QuantTensor, core_of


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
        >>> report.after < 0.5 * report.before
        True
    """
    core, before, after, kept = _core.gptq(
        w, hessian_core(hessian), bits, scheme, granularity, group_size, required(damping, "damping"), bool(act_order)
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
    core, before, after, kept = _core.round_coordinate_descent(
        w, core_of(q, "q"), hessian_core(hessian), passes, required(damping, "damping")
    )
    return QuantTensor._from_core(core), RoundingReport(before, after, kept)
