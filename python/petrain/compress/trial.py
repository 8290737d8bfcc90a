"""One layer in one form: what is off, and how long it takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from petrain import nn
from petrain._params import Array, Floats
from petrain.compress.candidates import Candidate, Samples, forward_of
from petrain.compress.layout import Layout
from petrain.compress.plan import Option

SECONDS = 0.02  # that each form and the layer as it is run in turn
FEWEST_PAIRS, MOST_PAIRS = 15, 1000


@dataclass(frozen=True)
class Job:
    """A layer to be measured.

    Attributes:
        name: of its weight.
        w: float32 (N, K).
        inputs: float32 (M, K), or None.
        bias: float32 (N,), or None.
        after: the layers behind it, at whose end its error is measured.
    """

    name: str
    w: Floats
    inputs: Floats | None
    bias: Floats | None = None
    after: tuple[nn.Layer, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        return self.w.shape[0], self.w.shape[1]


class Trial:
    """Compares the forms of one layer with it as it is."""

    def __init__(self, job: Job, timed: bool) -> None:
        self.job = job
        self.timed = timed
        self.samples = None if job.inputs is None else Samples(job.inputs)

    def run(self, form: Candidate, dense: Option | None) -> Option:
        """``dense`` is the option of the layer as it is; None where that is to be made."""
        try:
            weight = form.build(self.job.w, self.samples)
            error = self._error(weight)
        except ValueError as wrong:
            raise ValueError(f"layer {self.job.name!r} as {form.name}: {wrong}") from wrong
        seconds = self._seconds(weight, dense) if self.timed else None
        return Option(form.name, weight.nbytes, error, seconds, Layout.of(weight))

    def _error(self, weight: nn.Weight) -> float:
        if self.job.inputs is None or not self._outputs.any():  # outputs of zeros say nothing of the layer
            return _relative(weight.dense(), self.job.w)
        return _relative(forward_of(weight, self.job.bias, *self.job.after)(self.job.inputs), self._outputs)

    @cached_property
    def _as_it_is(self) -> nn.Sequential:
        return forward_of(nn.DenseWeight(self.job.w), self.job.bias)

    @cached_property
    def _outputs(self) -> Floats:
        assert self.job.inputs is not None
        y = self._as_it_is(self.job.inputs)
        y = nn.Sequential(*self.job.after)(y) if self.job.after else y
        if not np.isfinite(y).all():
            raise ValueError("expected outputs within float32, got infinite ones")
        return y

    def _seconds(self, weight: nn.Weight, dense: Option | None) -> float:
        if self.job.inputs is None:
            x = np.random.default_rng(0).standard_normal((1, self.job.shape[1]), np.float32)
        else:
            x = self.job.inputs[:1]
        layer = forward_of(weight, self.job.bias)
        # In terms of one time for the layer as it is, so that a slow moment does not make a form slower than it.
        if dense is None or dense.seconds is None:
            return race(lambda: self._as_it_is(x), lambda: layer(x), 5 * SECONDS)[0]
        return dense.seconds * race(lambda: self._as_it_is(x), lambda: layer(x), SECONDS)[1]


def race(reference: Callable[[], Any], run: Callable[[], Any], least: float) -> tuple[float, float]:
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


def matrix(what: str, array: Array) -> Floats:
    """The array, where it is a float32 matrix that kernels can read."""
    values: np.ndarray = np.asarray(array)
    if values.dtype != np.float32 or values.ndim != 2 or values.size == 0:
        raise ValueError(f"{what}: expected a float32 matrix, got {values.dtype} {values.shape}")
    if not values.flags.c_contiguous:
        raise ValueError(f"{what}: expected a C-contiguous array, got strides {values.strides}")
    if not np.isfinite(values).all():
        raise ValueError(f"{what}: expected finite values, got {values[~np.isfinite(values)][0]}")
    return values
