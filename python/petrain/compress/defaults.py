"""The forms that are tried where none are named."""

from __future__ import annotations

from petrain.compress.candidates import Candidate, Dense, Factorized, Quantized
from petrain.compress.sparse import Sparse

CANDIDATES: tuple[Candidate, ...] = (
    Dense(),
    Quantized(8),
    Quantized(4),
    Quantized(4, 32),
    Quantized(4, 64),
    Quantized(8, residual_rank=8),
    Quantized(4, 32, residual_rank=8),
    Quantized(4, 64, residual_rank=8),
    *(Factorized(part / 32, bits) for bits in (32, 8) for part in (1, 2, 3, 4, 6, 8, 12, 16)),
    *(Sparse(n, m, bits) for bits in (32, 8) for n, m in ((2, 4), (1, 4))),
)
