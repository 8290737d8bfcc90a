"""What a parameter group says to the core."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from petrain import _core, optim
from petrain._params import BETAS, flatten, rule_info

Group = dict[str, Any]
Structure = tuple[str, "str | None", str]  # rule, state_dtype, rounding: what cannot change in a group of the core

OWN = ("state_dtype", "rounding", "seed")


def arguments_of(cls: type) -> dict[str, inspect.Parameter]:
    """Of a class's constructor, by name, but for self."""
    parameters = dict(inspect.signature(cls.__init__).parameters)  # type: ignore[misc]
    del parameters["self"]
    return parameters


def shown(rule: str) -> dict[str, Any]:
    """The hyperparameters of one of the core's rules as groups show them, with their defaults."""
    info = rule_info(rule)
    values: dict[str, Any] = {}
    for name, value in info["hypers"].items():
        if name in BETAS:
            values["betas"] = (*values.get("betas", ()), value)
        elif name in info["choices"]:
            values[name] = info["choices"][name][int(value)]
        else:
            values[name] = value
    return values


class Rule:
    """The rule of one class of optimizers: what its groups hold, and what the core makes of it."""

    def __init__(self, native: type[optim.Optimizer], more_keys: tuple[str, ...] = ()) -> None:
        self._native = native.__new__(native)  # what a group means does not depend on an optimizer's parameters
        own = arguments_of(native)
        named = [name for name, p in own.items() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        self._keys = (*(name for name in named if name not in ("params", *OWN)), *more_keys)
        self._wraps_another = len(named) < len(own)  # whose hyperparameters it takes too, as GaLore does

    def keys(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """What hyperparameters a group must have."""
        if "rule" in group:
            return tuple(shown(group["rule"]))
        return tuple(dict.fromkeys((*self._keys, *self._wrapped(group))))

    def _wrapped(self, group: Mapping[str, Any]) -> dict[str, Any]:
        return shown(self._native._rule({"base": group["base"]})[0]) if self._wraps_another else {}

    def complete(self, group: Group, maximize: bool = False) -> None:
        """Add the defaults of the rule that the group names, which are not those of the class, but for maximize."""
        if "rule" in group:
            group.setdefault("maximize", maximize)
        for key, value in (shown(group["rule"]) if "rule" in group else self._wrapped(group)).items():
            group.setdefault(key, value)

    def of(self, group: Mapping[str, Any]) -> tuple[Structure, dict[str, float]]:
        """The core's rule, and its hyperparameters.

        Raises:
            ValueError: the rule cannot be made of the group.
        """
        values = {key: _plain(group[key], key) for key in self.keys(group)}
        rule, hypers = (group["rule"], values) if "rule" in group else self._translate(values)
        return (rule, group["state_dtype"], group["rounding"]), flatten(hypers, rule)

    def _translate(self, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if isinstance(self._native, (optim.Adam, optim.AdamW)):  # to torch the second is a form of the first
            form = optim.AdamW if values.pop("decoupled_weight_decay", True) else optim.Adam
            native: optim.Optimizer = form.__new__(form)
            return native._rule(values)
        return self._native._rule(values)

    def check(self, group: Group) -> None:
        """Raises ValueError or TypeError where the core would."""
        structure, hypers = self.of(group)
        rule, *options = structure
        _core.check_hypers(rule, hypers)
        for p in group["params"]:
            _core.check_shape(rule, hypers, list(p.shape))
        empty = [torch.empty(0, dtype=dtype) for dtype in {p.dtype for p in group["params"]}]
        _core.Optimizer([("sgd", {}, empty or [torch.empty(0)], *options)])


def _plain(value: Any, name: str) -> Any:
    """A hyperparameter without tensors."""
    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            raise ValueError(f"{name}: expected a tensor of one element, got one of shape {tuple(value.shape)}")
        return value.item()
    if isinstance(value, (tuple, list)):
        return tuple(_plain(item, name) for item in value)
    return value


def may_change(value: Any) -> bool:
    """Whether the same object may be another number tomorrow."""
    return isinstance(value, (torch.Tensor, list)) or (isinstance(value, tuple) and any(map(may_change, value)))
