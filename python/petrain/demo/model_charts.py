"""The charts of what the models are: what was kept of each weight, and which digits are taken for which."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from petrain.demo import svg
from petrain.demo.charts import WIDTH
from petrain.demo.results import Results
from petrain.demo.svg import COMPRESSED, INK, MUTED, ORIGINAL, TRACK, WRONG


def layers(results: Results) -> str:
    """What was kept of each weight, and how far the factors are from it."""
    figure = Figure(figsize=(WIDTH, 0.5 + 0.62 * len(results.layers)))
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.12})
    names = [f"{layer.name}\n{layer.shape[0]} × {layer.shape[1]}" for layer in results.layers]
    full = [min(layer.shape) for layer in results.layers]
    kept = [layer.rank or whole for layer, whole in zip(results.layers, full, strict=True)]
    texts = [
        f"{rank} of {whole}" if layer.rank else f"whole, {whole}"
        for layer, rank, whole in zip(results.layers, kept, full, strict=True)
    ]
    errors = [layer.rel_error for layer in results.layers]
    _bars(left, [rank / whole for rank, whole in zip(kept, full, strict=True)], texts, COMPRESSED)
    _bars(right, errors, [f"{error:.2f}" if error else "0" for error in errors], WRONG)
    left.set_yticks(range(len(names)), names, color=INK)
    left.set_title("rank kept", loc="left", fontsize=10, color=MUTED)
    right.set_title("relative error of the factors", loc="left", fontsize=10, color=MUTED)
    return svg.markup(figure, "layers", "Rank and relative error of each weight")


def confusion(results: Results, which: str) -> str:
    """The true digits down, the answers across; what is off the diagonal is wrong."""
    model, right = (results.original, ORIGINAL) if which == "original" else (results.compressed, COMPRESSED)
    figure = Figure(figsize=(4, 4))
    axes = figure.subplots()
    svg.clear(axes)
    for row, counts in enumerate(model.quality.confusion):
        total = max(sum(counts), 1)  # a class without images has no shares
        for column, count in enumerate(counts):
            # The more, the stronger; a single mistake can be seen already.
            if count == 0:
                colour, strength = TRACK, 0.45
            elif row == column:
                colour, strength = right, 0.15 + 0.3 * count / total
            else:
                colour, strength = WRONG, min(0.35 + 0.15 * count, 0.95)
            corner = (column - 0.46, row - 0.46)
            axes.add_patch(Rectangle(corner, 0.92, 0.92, facecolor=colour, alpha=strength, linewidth=0))
            if count:
                weight = "normal" if row == column else "bold"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=9, fontweight=weight)
    axes.set(xlim=(-0.5, 9.5), ylim=(9.5, -0.5), aspect="equal", xticks=range(10), yticks=range(10))
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("answer", fontsize=10)
    axes.set_ylabel("true digit", fontsize=10)
    return svg.markup(figure, f"confusion-{which}", f"Confusion matrix of the {which} model")


def _bars(axes: Axes, values: list[float], texts: list[str], colour: str) -> None:
    svg.clear(axes)
    rows = range(len(values))
    axes.barh(rows, [1] * len(values), height=0.36, color=TRACK)
    axes.barh(rows, values, height=0.36, color=colour)
    for row, text in zip(rows, texts, strict=True):
        axes.text(0, row - 0.3, text, va="bottom", fontsize=10, color=INK)
    axes.set(xlim=(0, 1), ylim=(len(values) - 0.45, -0.75), xticks=[], yticks=[])
