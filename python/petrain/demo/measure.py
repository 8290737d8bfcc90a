"""What a model costs to run. Times are taken in turns, so that a slow moment of the machine hits both models."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from petrain import nn
from petrain.demo.data import Floats

BATCHES = {1: 2000, 256: 200}  # rounds by the size of the batch


@dataclass(frozen=True)
class Memory:
    """Peak resident bytes of a process that loads a model and predicts, and how much of that came with the model."""

    peak: int | None
    added: int | None


def latencies(models: Sequence[nn.Sequential], x: Floats, batch: int) -> list[float]:
    """Seconds per sample of each model: the median over interleaved rounds, seen from Python."""
    rows = x[:batch]
    for model in models:
        for _ in range(5):
            model(rows)
    seconds: list[list[float]] = [[] for _ in models]
    for _ in range(BATCHES[batch]):
        for model, taken in zip(models, seconds, strict=True):
            start = time.perf_counter()
            model(rows)
            taken.append(time.perf_counter() - start)
    return [median(taken) / len(rows) for taken in seconds]


def memory(path: Path, rows: int, features: int, threads: int) -> Memory:
    """Of a fresh process for this file.

    Raises:
        OSError: the process failed.
    """
    command = [sys.executable, "-m", "petrain.demo.probe", path, rows, features, threads]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OSError(f"the process that measures the memory of {path.name} failed: {reason}")
    found = json.loads(done.stdout)
    if found["peak"] is None:
        return Memory(None, None)
    return Memory(found["peak"], found["peak"] - found["before"])
