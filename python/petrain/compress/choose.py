"""The choice of one option for each layer under a budget."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from petrain._numbers import integer, number
from petrain.compress.candidates import Dense
from petrain.compress.knapsack import Knapsack, knapsack
from petrain.compress.layout import FileOf, Layout
from petrain.compress.plan import LayerChoice, Option, Plan, nanoseconds

_ATTEMPTS = 20

Options = Mapping[str, Sequence[Option]]
Cost = Callable[[Option], int]


def plan_options(
    layers: Options, budget_bytes: int | None = None, budget_ms: float | None = None, reference: str = "float32"
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
    check_budget(budget_bytes, budget_ms)
    options = {layer: _checked(layer, given, budget_ms is not None, reference) for layer, given in layers.items()}
    if not options:
        raise ValueError("layers: expected at least one, got none")
    if budget_ms is not None:
        return _in_time(options, budget_ms, reference)
    assert budget_bytes is not None
    least = sum(min(map(_bytes, given)) for given in options.values())
    if least > budget_bytes:
        raise ValueError(f"budget_bytes: expected at least {least}, got {budget_bytes}")
    return _plan(options, _solve(options, _bytes, budget_bytes), _bytes, budget_bytes=budget_bytes)


@dataclass(frozen=True)
class Scores:
    """What was measured, for any number of plans.

    Attributes:
        options: of each layer by its name.
        file: what the chosen forms are written to.
        other_seconds: what a run takes beside the layers.
    """

    options: Mapping[str, Sequence[Option]]
    file: FileOf
    other_seconds: float = 0.0

    def plan(self, budget_bytes: int | None = None, budget_ms: float | None = None) -> Plan:
        """Choose one form for each layer: the least sum of errors that fits the budget.

        Args:
            budget_bytes: the most bytes of the file, header included. The bound of ``gap`` is that of a budget of some
                more bytes, since what a form adds to the header depends a little on the others.
            budget_ms: the most milliseconds of a run; give one of both.

        Raises:
            ValueError: not one budget is given, it is out of range, nothing fits, or there are no times.
            TypeError: the budget is no number.
        """
        check_budget(budget_bytes, budget_ms)
        reference = Dense().name
        options = {
            name: _checked(name, given, budget_ms is not None, reference) for name, given in self.options.items()
        }
        if budget_ms is not None:
            return _in_time(options, budget_ms, reference, self.other_seconds, self.file)
        assert budget_bytes is not None
        return self._in_bytes(options, budget_bytes)

    def _in_bytes(self, options: Options, budget: int) -> Plan:
        # Offsets in the header have no more digits than this in a file that fits.
        digits = len(str(min(budget, sum(max(_file_bytes(option) for option in given) for given in options.values()))))
        most = {
            (layer, option.name): self.file.weight_size(layer, _layout(option), 10 ** (digits - 1))
            for layer, given in options.items()
            for option in given
        }
        thinnest = {layer: min(given, key=lambda o: most[layer, o.name]) for layer, given in options.items()}
        least = size_of(self.file, thinnest)
        if least > budget:
            raise ValueError(f"budget_bytes: expected at least {least}, what the thinnest forms take, got {budget}")
        costs = [
            [most[layer, o.name] - most[layer, thinnest[layer].name] for o in given] for layer, given in options.items()
        ]
        errors = [[option.error for option in given] for given in options.values()]
        tensors = sum(max(len(_layout(option).tensors) for option in given) for given in options.values())
        # Two offsets of each tensor may have fewer digits, and the header is padded to 8 bytes: so much more may fit.
        room, more = budget - least, 8 + (2 * digits - 1) * tensors
        relaxed = knapsack(costs, errors, room + more)
        indices = tuple(list(given).index(thinnest[layer]) for layer, given in options.items())
        best = Knapsack(indices, 0, math.fsum(option.error for option in thinnest.values()), 0.0, 0.0)
        rooms = (
            _fewer(costs, errors, room + more, relaxed),
            _fewer(costs, errors, room, knapsack(costs, errors, room)),
        )
        for found in itertools.chain.from_iterable(itertools.islice(choices, _ATTEMPTS) for choices in rooms):
            if found.error < best.error and size_of(self.file, _chosen(options, found)) <= budget:
                best = found
        gap = (best.error - relaxed.lower_bound) / best.error if best.error > relaxed.lower_bound else 0.0
        best = replace(best, lower_bound=relaxed.lower_bound, gap=gap)
        return _plan(options, best, _bytes, self.file, budget_bytes=budget, other_seconds=self.other_seconds)


def _fewer(
    costs: Sequence[Sequence[int]], errors: Sequence[Sequence[float]], room: int, first: Knapsack
) -> Iterator[Knapsack]:
    """The best choice, and the best of each lower cost."""
    found = first
    while True:
        yield found
        if found.cost == 0:
            return
        found = knapsack(costs, errors, min(room, found.cost) - 1)


def size_of(file: FileOf, chosen: Mapping[str, Option]) -> int:
    return file.size({layer: _layout(option) for layer, option in chosen.items()})


def check_budget(budget_bytes: int | None, budget_ms: float | None) -> None:
    """Raises what a plan would raise for a budget, before work is done for it."""
    if (budget_bytes is None) == (budget_ms is None):
        raise ValueError(f"budget: expected budget_bytes or budget_ms, got {budget_bytes} and {budget_ms}")
    if budget_bytes is not None:
        integer("budget_bytes", budget_bytes, 0)
    if budget_ms is not None:
        _milliseconds(budget_ms)


def _in_time(
    options: Options, budget_ms: float, reference: str, other_seconds: float = 0.0, file: FileOf | None = None
) -> Plan:
    refused = {layer: _slower(given, reference) for layer, given in options.items()}
    usable = {layer: [o for o in given if o not in refused[layer]] for layer, given in options.items()}
    other = math.ceil(other_seconds * 1e9)
    budget = math.floor(_milliseconds(budget_ms) * 1e6) - other
    least = sum(min(map(nanoseconds, given)) for given in usable.values())
    if least > budget:
        raise ValueError(f"budget_ms: expected at least {(least + other) / 1e6}, got {budget_ms}")
    solved = _solve(usable, nanoseconds, budget)
    return _plan(usable, solved, nanoseconds, file, budget_ms=budget_ms, refused=refused, other_seconds=other_seconds)


def _solve(options: Options, cost: Cost, budget: int) -> Knapsack:
    costs = [[cost(option) for option in given] for given in options.values()]
    return knapsack(costs, [[option.error for option in given] for given in options.values()], budget)


def _chosen(options: Options, solved: Knapsack) -> dict[str, Option]:
    return {layer: given[index] for (layer, given), index in zip(options.items(), solved.options, strict=True)}


def _plan(
    options: Options,
    solved: Knapsack,
    cost: Cost,
    file: FileOf | None = None,
    *,
    budget_bytes: int | None = None,
    budget_ms: float | None = None,
    refused: Mapping[str, tuple[Option, ...]] | None = None,
    other_seconds: float = 0.0,
) -> Plan:
    choices = []
    for layer, chosen in _chosen(options, solved).items():
        cheaper = [option for option in options[layer] if cost(option) < cost(chosen)]
        better = [option for option in options[layer] if option.error < chosen.error]
        choices.append(
            LayerChoice(
                layer,
                chosen,
                min(cheaper, key=lambda option: (option.error, cost(option)), default=None),
                min(better, key=lambda option: (cost(option), option.error), default=None),
                refused[layer] if refused is not None else (),
            )
        )
    file_bytes = None if file is None else size_of(file, _chosen(options, solved))
    error, bound, gap = solved.error, solved.lower_bound, solved.gap
    return Plan(tuple(choices), budget_bytes, budget_ms, error, bound, gap, file_bytes, other_seconds)


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


def _slower(options: Sequence[Option], reference: str) -> tuple[Option, ...]:
    dense = next(option for option in options if option.name == reference)
    return tuple(option for option in options if nanoseconds(option) > nanoseconds(dense))


def _bytes(option: Option) -> int:
    return option.nbytes


def _file_bytes(option: Option) -> int:
    return option.nbytes + 1000 + len(_layout(option).graph)


def _layout(option: Option) -> Layout:
    assert option.layout is not None
    return option.layout


def _milliseconds(budget_ms: float) -> float:
    budget = number("budget_ms", budget_ms)
    if budget is None or not 0 <= budget <= 1e12:
        raise ValueError(f"budget_ms: expected from 0 to 1e12, got {budget_ms}")
    return budget
