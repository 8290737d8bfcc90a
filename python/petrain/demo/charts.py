"""The charts of how the models came about: learning, and size against accuracy."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from petrain.demo import svg
from petrain.demo.results import Results
from petrain.demo.svg import COMPRESSED, INK, MUTED, ORIGINAL, PAPER

WIDTH = 5.0  # inches: at the width of a phone the text is still readable


def loss_curve(results: Results) -> str:
    """The loss above, the accuracy below, over the epochs of training and of fine-tuning."""
    trained, tuned = len(results.training), len(results.fine_tuning)
    first, second = range(1, trained + 1), range(trained + 1, trained + tuned + 1)
    figure = Figure(figsize=(WIDTH, 4.1))
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.3})
    for axes in (above, below):
        axes.axvspan(trained + 0.5, trained + tuned + 0.5, color=COMPRESSED, alpha=0.1, linewidth=0)
        axes.grid(axis="x", visible=False)
        axes.set_xlim(0.5, trained + tuned + 0.5)
    above.semilogy(first, [epoch.loss for epoch in results.training], color=ORIGINAL)
    above.semilogy(second, [epoch.loss for epoch in results.fine_tuning], color=COMPRESSED)
    above.yaxis.set_minor_locator(NullLocator())
    above.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    above.set_title("Training loss", loc="left", fontsize=11, color=INK)
    above.text(
        trained + 0.5 + tuned / 2,
        0.93,
        "factors",
        color=COMPRESSED,
        ha="center",
        va="top",
        transform=above.get_xaxis_transform(),
        fontsize=10,
    )
    below.plot(first, [epoch.test_accuracy for epoch in results.training], color=ORIGINAL)
    fall = [results.training[-1].test_accuracy, results.truncated_accuracy]
    below.plot([trained, trained + 0.5], fall, color=COMPRESSED, linestyle=(0, (1, 1.5)), linewidth=1.5)
    below.plot(
        [trained + 0.5, *second],
        [results.truncated_accuracy, *(e.test_accuracy for e in results.fine_tuning)],
        color=COMPRESSED,
    )
    below.plot([trained + 0.5], [results.truncated_accuracy], "o", color=COMPRESSED, markersize=5)
    below.annotate(
        f"cut to rank: {results.truncated_accuracy:.0%}",
        (trained + 0.5, results.truncated_accuracy),
        xytext=(-8, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=10,
        color=COMPRESSED,
    )
    below.set_title("Accuracy on the test images", loc="left", fontsize=11, color=INK)
    below.yaxis.set_major_formatter(FuncFormatter(_percent))
    below.yaxis.set_major_locator(MaxNLocator(5))
    below.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    below.set_xlabel("epoch")
    return svg.markup(figure, "loss", "Training loss and test accuracy by epoch")


def size_against_accuracy(results: Results) -> str:
    """Every budget that was tried, before and after int8; the one that was kept is ringed."""
    figure = Figure(figsize=(WIDTH, 4.1))
    axes = figure.subplots()
    points = results.sweep
    kept = next(point for point in points if point.budget == results.budget)
    axes.axvline(results.budget / 1000, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    axes.plot(
        [p.float32.file_bytes / 1000 for p in points],
        [p.float32.accuracy for p in points],
        "o-",
        color=ORIGINAL,
        markerfacecolor=PAPER,
        markersize=6,
        label="low rank, float32",
        linewidth=1.5,
    )
    axes.plot(
        [p.int8.file_bytes / 1000 for p in points],
        [p.int8.accuracy for p in points],
        "o-",
        color=COMPRESSED,
        markersize=6,
        label="low rank, int8",
    )
    alone, before = results.int8_alone, results.original
    axes.plot(
        [alone.file_bytes / 1000],
        [alone.accuracy],
        "s",
        color=COMPRESSED,
        markerfacecolor=PAPER,
        markersize=7,
        label="int8 alone",
        linestyle="none",
    )
    axes.plot(
        [before.file_bytes / 1000],
        [before.quality.accuracy],
        "D",
        color=ORIGINAL,
        markersize=7,
        label="original",
        linestyle="none",
    )
    axes.plot(
        [kept.int8.file_bytes / 1000],
        [kept.int8.accuracy],
        "o",
        markersize=14,
        markerfacecolor="none",
        color=COMPRESSED,
        markeredgewidth=1.5,
    )
    axes.annotate(
        f"kept\n{kept.int8.file_bytes / 1000:.1f} kB\n{kept.int8.accuracy:.1%}",
        (kept.int8.file_bytes / 1000, kept.int8.accuracy),
        xytext=(7, -12),
        textcoords="offset points",
        va="top",
        color=COMPRESSED,
        fontsize=10,
        fontweight="bold",
    )
    _kilobyte_axis(axes)
    axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    axes.set_xlabel("file size (kB, logarithmic)")
    axes.set_title("Accuracy on the test images", loc="left", fontsize=11, color=INK)
    axes.legend(loc="lower right", frameon=False, fontsize=10, labelcolor=MUTED)
    return svg.markup(figure, "size", "Test accuracy against file size")


def _kilobyte_axis(axes: Axes) -> None:
    """Logarithmic, with room at both sides, and labels that are numbers and not powers."""
    sizes = np.concatenate([line.get_xdata() for line in axes.get_lines()])
    low, high = float(sizes.min()) / 1.25, float(sizes.max()) * 1.25
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    steps = [step * 10**power for power in range(-1, 7) for step in (1, 2, 5)]
    axes.xaxis.set_major_locator(FixedLocator([step for step in steps if low <= step <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _percent(share: float, _: object) -> str:
    return f"{round(100 * share, 3):g}%" if share <= 1 else ""
