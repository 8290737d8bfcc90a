"""Pruned weights as a form that the planner may choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from petrain import nn, prune, sparse
from petrain._numbers import integer
from petrain._params import Floats
from petrain.compress.candidates import Samples


@dataclass(frozen=True)
class Sparse:
    """n of every m inputs, the same for each group of outputs; offered where that pays: see
    :func:`petrain.sparse.most_density`.

    Which stay is decided by what they add to the outputs (Wanda), the squares of a group added up; with samples the
    weights that stay make up for the others, as :func:`petrain.prune.compensate` does it. Without samples the largest
    stay.

    Attributes:
        n, m: of every ``m`` inputs ``n`` stay, ``1 <= n < m <= 16``.
        bits: 32 for float32, 8 for int8 with a scale for each output.
        group: outputs that share positions: 4, 8 or 16; 16 with 8 bits.

    Raises:
        ValueError, TypeError: one is not as said.
    """

    n: int
    m: int
    bits: int = 32
    group: int = 16

    def __post_init__(self) -> None:
        integer("m", self.m, 2, 16)
        integer("n", self.n, 1, self.m - 1)
        if self.bits not in (8, 32):
            raise ValueError(f"bits: expected 8 or 32, got {self.bits}")
        if self.group not in ((16,) if self.bits == 8 else (4, 8, 16)):
            raise ValueError(f"group: expected 4, 8 or 16, and 16 with 8 bits, got {self.group}")

    @property
    def name(self) -> str:
        return f"{self.n}:{self.m} g{self.group}" + (" int8" if self.bits == 8 else "")

    def fits(self, shape: tuple[int, int]) -> bool:
        scattered = 16 % self.m != 0 or shape[1] % 16 != 0
        most = sparse.most_density(1, bits=self.bits, group=self.group, scattered=scattered)
        return shape[0] % self.group == 0 and shape[1] % self.m == 0 and self.n / self.m <= most

    def build(self, w: Floats, samples: Samples | None) -> nn.Weight:
        if samples is None or not samples.rows.any():
            scores = prune.magnitude(w)
        else:
            norms = prune.ColumnNorms(w.shape[1])
            norms.observe(samples.rows)
            scores = prune.wanda(w, norms)
        largest = scores.max() or np.float32(1)  # so that no square leaves float32's range
        mask = prune.n_m((scores / largest) ** 2, self.n, self.m, group=self.group)
        if samples is not None and samples.rows.any():
            w, _, _ = prune.compensate(w, samples.hessian, mask)
        return nn.SparseWeight(sparse.compress(w, mask, n=self.n, m=self.m, group=self.group, bits=self.bits))
