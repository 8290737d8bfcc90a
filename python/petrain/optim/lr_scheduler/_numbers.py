"""The numbers that schedules need, with the same bits on every machine: the C library's pow and cos do not promise
that, and a learning rate that differs in its last bit makes another model."""

from __future__ import annotations

import math
from decimal import Decimal


def power(base: float, exponent: float) -> float:
    """base ** exponent for base ≥ 0 and exponent ≥ 0.

    >>> power(0.5, 3), power(0.0, 2.5), power(0.0, 0), power(2.0, 0.5)
    (0.125, 0.0, 1.0, 1.4142135623730951)
    """
    if exponent != int(exponent):
        return float(Decimal(base) ** Decimal(exponent))
    result, n = 1.0, int(exponent)
    while n > 0:
        if n & 1:
            result *= base
        base *= base
        n >>= 1
    return result


def half_cosine(start: float, end: float, x: float) -> float:
    """From start at x = 0 to end at x = 1, exact at both, along (1 + cos(πx)) / 2.

    >>> half_cosine(0.3, 0.1, 0.0), half_cosine(0.3, 0.1, 1.0), half_cosine(1.0, 0.0, 0.5)
    (0.3, 0.1, 0.5)
    """
    return start * _fall(x) + end * _fall(1.0 - x)


def _fall(x: float) -> float:
    """(1 + cos(πx)) / 2, to the last places where it is small too."""
    return (1.0 + cos_pi(x)) / 2 if x <= 0.5 else cos_pi(x / 2) ** 2


def cos_pi(x: float) -> float:
    """cos(πx), good to some 2e-16; exact for multiples of ½.

    >>> cos_pi(0.0), cos_pi(0.5), cos_pi(1.0), cos_pi(7.0), round(cos_pi(1 / 3), 15)
    (1.0, 0.0, -1.0, -1.0, 0.5)
    """
    x = math.fmod(abs(x), 2.0)
    if x > 1.0:
        x = 2.0 - x
    if x > 0.5:
        return -cos_pi(1.0 - x)
    if x <= 0.25:
        return _series((math.pi * x) ** 2, 0)
    y = math.pi * (0.5 - x)
    return y * _series(y * y, 1)


def _series(square: float, first: int) -> float:
    """Σ (-square)^k / (2k + first)!, enough of it for square ≤ (π/4)²: cos for first = 0, sin(y)/y for 1."""
    result = 0.0
    for k in range(9, -1, -1):
        result = 1.0 / math.factorial(2 * k + first) - square * result
    return result
