"""Training with accumulated micro-batches, for the float32 model and for the factors of a compressed one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

import petrain
from petrain import nn
from petrain.demo.data import Digits, Floats, Labels
from petrain.demo.settings import BATCH, HIDDEN, MICRO_BATCH, Schedule

WARMUP_STEPS = 20


@dataclass(frozen=True)
class Epoch:
    """The mean loss over the training images while they were learnt, and the accuracy on the test images after."""

    loss: float
    test_accuracy: float


def new_model(seed: int) -> nn.Sequential:
    """A perceptron for 64 pixels and 10 digits."""
    nn.manual_seed(seed)
    first, second = HIDDEN
    return nn.Sequential(nn.Linear(64, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 10))


def train(
    model: nn.Sequential, digits: Digits, schedule: Schedule, seed: int, on_epoch: Callable[[Epoch], None]
) -> list[Epoch]:
    """Train what is float32 in the model, in place. The model of the last epoch is kept: none is chosen by its test."""
    rng = np.random.default_rng([seed, 1])
    optimizer = petrain.optim.AdamW(model.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay)
    accumulator = petrain.GradAccumulator(model.parameters())
    x, y = digits.train_x, digits.train_y
    steps = schedule.epochs * math.ceil(len(y) / BATCH)
    step = 0
    epochs = []
    for _ in range(schedule.epochs):
        order = rng.permutation(len(y))
        total = 0.0
        for batch in _slices(order, BATCH):
            for rows in _slices(batch, MICRO_BATCH):
                loss, gradient = nn.cross_entropy(model.forward(x[rows], training=True), y[rows])
                model.backward(gradient)
                accumulator.add(model.gradients(), weight=len(rows))
                total += loss * len(rows)
            optimizer.param_groups[0]["lr"] = _rate(schedule.lr, step, steps)
            optimizer.step(accumulator, max_norm=schedule.max_norm)
            step += 1
        epochs.append(Epoch(total / len(y), accuracy(model, digits.test_x, digits.test_y)))
        on_epoch(epochs[-1])
    return epochs


def accuracy(model: nn.Sequential, x: Floats, y: Labels) -> float:
    return float(np.mean(model(x).argmax(axis=1) == y))


def _rate(peak: float, step: int, steps: int) -> float:
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    return peak * warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _slices(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
