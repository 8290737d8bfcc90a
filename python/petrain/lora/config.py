"""adapter_config.json, as Hugging Face PEFT writes and reads it."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from petrain import _core
from petrain.lora.layer import Linear

# What an adapter is trained or found with, not what it computes.
_IGNORED = {
    "auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "exclude_modules", "inference_mode",
    "layers_pattern", "layers_to_transform", "loftq_config", "lora_dropout", "lora_ga_config", "megatron_core",
    "peft_version", "qalora_group_size", "revision", "runtime_config", "target_modules", "task_type",
}  # fmt: skip
_KNOWN = {
    "alpha_pattern", "bias", "fan_in_fan_out", "init_lora_weights", "lora_alpha", "peft_type", "r", "rank_pattern",
    "use_dora", "use_rslora",
}  # fmt: skip
# Others have PEFT change the base, in ways that are not repeated here.
_INITS = (True, False, "gaussian", "eva", "orthogonal", "mica", "pissa")
_LONGEST_NAME = 512
_ESCAPED = re.compile(r"\\.", re.DOTALL)
Value = TypeVar("Value")
Patterns: TypeAlias = tuple[tuple[re.Pattern[str], str, Value], ...]


@dataclass(frozen=True)
class Config:
    """What of a LoraConfig says how the layers compute."""

    r: int
    alpha: float
    use_rslora: bool
    use_dora: bool
    pissa: bool
    ranks: Patterns[int]
    alphas: Patterns[float]

    def rank_of(self, module: str) -> int:
        return _value_for(self.ranks, module, self.r)

    def alpha_of(self, module: str) -> float:
        return _value_for(self.alphas, module, self.alpha)


def config_of(layers: Mapping[str, Linear], shapes: Mapping[str, tuple[int, float]], base_model: str | None) -> str:
    """The text of the file for layers with these ranks and alphas."""
    first = next(iter(layers.values()))
    r = Counter(rank for rank, _ in shapes.values()).most_common(1)[0][0]
    alpha = Counter(alpha for _, alpha in shapes.values()).most_common(1)[0][0]
    pattern = {name: "^" + re.escape(name) for name in shapes}  # not "a.fc" for a layer "fc"
    fields: dict[str, Any] = {
        "alpha_pattern": {pattern[name]: _short(a) for name, (_, a) in sorted(shapes.items()) if a != alpha},
        "auto_mapping": None,
        "base_model_name_or_path": base_model,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "layers_pattern": None,
        "layers_to_transform": None,
        "lora_alpha": _short(alpha),
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": r,
        "rank_pattern": {pattern[name]: rank for name, (rank, _) in sorted(shapes.items()) if rank != r},
        "revision": None,
        "target_modules": sorted(layers),
        "task_type": None,
        "use_dora": first.use_dora,
        "use_rslora": first.use_rslora,
    }
    return json.dumps(fields, indent=2, sort_keys=True)


def parse_config(text: bytes) -> Config:
    """Of a file that is hostile until it is checked.

    Raises:
        petrain.Error: it is not the configuration of an adapter that :class:`Linear` can be.
    """
    fields = _parse(text)
    if "peft_type" not in fields or fields["peft_type"] != "LORA":
        raise _core.Error(f'peft_type: expected "LORA", got {_shown(fields.get("peft_type"))}')
    for name, value in fields.items():
        # What is not known may change what a layer computes, unless it says that it is not used.
        if name not in _KNOWN | _IGNORED and value not in (None, False, [], {}):
            raise _core.Error(f"{_shown(name)}: expected it to be unused, got {_shown(value)}")
    if fields.get("bias", "none") != "none":
        raise _core.Error(f'bias: expected "none", got {_shown(fields["bias"])}')
    if _flag(fields, "fan_in_fan_out"):
        raise _core.Error("fan_in_fan_out: expected false, for weights (out, in), got true")
    start = fields.get("init_lora_weights", True)
    if not any(start is known or (isinstance(start, str) and start == known) for known in _INITS):
        names = ", ".join(json.dumps(known) for known in _INITS)
        raise _core.Error(f"init_lora_weights: expected one of {names}, got {_shown(start)}")
    for name in ("r", "lora_alpha"):
        if name not in fields:
            raise _core.Error(f"expected a field {name}, got none")
    return Config(
        r=_rank("r", fields["r"]),
        alpha=_alpha("lora_alpha", fields["lora_alpha"]),
        use_rslora=_flag(fields, "use_rslora"),
        use_dora=_flag(fields, "use_dora"),
        pissa=start == "pissa",
        ranks=_patterns(fields, "rank_pattern", _rank),
        alphas=_patterns(fields, "alpha_pattern", _alpha),
    )


def check_name(module: str) -> None:
    """Patterns are matched against names, in a time that grows with the square of their length."""
    if len(module) > _LONGEST_NAME:
        raise _core.Error(f"expected names of at most {_LONGEST_NAME} characters, got one of {len(module)}")


def _value_for(patterns: Patterns[Value], module: str, otherwise: Value) -> Value:
    """That of the first pattern that the name of the module ends with, as PEFT finds it."""
    matching = (value for pattern, _, value in patterns if pattern.match(module))
    named = (value for _, key, value in patterns if key == module)  # of which not every name is its own pattern
    return next(matching, next(named, otherwise))


def _parse(text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) != len(pairs):
            twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise _core.Error(f"expected each key once, got {_shown(twice)} again")
        return fields

    def refuse(constant: str) -> Any:
        raise _core.Error(f"expected finite numbers, got {constant}")

    try:
        fields = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise _core.Error(f"expected JSON, got {error}") from None
    if not isinstance(fields, dict):
        raise _core.Error(f"expected a JSON object, got {_shown(fields)}")
    return fields


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise _core.Error(f"{name}: expected true or false, got {_shown(value)}")
    return value


def _rank(name: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value < 2**31:
        raise _core.Error(f"{name}: expected an integer of 1 or more, got {_shown(value)}")
    return value


def _alpha(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < 1e30:
        raise _core.Error(f"{name}: expected a number above 0, got {_shown(value)}")
    return float(value)


def _patterns(fields: Mapping[str, Any], name: str, checked: Callable[[str, Any], Value]) -> Patterns[Value]:
    """Regular expressions and values. Those with alternatives or several repetitions could take for ever to match."""
    patterns = fields.get(name)
    if patterns is None:
        return ()
    if not isinstance(patterns, dict):
        raise _core.Error(f"{name}: expected an object, got {_shown(patterns)}")
    compiled = []
    for key, value in patterns.items():
        plain = _ESCAPED.sub("", key)
        if len(key) > 2 * _LONGEST_NAME or set("()|") & set(plain) or sum(plain.count(sign) for sign in "*+?{") > 1:
            raise _core.Error(f"{name}: expected patterns of at most one repetition, without groups, got {_shown(key)}")
        try:
            compiled.append((re.compile(rf"(.*\.)?({key})$"), key, checked(name, value)))
        except (re.error, OverflowError, RecursionError) as error:
            raise _core.Error(f"{name}: expected a regular expression, got {_shown(key)}: {error}") from None
    return tuple(compiled)


def _short(alpha: float) -> int | float:
    return int(alpha) if alpha.is_integer() and math.fabs(alpha) < 2**31 else alpha


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
