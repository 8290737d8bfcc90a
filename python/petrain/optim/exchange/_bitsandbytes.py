"""The layout of bitsandbytes' 8-bit optimizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from petrain.optim.base import Optimizer, ParamGroup
from petrain.optim.exchange._dynamic import BLOCK, SMALLEST, Coded, encode_again, remember, to_coded, was_imported
from petrain.optim.exchange._values import (
    check_layout,
    group_sizes,
    read,
    replace,
    require_keys,
    shapes,
    to_number,
    to_numbers,
    to_steps,
    to_values,
)

# The states of each rule: state1 is signed, state2 is not.
_STATES = {
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
    "lion": ("exp_avg",),
    "sgd_momentum": ("momentum_buffer",),
}
_WRAPPED = "__bnb_optimizer_quant_state__"  # under which newer versions keep what is not of the parameter's shape


def from_bitsandbytes_state_dict(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> None:
    """Take over what a bitsandbytes optimizer (Adam, AdamW, Lion or SGD with momentum, in 8 or 32 bits) gave by
    ``state_dict()``.

    The parameters are matched by their order. What the codes stand for is taken over exactly by states in float32, the
    default; an optimizer with another ``state_dtype`` rounds it.

    Args:
        optimizer: of the same rule, with as many parameters of the same shapes in each group. bitsandbytes' Adam
            decouples weight decay: with weight decay, it is AdamW here.
        state_dict: with tensors or NumPy arrays.

    Raises:
        ValueError: the dict is of another rule or another model, or a value is not usable. Nothing was changed.
        TypeError: it is no dict.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import Lion
        >>> opt = Lion([np.zeros(2, np.float32)])
        >>> given = {
        ...     "state": {0: {"step": 3, "state1": np.array([0.5, -0.5], np.float32)}},
        ...     "param_groups": [{"params": [0], "lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.0}],
        ... }
        >>> from_bitsandbytes_state_dict(opt, given)
        >>> opt.state_dict()["state"][0]["exp_avg"]
        array([ 0.5, -0.5], dtype=float32)
    """
    states = check_layout(optimizer, state_dict)
    hypers = [
        _own_group(group, given, i)
        for i, (group, given) in enumerate(zip(optimizer.param_groups, state_dict["param_groups"], strict=True))
    ]
    steps, values, coded = [], [], {}
    for i, (given, shape) in enumerate(zip(states, shapes(optimizer), strict=True)):
        names = _STATES[optimizer.param_groups[optimizer._core.group_of(i)].rule]
        flat = {**given, **given.get(_WRAPPED, {})}
        steps.append(to_steps(flat["step"], f"step of parameter {i}") if "step" in flat else 0)
        own = {}
        for number, name in enumerate(names, 1):
            what = f"state{number} of parameter {i}"
            if not flat:
                own[name] = np.zeros(shape, np.float32)
            elif f"qmap{number}" in flat:
                keys = (f"state{number}", f"absmax{number}", f"qmap{number}")
                require_keys(flat, keys, f"parameter {i}")
                coded[i, name] = to_coded(flat[keys[0]], flat[keys[1]], flat[keys[2]], shape, what, BLOCK)
                own[name] = coded[i, name].decode()
            else:
                require_keys(flat, (f"state{number}",), f"parameter {i}")
                own[name] = to_values(flat[f"state{number}"], shape, what)
        values.append(own)
    replace(optimizer, hypers, steps, values)
    remember(optimizer, coded)


def to_bitsandbytes_state_dict(
    optimizer: Optimizer, convert: Callable[[Any], Any] = np.asarray, min_8bit_size: int = SMALLEST
) -> dict[str, Any]:
    """The state of an optimizer (Adam, AdamW, Lion or SGD with momentum) in the layout of bitsandbytes' 8-bit ones.

    Numbers that came from bitsandbytes and have not changed get the codes and scales that they came with; others the
    nearest codes. Zero stays zero.

    Args:
        optimizer: not changed.
        convert: makes of a NumPy array what the dict is to hold, such as torch.from_numpy.
        min_8bit_size: states of fewer elements are given in float32, as bitsandbytes keeps them.

    Returns:
        A dict that bitsandbytes' ``load_state_dict`` takes, with arrays of its own.

    Raises:
        ValueError: bitsandbytes has no such rule, or has it in another form.
    """
    groups = [_bitsandbytes_group(group, i) for i, group in enumerate(optimizer.param_groups)]
    first = 0
    for given, size in zip(groups, group_sizes(optimizer), strict=True):
        given["params"] = list(range(first, first + size))
        first += size
    state: dict[int, dict[str, Any]] = {}
    for i, values in enumerate(read(optimizer)):
        if optimizer._core.steps(i) == 0:
            continue
        state[i] = {"step": optimizer._core.steps(i)}
        for number, name in enumerate(_STATES[optimizer.param_groups[optimizer._core.group_of(i)].rule], 1):
            value = values[name].astype(np.float32)
            if value.size < min_8bit_size and not was_imported(optimizer, i, name):
                state[i][f"state{number}"] = convert(value)
                continue
            coded: Coded = encode_again(optimizer, i, name, value, number == 1, 0.0)
            state[i][f"state{number}"] = convert(coded.codes)
            state[i][f"qmap{number}"] = convert(coded.table)
            state[i][f"absmax{number}"] = convert(coded.scales)
    return {"state": state, "param_groups": groups}


def _require_shared(group: ParamGroup, index: int) -> None:
    if group.rule not in _STATES:
        raise ValueError(f"group {index}: expected a rule of {', '.join(_STATES)}, got {group.rule}")
    wanted = {"bias_correction": 1, "maximize": 0, "dampening": 0, "nesterov": 0}
    if group.rule == "adam":
        wanted["weight_decay"] = 0  # bitsandbytes decouples it
    for name, value in wanted.items():
        if group.get(name, value) != value:
            raise ValueError(f"group {index}: expected {name} {value}, as in bitsandbytes, got {group[name]}")


def _bitsandbytes_group(group: ParamGroup, index: int) -> dict[str, Any]:
    _require_shared(group, index)
    if group.rule == "sgd_momentum":
        further: dict[str, Any] = {"betas": (group["momentum"], 0.0), "eps": 0.0}
    elif group.rule == "lion":
        further = {"betas": group["betas"], "eps": 1e-8}
    else:
        further = {"betas": group["betas"], "eps": group["eps"], "alpha": 0.0, "t_alpha": None, "t_beta3": None}
    return {"lr": group["lr"], **further, "weight_decay": group["weight_decay"]}


def _own_group(group: ParamGroup, given: Mapping[str, Any], index: int) -> dict[str, Any]:
    _require_shared(group, index)
    names = [name for name in ("lr", "betas", "eps", "weight_decay") if name in (*group, "betas")]
    require_keys(given, names, f"group {index}")
    hypers: dict[str, Any] = {
        name: to_number(given[name], f"{name} of group {index}") for name in names if name != "betas"
    }
    betas = to_numbers(given["betas"], 2, f"betas of group {index}")
    hypers.update({"momentum": betas[0]} if group.rule == "sgd_momentum" else {"betas": betas})
    if group.rule == "adam" and hypers["weight_decay"] != 0:
        raise ValueError(
            f"state_dict: group {index}: bitsandbytes decouples weight decay: expected AdamW to take over a "
            f"weight_decay of {hypers['weight_decay']}, got Adam"
        )
    return hypers
