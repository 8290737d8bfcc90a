"""The report in the terminal, or as plain text where the output is piped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from petrain.demo import summary
from petrain.demo.results import Results

_STYLE = {True: "green", False: "yellow", None: "dim"}


def show(console: Console, results: Results, paths: Sequence[Path], seconds: float) -> None:
    console.print()
    console.print(Text(summary.headline(results), style="bold"))
    console.print()
    console.print(_metrics(console, results))
    console.print()
    console.print(_layers(console, results))
    console.print()
    for path in paths:
        console.print(Text(f"{path.stat().st_size:>9,} bytes  {path}"), soft_wrap=True)
    console.print(Text(f"\nDone in {seconds:.1f} s; open {paths[-1]} in a browser."), soft_wrap=True)


def _table(console: Console, *columns: str) -> Table:
    # Lines are for eyes: what is piped gets columns of plain text.
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    return table


def _metrics(console: Console, results: Results) -> Table:
    table = _table(console, "", "before", "after", "change")
    for row in summary.rows(results):
        table.add_row(row.name, row.before, row.after, Text(row.change, style=_STYLE[row.better]))
    return table


def _layers(console: Console, results: Results) -> Table:
    table = _table(console, "weight", "shape", "rank", "error", "before", "after")
    for layer in results.layers:
        out_features, in_features = layer.shape
        table.add_row(
            layer.name,
            f"{out_features} × {in_features}",
            "whole" if layer.rank is None else str(layer.rank),
            f"{layer.rel_error:.3f}",
            summary.kilobytes(layer.bytes_before),
            summary.kilobytes(layer.bytes_after),
        )
    return table
