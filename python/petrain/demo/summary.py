"""The figures in words: the same rows in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from petrain.demo.measure import Memory
from petrain.demo.results import Results


@dataclass(frozen=True)
class Row:
    name: str
    before: str
    after: str
    change: str
    better: bool | None  # None: the same


def headline(results: Results) -> str:
    before, after = results.original, results.compressed
    return (
        f"The compressed classifier takes {kilobytes(after.file_bytes)} instead of {kilobytes(before.file_bytes)}, "
        f"and recognises {after.quality.accuracy:.1%} of the digits it had never seen instead of "
        f"{before.quality.accuracy:.1%}."
    )


def rows(results: Results) -> list[Row]:
    """One for each metric."""
    a, b = results.original, results.compressed
    names = {"accuracy": "Accuracy", "precision": "Precision (macro)", "recall": "Recall (macro)", "f1": "F1 (macro)"}
    table = [_share(name, getattr(a.quality, key), getattr(b.quality, key)) for key, name in names.items()]
    table.append(_cost("File size", a.file_bytes, b.file_bytes, kilobytes, "smaller", "larger"))
    table.append(_cost("Arrays in memory", a.array_bytes, b.array_bytes, kilobytes, "smaller", "larger"))
    for batch in a.latency:
        name = "Time for one image" if batch == 1 else f"Time per image, {batch} at once"
        table.append(_cost(name, a.latency[batch], b.latency[batch], microseconds, "faster", "slower"))
    return table + _memory(a.memory, b.memory)


def _memory(a: Memory, b: Memory) -> list[Row]:
    rows = []
    if a.added and b.added:
        rows.append(_cost("Memory for the model", a.added, b.added, megabytes, "smaller", "larger"))
    if a.peak and b.peak:
        rows.append(_cost("Peak of the whole process", a.peak, b.peak, megabytes, "smaller", "larger"))
    return rows


def _share(name: str, before: float, after: float) -> Row:
    points = round(100 * (after - before), 2)
    change = f"{points:+.2f} points".replace("-", "−") if points else "the same"
    return Row(name, f"{before:.2%}", f"{after:.2%}", change, None if points == 0 else points > 0)


def _cost(name: str, before: float, after: float, text: Callable[[float], str], less: str, more: str) -> Row:
    ratio = before / after
    same = 1 / 1.02 < ratio < 1.02  # what is measured does not repeat more closely
    change = "about the same" if same else f"{ratio:.3g}× {less}" if ratio > 1 else f"{1 / ratio:.3g}× {more}"
    return Row(name, text(before), text(after), change, None if same else ratio > 1)


def kilobytes(size: float) -> str:
    return f"{size / 1000:.1f} kB"


def megabytes(size: float) -> str:
    return f"{size / 1e6:.2f} MB"


def microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} µs"
