"""The states of an optimizer as numbers, whatever it keeps them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petrain._bfloat16 import from_bfloat16, is_bfloat16, to_bfloat16
from petrain.optim.base import Optimizer

Values = dict[str, NDArray[Any]]  # float32 or float64, by the state's name

_GROUP = 64
_SHIFT = 19
# The 8-bit codes of cpp/kernels/codes.hpp, by the dtype that they are kept in: bias, its bits, the greatest code.
_KINDS = {
    "int8": (np.float32(2.0**-8), np.uint32(0x3B800000), np.uint32(127)),
    "uint8": (np.float32(2.0**-16), np.uint32(0x37800000), np.uint32(255)),
}


def decode(codes: NDArray[Any], scales: NDArray[Any]) -> NDArray[Any]:
    """What 8-bit codes stand for, as the update rules read them."""
    bias, first, last = _KINDS[str(codes.dtype)]
    wide = codes.reshape(-1).astype(np.int32)
    size = ((np.abs(wide).astype(np.uint32) << _SHIFT) + first).view(np.float32) - bias
    most = _float(first + (last << np.uint32(_SHIFT))) - bias
    values = size * np.repeat(scales / most, _GROUP)[: wide.size]
    return np.where(wide < 0, -values, values).reshape(codes.shape)


def encode(values: NDArray[Any], dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The nearest codes, and the scales of groups of 64. A square that is not zero does not become zero."""
    bias, first, last = _KINDS[dtype]
    flat = np.zeros(-(-values.size // _GROUP) * _GROUP, np.float32)
    flat[: values.size] = values.reshape(-1)
    size = np.abs(flat).reshape(-1, _GROUP)
    scales = size.max(axis=1, initial=0)
    usable = scales >= np.float32(2.0**-126)
    most = _float(first + (last << np.uint32(_SHIFT))) - bias
    inverse = np.where(usable, most * (np.float32(1) - np.float32(2.0**-21)) / np.where(usable, scales, 1), 0)
    scaled = size * inverse[:, None].astype(np.float32) + bias
    wide = (scaled.view(np.uint32) + np.uint32(1 << (_SHIFT - 1)) - first) >> np.uint32(_SHIFT)
    if dtype == "uint8":
        wide = np.maximum(wide, size > 0)
    signed = np.where(np.signbit(flat), -wide.reshape(-1).astype(np.int32), wide.reshape(-1).astype(np.int32))
    return signed[: values.size].astype(dtype).reshape(values.shape), np.where(usable, scales, 0).astype(np.float32)


def _float(bits: np.uint32) -> np.float32:
    return np.float32(np.array([bits], np.uint32).view(np.float32)[0])


def read(optimizer: Optimizer) -> list[Values]:
    """The states of each parameter, exactly; float64 where the optimizer keeps float64."""
    result = []
    for arrays in optimizer._live_state()["state"]:
        values: Values = {}
        for name, array in arrays.items():
            if name + "_scale" in arrays:
                values[name] = decode(array, arrays[name + "_scale"])
            elif is_bfloat16(array):
                values[name] = from_bfloat16(array)
            elif not (name.endswith("_scale") and name[: -len("_scale")] in arrays):
                values[name] = array.astype(np.float64 if array.dtype == np.float64 else np.float32)
        result.append(values)
    return result


def replace(
    optimizer: Optimizer,
    hypers: Sequence[Mapping[str, Any]],
    steps: Sequence[int],
    values: Sequence[Mapping[str, NDArray[Any]]],
    memory: Sequence[Mapping[str, float]] | None = None,
) -> None:
    """Give the optimizer these hyperparameters, step counts and states, rounded to what it keeps them in; what is not
    given stays as it is. All of it is checked before any is written."""
    state = optimizer._live_state()
    state["groups"] = [{**own, **given} for own, given in zip(state["groups"], hypers, strict=True)]
    state["steps"] = list(steps)
    if memory is not None:
        state["memory"] = [{**own, **given} for own, given in zip(state["memory"], memory, strict=True)]
    state["state"] = [{**own, **_stored(given, own)} for own, given in zip(state["state"], values, strict=True)]
    optimizer.load_state_dict(state)


def _stored(values: Mapping[str, NDArray[Any]], own: Values) -> Values:
    result: Values = {}
    for name, value in values.items():
        array = own[name]
        if name + "_scale" in own:
            result[name], result[name + "_scale"] = encode(value, str(array.dtype))
        else:
            result[name] = to_bfloat16(value, array.dtype) if is_bfloat16(array) else value.astype(array.dtype)
    return result


def to_numpy(array: Any, what: str) -> NDArray[Any]:
    """A NumPy array, or a CPU tensor of PyTorch, as a NumPy array; bfloat16 as float32."""
    if hasattr(array, "detach"):
        array = array.detach()
        if str(array.dtype) == "torch.bfloat16":
            array = array.float()
    try:
        result = np.asarray(array)
    except Exception as error:
        raise ValueError(f"state_dict: {what}: expected an array, got {type(array).__name__}") from error
    if str(result.dtype) == "bfloat16":
        result = result.astype(np.float32)
    return result


def to_number(value: Any, what: str) -> float:
    """A number, or an array of one."""
    array = to_numpy(value, what)
    if array.size != 1 or array.dtype.kind not in "fiub":
        raise ValueError(f"state_dict: expected {what} to be a number, got {value!r}")
    return float(array.reshape(-1)[0])


def to_numbers(values: Any, count: int, what: str) -> tuple[float, ...]:
    """So many numbers."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
        raise ValueError(f"state_dict: expected {what} to be {count} numbers, got {values!r}")
    return tuple(to_number(value, what) for value in values)


def to_values(array: Any, shape: tuple[int, ...], what: str) -> NDArray[Any]:
    """Floats of this shape, finite."""
    result = to_numpy(array, what)
    if result.dtype.kind != "f":
        raise ValueError(f"state_dict: expected {what} to be of a float dtype, got {result.dtype}")
    if result.shape != shape:
        raise ValueError(f"state_dict: expected shape {shape} of {what}, got {result.shape}")
    if not np.isfinite(result).all():
        raise ValueError(f"state_dict: expected {what} to be finite, got NaN or infinity")
    return result


def to_steps(value: Any, what: str) -> int:
    """A count of steps."""
    number = to_number(value, what)
    if not (number >= 0 and number == int(number)):
        raise ValueError(f"state_dict: expected {what} to be a whole number of at least 0, got {number}")
    return int(number)


def require_keys(given: Mapping[str, Any], keys: Sequence[str], what: str) -> None:
    """ValueError where a key is missing."""
    for key in keys:
        if key not in given:
            raise ValueError(f"state_dict: expected {key} in {what}, got {sorted(map(str, given))}")


def check_layout(optimizer: Optimizer, given: Any) -> list[Mapping[str, Any]]:
    """The state of each parameter, in the optimizer's order, of a dict in torch's layout; {} where there is none."""
    if not isinstance(given, Mapping):
        raise TypeError(f"state_dict: expected a dict, got {type(given).__name__}")
    for key, kind in (("state", Mapping), ("param_groups", Sequence)):
        if not isinstance(given.get(key), kind):
            raise ValueError(f"state_dict: expected {key} to be a {kind.__name__.lower()}, got {given.get(key)!r}")
    groups, sizes = given["param_groups"], group_sizes(optimizer)
    if not all(isinstance(group, Mapping) and isinstance(group.get("params"), Sequence) for group in groups):
        raise ValueError('state_dict: expected every group to be a dict with a list "params"')
    got = [len(group["params"]) for group in groups]
    if got != sizes:
        raise ValueError(f"state_dict: expected groups of {sizes} parameters, got {got}")
    ids = [id_ for group in groups for id_ in group["params"]]
    unknown = [id_ for id_ in given["state"] if id_ not in ids]
    if unknown:
        raise ValueError(f"state_dict: expected states of the parameters {ids}, got one of {unknown[0]!r}")
    return [given["state"].get(id_, {}) for id_ in ids]


def group_sizes(optimizer: Optimizer) -> list[int]:
    """How many parameters each group has."""
    sizes = [0] * len(optimizer.param_groups)
    for i in range(len(optimizer._core.shapes())):
        sizes[optimizer._core.group_of(i)] += 1
    return sizes


def shapes(optimizer: Optimizer) -> list[tuple[int, ...]]:
    """Of the parameters."""
    return [tuple(shape) for shape in optimizer._core.shapes()]
