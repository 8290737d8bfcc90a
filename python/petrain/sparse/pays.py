"""When leaving out zeros makes a layer faster, from measurements."""

from __future__ import annotations

from petrain._numbers import integer

# The most of a weight that may be stored, by the smallest batch from which it holds. From the table in docs/prune.md,
# with a margin.
_FLOAT32 = {16: {1: 0.75}, 8: {1: 0.6}, 4: {1: 0.3, 8: 0.6}, 2: {1: 0.1, 8: 0.5}, 1: {1: 0.05, 8: 0.25}}
_INT8 = {1: 0.5, 5: 0.4, 12: 0.5}
_INT8_SCATTERED = {1: 0.15, 5: 0.4, 12: 0.5}


def most_density(batch: int, *, bits: int = 32, group: int = 16, scattered: bool = False) -> float:
    """The most of a weight that may be stored for its layer to be faster than the dense one.

    A table of what was measured with AVX2, one thread, weights of 1024² and 4096 × 1024; against dense layers of the
    same bits, float32 against what a dense layer could reach at best. On other instruction sets, measure:
    ``bench/bench_sparse.py``.

    Args:
        batch: rows of the input.
        bits: 32 or 8.
        group: outputs that share positions, 1, 2, 4, 8 or 16; with 8 bits 16.
        scattered: of int8, not runs of a multiple of 4 inputs, nor n of m where m divides 16 and 16 divides K.

    Raises:
        ValueError: an argument is not as said.

    Example:
        >>> most_density(1), most_density(8, group=4), most_density(1, bits=8, scattered=True)
        (0.75, 0.6, 0.15)
    """
    integer("batch", batch, 1)
    if bits not in (8, 32):
        raise ValueError(f"bits: expected 8 or 32, got {bits}")
    if group not in (_FLOAT32 if bits == 32 else (16,)):
        raise ValueError(f"group: expected 1, 2, 4, 8 or 16, and 16 with 8 bits, got {group}")
    table = _FLOAT32[group] if bits == 32 else _INT8_SCATTERED if scattered else _INT8
    return table[max(least for least in table if least <= batch)]
