"""Quantized arrays in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping

from petrain import _core
from petrain.files import require_text
from petrain.quant.tensor import QuantTensor


def save(path: str | os.PathLike[str], arrays: Mapping[str, QuantTensor]) -> None:
    """Write quantized arrays as a safetensors file, in the place of an old one if there is one.

    All or nothing, as :func:`petrain.files.save_tensors`. Array ``name`` becomes the tensors ``name.values``,
    ``name.scale`` and, where it has one, ``name.zero_point``; the formats are JSON in the metadata. The same arrays
    give the same bytes.

    Args:
        path: where to.
        arrays: by name.

    Raises:
        OSError: the file cannot be written. The old file is as it was.
        ValueError: a name cannot be stored. Nothing was written.
        TypeError: a name is not text, or an array is no QuantTensor. Nothing was written.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from petrain import files, quant
        >>> q = quant.quantize(np.ones((3, 5), np.float32), bits=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "w.safetensors")
        ...     save(path, {"w": q})
        ...     {name: array.shape for name, array in files.load_tensors(path)[0].items()}, load(path)["w"].shape
        ({'w.scale': (3,), 'w.values': (8,)}, (3, 5))
    """
    cores = {}
    for name, array in arrays.items():
        require_text("array name", name)
        if not isinstance(array, QuantTensor):
            raise TypeError(f"array {name!r}: expected a QuantTensor, got {type(array).__name__}")
        cores[name] = array._core
    _core.save_quant(path, cores)


def load(path: str | os.PathLike[str]) -> dict[str, QuantTensor]:
    """Read the quantized arrays of a file that :func:`save` wrote, by name.

    The file is taken for hostile until it is checked: what it holds is a correct QuantTensor each, or it is refused.

    Raises:
        OSError: the file cannot be read.
        petrain.Error: it is not a file of quantized arrays; the message says what was expected and what came.
    """
    return {name: QuantTensor._from_core(core) for name, core in _core.load_quant(path).items()}
