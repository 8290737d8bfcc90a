"""Models in files."""

from __future__ import annotations

import os

from petrain import _core
from petrain._core import Sequential


def save(model: Sequential, path: str | os.PathLike[str]) -> None:
    """Write a model as a safetensors file, in the place of an old one if there is one.

    The old file or the new one is there at any time, never a part. The same model gives the same bytes.
    docs/file-format.md describes the file.

    Raises:
        OSError: the file cannot be written. The old file is as it was.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from petrain import nn
        >>> model = nn.Sequential(nn.Linear(4, 3))
        >>> x = np.ones((1, 4), np.float32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "m.safetensors")
        ...     save(model, path)
        ...     bool((load(path)(x) == model(x)).all())
        True
    """
    _core.save_model(model, path)


def load(path: str | os.PathLike[str]) -> Sequential:
    """Read a model that :func:`save`, or a C++ program, has written.

    Raises:
        OSError: the file cannot be read.
        petrain.Error: it is not a model; the message says what was expected and what came.
    """
    return _core.load_model(path)
