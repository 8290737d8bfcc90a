"""What becomes of each layer under a budget, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from petrain._numbers import integer, number
from petrain.compress.knapsack import knapsack


@dataclass(frozen=True)
class Option:
    """One form that a layer may take.

    Attributes:
        name: "float32", "int8".
        nbytes: of what is stored.
        error: what the form costs in quality, in a measure that adds up over layers: the squared error of the layer's
            outputs relative to them, or the rise of the loss. Finite, at least 0.
        seconds: of a run, or None where it was not measured.

    Raises:
        ValueError: a number is not as said.
        TypeError: the name is not text, ``nbytes`` not an integer, another not a number.
    """

    name: str
    nbytes: int
    error: float
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name: expected text, got {self.name!r}")
        integer(f"option {self.name!r}: nbytes", self.nbytes, 0)
        for what, value in (("error", self.error), ("seconds", self.seconds)):
            checked = number(f"option {self.name!r}: {what}", value)
            if checked is None and what == "error":
                raise TypeError(f"option {self.name!r}: error: expected a number, got None")
            if checked is not None and not (math.isfinite(checked) and checked >= 0):
                raise ValueError(f"option {self.name!r}: {what}: expected a finite number of at least 0, got {checked}")


@dataclass(frozen=True)
class LayerChoice:
    """What one layer becomes, and what else it could have been.

    Attributes:
        layer: its name.
        option: what was chosen.
        cheaper: the next option that costs less, of those that no other beats; None where there is none.
        better: the next one of less error.
        refused: options that are slower than the layer as it is, under a budget of time.
    """

    layer: str
    option: Option
    cheaper: Option | None
    better: Option | None
    refused: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Plan:
    """One option for each layer; ``print`` shows them with what was passed over and its price.

    Attributes:
        layers: in the order in which they were given.
        budget_bytes, budget_ms: what was asked for; the other is None.
        error: the sum.
        lower_bound: no choice within the budget has a smaller sum.
        gap: ``(error - lower_bound) / error``; 0 where the plan is proven to be the best.
    """

    layers: tuple[LayerChoice, ...]
    budget_bytes: int | None
    budget_ms: float | None
    error: float
    lower_bound: float
    gap: float

    @property
    def choice(self) -> dict[str, str]:
        """The name of the option by that of the layer."""
        return {choice.layer: choice.option.name for choice in self.layers}

    @property
    def nbytes(self) -> int:
        """Of all that is stored."""
        return sum(choice.option.nbytes for choice in self.layers)

    @property
    def seconds(self) -> float | None:
        """Of all layers, one after the other; None where one was not measured."""
        seconds = [choice.option.seconds for choice in self.layers if choice.option.seconds is not None]
        return math.fsum(seconds) if len(seconds) == len(self.layers) else None

    def __str__(self) -> str:
        timed = self.budget_ms is not None
        lines = [["layer", "chosen", "error", "bytes", "time", "next cheaper", "next better", "refused"]]
        for choice in self.layers:
            option = choice.option
            lines.append(
                [
                    choice.layer,
                    option.name,
                    *_figures(option.error, option.nbytes, option.seconds),
                    _passed_over(option, choice.cheaper, timed),
                    _passed_over(option, choice.better, timed),
                    f"{len(choice.refused)} slower" if choice.refused else "",
                ]
            )
        lines.append(["total", "", *_figures(self.error, self.nbytes, self.seconds), "", "", ""])
        left = (0, 1, 5, 6, 7)
        shown = [column for column in zip(*lines, strict=True) if any(column[1:])]
        aligned = [
            [cell.ljust(width) if lines[0].index(column[0]) in left else cell.rjust(width) for cell in column]
            for column in shown
            for width in [max(map(len, column))]
        ]
        budget = _time(self.budget_ms / 1e3) if self.budget_ms is not None else f"{self.budget_bytes:,} bytes"
        within = f"within {100 * self.gap:.2g}% of the least error"
        proof = within if self.gap > 0 else "no other choice has a smaller error"
        table = ["  ".join(row).rstrip() for row in zip(*aligned, strict=True)]
        return "\n".join([*table, f"budget {budget}: {proof}"])


def plan_options(
    layers: Mapping[str, Sequence[Option]],
    budget_bytes: int | None = None,
    budget_ms: float | None = None,
    reference: str = "float32",
) -> Plan:
    """Choose one option for each layer: the least sum of errors that fits a budget of bytes or of time.

    By :func:`knapsack`. Times are rounded up to nanoseconds.

    Args:
        layers: the options of each layer by its name.
        budget_bytes, budget_ms: the most that the options may add up to; give one.
        reference: the name of the option that leaves a layer as it is. Under a budget of time every layer has one, and
            what takes longer is not taken.

    Raises:
        ValueError: not one budget is given, or it is out of range; there are no layers; a layer has no options, two of
            one name, or under a budget of time one without a time or no reference; nothing fits: the message has the
            least budget that would do.
        TypeError: an option is no Option, or a budget no number.

    Example:
        >>> plan = plan_options(
        ...     {
        ...         "up": [Option("float32", 4000, 0.0), Option("int8", 1040, 1e-4), Option("int4", 620, 1e-2)],
        ...         "down": [Option("float32", 4000, 0.0), Option("int8", 1040, 3e-4), Option("int4", 620, 5e-2)],
        ...     },
        ...     budget_bytes=1700,
        ... )
        >>> plan.choice, plan.nbytes, plan.gap
        ({'up': 'int4', 'down': 'int8'}, 1660, 0.0)
        >>> print(plan)
        layer  chosen   error  bytes  next cheaper                 next better
        up     int4      0.01    620                               int8: +420 B, error -0.0099
        down   int8    0.0003  1,040  int4: -420 B, error +0.0497  float32: +2,960 B, error -0.0003
        total          0.0103  1,660
        budget 1,700 bytes: no other choice has a smaller error
    """
    if (budget_bytes is None) == (budget_ms is None):
        raise ValueError(f"budget: expected budget_bytes or budget_ms, got {budget_bytes} and {budget_ms}")
    options = {layer: _checked(layer, given, budget_ms is not None, reference) for layer, given in layers.items()}
    if not options:
        raise ValueError("layers: expected at least one, got none")
    usable, refused = {}, {}
    for layer, given in options.items():
        slow = _slower(given, reference) if budget_ms is not None else ()
        refused[layer] = slow
        usable[layer] = [option for option in given if option not in slow]
    cost = _bytes if budget_ms is None else _nanoseconds
    least = sum(min(map(cost, given)) for given in usable.values())
    if budget_ms is None:
        budget = integer("budget_bytes", budget_bytes, 0)  # type: ignore[arg-type]
        if least > budget:
            raise ValueError(f"budget_bytes: expected at least {least}, got {budget_bytes}")
    else:
        budget = _budget_nanoseconds(budget_ms)
        if least > budget:
            raise ValueError(f"budget_ms: expected at least {least / 1e6}, got {budget_ms}")
    solved = knapsack(
        [[cost(option) for option in given] for given in usable.values()],
        [[option.error for option in given] for given in usable.values()],
        budget,
    )
    choices = []
    for (layer, given), index in zip(usable.items(), solved.options, strict=True):
        chosen = given[index]
        cheaper = [option for option in given if cost(option) < cost(chosen)]
        better = [option for option in given if option.error < chosen.error]
        choices.append(
            LayerChoice(
                layer,
                chosen,
                min(cheaper, key=lambda option: (option.error, cost(option)), default=None),
                min(better, key=lambda option: (cost(option), option.error), default=None),
                refused[layer],
            )
        )
    return Plan(tuple(choices), budget_bytes, budget_ms, solved.error, solved.lower_bound, solved.gap)


def _checked(layer: str, given: Sequence[Option], timed: bool, reference: str) -> list[Option]:
    names = set()
    for option in given:
        if not isinstance(option, Option):
            raise TypeError(f"layer {layer!r}: expected Options, got {type(option).__name__}")
        if option.name in names:
            raise ValueError(f"layer {layer!r}: expected options of different names, got two {option.name!r}")
        if timed and option.seconds is None:
            raise ValueError(f"layer {layer!r}, option {option.name!r}: expected measured seconds, got None")
        names.add(option.name)
    if not names:
        raise ValueError(f"layer {layer!r}: expected at least one option, got none")
    if timed and reference not in names:
        raise ValueError(f"layer {layer!r}: expected an option {reference!r} to compare with, got {sorted(names)}")
    return list(given)


def _slower(options: list[Option], reference: str) -> tuple[Option, ...]:
    dense = next(option for option in options if option.name == reference)
    return tuple(option for option in options if _nanoseconds(option) > _nanoseconds(dense))


def _bytes(option: Option) -> int:
    return option.nbytes


def _nanoseconds(option: Option) -> int:
    assert option.seconds is not None
    return math.ceil(option.seconds * 1e9)


def check_budget(budget_bytes: int | None, budget_ms: float | None) -> None:
    """Raises what :func:`plan_options` would raise for a budget, before work is done for it."""
    if budget_bytes is not None:
        integer("budget_bytes", budget_bytes, 0)
    if budget_ms is not None:
        _budget_nanoseconds(budget_ms)


def _budget_nanoseconds(budget_ms: float) -> int:
    budget = number("budget_ms", budget_ms)
    if budget is None or not 0 <= budget <= 1e12:
        raise ValueError(f"budget_ms: expected from 0 to 1e12, got {budget_ms}")
    return math.floor(budget * 1e6)


def _figures(error: float, nbytes: int, seconds: float | None) -> list[str]:
    return [f"{error:.3g}", f"{nbytes:,}", "" if seconds is None else _time(seconds)]


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if abs(seconds) >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def _passed_over(chosen: Option, other: Option | None, timed: bool) -> str:
    if other is None:
        return ""
    if timed:
        more = _nanoseconds(other) - _nanoseconds(chosen)
        price = ("+" if more > 0 else "") + _time(more / 1e9)
    else:
        price = f"{other.nbytes - chosen.nbytes:+,} B"
    return f"{other.name}: {price}, error {other.error - chosen.error:+.3g}"
