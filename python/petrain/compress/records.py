"""Options and plans as JSON, and back, whatever a file holds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from petrain import _core
from petrain._numbers import integer
from petrain.compress.journal import replace_json
from petrain.compress.layout import Layout
from petrain.compress.plan import LayerChoice, Option, Plan

FORMAT = "petrain plan 1"


def record_of(option: Option) -> dict[str, Any]:
    """An option as JSON."""
    record = {"option": option.name, "nbytes": option.nbytes, "error": option.error, "seconds": option.seconds}
    if option.layout is not None:
        record |= {"graph": option.layout.graph, "tensors": [list(tensor) for tensor in option.layout.tensors]}
    return record


def option_from(record: Any) -> Option:
    """The option of a record.

    Raises:
        KeyError, TypeError, ValueError, RecursionError: it is none.
    """
    layout = None
    if "graph" in record:
        tensors = tuple((_text(name), _text(dtype), _shape(shape)) for name, dtype, shape in record["tensors"])
        graph = json.loads(_text(record["graph"]))
        if not isinstance(graph, dict):
            raise ValueError(f"expected a description of a weight, got {record['graph']}")
        json.dumps(graph, ensure_ascii=False).encode()
        layout = Layout(record["graph"], tensors)
        _core.safetensors_size({}, layout.below("weight"))
    return Option(record["option"], record["nbytes"], record["error"], record["seconds"], layout)


def save_plan(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Write a plan as a file of JSON, in the place of an old one if there is one, all or nothing.

    Raises:
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from petrain.compress import Option, load_plan, plan_options
        >>> plan = plan_options({"up": [Option("int8", 1040, 1e-4), Option("int4", 620, 1e-2)]}, budget_bytes=2000)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_plan(plan, f"{folder}/plan.json")
        ...     load_plan(f"{folder}/plan.json") == plan
        True
    """
    layers = [
        {
            "layer": choice.layer,
            "chosen": record_of(choice.option),
            "cheaper": choice.cheaper and record_of(choice.cheaper),
            "better": choice.better and record_of(choice.better),
            "refused": [record_of(option) for option in choice.refused],
        }
        for choice in plan.layers
    ]
    numbers = {name: getattr(plan, name) for name in _NUMBERS}
    replace_json(Path(path), {"format": FORMAT, **numbers, "layers": layers})


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan that :func:`save_plan` wrote.

    Raises:
        OSError: the file cannot be read.
        petrain.Error: it is not a plan.
    """
    try:
        record = json.loads(Path(path).read_bytes())
        if record["format"] != FORMAT:
            raise ValueError
        layers = tuple(
            LayerChoice(
                _text(layer["layer"]),
                option_from(layer["chosen"]),
                None if layer["cheaper"] is None else option_from(layer["cheaper"]),
                None if layer["better"] is None else option_from(layer["better"]),
                tuple(option_from(option) for option in layer["refused"]),
            )
            for layer in record["layers"]
        )
        return Plan(layers, **{name: record[name] for name in _NUMBERS})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _core.Error(f"{os.fspath(path)}: expected a file of {FORMAT!r}, got another ({error})") from None


_NUMBERS = ("budget_bytes", "budget_ms", "error", "lower_bound", "gap", "file_bytes", "other_seconds")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    value.encode()  # no half of a surrogate pair
    return value


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(integer("shape", extent, 0) for extent in value)
