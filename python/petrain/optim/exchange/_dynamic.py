"""The 8-bit codes of bitsandbytes and torchao: an index into a table of 256 numbers in [-1, 1], times a scale for each
block. Dettmers, Lewis, Shleifer, Zettlemoyer, 8-bit Optimizers via Block-wise Quantization, arXiv 2110.02861."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from petrain.optim.base import Optimizer
from petrain.optim.exchange._values import to_numpy

BLOCK = 256
SMALLEST = 4096  # both keep tensors of fewer elements in float32


def dynamic_map(signed: bool) -> NDArray[np.float32]:
    """The table, ascending, as create_dynamic_map of both libraries makes it on a processor with fused multiply-add
    (on others, some of its numbers differ in the last bit; a state_dict therefore carries its table).

    In each power of ten from 1e-6 to 1, the middles of equal parts of [0.1, 1]: one part in the lowest, twice as many
    in each that follows, and twice as many again where no bit is needed for a sign.
    """
    values = [0.0, 1.0]
    for i in range(7):
        edges = _linspace(2 ** (i + (0 if signed else 1)) + 1)
        middles = np.float32(10.0 ** (i - 6)) * ((edges[:-1] + edges[1:]) / np.float32(2))
        values += middles.tolist()
        if signed:
            values += (-middles).tolist()
    return np.sort(np.array(values, np.float32))


def _linspace(count: int) -> NDArray[np.float32]:
    """From 0.1 to 1 as torch has it: the upper half is counted down from its end. The products are exact in float64."""
    step = np.float64((np.float32(1) - np.float32(0.1)) / np.float32(count - 1))
    index = np.arange(count)
    return np.where(index < count // 2, np.float32(0.1) + step * index, 1 - step * (count - 1 - index)).astype(
        np.float32
    )


@dataclass(frozen=True)
class Coded:
    """A state in 8 bits: codes of its shape, a scale for each block, the table."""

    codes: NDArray[Any]
    scales: NDArray[Any]
    table: NDArray[Any]
    block: int = BLOCK

    def decode(self) -> NDArray[np.float32]:
        """table[code] · scale, in float32. The last block may be shorter."""
        factors = np.repeat(self.scales, self.block)[: self.codes.size].reshape(self.codes.shape)
        result: NDArray[np.float32] = self.table[self.codes] * factors
        return result


def encode(values: NDArray[Any], table: NDArray[Any], least_scale: float, block: int = BLOCK) -> Coded:
    """The nearest codes (upwards where two are equally near); the scale is the greatest magnitude of a block, but no
    less than ``least_scale``. Zero has a code of its own."""
    padded = np.zeros(-(-values.size // block) * block, np.float32)
    padded[: values.size] = values.reshape(-1)
    scales = np.maximum(np.abs(padded).reshape(-1, block).max(axis=1, initial=0), np.float32(least_scale))
    scaled = (padded.reshape(-1, block) / np.where(scales > 0, scales, np.float32(1))[:, None]).reshape(-1)
    low = np.maximum(np.searchsorted(table, scaled, side="right") - 1, 0)
    high = np.minimum(low + 1, 255)
    up = scaled - table[low] >= (table[high] - table[low]) * np.float32(0.5)
    codes = np.where(up, high, low)[: values.size].astype(np.uint8).reshape(values.shape)
    return Coded(codes, scales, table, block)


# What was imported into an optimizer. Many codes and scales stand for the same numbers, so these are given back for the
# blocks whose numbers have not changed.
_imported: WeakKeyDictionary[Optimizer, dict[tuple[int, str], Coded]] = WeakKeyDictionary()


def remember(optimizer: Optimizer, coded: dict[tuple[int, str], Coded]) -> None:
    """Keep the codes that an optimizer's states came from."""
    _imported[optimizer] = coded


def was_imported(optimizer: Optimizer, param: int, name: str) -> bool:
    """Whether a state came in codes."""
    return (param, name) in _imported.get(optimizer, {})


def encode_again(
    optimizer: Optimizer, param: int, name: str, values: NDArray[Any], signed: bool, least_scale: float
) -> Coded:
    """A state in codes; of the blocks that are as they were imported, in those that they came with."""
    before = _imported.get(optimizer, {}).get((param, name))
    if before is None:
        return encode(values, dynamic_map(signed), least_scale)
    fresh = encode(values, before.table, least_scale, before.block)
    same = (before.decode() == values).reshape(-1)
    unchanged = np.array([same[i : i + before.block].all() for i in range(0, same.size, before.block)], bool)
    elements = np.repeat(unchanged, before.block)[: same.size].reshape(values.shape)
    codes = np.where(elements, before.codes, fresh.codes)
    return Coded(codes, np.where(unchanged, before.scales, fresh.scales), fresh.table, before.block)


def to_coded(codes: Any, scales: Any, table: Any, shape: tuple[int, ...], what: str, block: int | None = None) -> Coded:
    """Arrays of another library, checked and copied; without ``block``, the scales say how long their blocks are."""
    arrays = [np.array(to_numpy(array, what)) for array in (codes, scales, table)]
    for name, array, dtype, expected in zip(
        ("codes", "scales", "table"), arrays, ("uint8", "float32", "float32"), (shape, None, (256,)), strict=True
    ):
        if str(array.dtype) != dtype:
            raise ValueError(f"state_dict: expected {name} of {what} to be of dtype {dtype}, got {array.dtype}")
        if expected is not None and array.shape != expected:
            raise ValueError(f"state_dict: expected shape {expected} of the {name} of {what}, got {array.shape}")
        if dtype == "float32" and not np.isfinite(array).all():
            raise ValueError(f"state_dict: expected {name} of {what} to be finite, got NaN or infinity")
    if (np.diff(arrays[2]) < 0).any():
        raise ValueError(f"state_dict: expected the table of {what} to be ascending")
    count, size = arrays[1].size, arrays[0].size
    if block is None:
        block = size // count if count else BLOCK
    if arrays[1].ndim != 1 or block == 0 or count != -(-size // block):
        raise ValueError(
            f"state_dict: expected a scale for each {block or 1} of the {size} codes of {what}, got {count}"
        )
    return Coded(arrays[0], arrays[1], arrays[2], block)
