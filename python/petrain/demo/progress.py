"""What a run says while it works: a bar with the time left on a terminal, one line for each stage elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text


class Stages:
    """Use as a context manager. ``total`` and what is advanced are in units of about the same time."""

    def __init__(self, console: Console, total: float) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            expand=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)
        self._start = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def begin(self, name: str) -> None:
        self._name = name
        self._start = time.perf_counter()
        self._bar.update(self._task, description=f"{name:<8}")

    def advance(self, units: float = 1) -> None:
        self._bar.advance(self._task, units)

    def end(self, outcome: str) -> None:
        """Note the time of the stage, and say what came of it."""
        taken = time.perf_counter() - self._start
        self.seconds[self._name] = taken
        self._console.print(Text(f"{self._name:<10} {taken:5.1f} s   {outcome}"), highlight=False, soft_wrap=True)

    def __enter__(self) -> Stages:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
