"""What a run is asked for, and the constants of training that were tried and kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HIDDEN = (256, 128)
BATCH, MICRO_BATCH = 64, 24  # 24 + 24 + 16: the micro-batches are ragged on purpose
SWEEP = (0.045, 0.052, 0.06, 0.08, 0.11, 0.16, 0.22)  # sizes, relative to the original file, that the chart tries
RANKS = (*range(1, 17), 20, 24, 32, 48, 64)  # that are tried for each layer
SAMPLES = 500  # training images on which they are tried


@dataclass(frozen=True)
class Budget:
    """The most that the compressed file may take: bytes, or a part of the original file."""

    text: str  # as it was asked for
    value: float
    relative: bool

    def nbytes(self, original: int) -> int:
        return int(self.value * original) if self.relative else int(self.value)


def parse_budget(text: str) -> Budget:
    """A budget as written on the command line.

    >>> parse_budget("6%").nbytes(200_000), parse_budget("12000").nbytes(200_000)
    (12000, 12000)
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)%", text.strip())
    if match and 0 < float(match[1]) <= 100:
        return Budget(text.strip(), float(match[1]) / 100, relative=True)
    if text.strip().isascii() and text.strip().isdigit() and int(text) > 0:
        return Budget(text.strip(), int(text), relative=False)
    raise ValueError(f"expected a part of the original (6%) or a number of bytes (12000), got {text!r}")


@dataclass(frozen=True)
class Settings:
    """The options of ``petrain demo``."""

    out: Path
    seed: int
    threads: int
    budget: Budget
    epochs: int
    quiet: bool

    @property
    def command(self) -> str:
        """What makes the same models again. The folder is left out: a report may be passed on."""
        options = {"seed": self.seed, "threads": self.threads, "budget": self.budget.text, "epochs": self.epochs}
        return " ".join(["petrain demo", *(f"--{name} {value}" for name, value in options.items())])


@dataclass(frozen=True)
class Schedule:
    """How a model is trained: AdamW, its rate rising for 20 steps and then falling along half a cosine."""

    epochs: int
    lr: float
    weight_decay: float
    max_norm: float = 1.0


def training(epochs: int) -> Schedule:
    # A strong decay keeps the spectrum of the weights short, which is what the factors live on.
    return Schedule(epochs, lr=2e-3, weight_decay=0.5)


FINE_TUNING = Schedule(epochs=12, lr=4e-3, weight_decay=0.01)
