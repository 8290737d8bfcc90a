"""torch's layout: {"state": {number: {name: array}}, "param_groups": [{name: value, "params": [numbers]}]}."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from petrain import _core
from petrain.optim.base import Optimizer, ParamGroup
from petrain.optim.exchange._values import (
    check_layout,
    group_sizes,
    read,
    replace,
    require_keys,
    to_number,
    to_numbers,
    to_steps,
    to_values,
)

_LOOP = {"foreach": None, "differentiable": False}
_CAPTURABLE = {**_LOOP, "capturable": False}
_ADAM = {**_CAPTURABLE, "fused": None}

# For each rule that torch has too: what its groups have beside the hyperparameters that both name alike. Entries that
# say which rule it is come first; a state_dict must agree in those that _TELLING lists.
_GROUPS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0, "dampening": 0.0, "nesterov": False, **_LOOP, "fused": None},
    "sgd_momentum": {**_LOOP, "fused": None},
    "adagrad": {**_LOOP, "fused": None},
    "adadelta": _CAPTURABLE,
    "rmsprop": {"momentum": 0.0, "centered": False, **_CAPTURABLE},
    "rmsprop_momentum": {"centered": False, **_CAPTURABLE},
    "rmsprop_centered": {"momentum": 0.0, "centered": True, **_CAPTURABLE},
    "rmsprop_centered_momentum": {"centered": True, **_CAPTURABLE},
    "adam": {"amsgrad": False, "decoupled_weight_decay": False, **_ADAM},
    "adam_amsgrad": {"amsgrad": True, "decoupled_weight_decay": False, **_ADAM},
    "adamw": {"amsgrad": False, "decoupled_weight_decay": True, **_ADAM},
    "adamw_amsgrad": {"amsgrad": True, "decoupled_weight_decay": True, **_ADAM},
    "adamax": _CAPTURABLE,
    "nadam": _CAPTURABLE,
    "radam": _CAPTURABLE,
    "adafactor": {"foreach": None},
    "muon": {},
}
_TELLING = ("amsgrad", "centered")
_HAS_MOMENTUM = {
    "sgd": False,
    "sgd_momentum": True,
    "rmsprop": False,
    "rmsprop_momentum": True,
    "rmsprop_centered": False,
    "rmsprop_centered_momentum": True,
}
_FLAGS = ("nesterov", "maximize", "decoupled_weight_decay")
# What torch always has, and petrain lets one choose.
_FIXED = {"bias_correction": 1, "relative_step": 1, "scale_parameter": 1}
_UNCOUNTED = ("sgd", "sgd_momentum", "muon")  # of which torch does not count the steps


def to_torch_state_dict(optimizer: Optimizer, convert: Callable[[Any], Any] = np.asarray) -> dict[str, Any]:
    """The state of an optimizer as torch's optimizer of the same rule gives it by ``state_dict()``.

    The rules are those that both have: SGD, Adagrad, Adadelta, RMSprop, Adam, AdamW, Adamax, NAdam, RAdam, Adafactor
    and Muon. States in 16 or 8 bits become float32, without loss.

    Args:
        optimizer: not changed.
        convert: makes of a NumPy array what the dict is to hold, such as torch.from_numpy.

    Returns:
        A dict that torch's ``load_state_dict`` takes, with arrays of its own.

    Raises:
        ValueError: torch has no such rule, or not with these hyperparameters.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import SGD
        >>> opt = SGD([np.zeros(2, np.float32)], lr=0.5, momentum=0.9)
        >>> info = opt.step([np.ones(2, np.float32)])
        >>> to_torch_state_dict(opt)["state"]
        {0: {'momentum_buffer': array([1., 1.], dtype=float32)}}
    """
    groups = [_torch_group(optimizer, i) for i in range(len(optimizer.param_groups))]
    first = 0
    for group, size in zip(groups, group_sizes(optimizer), strict=True):
        group["params"] = list(range(first, first + size))
        if optimizer._names is not None:
            group["param_names"] = optimizer._names[first : first + size]
        first += size
    state = {}
    for i, values in enumerate(read(optimizer)):
        steps = optimizer._core.steps(i)
        rule = optimizer.param_groups[optimizer._core.group_of(i)].rule
        if (steps == 0 and rule != "adagrad") or (not values and rule == "sgd"):
            continue  # torch's Adagrad alone has states before the first step, and must have them
        numbers = {} if rule in _UNCOUNTED else {"step": float(steps)}
        numbers.update(optimizer._core.memory(i))
        state[i] = {name: convert(np.array(number, np.float32)) for name, number in numbers.items()}
        state[i].update((name, convert(value)) for name, value in values.items() if name != "master")
    return {"state": state, "param_groups": groups}


def from_torch_state_dict(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> None:
    """Take over what torch's optimizer of the same rule gave by ``state_dict()``: hyperparameters, steps and states.

    The parameters are matched by their order. Those that have no state in the dict begin anew. torch's SGD and Muon do
    not count their steps: one that has a momentum buffer has made one step or more.

    Args:
        optimizer: of the same rule, with as many parameters of the same shapes in each group. It keeps its
            ``state_dtype``; float32 and float64 take over torch's float32 states exactly.
        state_dict: with tensors or NumPy arrays.

    Raises:
        ValueError: the dict is of another rule or another model, or a value is not usable. Nothing was changed.
        TypeError: it is no dict.
    """
    states = check_layout(optimizer, state_dict)
    hypers = [
        _own_group(group, given, i)
        for i, (group, given) in enumerate(zip(optimizer.param_groups, state_dict["param_groups"], strict=True))
    ]
    steps, memory, values = [], [], []
    for i, (given, own) in enumerate(zip(states, read(optimizer), strict=True)):
        names = [name for name in own if name not in ("master", "compensation")]
        numbers = optimizer._core.memory(i)
        rule = optimizer.param_groups[optimizer._core.group_of(i)].rule
        if rule == "sgd_momentum" and given.get("momentum_buffer", None) is None:
            given = {}
        if not given:
            steps.append(0)
            memory.append(_first_memory(optimizer, i))
            first = hypers[optimizer._core.group_of(i)].get("initial_accumulator_value", 0.0)
            values.append({name: np.full_like(own[name], first) for name in names})
            continue
        expected = sorted([*names, *numbers, *([] if rule in _UNCOUNTED else ["step"])])
        if sorted(map(str, given)) != expected and not (rule == "sgd" and given == {"momentum_buffer": None}):
            raise ValueError(f"state_dict: expected states {expected} of parameter {i}, got {sorted(map(str, given))}")
        steps.append(to_steps(given["step"], f"step of parameter {i}") if "step" in given else 1)
        memory.append({name: to_number(given[name], f"{name} of parameter {i}") for name in numbers})
        values.append({name: to_values(given[name], own[name].shape, f"{name} of parameter {i}") for name in names})
    replace(optimizer, hypers, steps, values, memory)


def _require_shared(group: ParamGroup, index: int) -> dict[str, Any]:
    if group.rule not in _GROUPS:
        raise ValueError(f"group {index}: expected a rule that torch has too ({', '.join(_GROUPS)}), got {group.rule}")
    for name, value in {**_FIXED, **({"maximize": 0} if group.rule == "muon" else {})}.items():
        if group.get(name, value) != value:
            raise ValueError(f"group {index}: expected {name} {value}, as in torch's {group.rule}, got {group[name]}")
    return _GROUPS[group.rule]


def _torch_group(optimizer: Optimizer, index: int) -> dict[str, Any]:
    group = optimizer.param_groups[index]
    further = _require_shared(group, index)
    result = {name: bool(value) if name in _FLAGS else value for name, value in group.items() if name not in _FIXED}
    if group.rule == "adafactor":
        result["eps"] = (result.pop("eps1"), result.pop("eps2"))
    if group.rule == "muon":
        result["ns_coefficients"] = tuple(result.pop(f"ns_{letter}") for letter in "abc")
        result["ns_steps"] = int(result["ns_steps"])
        del result["maximize"]
    return {**result, **further}


def _split_tuples(rule: str, given: Mapping[str, Any], index: int) -> dict[str, Any]:
    """torch's hyperparameters under petrain's names."""
    result = dict(given)
    if rule == "adafactor":
        require_keys(given, ("eps",), f"group {index}")
        eps = given["eps"]
        if isinstance(eps, Sequence) and len(eps) == 2 and eps[0] is None:
            eps = (2.0**-23, eps[1])
        result["eps1"], result["eps2"] = to_numbers(eps, 2, f"eps of group {index}")
    if rule == "muon":
        require_keys(given, ("ns_coefficients", "adjust_lr_fn"), f"group {index}")
        numbers = to_numbers(given["ns_coefficients"], 3, f"ns_coefficients of group {index}")
        result.update(zip(("ns_a", "ns_b", "ns_c"), numbers, strict=True))
        result["adjust_lr_fn"] = given["adjust_lr_fn"] or "original"
        result["maximize"] = False
    return result


def _own_group(group: ParamGroup, given: Mapping[str, Any], index: int) -> dict[str, Any]:
    """The hyperparameters of a group as petrain has them."""
    further = _require_shared(group, index)
    for name in _TELLING:
        if name in further and bool(given.get(name, False)) != further[name]:
            raise ValueError(f"state_dict: expected {name} {further[name]} of group {index}, got {given.get(name)!r}")
    decoupled = further.get("decoupled_weight_decay")
    if decoupled is not None and given.get("decoupled_weight_decay", decoupled) != decoupled:
        rules = ("adam", "adamw")
        raise ValueError(
            f"state_dict: expected the rule {rules[decoupled]} in group {index}, got {rules[not decoupled]}"
        )
    if group.rule in _HAS_MOMENTUM and (given.get("momentum", 0) != 0) != _HAS_MOMENTUM[group.rule]:
        wanted = "a momentum" if _HAS_MOMENTUM[group.rule] else "no momentum"
        raise ValueError(f"state_dict: expected {wanted} in group {index}, got {given.get('momentum')!r}")
    names = [name for name in group if name not in _FIXED]
    given = _split_tuples(group.rule, given, index)
    require_keys(given, names, f"group {index}")
    result: dict[str, Any] = {}
    for name in names:
        value, what = given[name], f"{name} of group {index}"
        if name == "betas":
            result[name] = to_numbers(value, len(group[name]), what)
        else:
            result[name] = value if name == "adjust_lr_fn" else to_number(value, what)
    return result


def _first_memory(optimizer: Optimizer, param: int) -> dict[str, float]:
    """The numbers of a rule before its first step."""
    rule = optimizer.param_groups[optimizer._core.group_of(param)].rule
    fresh = _core.Optimizer([(rule, {}, [np.zeros(1, np.float32)])])
    return dict(fresh.memory(0))
