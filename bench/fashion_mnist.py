"""Fashion-MNIST as Debian installs it: apt-get install dataset-fashion-mnist."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np

FOLDER = Path("/usr/share/datasets/fashion-mnist")


def load() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Training and test data: images (rows, 784) in float32 from 0 to 1, labels int64."""
    if not FOLDER.exists():
        sys.exit(f"expected the data set in {FOLDER}: apt-get install dataset-fashion-mnist")
    return _part("train"), _part("t10k")


def _part(name: str) -> tuple[np.ndarray, np.ndarray]:
    images = _idx(FOLDER / f"{name}-images-idx3-ubyte.gz")
    labels = _idx(FOLDER / f"{name}-labels-idx1-ubyte.gz")
    return images.reshape(len(images), -1).astype(np.float32) / 255, labels.astype(np.int64)


def _idx(path: Path) -> np.ndarray:
    """An array of bytes in the IDX format: two zeros, 8, the number of dimensions, and each as four bytes."""
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4).astype(int)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)
