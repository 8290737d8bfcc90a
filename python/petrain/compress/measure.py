"""What each form of each layer costs: bytes, error and time, measured."""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from petrain import _core
from petrain._params import Array, Floats
from petrain.compress.candidates import CANDIDATES, Candidate, Dense, StoredWeight
from petrain.compress.journal import Journal
from petrain.compress.plan import Option, Plan, check_budget, plan_options

Layer = tuple[Array, Array | None]

SECONDS = 0.02  # that each form and the layer as it is run in turn
FEWEST_PAIRS, MOST_PAIRS = 15, 1000


def plan(
    layers: Mapping[str, Layer],
    budget_bytes: int | None = None,
    budget_ms: float | None = None,
    candidates: Sequence[Candidate] = CANDIDATES,
    progress: str | os.PathLike[str] | None = None,
) -> Plan:
    r"""Measure every form of every layer, and choose one each: the least error that fits the budget.

    The error of a layer is :math:`\|\hat{Y} - Y\|_F^2 / \|Y\|_F^2` of its outputs on the inputs, run as it would be:
    with the inputs in int8 where the form has them so; or, where there are no inputs, the same of the weight. Errors of
    layers are added up as if they had nothing to do with each other.

    Args:
        layers: for each name the weight, float32 (N, K), and samples of its inputs, float32 (M, K), or None.
        budget_bytes: the most bytes of all arrays.
        budget_ms: the most milliseconds of one row through all layers, one after the other, on this machine with the
            current number of threads: the sum of what each takes when it is run again and again. Each form is run in
            turn with the layer as it is, and one that is slower is never taken.
        candidates: the forms to try; one that does not fit a layer is left out there. With ``budget_ms`` they have
            :class:`Dense` among them.
        progress: a file for what was measured: a plan that was interrupted goes on from there and ends the same. It is
            written as the work goes, a line for each form of each layer; what it holds is taken up only for the same
            layers, inputs and candidates, and times only for times.

    Raises:
        ValueError: an argument is not as said, no budget or two are given, nothing fits the budget, or ``progress`` is
            of other layers.
        TypeError: an argument is of the wrong type.
        petrain.Error: the file at ``progress`` is something else.
        OSError: it cannot be read or written.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> layers = {name: (rng.standard_normal((64, 128), np.float32), None) for name in ("up", "down")}
        >>> small = plan(layers, budget_bytes=16_000)
        >>> small.choice, small.nbytes
        ({'up': 'int4 g32 + rank 8', 'down': 'int8'}, 15392)
    """
    if (budget_bytes is None) == (budget_ms is None):
        raise ValueError(f"budget: expected budget_bytes or budget_ms, got {budget_bytes} and {budget_ms}")
    if not layers:
        raise ValueError("layers: expected at least one, got none")
    check_budget(budget_bytes, budget_ms)
    options = score(layers, candidates, timed=budget_ms is not None, progress=progress)
    return plan_options(options, budget_bytes, budget_ms, Dense().name)


def score(
    layers: Mapping[str, Layer],
    candidates: Sequence[Candidate] = CANDIDATES,
    *,
    timed: bool = False,
    progress: str | os.PathLike[str] | None = None,
) -> dict[str, list[Option]]:
    """What :func:`plan` measures: the options of each layer by its name, for several plans from one measurement.

    Args:
        timed: whether to measure times.
        layers, candidates, progress: as for :func:`plan`.

    Example:
        >>> import numpy as np
        >>> w = np.random.default_rng(0).standard_normal((64, 128), np.float32)
        >>> from petrain.compress import LowRank, Quantized
        >>> for option in score({"up": (w, None)}, [Dense(), Quantized(8), LowRank(8, bits=8)])["up"]:
        ...     print(option.name, option.nbytes, f"{option.error:.1e}")
        float32 32768 0.0e+00
        int8 8448 4.2e-05
        rank 8 int8 1824 7.1e-01
    """
    checked = {name: _checked(name, layer) for name, layer in layers.items()}
    forms = _ordered(candidates, timed)
    jobs = [(name, form.name) for name, layer in checked.items() for form in forms if form.fits(layer.shape)]
    journal = Journal(progress, _fingerprint(checked, forms, timed)) if progress is not None else None
    options: dict[str, list[Option]] = {name: [] for name in checked}
    try:
        done = iter([] if journal is None else _taken_up(journal, jobs))
        for name, layer in checked.items():
            trial = _Trial(layer, timed)
            for form in forms:
                if not form.fits(layer.shape):
                    continue
                option = next(done, None)
                if option is None:
                    option = trial.run(form, next(iter(options[name]), None))
                    if journal is not None:
                        record = {"nbytes": option.nbytes, "error": option.error, "seconds": option.seconds}
                        journal.append({"layer": name, "option": option.name, **record})
                options[name].append(option)
    finally:
        if journal is not None:
            journal.close()
    return options


def build(
    plan: Plan, layers: Mapping[str, Layer], candidates: Sequence[Candidate] = CANDIDATES
) -> dict[str, StoredWeight]:
    """The weights of a plan, by the name of the layer.

    Args:
        plan: of these layers and candidates.

    Raises:
        ValueError: a layer or a form of the plan is unknown.

    Example:
        >>> import numpy as np
        >>> layers = {"up": (np.random.default_rng(0).standard_normal((64, 128), np.float32), None)}
        >>> small = plan(layers, budget_bytes=9000)
        >>> weights = build(small, layers)
        >>> small.choice["up"], weights["up"].nbytes == small.nbytes
        ('int8', True)
        >>> weights["up"].forward(np.ones((1, 128), np.float32)).shape
        (1, 64)
    """
    forms = {form.name: form for form in candidates}
    weights = {}
    for name, chosen in plan.choice.items():
        if name not in layers:
            raise ValueError(f"layers: expected {name!r} among them, got {sorted(layers)}")
        if chosen not in forms:
            raise ValueError(f"candidates: expected {chosen!r} among them, got {sorted(forms)}")
        layer = _checked(name, layers[name])
        weights[name] = forms[chosen].build(layer.w, layer.inputs)
    return weights


@dataclass(frozen=True)
class _Layer:
    name: str
    w: Floats
    inputs: Floats | None

    @property
    def shape(self) -> tuple[int, int]:
        return self.w.shape[0], self.w.shape[1]


class _Trial:
    """One layer, to compare its forms with it as it is."""

    def __init__(self, layer: _Layer, timed: bool) -> None:
        self.layer = layer
        self.timed = timed

    def run(self, form: Candidate, dense: Option | None) -> Option:
        """``dense`` is the option of the layer as it is; None where that is to be made."""
        w, inputs = self.layer.w, self.layer.inputs
        stored = form.build(w, inputs)
        error = _relative(stored.dense(), w) if inputs is None else _relative(stored.forward(inputs), self._outputs)
        return Option(form.name, stored.nbytes, error, self._seconds(stored, dense) if self.timed else None)

    @cached_property
    def _as_it_is(self) -> StoredWeight:
        return Dense().build(self.layer.w, None)

    @cached_property
    def _outputs(self) -> Floats:
        assert self.layer.inputs is not None
        return self._as_it_is.forward(self.layer.inputs)

    def _seconds(self, stored: StoredWeight, dense: Option | None) -> float:
        if self.layer.inputs is None:
            x = np.random.default_rng(0).standard_normal((1, self.layer.shape[1]), np.float32)
        else:
            x = self.layer.inputs[:1]
        # In terms of one time for the layer as it is, so that a slow moment does not make a form slower than it.
        if dense is None or dense.seconds is None:
            return _race(lambda: self._as_it_is.forward(x), lambda: stored.forward(x), 5 * SECONDS)[0]
        return dense.seconds * _race(lambda: self._as_it_is.forward(x), lambda: stored.forward(x), SECONDS)[1]


def _race(reference: Callable[[], Any], run: Callable[[], Any], least: float) -> tuple[float, float]:
    """Seconds of the reference, and how many times as long the other takes: medians over pairs of single calls, so that
    what slows the machine for a while slows both, and a weight is not in the nearest cache just because it was read a
    moment ago."""
    pair = [_seconds_of(call) + _seconds_of(call) for call in (reference, run)]  # the first calls warm up
    pairs = min(max(int(least / sum(pair)), FEWEST_PAIRS), MOST_PAIRS)
    seconds = [(_seconds_of(reference), _seconds_of(run)) for _ in range(pairs)]
    return statistics.median(a for a, _ in seconds), statistics.median(b / a for a, b in seconds)


def _seconds_of(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return max(time.perf_counter() - start, 1e-9)


def _relative(approximation: Floats, exact: Floats) -> float:
    difference = approximation.astype(np.float64) - exact
    total = float(np.sum(np.square(exact, dtype=np.float64)))
    return float(np.sum(difference * difference)) / total if total > 0 else 0.0


def _checked(name: str, layer: Layer) -> _Layer:
    if not isinstance(name, str):
        raise TypeError(f"layers: expected names, got {name!r}")
    if not isinstance(layer, (tuple, list)) or len(layer) != 2:
        raise TypeError(f"layer {name!r}: expected (weight, inputs), got {type(layer).__name__}")
    w = _matrix(f"layer {name!r}: weight", layer[0])
    inputs = None if layer[1] is None else _matrix(f"layer {name!r}: inputs", layer[1])
    if inputs is not None and inputs.shape[1] != w.shape[1]:
        raise ValueError(f"layer {name!r}: inputs: expected (rows, {w.shape[1]}), got {inputs.shape}")
    return _Layer(name, w, inputs)


def _matrix(what: str, array: Array) -> Floats:
    matrix: np.ndarray = np.asarray(array)
    if matrix.dtype != np.float32 or matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"{what}: expected a float32 matrix, got {matrix.dtype} {matrix.shape}")
    if not matrix.flags.c_contiguous:
        raise ValueError(f"{what}: expected a C-contiguous array, got strides {matrix.strides}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{what}: expected finite values, got {matrix[~np.isfinite(matrix)][0]}")
    return matrix


def _ordered(candidates: Sequence[Candidate], timed: bool) -> list[Candidate]:
    """The dense form first: the times of the others are in its terms."""
    names = [form.name for form in candidates]
    double = [name for i, name in enumerate(names) if name in names[:i]]
    if not names or double:
        raise ValueError(f"candidates: expected at least one, and different names, got {names}")
    dense = Dense().name
    if timed and dense not in names:
        raise ValueError(f"candidates: expected {dense!r} among them, to compare times with, got {names}")
    return sorted(candidates, key=lambda form: form.name != dense)


def _fingerprint(layers: Mapping[str, _Layer], forms: Sequence[Candidate], timed: bool) -> str:
    machine = (_core.cpu_info()["isa"], _core.get_num_threads() if timed else None)
    digest = hashlib.sha256(repr((list(forms), timed, _core.__version__, machine)).encode())
    for name, layer in layers.items():
        for what, array in (("weight", layer.w), ("inputs", layer.inputs)):
            digest.update(repr((name, what, None if array is None else array.shape)).encode())
            if array is not None:
                digest.update(array.data)
    return digest.hexdigest()


def _taken_up(journal: Journal, jobs: Sequence[tuple[str, str]]) -> list[Option]:
    options = []
    for i, record in enumerate(journal.records):
        try:
            option = Option(record["option"], record["nbytes"], record["error"], record["seconds"])
            expected = jobs[i]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise _core.Error(f"{journal.path}, line {i + 2}: expected a score, got {record}") from error
        if (record["layer"], option.name) != expected:
            raise _core.Error(f"{journal.path}, line {i + 2}: expected the score of {expected}, got {record}")
        options.append(option)
    return options
