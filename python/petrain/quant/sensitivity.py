"""Which layers bear which formats."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any, Literal

import numpy as np

from petrain import _core
from petrain._params import Array
from petrain.quant.hessian import HessianObserver
from petrain.quant.rounding import gptq
from petrain.quant.tensor import QuantTensor, quantize

FORMATS: dict[str, dict[str, Any]] = {
    "int8": {"bits": 8},
    "int4": {"bits": 4},
    "int4 g128": {"bits": 4, "granularity": "group", "group_size": 128},
    "int4 g64": {"bits": 4, "granularity": "group", "group_size": 64},
    "int4 g32": {"bits": 4, "granularity": "group", "group_size": 32},
}


@dataclass(frozen=True)
class SensitivityRow:
    """One layer in one format.

    Attributes:
        layer: its name.
        format: its name.
        error: of the layer's outputs, relative, with the weights quantized and the inputs as they are.
        error_int8_inputs: an estimate of the same with inputs in int8, a scale for each row: as if their rounding
            errors had nothing to do with each other, nor with the inputs.
        nbytes: of the quantized weight.
    """

    layer: str
    format: str
    error: float
    error_int8_inputs: float
    nbytes: int


@dataclass(frozen=True)
class Sensitivity:
    """What :func:`sensitivity` found; ``print`` shows it as a table.

    Attributes:
        rows: the worst first.
        formats: their names, in the order in which they were given.
        nbytes: of each layer in float32.
    """

    rows: tuple[SensitivityRow, ...]
    formats: tuple[str, ...]
    nbytes: Mapping[str, int]

    def to_csv(self) -> str:
        """The rows as CSV, with a line of names."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(field.name for field in fields(SensitivityRow))
        writer.writerows(astuple(row) for row in self.rows)
        return text.getvalue()

    def __str__(self) -> str:
        cells = {(row.layer, row.format): row for row in self.rows}
        layers = list(dict.fromkeys(row.layer for row in self.rows))
        lines = [["layer", "float32", *self.formats]]
        for layer in layers:
            found = (cells.get((layer, name)) for name in self.formats)
            shown = (f"{100 * row.error:.3g}% {_bytes(row.nbytes)}" if row else "-" for row in found)
            lines.append([layer, _bytes(self.nbytes[layer]), *shown])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines
        )


def sensitivity(
    layers: Mapping[str, Array],
    samples: Iterable[Mapping[str, Array]],
    formats: Mapping[str, Mapping[str, Any]] = FORMATS,
    *,
    rounding: Literal["nearest", "gptq"] = "nearest",
) -> Sensitivity:
    r"""The error of each layer's outputs in each format, from one pass over the samples.

    The samples leave :math:`8 K^2` bytes for a layer of K inputs (:class:`HessianObserver`), however many they are; the
    errors of the weights are exact for them: :math:`\sqrt{\text{tr}(E H E^T) / \text{tr}(W H W^T)}`.

    Args:
        layers: weights by name, float32 ``(N, K)``.
        samples: for each sample or batch, the inputs of every layer by its name, float32 ``(..., K)``. It is gone
            through once.
        formats: arguments of :func:`quantize` by the name of the format; the channels are along axis 0. A layer is
            left out of those whose groups do not divide its K.
        rounding: "nearest", by :func:`quantize`, or "gptq", by :func:`gptq`.

    Raises:
        ValueError: ``rounding``, a format or a layer's weight is not as said: before the first sample is read. An input
            is not, NaN or infinite; a sample lacks a layer or has one that is unknown; there are no samples.
        TypeError: a format has an argument that is none of :func:`quantize`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> layers = {"one": rng.standard_normal((8, 64), np.float32), "two": np.eye(32, dtype=np.float32)}
        >>> samples = ({name: rng.standard_normal((10, w.shape[1]), np.float32) for name, w in layers.items()}
        ...            for _ in range(20))
        >>> report = sensitivity(layers, samples, {"int8": {"bits": 8}, "int4": {"bits": 4}})
        >>> [(row.layer, row.format) for row in report.rows[:2]]
        [('one', 'int4'), ('one', 'int8')]
        >>> print(report)
        layer  float32             int8            int4
        one       2 KB  0.588% 0.531 KB  10.7% 0.281 KB
        two       4 KB       0% 1.12 KB     0% 0.625 KB
    """
    if rounding not in ("nearest", "gptq"):
        raise ValueError(f'rounding: expected "nearest" or "gptq", got {rounding!r}')
    formats = {title: _checked_format(title, options, rounding) for title, options in formats.items()}
    weights = {name: _weight(name, w) for name, w in layers.items()}
    observers = {name: _Inputs(w.shape[1]) for name, w in weights.items()}
    for sample in samples:
        if sample.keys() != weights.keys():
            missing, unknown = sorted(weights.keys() - sample.keys()), sorted(sample.keys() - weights.keys())
            raise ValueError(f"samples: expected the inputs of every layer; missing {missing}, unknown {unknown}")
        for name, x in sample.items():
            observers[name].observe(name, x)
    rows = []
    for name, w in weights.items():
        inputs = observers[name]
        try:
            total = _core.output_square(w, inputs.hessian._core)
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from None
        for title, options in formats.items():
            if w.shape[1] % (options.get("group_size") or 1) != 0:
                continue
            q = gptq(w, inputs.hessian, **options)[0] if rounding == "gptq" else quantize(w, **options)
            rows.append(SensitivityRow(name, title, *inputs.errors(w, q, total), q.nbytes))
    order = sorted(rows, key=lambda row: -row.error)
    return Sensitivity(tuple(order), tuple(formats), {name: w.nbytes for name, w in weights.items()})


class _Inputs:
    """What the samples leave of one layer's inputs."""

    def __init__(self, in_features: int) -> None:
        self.hessian = HessianObserver(in_features)
        self.rounding = np.zeros(in_features)  # Σ (x - x̂)² of each input, with x̂ as linear quantizes it

    def observe(self, name: str, x: Array) -> None:
        try:
            self.hessian.observe(x)
        except ValueError as error:
            raise ValueError(f"inputs of {name!r}: {error}") from None
        rows = np.asarray(x).reshape(-1, self.hessian.in_features)
        if len(rows) > 0:
            rounding = rows - quantize(rows).dequantize()
            self.rounding += np.einsum("mk,mk->k", rounding, rounding, dtype=np.float64)

    def errors(self, w: np.ndarray, q: QuantTensor, total: float) -> tuple[float, float]:
        """Of the outputs, with float32 and with int8 inputs."""
        approximation = q.dequantize()
        square = _core.output_square(w - approximation, self.hessian._core)
        of_inputs = np.einsum("nk,nk,k->", approximation, approximation, self.rounding, dtype=np.float64)
        if total == 0:
            return 0.0, 0.0
        return math.sqrt(square / total), math.sqrt((square + float(of_inputs)) / total)


def _checked_format(title: str, options: Mapping[str, Any], rounding: str) -> dict[str, Any]:
    """Without ``axis``, which is 0. Tried on one output, so that what is wrong is said before the samples are read."""
    if options.get("axis", 0) != 0:
        raise ValueError(f"format {title!r}: axis: expected 0, the outputs, got {options['axis']}")
    rest = {name: value for name, value in options.items() if name != "axis"}
    w = np.ones((1, rest.get("group_size") or 1), np.float32)
    try:
        if rounding == "gptq":
            inputs = HessianObserver(w.shape[1])
            inputs.observe(w)
            gptq(w, inputs, **rest)
        else:
            quantize(w, **rest)
    except (TypeError, ValueError) as error:
        raise type(error)(f"format {title!r}: {error}") from None
    return rest


def _weight(name: str, w: Array) -> np.ndarray:
    weight: np.ndarray = np.asarray(w)
    if weight.dtype != np.float32 or weight.ndim != 2 or weight.size == 0:
        raise ValueError(f"layer {name!r}: expected float32 (outputs, inputs), got {weight.dtype} {weight.shape}")
    if not np.isfinite(weight).all():
        raise ValueError(f"layer {name!r}: expected finite values, got {weight[~np.isfinite(weight)][0]}")
    return weight


def _bytes(count: int) -> str:
    return f"{count / 1024:.3g} KB" if count < 1 << 20 else f"{count / (1 << 20):.3g} MB"
