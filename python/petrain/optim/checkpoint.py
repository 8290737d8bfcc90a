"""A training run in one file, from which it goes on bit for bit."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petrain import _core
from petrain._core import Error
from petrain._params import Arrays, split
from petrain._state import check_state
from petrain.files import load_tensors, save_tensors
from petrain.optim.base import Optimizer

_FORMAT = "petrain checkpoint 1"
_BITS = ".bits"  # ends the name of bfloat16 numbers that NumPy, without ml_dtypes, has no dtype for


def save_checkpoint(
    path: str | os.PathLike[str], optimizer: Optimizer, params: Arrays | None = None, extra: Any = None
) -> None:
    """Write what a run needs to go on: the optimizer's state, the parameters, and what else is given.

    The file is a safetensors file: the arrays as tensors, in the dtypes that they have, all else as JSON in its header.
    It is written under a temporary name, synced and renamed: a run that is killed meanwhile leaves the old file.

    Args:
        path: where to.
        optimizer: any of petrain.optim. Not changed.
        params: its parameters, a list in their order or a dict by name; None: they are kept elsewhere.
        extra: what JSON can hold, such as ``{"epoch": 3, "schedule": schedule.state_dict()}``.

    Raises:
        OSError: the file cannot be written. The old file is as it was.
        ValueError: the parameters are not the optimizer's, or cannot be stored, or JSON cannot hold ``extra``. Nothing
            was written.
        TypeError: the same, for a type that JSON does not have.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from petrain.optim import AdamW
        >>> w, g = np.zeros(3, np.float32), np.ones(3, np.float32)
        >>> opt = AdamW([w])
        >>> info = opt.step([g])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "run.safetensors")
        ...     save_checkpoint(path, opt, [w], extra={"epoch": 1})
        ...     again = np.zeros(3, np.float32)
        ...     resumed = AdamW([again])
        ...     load_checkpoint(path, resumed, [again])
        {'epoch': 1}
        >>> bool((again == w).all()), resumed.state_dict()["steps"]
        (True, [1])
    """
    state = optimizer._live_state()
    arrays = [] if params is None else _own_params(optimizer, params)
    tensors: dict[str, Any] = {f"param.{i}": array for i, array in enumerate(arrays)}
    for i, states in enumerate(state["state"]):
        for name, array in states.items():
            if array.dtype == np.uint16:
                tensors[f"state.{i}.{name}{_BITS}"] = _bytes_of(array).reshape(*array.shape, 2)
            else:
                tensors[f"state.{i}.{name}"] = array
    description = {key: value for key, value in state.items() if key != "state"}
    texts = {
        "format": _FORMAT,
        "optimizer": json.dumps(description, allow_nan=False),
        "extra": json.dumps(extra, allow_nan=False),
    }
    save_tensors(path, tensors, texts)


def load_checkpoint(path: str | os.PathLike[str], optimizer: Optimizer, params: Arrays | None = None) -> Any:
    """Take over what :func:`save_checkpoint` has written, in place, so that the run goes on bit for bit.

    The optimizer must have been made as the saved one was, with the same arguments and its seed. Everything is checked
    before anything is written.

    Args:
        path: the file.
        optimizer: takes over the state.
        params: take over the parameters; None: they are left as they are.

    Returns:
        What was given to save_checkpoint as ``extra``.

    Raises:
        OSError: the file cannot be read.
        petrain.Error: it is not a correct safetensors file, or not a checkpoint.
        ValueError: it belongs to another optimizer or another model, or has no parameters where ``params`` is given.
            Nothing was changed.
    """
    tensors, texts = load_tensors(path)
    if texts.get("format") != _FORMAT:
        raise Error(f"{os.fspath(path)}: expected the format {_FORMAT!r}, got {texts.get('format')!r}")
    try:
        state, extra = (json.loads(texts[key]) for key in ("optimizer", "extra"))
    except (KeyError, ValueError) as error:
        raise Error(f"{os.fspath(path)}: expected a checkpoint's description, got {error}") from error
    own = optimizer._live_state()
    if not isinstance(state, dict):
        raise Error(f"{os.fspath(path)}: expected a checkpoint's description, got {type(state).__name__}")
    state["state"] = [_saved_states(tensors, i, states) for i, states in enumerate(own["state"])]
    check_state(state, own)
    expected = {f"param.{i}" for i in range(len(own["state"]))}
    expected |= {f"state.{i}.{name}" for i, states in enumerate(own["state"]) for name in states}
    unknown = sorted({name.removesuffix(_BITS) for name in tensors} - expected)
    if unknown:
        raise ValueError(f"{os.fspath(path)}: expected the tensors of this optimizer, got {unknown[0]} too")
    if params is not None:
        arrays = _own_params(optimizer, params)
        saved = [_saved_param(tensors, i, array) for i, array in enumerate(arrays)]
        _core.copy_bytes(arrays, saved)
    optimizer.load_state_dict(state)
    return extra


def _own_params(optimizer: Optimizer, params: Arrays) -> list[Any]:
    names, arrays = split(params)
    if names is not None and optimizer._names is not None and names != optimizer._names:
        raise ValueError(f"params: expected the names {optimizer._names}, got {names}")
    shapes = [tuple(shape) for shape in optimizer._core.shapes()]
    got = [tuple(array.shape) for array in arrays]
    if got != shapes:
        raise ValueError(f"params: expected the shapes {shapes}, got {got}")
    return arrays


def _saved_states(tensors: Mapping[str, NDArray[Any]], index: int, own: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The states of one parameter; those that the file does not have are left out, for check_state to find."""
    result = {}
    for name, array in own.items():
        key = f"state.{index}.{name}"
        if key in tensors:
            result[name] = tensors[key]
        elif key + _BITS in tensors and tensors[key + _BITS].shape == (*array.shape, 2):
            result[name] = tensors[key + _BITS].reshape(-1).view(array.dtype).reshape(array.shape)
    return result


def _saved_param(tensors: Mapping[str, NDArray[Any]], index: int, own: Any) -> NDArray[np.uint8]:
    key = f"param.{index}"
    if key not in tensors:
        raise ValueError(f"expected a checkpoint with parameter {index}, got one without")
    saved, dtype = tensors[key], str(own.dtype).removeprefix("torch.")
    got = str(saved.dtype).replace("uint16", "bfloat16")
    if saved.shape != tuple(own.shape) or got != dtype:
        raise ValueError(f"parameter {index}: expected {dtype} {tuple(own.shape)}, got {got} {saved.shape}")
    return _bytes_of(saved)


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
