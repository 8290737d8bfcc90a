"""The layout of torchao's 8-bit optimizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from petrain.optim.base import Optimizer, ParamGroup
from petrain.optim.exchange._dynamic import BLOCK, SMALLEST, encode_again, remember, to_coded, was_imported
from petrain.optim.exchange._values import (
    Values,
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

_RULES = ("adam", "adam_amsgrad", "adamw", "adamw_amsgrad")
_LEAST_SCALE = 1e-12


def from_torchao_state_dict(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> None:
    """Take over what torchao.optim.Adam8bit or AdamW8bit gave by ``state_dict()``.

    The parameters are matched by their order. What the codes stand for is taken over exactly by states in float32, the
    default; an optimizer with another ``state_dtype`` rounds it.

    Args:
        optimizer: Adam or AdamW (the dict does not say which), with as many parameters of the same shapes in each
            group.
        state_dict: with torchao's OptimState8bit, or what else has ``codes``, ``scale`` and ``qmap`` as attributes or
            as keys; or with plain tensors or arrays, as for tensors that torchao keeps in full.

    Raises:
        ValueError: the dict is of another model, or a value is not usable. Nothing was changed.
        TypeError: it is no dict.
    """
    states = check_layout(optimizer, state_dict)
    hypers = [
        _own_group(group, given, i)
        for i, (group, given) in enumerate(zip(optimizer.param_groups, state_dict["param_groups"], strict=True))
    ]
    steps, values, coded = [], [], {}
    for i, (given, own, shape) in enumerate(zip(states, read(optimizer), shapes(optimizer), strict=True)):
        names = [name for name in own if name not in ("master", "compensation")]
        if given:
            require_keys(given, ("step", *names), f"parameter {i}")
        steps.append(to_steps(given["step"], f"step of parameter {i}") if given else 0)
        taken: Values = {}
        for name in names:
            what = f"{name} of parameter {i}"
            parts = _parts(given.get(name))
            if not given:
                taken[name] = np.zeros(shape, np.float32)
            elif parts is None:
                taken[name] = to_values(given[name], shape, what)
            else:
                coded[i, name] = to_coded(*parts, shape, what)
                taken[name] = coded[i, name].decode()
        values.append(taken)
    replace(optimizer, hypers, steps, values)
    remember(optimizer, coded)


def to_torchao_state_dict(
    optimizer: Optimizer, convert: Callable[[Any], Any] = np.asarray, subclass: Callable[..., Any] = dict
) -> dict[str, Any]:
    """The state of Adam or AdamW in the layout of torchao.optim.Adam8bit and AdamW8bit.

    Numbers that came from torchao and have not changed get the codes and scales that they came with; others the nearest
    codes, by torchao's own rounding. As torchao does, tensors of fewer than 4,096 elements, or of a number that is not
    a multiple of 256, are given in float32.

    Args:
        optimizer: not changed.
        convert: makes of a NumPy array what the dict is to hold, such as torch.from_numpy.
        subclass: makes the states in 8 bits, of ``codes``, ``scale``, ``qmap`` and ``signed``, by name:
            torchao.optim.subclass_8bit.OptimState8bit, or dict.

    Returns:
        A dict that torchao's ``load_state_dict`` takes (with torch.from_numpy and OptimState8bit), with arrays of its
        own.

    Raises:
        ValueError: another rule, or not with ``bias_correction``.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import AdamW
        >>> opt = AdamW([np.zeros(4096, np.float32)])
        >>> info = opt.step([np.ones(4096, np.float32)])
        >>> state = to_torchao_state_dict(opt)["state"][0]
        >>> int(state["exp_avg"]["codes"][0]), float(state["exp_avg"]["scale"][0]), len(state["exp_avg"]["scale"])
        (255, 0.10000000149011612, 16)
    """
    groups = []
    first = 0
    for i, (group, size) in enumerate(zip(optimizer.param_groups, group_sizes(optimizer), strict=True)):
        _require_shared(group, i)
        groups.append(
            {
                "params": list(range(first, first + size)),
                "lr": convert(np.array(group["lr"], np.float32)),
                **{name: group[name] for name in ("betas", "eps", "weight_decay")},
                "amsgrad": group.rule.endswith("amsgrad"),
            }
        )
        first += size
    state: dict[int, dict[str, Any]] = {}
    for i, values in enumerate(read(optimizer)):
        steps = optimizer._core.steps(i)
        if steps == 0:
            continue
        state[i] = {"step": convert(np.array(steps, np.float32))}
        for name, value in values.items():
            if name in ("master", "compensation"):
                continue
            value = value.astype(np.float32)
            whole = value.size >= SMALLEST and value.size % BLOCK == 0
            if not whole and not was_imported(optimizer, i, name):
                state[i][name] = convert(value)
                continue
            signed = name == "exp_avg"
            coded = encode_again(optimizer, i, name, value, signed, _LEAST_SCALE)
            state[i][name] = subclass(
                codes=convert(coded.codes), scale=convert(coded.scales), qmap=convert(coded.table), signed=signed
            )
    return {"state": state, "param_groups": groups}


def _require_shared(group: ParamGroup, index: int) -> None:
    if group.rule not in _RULES:
        raise ValueError(f"group {index}: expected a rule of {', '.join(_RULES)}, got {group.rule}")
    for name, value in {"bias_correction": 1, "maximize": 0}.items():
        if group[name] != value:
            raise ValueError(f"group {index}: expected {name} {value}, as in torchao, got {group[name]}")


def _own_group(group: ParamGroup, given: Mapping[str, Any], index: int) -> dict[str, Any]:
    _require_shared(group, index)
    amsgrad = group.rule.endswith("amsgrad")
    if bool(given.get("amsgrad", False)) != amsgrad:
        raise ValueError(f"state_dict: expected amsgrad {amsgrad} of group {index}, got {given.get('amsgrad')!r}")
    require_keys(given, ("lr", "betas", "eps", "weight_decay"), f"group {index}")
    hypers: dict[str, Any] = {
        name: to_number(given[name], f"{name} of group {index}") for name in ("lr", "eps", "weight_decay")
    }
    return {**hypers, "betas": to_numbers(given["betas"], 2, f"betas of group {index}")}


def _parts(state: Any) -> tuple[Any, Any, Any] | None:
    """Codes, scales and table of a state in 8 bits."""
    names = ("codes", "scale", "qmap")
    if isinstance(state, Mapping) and all(name in state for name in names):
        return state["codes"], state["scale"], state["qmap"]
    if all(hasattr(state, name) for name in names):
        return state.codes, state.scale, state.qmap
    return None
