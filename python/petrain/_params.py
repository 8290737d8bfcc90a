"""Parameters and gradients as users hold them: a list, a dict by name, or, for parameters, group dicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from petrain import _core

Array: TypeAlias = Any  # a NumPy array, or what exports DLPack from CPU memory
Arrays: TypeAlias = "Sequence[Array] | Mapping[str, Array]"


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
    unknown = [name for name in arrays if name not in set(names)]
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
    flat: dict[str, float] = {}
    for name, value in hypers.items():
        if name == "betas":
            if not isinstance(value, Sequence) or len(value) not in (2, 3):
                raise ValueError(f"betas: expected two numbers, got {value!r}")
            if not all(isinstance(beta, (int, float, np.number)) for beta in value):
                raise TypeError(f"betas: expected two numbers, got {value!r}")
            flat.update({f"beta{i}": float(beta) for i, beta in enumerate(value, 1)})
        elif name in choices:
            if value not in choices[name]:
                raise ValueError(f"{name}: expected one of {', '.join(choices[name])}, got {value!r}")
            flat[name] = float(choices[name].index(value))
        elif isinstance(value, (int, float, np.number)):
            flat[name] = float(value)
        else:
            raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    return flat
