"""How good a model is, and whether its file gives the same answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

import petrain
from petrain import nn
from petrain.demo.data import Floats, Labels


@dataclass(frozen=True)
class Quality:
    """On the test images: accuracy, and the means over the classes of precision, recall and F1."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    confusion: list[list[int]]  # [true digit][predicted digit]
    predictions: Labels


def evaluate(model: nn.Sequential, x: Floats, y: Labels) -> Quality:
    predicted = model(x).argmax(axis=1).astype(np.int64)
    precision, recall, f1, _ = precision_recall_fscore_support(y, predicted, average="macro", zero_division=0)
    return Quality(
        accuracy=float(accuracy_score(y, predicted)),
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        confusion=confusion_matrix(y, predicted, labels=range(10)).tolist(),
        predictions=predicted,
    )


def check_file(path: Path, model: nn.Sequential, x: Floats) -> nn.Sequential:
    """The model that the file holds, which must answer as ``model`` does, bit for bit.

    Raises:
        petrain.Error: it does not.
    """
    loaded = petrain.load(path)
    expected, answers = model(x), loaded(x)
    if not np.array_equal(expected, answers):
        rows = int(np.any(expected != answers, axis=1).sum()) if expected.shape == answers.shape else len(x)
        raise petrain.Error(f"{path.name}: the loaded model answers {rows} of {len(x)} images differently")
    return loaded
