"""Numbers as users give them."""

from __future__ import annotations

import operator

import numpy as np


def integer(name: str, value: int, least: int = -(2**63), most: int = 2**63 - 1) -> int:
    try:
        index = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {value!r}") from None
    if not least <= index <= most:
        raise ValueError(f"{name}: expected an integer from {least} to {most}, got {index}")
    return index


def seed_number(value: int) -> int:
    return integer("seed", value, 0, 2**64 - 1)


def number(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}: expected a number within float64, got an integer beyond it") from None


def required(value: float, name: str) -> float:
    result = number(name, value)
    if result is None:
        raise TypeError(f"{name}: expected a number, got None")
    return result
