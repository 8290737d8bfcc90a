"""The images: 1,797 handwritten digits of 8 x 8 pixels, which scikit-learn carries (Alpaydin, Kaynak, 1998)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Digits:
    """Images as float32 rows of 64 values in [0, 1], and what they show."""

    train_x: Floats
    train_y: Labels
    test_x: Floats
    test_y: Labels


def load(seed: int, test_part: float = 0.25) -> Digits:
    """The digits, a quarter of each class drawn by the seed for the test."""
    images, target = load_digits(return_X_y=True)
    x, y = (images / 16).astype(np.float32), target.astype(np.int64)
    rng = np.random.default_rng([seed, 0])
    in_test = np.zeros(len(y), dtype=bool)
    for digit in range(10):
        rows = rng.permutation(np.flatnonzero(y == digit))
        in_test[rows[: round(test_part * len(rows))]] = True
    return Digits(x[~in_test], y[~in_test], x[in_test], y[in_test])
