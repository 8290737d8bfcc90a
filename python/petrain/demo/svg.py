"""Figures as SVG that lives inside a page: its colours are the page's, its text is text, its bytes are repeatable."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Drawn in colours that stand for those of the style sheet, which has a light and a dark set of them.
INK, MUTED, LINE, ORIGINAL, COMPRESSED, WRONG, TRACK, PAPER = (f"#00000{i}" for i in range(1, 9))
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    ORIGINAL: "original",
    COMPRESSED: "compressed",
    WRONG: "wrong",
    TRACK: "track",
    PAPER: "card",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "petrain",
    "font.family": "DejaVu Sans",  # measures the text; matplotlib carries it
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw within this: the user's own settings of matplotlib have no say."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def clear(axes: Axes) -> None:
    """Leave only what is drawn."""
    axes.grid(False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def markup(figure: Figure, name: str, label: str) -> str:
    """The <svg> element. ``name`` keeps its ids apart from those of other figures; ``label`` is read aloud."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.04)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style type=\"text/css\">.*?</style>", "", text, flags=re.DOTALL)  # would style the whole page
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', lambda m: _head(m[1], label), text, count=1, flags=re.DOTALL)
    return text.strip()


def _head(view_box: str, label: str) -> str:
    namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {namespaces} class="chart" viewBox="{view_box}" role="img" aria-label="{escape(label)}">'
