"""The parameters of several adapted layers, as optimizers take them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from petrain._numbers import number
from petrain._params import Floats
from petrain.lora.layer import Linear


def parameters(layers: Mapping[str, Linear]) -> dict[str, Floats]:
    """What is trained of several layers, in place, by the name of the layer and its own: "blocks.0.query.lora_A".

    Raises:
        TypeError: ``layers`` is no dict of adapted layers.
    """
    return {f"{name}.{part}": array for name, layer in _checked(layers) for part, array in layer.parameters().items()}


def gradients(layers: Mapping[str, Linear]) -> dict[str, Floats]:
    """The gradients of the last backward passes, by the names of :func:`parameters`.

    Raises:
        ValueError: a layer had none.
        TypeError: ``layers`` is no dict of adapted layers.
    """
    return {f"{name}.{part}": array for name, layer in _checked(layers) for part, array in layer.gradients().items()}


def parameter_groups(layers: Mapping[str, Linear], lr: float, ratio: float = 16.0) -> list[dict[str, Any]]:
    r"""Groups for the optimizers of :mod:`petrain.optim` with another learning rate for B: LoRA+.

    B, and the magnitudes of DoRA, learn with ``lr * ratio``, A with ``lr``: with one rate for both, A and B of a wide
    layer do not both learn features well.

    Source: LoRA+ (Hayou, Ghosh, Yu, arXiv 2402.12354); the grouping is that of PEFT's ``create_loraplus_optimizer``.

    Args:
        layers: by name.
        lr: of A.
        ratio: :math:`\eta_B / \eta_A`, 1 or more.

    Returns:
        Two group dicts, with the parameters by the names of :func:`parameters`. Magnitudes get no weight decay: that
        would draw them to zero, not to where they began; they are a third group where there are any, without it.

    Raises:
        ValueError: a number is out of range, or there is no layer.
        TypeError: ``layers`` is no dict of adapted layers, or a number is none.

    Example:
        >>> import numpy as np
        >>> from petrain.optim import AdamW
        >>> layers = {"query": Linear(np.eye(4, dtype=np.float32), rank=2)}
        >>> opt = AdamW(parameter_groups(layers, lr=1e-4))
        >>> [group["lr"] for group in opt.param_groups]
        [0.0001, 0.0016]
    """
    for name, value in (("lr", lr), ("ratio", ratio)):
        got = number(name, value)
        if got is None or not math.isfinite(got) or got <= 0 or (name == "ratio" and got < 1):
            raise ValueError(
                f"{name}: expected a finite number {'of 1 or more' if name == 'ratio' else 'above 0'}, got {got}"
            )
    named = parameters(layers)
    if not named:
        raise ValueError("layers: expected at least one, got none")
    kinds: dict[str, dict[str, Floats]] = {"lora_A": {}, "lora_B": {}, "lora_magnitude_vector": {}}
    for name, array in named.items():
        kinds[name.rpartition(".")[2]][name] = array
    groups: list[dict[str, Any]] = [
        {"params": kinds["lora_A"], "lr": lr},
        {"params": kinds["lora_B"], "lr": lr * ratio},
    ]
    if kinds["lora_magnitude_vector"]:
        groups.append({"params": kinds["lora_magnitude_vector"], "lr": lr * ratio, "weight_decay": 0.0})
    return groups


def _checked(layers: Mapping[str, Linear]) -> Any:
    if not isinstance(layers, Mapping):
        raise TypeError(f"layers: expected a dict of adapted layers by name, got {type(layers).__name__}")
    for name, layer in layers.items():
        if not isinstance(name, str) or not isinstance(layer, Linear):
            raise TypeError(f"layers: expected adapted layers by name, got {type(layer).__name__} for {name!r}")
    return layers.items()
