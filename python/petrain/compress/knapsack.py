"""One option for each layer under a budget: the multiple-choice knapsack problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from petrain import _core
from petrain._numbers import integer


@dataclass(frozen=True)
class Knapsack:
    """What :func:`knapsack` chose.

    Attributes:
        options: the index of each layer's option.
        cost: their sum.
        error: their sum, in the order of the layers.
        lower_bound: no choice that fits the budget has a smaller sum of errors.
        gap: ``(error - lower_bound) / error``; 0 where the choice is proven to be the best.
    """

    options: tuple[int, ...]
    cost: int
    error: float
    lower_bound: float
    gap: float


def knapsack(costs: Sequence[npt.ArrayLike], errors: Sequence[npt.ArrayLike], budget: int) -> Knapsack:
    """Choose one option for each layer, so that the costs stay within the budget and the errors add up to the least.

    Exact by dynamic programming over a core of layers that grows from where the linear relaxation breaks off. Where
    millions of partial choices would have to be looked at, the more promising ones are, for about a third of a second,
    and the gap is what is not proven. The same for any number of threads and on every instruction set. Of options with
    the same cost and error the first is taken, and of those with the same error the cheapest.

    Source: Pisinger, European Journal of Operational Research 83 (1995); Sinha, Zoltners, Operations Research 27
    (1979).

    Args:
        costs: of each layer's options, integers from 0 up: bytes, nanoseconds.
        errors: of the same, finite and at least 0. They are compared as integers, in units of about 2⁻⁵⁴ of the best
            sum for 200 layers.
        budget: the most that the costs may add up to.

    Raises:
        ValueError: there are no layers or a layer has no options, costs and errors are not of the same number, one is
            not as said, the sum of the largest ones overflows, or no choice fits; the message then has the least
            budget that would do.
        TypeError: a cost or the budget is not an integer, or an error not a number.

    Example:
        >>> knapsack([[40, 10], [30, 20, 5]], [[0.0, 0.5], [0.0, 0.1, 0.9]], budget=40)
        Knapsack(options=(1, 0), cost=40, error=0.5, lower_bound=0.5, gap=0.0)
        >>> knapsack([[40, 10], [30, 20, 5]], [[0.0, 0.5], [0.0, 0.1, 0.9]], budget=60).options
        (0, 1)
    """
    if len(costs) != len(errors):
        raise ValueError(f"errors: expected those of {len(costs)} layers, got {len(errors)}")
    all_costs = [_numbers(f"costs of layer {i}", layer, np.int64) for i, layer in enumerate(costs)]
    all_errors = [_numbers(f"errors of layer {i}", layer, np.float64) for i, layer in enumerate(errors)]
    counts = [len(layer) for layer in all_costs]
    for i, (layer, count) in enumerate(zip(all_errors, counts, strict=True)):
        if len(layer) != count:
            raise ValueError(f"errors of layer {i}: expected {count}, got {len(layer)}")
    chosen, cost, error, lower_bound, gap = _core.solve_knapsack(
        np.concatenate([np.empty(0, np.int64), *all_costs]),
        np.concatenate([np.empty(0, np.float64), *all_errors]),
        counts,
        integer("budget", budget),
    )
    return Knapsack(tuple(chosen), cost, error, lower_bound, gap)


def _numbers(what: str, values: npt.ArrayLike, dtype: type[np.generic]) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{what}: expected a sequence of numbers, got shape {array.shape}")
    if array.size == 0:
        return np.empty(0, dtype)
    whole = np.issubdtype(dtype, np.integer)
    if whole and all(isinstance(value, int) for value in array.tolist()):
        if array.dtype == object or array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{what}: expected integers below 2**63, got {max(array.tolist())}")
    elif whole or array.dtype.kind not in "iuf":
        raise TypeError(f"{what}: expected {'integers' if whole else 'numbers'}, got {array.dtype}")
    return array.astype(dtype)
