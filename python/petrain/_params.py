"""Parameters and gradients as users hold them: a list, a dict by name, or, for parameters, group dicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from petrain import _core

Array: TypeAlias = Any  # a NumPy array, or what exports DLPack from CPU memory
Floats: TypeAlias = npt.NDArray[np.float32]
Arrays: TypeAlias = "Sequence[Array] | Mapping[str, Array]"

BETAS = ("beta1", "beta2", "beta3")  # as the core names what users give as one tuple


def is_group_list(params: Any) -> bool:
    """Whether ``params`` is a list of dicts that each have the key "params"."""
    return isinstance(params, Sequence) and len(params) > 0 and isinstance(params[0], Mapping)


def split(params: Arrays) -> tuple[list[str] | None, list[Array]]:
    """Names (None for a list) and arrays, in order."""
    if isinstance(params, Mapping):
        return list(params.keys()), list(params.values())
    if isinstance(params, Iterable) and not hasattr(params, "__dlpack__"):
        return None, list(params)
    raise TypeError(f"expected a list or a dict of arrays, got {type(params).__name__}")


def in_order(arrays: Arrays, names: Sequence[str] | None, what: str) -> list[Array]:
    """The arrays in the order of ``names``, which a dict must match exactly."""
    if not isinstance(arrays, Mapping):
        return split(arrays)[1]
    if names is None:
        raise TypeError(f"{what}: the parameters were given as a list, so expected a list, got a dict")
    missing = [name for name in names if name not in arrays]
    known = set(names)
    unknown = [name for name in arrays if name not in known]
    if missing or unknown:
        raise ValueError(f"{what}: expected the names of the parameters; missing {missing}, unknown {unknown}")
    return [arrays[name] for name in names]


@cache
def rule_info(rule: str) -> Mapping[str, Any]:
    """What the core says of a rule; empty where it has none of this name, which it says better itself."""
    return dict(_core.rules().get(rule, {"hypers": {}, "fixed": [], "choices": {}}))


def flatten(hypers: Mapping[str, Any], rule: str) -> dict[str, float]:
    """Hyperparameters as the core names them: betas=(a, b) becomes beta1=a, beta2=b; a few rules have a third. A
    choice becomes its number."""
    choices = rule_info(rule)["choices"]
    betas = [name for name in BETAS if name in rule_info(rule)["hypers"]]
    flat: dict[str, float] = {}
    for name, value in hypers.items():
        if name == "betas":
            expected = "three numbers" if len(betas) == 3 else "two numbers"
            if not isinstance(value, Sequence) or len(value) != (len(betas) or 2):
                raise ValueError(f"betas: expected {expected}, got {value!r}")
            if not all(isinstance(beta, (int, float, np.number)) for beta in value):
                raise TypeError(f"betas: expected {expected}, got {value!r}")
            flat.update({beta: _finite(number, beta) for beta, number in zip(BETAS, value, strict=False)})
        elif name in choices:
            if value not in choices[name]:
                raise ValueError(f"{name}: expected one of {', '.join(choices[name])}, got {value!r}")
            flat[name] = float(choices[name].index(value))
        elif isinstance(value, (int, float, np.number)):
            flat[name] = _finite(value, name)
        else:
            raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    return flat


def _finite(value: Any, name: str) -> float:
    """The core finds NaN and infinity itself, but a float cannot hold every integer."""
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{name} must be finite, got an integer of {value.bit_length()} bits") from error
