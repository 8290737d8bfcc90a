"""Checks a state_dict against the optimizer that is to take it over, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from petrain import _core
from petrain._params import flatten, rule_info


def check_state(given: Any, own: Mapping[str, Any]) -> None:
    """Raises ValueError, or TypeError where ``given`` is no dict, unless it can replace ``own``."""
    if not isinstance(given, Mapping):
        raise TypeError(f"state_dict: expected a dict, got {type(given).__name__}")
    _expect_names("keys", given, own)
    _expect("version", given["version"], own["version"])
    _expect("parameter names", given["names"], own["names"])
    for key in ("groups", "steps", "memory", "state"):
        if not isinstance(given[key], Sequence):
            raise ValueError(f"state_dict: expected {key} to be a list, got {type(given[key]).__name__}")
        _expect(f"number of {key}", len(given[key]), len(own[key]))
    for i, (group, own_group) in enumerate(zip(given["groups"], own["groups"], strict=True)):
        _expect_names(f"entries of group {i}", group, own_group)
        for key in ("rule", "state_dtype", "rounding"):
            _expect(f"{key} of group {i}", group[key], own_group[key])
        hypers = {key: value for key, value in group.items() if key not in ("rule", "state_dtype", "rounding")}
        for name in rule_info(group["rule"])["fixed"]:
            _expect(f"{name} of group {i}", group[name], own_group[name])
        try:  # the core knows the ranges
            _core.check_hypers(group["rule"], flatten(hypers, group["rule"]))
        except (TypeError, ValueError) as error:
            raise ValueError(f"state_dict: group {i}: {error}") from error
    for i, step in enumerate(given["steps"]):
        if not isinstance(step, (int, np.integer)) or not 0 <= step < 2**62:
            raise ValueError(f"state_dict: expected step count {i} to be an integer of at least 0, got {step!r}")
    for i, (numbers, own_numbers) in enumerate(zip(given["memory"], own["memory"], strict=True)):
        _expect_names(f"numbers of parameter {i}", numbers, own_numbers)
        for name, number in numbers.items():
            if not isinstance(number, (int, float)) or not _is_finite(number):
                raise ValueError(f"state_dict: expected {name} of parameter {i} to be finite, got {number!r}")
    for i, (arrays, own_arrays) in enumerate(zip(given["state"], own["state"], strict=True)):
        _expect_names(f"states of parameter {i}", arrays, own_arrays)
        for name, array in own_arrays.items():
            _expect(f"shape of {name} of parameter {i}", np.shape(arrays[name]), array.shape)
            _expect(f"dtype of {name} of parameter {i}", str(np.asarray(arrays[name]).dtype), str(array.dtype))


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer that no float can hold
        return False


def _expect(what: str, got: Any, expected: Any) -> None:
    if got != expected:
        raise ValueError(f"state_dict: expected {what} {expected!r}, got {got!r}")


def _expect_names(what: str, got: Any, expected: Mapping[str, Any]) -> None:
    names = sorted(map(str, got)) if isinstance(got, Mapping) else type(got).__name__
    _expect(what, names, sorted(expected))
