"""What becomes of each layer under a budget, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass

from petrain._numbers import integer, number
from petrain.compress.layout import Layout


@dataclass(frozen=True)
class Option:
    """One form that a layer may take.

    Attributes:
        name: "float32", "int8".
        nbytes: of what is stored.
        error: what the form costs in quality, in a measure that adds up over layers: the squared error of the layer's
            outputs relative to them, or the rise of the loss. Finite, at least 0.
        seconds: of a run, or None where it was not measured.
        layout: how it is stored in a file, or None where that is not known.

    Raises:
        ValueError: a number is not as said.
        TypeError: the name is not text, ``nbytes`` not an integer, another not a number.
    """

    name: str
    nbytes: int
    error: float
    seconds: float | None = None
    layout: Layout | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name: expected text, got {self.name!r}")
        integer(f"option {self.name!r}: nbytes", self.nbytes, 0)
        for what, value in (("error", self.error), ("seconds", self.seconds)):
            checked = number(f"option {self.name!r}: {what}", value)
            if checked is None and what == "error":
                raise TypeError(f"option {self.name!r}: error: expected a number, got None")
            most = 1e9 if what == "seconds" else math.inf
            if checked is not None and not (math.isfinite(checked) and 0 <= checked <= most):
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
        file_bytes: of the file, header included, to the byte; None where it is not known how options are stored.
        other_seconds: what a run takes beside the layers: less than 0 where they are faster together.
    """

    layers: tuple[LayerChoice, ...]
    budget_bytes: int | None
    budget_ms: float | None
    error: float
    lower_bound: float
    gap: float
    file_bytes: int | None = None
    other_seconds: float = 0.0

    def __post_init__(self) -> None:
        if (self.budget_bytes is None) == (self.budget_ms is None):
            raise ValueError(f"budget: expected budget_bytes or budget_ms, got {self.budget_bytes}, {self.budget_ms}")
        if len({choice.layer for choice in self.layers}) != len(self.layers) or not self.layers:
            raise ValueError("layers: expected at least one, and different names")
        for what in ("budget_bytes", "file_bytes"):
            if getattr(self, what) is not None:
                integer(what, getattr(self, what), 0)
        for what in ("error", "lower_bound", "gap", "other_seconds", "budget_ms"):
            value = number(what, getattr(self, what))
            if value is None and what == "budget_ms":
                continue
            if value is None or not math.isfinite(value) or (value < 0 and what != "other_seconds"):
                raise ValueError(f"{what}: expected a finite number of at least 0, got {value}")
        for choice in self.layers:
            options = (choice.option, choice.cheaper, choice.better, *choice.refused)
            if self.budget_ms is not None and any(o is not None and o.seconds is None for o in options):
                raise ValueError(f"layer {choice.layer!r}: expected measured seconds, got None")

    @property
    def choice(self) -> dict[str, str]:
        """The name of the option by that of the layer."""
        return {choice.layer: choice.option.name for choice in self.layers}

    @property
    def nbytes(self) -> int:
        """Of the arrays that stand for the layers."""
        return sum(choice.option.nbytes for choice in self.layers)

    @property
    def seconds(self) -> float | None:
        """Of a run, at least 0; None where a layer was not measured."""
        seconds = [choice.option.seconds for choice in self.layers if choice.option.seconds is not None]
        return max(math.fsum([*seconds, self.other_seconds]), 0.0) if len(seconds) == len(self.layers) else None

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
        file = "" if self.file_bytes is None else f", the file {self.file_bytes:,} bytes"
        return "\n".join([*table, f"budget {budget}{file}: {proof}"])


def nanoseconds(option: Option) -> int:
    """Of an option that was timed, rounded up."""
    assert option.seconds is not None
    return math.ceil(option.seconds * 1e9)


def _figures(error: float, nbytes: int, seconds: float | None) -> list[str]:
    return [f"{error:.3g}", f"{nbytes:,}", "" if seconds is None else _time(seconds)]


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if abs(seconds) >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def _passed_over(chosen: Option, other: Option | None, timed: bool) -> str:
    if other is None:
        return ""
    if timed:
        more = nanoseconds(other) - nanoseconds(chosen)
        price = ("+" if more > 0 else "") + _time(more / 1e9)
    else:
        price = f"{other.nbytes - chosen.nbytes:+,} B"
    return f"{other.name}: {price}, error {other.error - chosen.error:+.3g}"
