"""Everything that a run found out; metrics.json holds it under the keys that docs/demo.md explains."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import petrain
from petrain.demo.compression import Layer
from petrain.demo.evaluation import Quality
from petrain.demo.measure import Memory
from petrain.demo.settings import Settings
from petrain.demo.training import Epoch


@dataclass(frozen=True)
class ModelResult:
    file: str
    file_bytes: int
    array_bytes: int
    quality: Quality
    latency: dict[int, float]  # seconds per sample, by the size of the batch
    memory: Memory


@dataclass(frozen=True)
class SizePoint:
    file_bytes: int
    accuracy: float


@dataclass(frozen=True)
class SweepPoint:
    """A budget, and what came of it before and after int8."""

    budget: int
    ranks: dict[int, int]
    float32: SizePoint
    int8: SizePoint


@dataclass(frozen=True)
class Results:
    settings: Settings
    budget: int  # bytes
    images: tuple[int, int]  # to train and to test
    original: ModelResult
    compressed: ModelResult
    layers: list[Layer]
    training: list[Epoch]
    truncated_accuracy: float
    fine_tuning: list[Epoch]
    sweep: list[SweepPoint]
    int8_alone: SizePoint
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        facts: dict[str, Any] = {
            "seed": self.settings.seed,
            "threads": self.settings.threads,
            "command": self.settings.command,
            "isa": petrain.cpu_info()["isa"],
            "versions": versions(),
            "budget_bytes": self.budget,
            "images": {"train": self.images[0], "test": self.images[1]},
            "original": _model(self.original),
            "compressed": _model(self.compressed),
            "layers": [asdict(layer) for layer in self.layers],
            "training": [asdict(epoch) for epoch in self.training],
            "truncated_accuracy": self.truncated_accuracy,
            "fine_tuning": [asdict(epoch) for epoch in self.fine_tuning],
            "sweep": [asdict(point) for point in self.sweep],
            "int8_alone": asdict(self.int8_alone),
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
        }
        return json.dumps(facts, indent=1, allow_nan=False) + "\n"


def versions() -> dict[str, str]:
    """Of what had a part in the figures."""
    packages = ("petrain", "numpy", "scikit-learn", "matplotlib")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _model(model: ModelResult) -> dict[str, Any]:
    quality = model.quality
    return {
        "file": model.file,
        "file_bytes": model.file_bytes,
        "array_bytes": model.array_bytes,
        "accuracy": quality.accuracy,
        "precision": quality.precision,
        "recall": quality.recall,
        "f1": quality.f1,
        "confusion": quality.confusion,
        "latency_seconds": {str(batch): seconds for batch, seconds in model.latency.items()},
        "peak_memory_bytes": model.memory.peak,
        "added_memory_bytes": model.memory.added,
    }
