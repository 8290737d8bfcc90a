"""What the arguments of schedules must be; messages say what was expected and what came."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any


def number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite number of [least, most]."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    result = float(value)
    if not (math.isfinite(result) and least <= result <= most):
        limits = ""
        if math.isfinite(least):
            limits = f" in [{least:g}, {most:g}]" if math.isfinite(most) else f" of at least {least:g}"
        raise ValueError(f"{name}: expected a finite number{limits}, got {value}")
    return result


def positive(name: str, value: Any) -> float:
    """A finite number above 0."""
    result = number(name, value)
    if result <= 0:
        raise ValueError(f"{name}: expected a number greater than 0, got {value}")
    return result


def whole(name: str, value: Any, least: int) -> int:
    """An integer of at least ``least``."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
    result = int(value.__index__())
    if result < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {result}")
    return result


def choice(name: str, value: Any, names: Sequence[str]) -> str:
    """One of some words."""
    if value not in names:
        raise ValueError(f"{name}: expected one of {', '.join(names)}, got {value!r}")
    return str(value)


class PerGroup:
    """One checked value for each group, from a list, or one for all of them."""

    def __init__(self, name: str, value: Any, groups: int, check: Callable[..., Any], *limits: Any) -> None:
        self.name = name
        self.is_list = isinstance(value, (list, tuple))
        values = list(value) if self.is_list else [value]
        if self.is_list and len(values) != groups:
            raise ValueError(f"{name}: expected one value, or {groups}, one for each group, got {len(values)}")
        self.values = [check(name, each, *limits) for each in values]

    def __getitem__(self, group: int) -> Any:
        if self.is_list and group >= len(self.values):  # the group was added later
            raise ValueError(f"{self.name}: expected a value for group {group}, got {len(self.values)} values")
        return self.values[group if self.is_list else 0]

    def saved(self) -> Any:
        """As it was given."""
        return list(self.values) if self.is_list else self.values[0]
