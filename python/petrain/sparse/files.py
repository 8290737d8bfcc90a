"""Sparse weights in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping

from petrain import _core
from petrain.files import require_text
from petrain.sparse.tensor import SparseTensor, core_of


def save(path: str | os.PathLike[str], weights: Mapping[str, SparseTensor]) -> None:
    """Write sparse weights as a safetensors file, in the place of an old one if there is one.

    All or nothing, as :func:`petrain.files.save_tensors`. Weight ``name`` becomes the tensors ``name.values``,
    ``name.scale`` of int8, and ``name.positions`` of N:M or ``name.columns`` and ``name.starts`` of blocks; the
    patterns are JSON in the metadata. The same weights give the same bytes.

    Args:
        path: where to.
        weights: by name.

    Raises:
        OSError: the file cannot be written. The old file is as it was.
        ValueError: a name cannot be stored, or a value is NaN or infinite. Nothing was written.
        TypeError: a name is not text, or a weight is no SparseTensor. Nothing was written.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from petrain import sparse
        >>> w = sparse.compress(np.eye(16, 32, dtype=np.float32), block=(16, 8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "w.safetensors")
        ...     save(path, {"w": w})
        ...     load(path)
        {'w': SparseTensor(shape=(16, 32), bits=32, block=(16, 8))}
    """
    cores = {}
    for name, weight in weights.items():
        require_text("weight name", name)
        cores[name] = core_of(weight, f"weight {name!r}")
    _core.save_sparse(path, cores)


def load(path: str | os.PathLike[str]) -> dict[str, SparseTensor]:
    """Read the sparse weights of a file that :func:`save` wrote, by name.

    The file is taken for hostile until it is checked: sizes, and that positions are in range and ascend.

    Raises:
        OSError: the file cannot be read.
        petrain.Error: it is not a file of sparse weights; the message says what was expected and what came.
    """
    return {name: SparseTensor(core) for name, core in _core.load_sparse(path).items()}
