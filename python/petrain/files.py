"""Named arrays in one file, in the `safetensors format <https://github.com/huggingface/safetensors>`_.

The compiled core reads and writes the files; the package safetensors is not needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from petrain import _core
from petrain._params import Array


def load_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file: its arrays by name, and its metadata.

    The file is taken for hostile until it is checked: the memory for the arrays is taken only after the whole header
    was found to agree with itself and with the size of the file.

    Args:
        path: a file whose tensors are of dtype F32, F64, F16, BF16, I8, U8, I32 or I64.

    Returns:
        New arrays (float32, float64, float16, bfloat16, int8, uint8, int32, int64;
        bfloat16 as uint16 where ml_dtypes is not installed) in the order of their names, and the metadata, empty
        where the file has none.

    Raises:
        OSError: the file cannot be read.
        petrain.Error: it is not a correct safetensors file; the message names the tensor, what was expected and what
            came.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "m.safetensors")
        ...     save_tensors(path, {"w": np.array([1.0, 2.0], np.float32)}, {"epoch": "3"})
        ...     load_tensors(path)
        ({'w': array([1., 2.], dtype=float32)}, {'epoch': '3'})
    """
    metadata, tensors = _core.read_safetensors(path)
    return tensors, metadata


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, in the place of an old one if there is one.

    It is written under a temporary name in the same folder, synced and renamed: whoever reads the path finds the old
    file or the new one, whole. A symbolic link is replaced, not followed; an old file's permissions are kept. The same
    tensors and metadata give the same bytes, whatever their order.

    Args:
        path: where to.
        tensors: arrays of any shape by name: float32, float64, float16, bfloat16, int8, uint8, int32 or int64,
            C-contiguous; NumPy arrays
            or CPU tensors.
        metadata: text by name.

    Raises:
        OSError: the file cannot be written. The old file is as it was.
        ValueError: an array's dtype, layout or number of dimensions (at most 32) or a name cannot be stored. Nothing
            was written.
        TypeError: a name, or a value of the metadata, is not text, or a tensor is not an array. Nothing was written.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "m.safetensors")
        ...     save_tensors(path, {"w": np.zeros((2, 3), np.int8), "scale": np.ones(2, np.float32)})
        ...     os.path.getsize(path), sorted(os.listdir(folder))
        (142, ['m.safetensors'])
    """
    texts = {} if metadata is None else dict(metadata)
    for name, value in texts.items():
        require_text("metadata name", name)
        require_text(f"metadata {name!r}", value)
    arrays = dict(tensors)
    for name in arrays:
        require_text("tensor name", name)
    _core.write_safetensors(path, texts, arrays)


def require_text(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what}: expected text, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what}: expected text that UTF-8 can hold, got {value!a}") from None
