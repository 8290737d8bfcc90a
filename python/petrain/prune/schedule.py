"""How much is pruned when."""

from __future__ import annotations

from petrain._numbers import integer
from petrain.prune._checks import fraction


def cubic_sparsity(step: int, begin: int, end: int, final: float, initial: float = 0.0) -> float:
    r"""The sparsity at a step: fast at first, when there is much to spare, and slower and slower.

    .. math:: s = s_f + (s_i - s_f) \Big(1 - \frac{t - t_0}{t_1 - t_0}\Big)^3

    ``initial`` before the step ``begin``, ``final`` from the step ``end`` on. New masks every hundred steps or so,
    with training between, are enough.

    Source: Zhu, Gupta, arXiv 1710.01878.

    Args:
        step: the count of steps, t.
        begin: t₀.
        end: t₁, greater than t₀.
        final: the sparsity at the end, from 0 to 1.
        initial: the sparsity at the start, from 0 to ``final``.

    Raises:
        ValueError: a number is out of its range.

    Example:
        >>> [round(cubic_sparsity(step, 100, 300, 0.8), 3) for step in (0, 100, 150, 200, 300, 1000)]
        [0.0, 0.0, 0.463, 0.7, 0.8, 0.8]
    """
    step, begin = integer("step", step, 0), integer("begin", begin, 0)
    end = integer("end", end, begin + 1)
    final = fraction("final", final)
    initial = fraction("initial", initial)
    if initial > final:
        raise ValueError(f"initial: expected at most final, {final}, got {initial}")
    if step <= begin or step >= end:
        return initial if step <= begin else final
    left = 1 - (step - begin) / (end - begin)
    return final + (initial - final) * left**3
