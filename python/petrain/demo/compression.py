"""From a trained model to one whose file fits a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import petrain
from petrain import nn
from petrain.compress import (
    Candidate,
    Factorized,
    Quantized,
    Scores,
    build_model,
    dequantize,
    quantize_like,
    score_model,
)
from petrain.demo.data import Digits
from petrain.demo.settings import FINE_TUNING, RANKS, SAMPLES
from petrain.demo.training import Epoch, accuracy, train

FORMS: tuple[Candidate, ...] = (Quantized(8), *(Factorized(rank, bits=8) for rank in RANKS))


@dataclass(frozen=True)
class Layer:
    """What became of a linear layer.

    Attributes:
        index: its place in the model.
        name: of its weight.
        shape: (out, in).
        rank: of its factors, or None where it stays one matrix.
        rel_error: ‖W - Ŵ‖_F / ‖W‖_F before the fine-tuning.
        bytes_before, bytes_after: of its weight, in float32 and as it is stored.
    """

    index: int
    name: str
    shape: tuple[int, int]
    rank: int | None
    rel_error: float
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class Compressed:
    """A model with low-rank factors, fine-tuned in float32, and the same in int8."""

    budget: int  # bytes of the int8 file
    layers: list[Layer]
    factors: nn.Sequential
    small: nn.Sequential
    truncated_accuracy: float  # on the test images, before the fine-tuning
    epochs: list[Epoch]

    @property
    def ranks(self) -> dict[int, int]:
        return {layer.index: layer.rank for layer in self.layers if layer.rank is not None}


def file_size(model: nn.Sequential, scratch: Path) -> int:
    """Bytes of the model's file, header included."""
    path = scratch / "size.safetensors"
    petrain.save(model, path)
    size = path.stat().st_size
    path.unlink()
    return size


def score(model: nn.Sequential, digits: Digits) -> Scores:
    """What every rank of every layer, and int8 alone, does to the answers for some of the training images."""
    return score_model(model, digits.train_x[:SAMPLES], FORMS)


def compress(
    model: nn.Sequential,
    scores: Scores,
    digits: Digits,
    budget: int,
    seed: int,
    on_epoch: Callable[[Epoch], None],
) -> Compressed:
    """The ranks for the budget, factors fine-tuned in float32, then int8. The model itself is not changed.

    Raises:
        petrain.Error: nothing is as small as the budget.
    """
    try:
        plan = scores.plan(budget_bytes=budget)
    except ValueError as error:
        raise petrain.Error(str(error)) from None
    small = build_model(plan, model, digits.train_x[:SAMPLES], FORMS)
    factors = dequantize(small)
    truncated = accuracy(factors, digits.test_x, digits.test_y)
    layers = _layers(model, small)
    epochs = train(factors, digits, FINE_TUNING, seed, on_epoch)
    return Compressed(budget, layers, factors, quantize_like(factors, small), truncated, epochs)


def _layers(model: nn.Sequential, small: nn.Sequential) -> list[Layer]:
    layers = []
    for i, (before, after) in enumerate(zip(model.layers, small.layers, strict=True)):
        if not isinstance(before, nn.Linear) or not isinstance(after, nn.Linear):
            continue
        w, form = before.weight.dense().astype(np.float64), after.weight
        error = float(np.linalg.norm(w - form.dense()) / max(np.linalg.norm(w), np.finfo(float).tiny))
        rank = form.rank if isinstance(form, nn.LowRankWeight) else None
        out_features, in_features = w.shape
        shape = (out_features, in_features)
        layers.append(Layer(i, f"{i}.weight", shape, rank, error, before.weight.nbytes, form.nbytes))
    return layers
